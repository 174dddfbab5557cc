package browser

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/msgdelivery/delivery"
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
	room{scripts: fmt.Sprintf("<script>%s</script><script>%s</script>", pusher, echo), transport: fmt.Sprintf(`
		import { echo } from '/delivery/echo.js'
		window.Echo = new Echo.default({broadcaster: 'pusher', key: %q, cluster: 'unused',
			wsHost: '127.0.0.1', wsPort: %s, forceTLS: false, enabledTransports: ['ws']})
		const transport = echo(window.Echo)
	`, a.Key, port(a.http.URL))}.add(mux)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	background(t, func(ctx context.Context) { _ = tracker.Run(ctx) })

	pages := map[string]*tab{}
	for _, name := range []string{"alice", "bob"} {
		page := newUser(t, name).newTab(server.URL, a.http.URL)
		page.visit(server.URL + "/room/" + name)
		page.listens("private-conv-team=3A42")
		pages[name] = page
	}
	bob := pages["bob"]
	talkAndCatchUp(t, pages["alice"], bob, func() {
		if got := bob.got(tells("bob")); len(got) > 0 {
			t.Errorf("bob's page was told of its own marks: %q", got)
		}
		eval[any](bob, `void Echo.connector.pusher.disconnect()`)
	}, func() { eval[any](bob, `void Echo.connector.pusher.connect()`) })
}
