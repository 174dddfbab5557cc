package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sseadapter"
)

// allowOrigin lets pages of one other origin use a handler, with the user's cookies.
func allowOrigin(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin")
		if r.Header.Get("Origin") != origin {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
			w.Header().Set("Access-Control-Allow-Headers", "Content-Type, Delivery-User, X-Socket-ID")
			w.Header().Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// newOriginsAPI returns an app's API for the pages of an origin.
func newOriginsAPI(origin string, tracker *delivery.Tracker, notifier *pusheradapter.Notifier, streams http.Handler,
	identify func(*http.Request) (string, error), audience func(context.Context, delivery.Draft) (delivery.Audience, error),
) (http.Handler, error) {
	trusted := http.NewCrossOriginProtection()
	if err := trusted.AddTrustedOrigin(origin); err != nil {
		return nil, err
	}
	auth, err := notifier.AuthHandler(tracker, identify, &pusheradapter.AuthOptions{CrossOrigin: trusted})
	if err != nil {
		return nil, err
	}
	api, err := deliveryhttp.New(tracker, identify, &deliveryhttp.Options{Audience: audience, CrossOrigin: trusted})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/pusher/auth", allowOrigin(origin, auth))
	mux.Handle("/api/", allowOrigin(origin, http.StripPrefix("/api", api)))
	mux.Handle("/events", allowOrigin(origin, streams)) // of sseadapter, if the app has it
	return mux, nil
}

// TestPagesOfAnotherOrigin has a page use an API of another origin by what docs/guides/origins.md
// shows, with a session's cookie.
func TestPagesOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	guide := openGuide(t, "origins.md")
	guide.isIn("origins_test.go")
	script := strings.Join(guide.blocks("js"), "\n")
	if !strings.Contains(script, "6000 *") {
		t.Fatal("the guide spreads requests over another time")
	}
	script = strings.Replace(script, "6000 *", "1500 *", 1)
	pusher, err := os.ReadFile(pusherJS(t, "web/pusher.min.js"))
	if err != nil {
		t.Fatal(err)
	}

	a := newPusherApp(t, nil)
	bus := new(delivery.LocalBus)
	notifier, err := pusheradapter.New(pusheradapter.Config{AppID: a.AppID, Key: a.Key, Secret: a.Secret, Host: a.Host}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := delivery.New(memstore.New(), delivery.Notifiers(notifier, delivery.NotifierFunc(bus.Publish)), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := sseadapter.New(tracker, bus, signedIn, nil)
	if err != nil {
		t.Fatal(err)
	}
	background(t, func(ctx context.Context) { _ = streams.Run(ctx) })

	var api string
	site := func() *httptest.Server {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><script>%s</script><script>
				const api = %q, key = %q, heard = []
				const options = {cluster: 'unused', wsHost: '127.0.0.1', wsPort: %s, forceTLS: false, enabledTransports: ['ws']}
				%s
				const hear = (name) => {
					const channel = pusher.subscribe(name)
					channel.bind('pusher:subscription_succeeded', () => heard.push('in ' + name))
					channel.bind('pusher:subscription_error', (e) => heard.push('error ' + name + ' ' + e.error))
					channel.bind('message', (e) => heard.push('message ' + e.updates[0].message))
				}
				const stream = new EventSource(api + '/events?conversation=c1', {withCredentials: true})
				stream.addEventListener('hello', () => heard.push('hello'))
				stream.onerror = () => { heard.push('no stream'); stream.close() }
			</script>`, pusher, api, a.Key, port(a.http.URL), script)
		}))
		t.Cleanup(server.Close)
		return server
	}
	var auths struct {
		sync.Mutex
		at []time.Time
	}
	var served http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "bob", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			return
		}
		if r.URL.Path == "/pusher/auth" && r.Method == http.MethodPost {
			auths.Lock()
			auths.at = append(auths.at, time.Now())
			auths.Unlock()
		}
		served.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	api = server.URL
	friend, stranger := site(), site()
	audience := func(context.Context, delivery.Draft) (delivery.Audience, error) {
		return delivery.Audience{Open: true}, nil
	}
	if served, err = newOriginsAPI(friend.URL, tracker, notifier, streams, signedIn, audience); err != nil {
		t.Fatal(err)
	}

	bob := newUser(t, "bob")
	page := bob.newTab(friend.URL, server.URL, a.http.URL)
	page.pardon("401", "Failed to load resource", "EventSource")
	page.visit(friend.URL) // before the user has signed in
	eval[any](page, "hear('private-conv-c1')")
	page.wait("heard.some((h) => h.startsWith('error private-conv-c1') && h.includes('401'))")
	page.wait("heard.includes('no stream')")

	page.visit(server.URL + "/login")
	page.visit(friend.URL)
	eval[any](page, "hear('private-conv-c1')")
	page.wait("heard.includes('in private-conv-c1')")
	page.wait("heard.includes('hello')")
	message, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	page.wait("heard.includes('message ' + %s)", message.ID)
	if status := eval[int](page, "markRead(%s).then((answer) => answer.status)", message.ID); status != 200 {
		t.Errorf("the mark was answered with %d", status)
	}
	if m, err := tracker.Message(t.Context(), message.ID); err != nil || m.Status != delivery.Read {
		t.Errorf("the message is %v, %v", m.Status, err)
	}

	// After a reconnect the requests are spread.
	for i := range 9 {
		eval[any](page, "hear(%s)", fmt.Sprint("private-conv-d", i))
	}
	page.wait("heard.filter((h) => h.startsWith('in private-conv-d')).length == 9")
	auths.Lock()
	auths.at = nil
	auths.Unlock()
	a.server.Disconnect(4200, "reconnect")
	page.wait("heard.filter((h) => h.startsWith('in private-conv-')).length == 20")
	auths.Lock()
	if first, last := auths.at[0], auths.at[len(auths.at)-1]; last.Sub(first) < 200*time.Millisecond || len(auths.at) < 10 {
		t.Errorf("%d requests came within %v of a reconnect", len(auths.at), last.Sub(first))
	}
	auths.Unlock()
	page.close()

	other := bob.newTab(stranger.URL, server.URL, a.http.URL)
	other.pardon("CORS", "Failed to load resource", "EventSource", "Access-Control-Allow-Origin")
	other.visit(stranger.URL)
	eval[any](other, "hear('private-conv-c1')")
	other.wait("heard.some((h) => h.startsWith('error private-conv-c1'))")
	other.wait("heard.includes('no stream')")
	if answer := eval[string](other, "markRead(%s).then((answer) => 'answered', () => 'refused')", message.ID); answer != "refused" {
		t.Errorf("a page of a stranger's origin was %s", answer)
	}
}

// port returns the port of a URL.
func port(url string) string { return url[strings.LastIndex(url, ":")+1:] }
