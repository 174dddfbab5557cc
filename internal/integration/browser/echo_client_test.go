package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// TestClientOverEcho has two pages talk by the client of deliveryjs over Laravel Echo, as it is,
// and catch up after their connections broke.
func TestClientOverEcho(t *testing.T) {
	t.Parallel()
	echo, err := os.ReadFile(npmFile(t, "laravel-echo", "dist/echo.iife.js"))
	if err != nil {
		t.Fatal(err)
	}
	pusher, err := os.ReadFile(pusherJS(t, "web/pusher.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	a := newPusherApp(t, nil)
	notifier, err := pusheradapter.New(pusheradapter.Config{AppID: a.AppID, Key: a.Key, Secret: a.Secret, Host: a.Host}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	audience := func(context.Context, delivery.Draft) (delivery.Audience, error) {
		return delivery.Audience{Recipients: []string{"alice", "bob"}}, nil
	}
	mux, err := newEchoAPI(tracker, notifier, signedIn, audience, nil)
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	mux.HandleFunc("GET /{user}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: r.PathValue("user"), HttpOnly: true})
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>echo</title><link rel="icon" href="data:,"><script>%s</script><script>%s</script><ol id="log"></ol>
		<script type="module">
			import { Delivery } from '/delivery/delivery.js'
			import { echo } from '/delivery/echo.js'
			window.Echo = new Echo.default({broadcaster: 'pusher', key: %q, cluster: 'unused',
				wsHost: '127.0.0.1', wsPort: %s, forceTLS: false, enabledTransports: ['ws']})
			window.delivery = new Delivery({ user: %q, transport: echo(window.Echo) })
			window.room = delivery.conversation('team:42')
			room.addEventListener('message', ({ detail: message }) => {
				const line = document.getElementById(message.id) ?? log.appendChild(document.createElement('li'))
				line.id = message.id
				line.textContent = message.body + ' ' + (message.own ? '' : message.status)
				room.watch(line, message.id)
			})
		</script>`, pusher, echo, a.Key, port(a.http.URL), r.PathValue("user"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	background(t, func(ctx context.Context) { _ = tracker.Run(ctx) })

	pages := map[string]*tab{}
	for _, name := range []string{"alice", "bob"} {
		page := newUser(t, name).newTab(server.URL, a.http.URL)
		page.visit(server.URL + "/" + name)
		page.wait(`window.delivery?.state === 'connected' && room.loaded`)
		page.listens("private-conv-team=3A42")
		pages[name] = page
	}
	alice, bob := pages["alice"], pages["bob"]
	const shows = `[...log.children].map((line) => line.textContent.trim()).join() === %s`
	eval[any](alice, `void room.send('hello')`)
	bob.wait(shows, "hello")
	alice.wait(shows, "hello read")
	if got := bob.got(func(f frame) bool { return f.Event == "status" }); len(got) > 0 {
		t.Errorf("bob's page was told of its own marks: %q", got)
	}

	eval[any](bob, `void Echo.connector.pusher.disconnect()`)
	bob.wait(`delivery.state !== 'connected'`)
	eval[any](alice, `void room.send('are you there?')`)
	alice.wait(shows, "hello read,are you there? sent")
	eval[any](bob, `void Echo.connector.pusher.connect()`)
	alice.wait(shows, "hello read,are you there? read")
}
