package browser

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/redisadapter"
	"github.com/msgdelivery/delivery/sseadapter"
)

// Rules are an app's own.
type Rules struct {
	CurrentUser func(*http.Request) (string, error)
	MayDo       func(ctx context.Context, user string, to delivery.Action, conversation string) (bool, error)
	Audience    func(context.Context, delivery.Draft) (delivery.Audience, error)
}

// newApp returns an app's routes, and what has to run beside them until ctx ends.
func newApp(store delivery.Store, bus delivery.Bus, rules Rules) (*http.ServeMux, func(ctx context.Context), error) {
	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(bus.Publish), &delivery.Options{Authorize: rules.MayDo})
	if err != nil {
		return nil, nil, err
	}
	streams, err := sseadapter.New(tracker, bus, rules.CurrentUser, nil)
	if err != nil {
		return nil, nil, err
	}
	api, err := deliveryhttp.New(tracker, rules.CurrentUser, &deliveryhttp.Options{Audience: rules.Audience})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /events", streams)
	mux.Handle("/api/", http.StripPrefix("/api", api))
	run := func(ctx context.Context) {
		var running sync.WaitGroup
		running.Go(func() { log.Print(tracker.Run(ctx)) })
		running.Go(func() { log.Print(streams.Run(ctx)) })
		running.Wait()
	}
	return mux, run, nil
}

// oneProcess and severalProcesses return the bus of an app. Package streams runs several processes.
func oneProcess() delivery.Bus {
	bus := new(delivery.LocalBus)
	return bus
}

func severalProcesses(address string) delivery.Bus {
	bus := redisadapter.NewBus(redis.NewClient(&redis.Options{Addr: address}), nil)
	return bus
}

var _ = severalProcesses

// TestWithoutPusher has two pages of Chromium do what docs/guides/sse.md shows.
func TestWithoutPusher(t *testing.T) {
	t.Parallel()
	guide := openGuide(t, "sse.md")
	guide.isIn("sse_guide_test.go")
	rules := Rules{
		CurrentUser: signedIn,
		MayDo: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return user != "", nil
		},
		Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) {
			return delivery.Audience{Recipients: []string{"alice", "bob"}}, nil
		},
	}
	mux, run, err := newApp(memstore.New(), oneProcess(), rules)
	if err != nil {
		t.Fatal(err)
	}
	background(t, run)
	mux.HandleFunc("GET /{user}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: r.PathValue("user"), HttpOnly: true})
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>app</title><link rel="icon" href="data:,"><script>
			const conversation = 'a room', told = []
			const apply = (payload) => told.push(...payload.updates.map((u) => ({...payload.shared, ...u})))
			const loadAgain = () => told.push('reset')
			const send = (id) => fetch('/api/messages', {method: 'POST', headers: {'Content-Type': 'application/json'},
				body: JSON.stringify({conversation, id, body: 'hello', socket})}).then((answer) => answer.status)
			%s
		</script>`, strings.Join(guide.blocks("js"), "\n"))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	pages := map[string]*tab{}
	for _, name := range []string{"alice", "bob"} {
		pages[name] = newUser(t, name).newTab(server.URL)
		pages[name].visit(server.URL + "/" + name)
		pages[name].wait("typeof socket == 'string'")
	}
	if status := eval[int](pages["alice"], "send('m1')"); status != 201 {
		t.Errorf("sending was answered with %d", status)
	}
	pages["bob"].wait("told.some((u) => u.message == 'm1' && u.status == 'sent')")
	if status := eval[int](pages["bob"], "markRead('m1').then((answer) => answer.status)"); status != 200 {
		t.Errorf("the mark was answered with %d", status)
	}
	pages["alice"].wait("told.some((u) => u.message == 'm1' && u.status == 'read')")
	if status := eval[int](pages["alice"], "send('m2')"); status != 201 {
		t.Errorf("sending was answered with %d", status)
	}
	pages["bob"].wait("told.some((u) => u.message == 'm2')")
	for name, want := range map[string]string{"alice": "m1 read", "bob": "m1 sent,m2 sent"} {
		if got := eval[string](pages[name], "told.map((u) => u.message + ' ' + u.status).join()"); got != want {
			t.Errorf("%s's page was told %q, want %q", name, got, want)
		}
	}
}
