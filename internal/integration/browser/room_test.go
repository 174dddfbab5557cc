package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// room is a page with a conversation by the client of deliveryjs. A script of its own makes the
// transport.
type room struct{ scripts, transport string }

// ServeHTTP serves the page of the user that the path names, and signs the user in.
func (r room) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	user := request.PathValue("user")
	http.SetCookie(w, &http.Cookie{Name: "session", Value: user, Path: "/", HttpOnly: true})
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><title>room</title><link rel="icon" href="data:,"><ol id="log"></ol>%s<script type="module">
		import { Delivery } from '/delivery/delivery.js'
		%s
		window.delivery = new Delivery({ user: %q, transport })
		window.room = delivery.conversation('team:42')
		room.addEventListener('message', ({ detail: message }) => {
			const line = document.getElementById(message.id) ?? log.appendChild(document.createElement('li'))
			line.id = message.id
			line.textContent = message.body + ' ' + (message.own ? '' : message.status)
			room.watch(line, message.id)
		})
	</script>`, r.scripts, r.transport, user)
}

// add adds the page and the client to an app.
func (r room) add(mux *http.ServeMux) {
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	mux.Handle("GET /room/{user}", r)
}

// talkAndCatchUp has alice and bob talk by a room, and bob's page catch up after its connection
// broke.
func talkAndCatchUp(t *testing.T, alice, bob *tab, unplug, plug func()) {
	t.Helper()
	for _, p := range []*tab{alice, bob} {
		p.wait(`window.delivery?.state === 'connected' && room.loaded`)
	}
	const shows = `[...log.children].map((line) => line.textContent.trim()).join() === %s`
	eval[any](alice, `void room.send('hello')`)
	bob.wait(shows, "hello")
	alice.wait(shows, "hello read")
	eval[any](bob, `void room.send('here')`)
	bob.wait(shows, "hello,here read")

	unplug()
	bob.wait(`delivery.state !== 'connected'`)
	eval[any](alice, `void room.send('are you there?')`)
	alice.wait(shows, "hello read,here,are you there? sent")
	plug()
	alice.wait(shows, "hello read,here,are you there? read")
}

// TestClientOverSoketi has two pages talk by the client of deliveryjs and a real soketi.
func TestClientOverSoketi(t *testing.T) {
	t.Parallel()
	server := startSoketi(t)
	pusher, err := os.ReadFile(pusherJS(t, "web/pusher.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	notifier, err := pusheradapter.New(server.app, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]room{
		"with the small client": {transport: `import { Pusher } from '/delivery/protocol.js'`},
		"with pusher-js":        {scripts: "<script>" + string(pusher) + "</script>"},
	} {
		t.Run(name, func(t *testing.T) { // one after the other: each has a store of its own, and the channel is the same
			tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true})
			if err != nil {
				t.Fatal(err)
			}
			auth, err := notifier.AuthHandler(tracker, signedIn, nil)
			if err != nil {
				t.Fatal(err)
			}
			api, err := deliveryhttp.New(tracker, signedIn, &deliveryhttp.Options{Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) {
				return delivery.Audience{Recipients: []string{"alice", "bob"}}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			mux := http.NewServeMux()
			mux.Handle("/auth", auth)
			mux.Handle("/api/", http.StripPrefix("/api", api))
			network := newCable(t, loopback(server.port)) // of bob's
			r.transport += fmt.Sprintf(`
				import { pusher } from '/delivery/pusher.js'
				const transport = pusher(new Pusher(%q, { cluster: 'unused', wsHost: '127.0.0.1', wsPort: location.pathname === '/room/bob' ? %s : %d,
					forceTLS: false, enabledTransports: ['ws'], channelAuthorization: { endpoint: '/auth' } }))
			`, server.app.Key, port(network.url), server.port)
			r.add(mux)
			site := httptest.NewServer(mux)
			t.Cleanup(site.Close)
			background(t, func(ctx context.Context) { _ = tracker.Run(ctx) })

			alice, bob := newUser(t, "alice").newTab(site.URL, loopback(server.port)), newUser(t, "bob").newTab(site.URL, network.url)
			bob.pardon("WebSocket")
			alice.visit(site.URL + "/room/alice")
			bob.visit(site.URL + "/room/bob")
			talkAndCatchUp(t, alice, bob, network.unplug, network.plug)
		})
	}
}

// TestClientBehindNginx has two pages talk by server-sent events and the client of deliveryjs
// behind nginx, as the first block of docs/guides/nginx.md has it.
func TestClientBehindNginx(t *testing.T) {
	t.Parallel()
	app := newStreamingApp(t, 0)
	mux := http.NewServeMux()
	mux.Handle("/", app)
	room{transport: `
		import { eventSource } from '/delivery/eventsource.js'
		const transport = eventSource('/events')
	`}.add(mux)
	backend := startRestartable(t, mux)
	site := startNginx(t, openGuide(t, "nginx.md").blocks("nginx")[0], backend.port)
	network := newCable(t, site)
	background(t, func(ctx context.Context) { _ = app.tracker.Run(ctx) })

	alice, bob := newUser(t, "alice").newTab(site), newUser(t, "bob").newTab(network.url)
	alice.visit(site + "/room/alice")
	bob.visit(network.url + "/room/bob")
	bob.pardon("net::ERR_")
	talkAndCatchUp(t, alice, bob, network.unplug, network.plug)

	alice.pardon("502", "net::ERR_", "EventSource")
	bob.pardon("502", "EventSource")
	backend.stop()
	alice.wait(`delivery.state !== 'connected'`)
	eval[any](alice, `void room.send('after the restart')`)
	backend.start()
	alice.wait(`log.lastChild.textContent === 'after the restart read'`)
}
