package browser

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

// eventSourcePage shows what a stream tells, as the documentation of sseadapter has it.
const eventSourcePage = `<!doctype html><title>events</title><link rel="icon" href="data:,"><script>
const told = [], sockets = []
const events = new EventSource('/events?conversation=c1')
events.addEventListener('hello', e => sockets.push(JSON.parse(e.data).socket))
for (const name of ['message', 'status', 'reset']) events.addEventListener(name, e => {
	const data = JSON.parse(e.data)
	for (const u of data.updates ?? []) told.push(name + ' ' + ({...data.shared, ...u}).message)
})
</script>`

// TestAnEventSourceMissesNothing has Chromium's EventSource connect again to streams that ended,
// and to a handler that had no Run in between.
func TestAnEventSourceMissesNothing(t *testing.T) {
	t.Parallel()
	bus := new(delivery.LocalBus)
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(bus.Publish), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	bob := func(*http.Request) (string, error) { return "bob", nil }
	streams, err := sseadapter.New(tracker, bus, bob, &sseadapter.Options{Heartbeat: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = streams.Run(ctx) })
		return sync.OnceFunc(func() {
			cancel()
			running.Wait()
		})
	}
	send := func(socket, id string) {
		t.Helper()
		draft := delivery.Draft{ID: id, Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}, Socket: socket}
		if _, err := tracker.Send(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /events", streams)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, eventSourcePage) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	stop := run()
	t.Cleanup(func() { stop() })

	page := newUser(t, "bob").newTab(server.URL)
	page.visit(server.URL)
	page.wait("sockets.length == 1")
	send("", "m1")
	page.wait("told.length == 1")
	send(eval[string](page, "sockets[0]"), "own") // is not told
	send("", "m2")
	page.wait("told.length == 2")
	if got := eval[string](page, "told.join()"); got != "message m1,message m2" {
		t.Errorf("the page was told %s", got)
	}

	stop()
	send("", "m3")
	send("", "m4")
	stop = run()
	page.wait("sockets.length == 2")
	page.wait("told.length == 4")
	if got := eval[string](page, "told.join()"); got != "message m1,message m2,message m3,message m4" {
		t.Errorf("after a pause the page was told %s", got)
	}
	if eval[bool](page, "sockets[0] == sockets[1]") {
		t.Error("two streams have the same socket")
	}
	send("", "m5")
	page.wait("told.length == 5")
}
