package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// newEchoAPI returns an app's API where Laravel Echo looks for it.
func newEchoAPI(tracker *delivery.Tracker, notifier *pusheradapter.Notifier, identify func(*http.Request) (string, error),
	audience func(context.Context, delivery.Draft) (delivery.Audience, error), userInfo func(context.Context, string) (map[string]any, error),
) (*http.ServeMux, error) {
	auth, err := notifier.AuthHandler(tracker, identify, &pusheradapter.AuthOptions{UserInfo: userInfo})
	if err != nil {
		return nil, err
	}
	api, err := deliveryhttp.New(tracker, identify, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/broadcasting/auth", auth)
	mux.Handle("/broadcasting/user-auth", auth) // for echo.connector.pusher.signin()
	mux.Handle("/api/", http.StripPrefix("/api", api))
	return mux, nil
}

// TestEcho has pages with Laravel Echo, as it is, do what docs/guides/echo.md shows.
func TestEcho(t *testing.T) {
	t.Parallel()
	guide := openGuide(t, "echo.md")
	guide.isIn("echo_test.go")
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
	tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{
		Authorize: func(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
			return conversation != "secret" && user != "", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	audience := func(context.Context, delivery.Draft) (delivery.Audience, error) {
		return delivery.Audience{Open: true}, nil
	}
	userInfo := func(_ context.Context, user string) (map[string]any, error) {
		return map[string]any{"name": strings.ToUpper(user)}, nil
	}
	mux, err := newEchoAPI(tracker, notifier, signedIn, audience, userInfo)
	if err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("GET /{user}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: r.PathValue("user"), HttpOnly: true})
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>echo</title><link rel="icon" href="data:,"><script>%s</script><script>%s</script><script>
			const heard = []
			const echo = new Echo.default({broadcaster: %q, key: %q, cluster: 'unused',
				wsHost: '127.0.0.1', wsPort: %s, forceTLS: false, enabledTransports: ['ws']})
			%s
			const tell = (what) => (e) => heard.push(what + ' ' + JSON.stringify(e ?? null))
			const names = (members) => [members].flat().map((m) => m.id + '=' + m.name).sort()
		</script>`, pusher, echo, r.FormValue("broadcaster"), a.Key, port(a.http.URL), strings.Join(guide.blocks("js"), "\n"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	for _, broadcaster := range []string{"pusher", "reverb"} {
		t.Run(broadcaster, func(t *testing.T) {
			visit := func(name string) *tab {
				page := newUser(t, name).newTab(server.URL, a.http.URL)
				page.visit(server.URL + "/" + name + "?broadcaster=" + broadcaster)
				return page
			}
			alice, bob := visit("alice"), visit("bob")
			bob.pardon("403", "Failed to load resource")
			const opening = `open(%s, {apply: tell('told'), catchUp: tell('in'), refused: tell('refused')}) && 0`
			conversation := "team:42/" + broadcaster
			for _, page := range []*tab{alice, bob} {
				eval[int](page, opening, conversation)
				page.wait(`heard.some((h) => h.startsWith('in '))`)
			}
			message, err := tracker.Send(t.Context(), delivery.Draft{Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
			if err != nil {
				t.Fatal(err)
			}
			flush(t, tracker)
			bob.wait(`heard.some((h) => h.startsWith('told ') && h.includes(%s))`, message.ID)
			if status := eval[int](bob, "markRead(%s).then((answer) => answer.status)", message.ID); status != 200 {
				t.Errorf("the mark was answered with %d", status)
			}
			flush(t, tracker)
			alice.wait(`heard.some((h) => h.startsWith('told ') && h.includes('"read"'))`)
			if _, err := tracker.Delete(t.Context(), delivery.Actor{User: "alice"}, message.ID); err != nil {
				t.Fatal(err)
			}
			flush(t, tracker)
			bob.wait(`heard.filter((h) => h.startsWith('told ')).length == 2`)
			if own := eval[bool](bob, `heard.some((h) => h.includes('"read"'))`); own {
				t.Error("bob's page was told of its own mark")
			}

			eval[int](bob, opening, "secret")
			bob.wait(`heard.some((h) => h.startsWith('refused ') && h.includes('403'))`)

			const joining = `join(%s, {here: (m) => tell('here')(names(m)), joining: (m) => tell('came')(names(m)),
				leaving: (m) => tell('left')(names(m)), typing: tell('typing')}) && 0`
			eval[int](alice, joining, conversation)
			alice.wait(`heard.includes('here ["alice=ALICE"]')`)
			eval[int](bob, joining, conversation)
			bob.wait(`heard.includes('here ["alice=ALICE","bob=BOB"]')`)
			alice.wait(`heard.includes('came ["bob=BOB"]')`)
			eval[int](bob, `echo.join('conv-' + escapeID(%s)).whisper('typing', {on: true}) && 0`, conversation)
			alice.wait(`heard.includes('typing {"on":true}')`)
			eval[int](bob, `echo.leave('conv-' + escapeID(%s)) ?? 0`, conversation)
			alice.wait(`heard.includes('left ["bob=BOB"]')`)

			eval[int](alice, `echo.connector.pusher.signin() ?? 0`)
			alice.wait(`echo.connector.pusher.user.user_data?.id == 'alice'`)
		})
	}
}

// flush publishes what was committed.
func flush(t *testing.T, tracker *delivery.Tracker) {
	t.Helper()
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}
