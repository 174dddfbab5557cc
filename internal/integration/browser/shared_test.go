package browser

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
)

// sharedPage lists the messages of a room that many tabs of a user have open.
const sharedPage = `<!doctype html><title>shared</title>
<script type="module">
import { Delivery } from '/delivery/delivery.js'
import { eventSource } from '/delivery/eventsource.js'
import { shared } from '/delivery/shared.js'
const user = '%s'
window.delivery = new Delivery({ user, transport: shared(user, () => eventSource('/events')) })
window.room = delivery.conversation('lunch')
window.told = []
room.addEventListener('message', ({ detail: { id, body, status } }) => {
	told = [...told.filter((m) => m.id !== id), { id, body, status }]
})
</script>`

// TestTabsShareAStream has more tabs than a browser opens connections, and closes the tab that has
// the stream, again and again.
func TestTabsShareAStream(t *testing.T) {
	t.Parallel()
	app := newStreamed(t, func(user string) string { return fmt.Sprintf(sharedPage, user) })
	var streams atomic.Int64
	handler := app.Config.Handler
	app.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if session, err := r.Cookie("session"); err == nil && session.Value == "bob" && r.URL.Path == "/events" {
			streams.Add(1)
			defer streams.Add(-1)
		}
		handler.ServeHTTP(w, r)
	})
	alice := app.open(t, "alice")
	sent := 0
	send := func() {
		t.Helper()
		sent++
		eval[any](alice, "void room.send(%s)", fmt.Sprint("message ", sent))
		alice.wait("told.length === %s", sent)
	}
	bob := newUser(t, "bob")
	var tabs []*tab
	hear := func() {
		t.Helper()
		for _, p := range tabs {
			p.wait("told.length === %s", sent)
			p.wait("delivery.state === 'connected'")
		}
	}
	send()
	for range 8 {
		p := bob.newTab(app.URL)
		p.visit(app.URL + "/bob")
		tabs = append(tabs, p)
	}
	hear()
	send()
	hear()
	if n := streams.Load(); n != 1 {
		t.Errorf("eight tabs have %d streams", n)
	}
	for range 3 {
		tabs[0].close() // they have the stream in the order in which they came
		tabs = tabs[1:]
		send() // perhaps while no tab has it
		hear()
		send()
		hear()
	}
	if n := streams.Load(); n != 1 {
		t.Errorf("five tabs have %d streams", n)
	}
	for _, p := range tabs {
		if got := eval[int](p, "new Set(told.map((m) => m.body)).size"); got != sent {
			t.Errorf("a tab shows %d messages, want %d", got, sent)
		}
	}
}
