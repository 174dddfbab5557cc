package sseadapter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

// announcing is a bus that says when it has its one subscriber.
type announcing struct {
	delivery.Bus
	begun chan<- struct{}
}

func (a announcing) Subscribe(ctx context.Context, hear func(delivery.Event)) error {
	return a.Bus.Subscribe(ctx, func(event delivery.Event) {
		hear(event)
		if event.Kind == 0 {
			close(a.begun)
		}
	})
}

// start returns a tracker, and a handler that runs, over a bus.
func start(t *testing.T, bus delivery.Bus, opts *sseadapter.Options) (*delivery.Tracker, *sseadapter.Handler) {
	t.Helper()
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(bus.Publish), &delivery.Options{Authorize: mayDo, EventBodies: true})
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	handler, err := sseadapter.New(tracker, announcing{bus, begun}, identify, opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- handler.Run(ctx) }()
	<-begun
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return tracker, handler
}

// faulty is a bus that fails and hangs on demand.
type faulty struct {
	delivery.LocalBus
	failing, hanging atomic.Bool
}

func (f *faulty) Publish(ctx context.Context, events []delivery.Event) error {
	switch {
	case f.failing.Load():
		return errors.New("the bus is away")
	case f.hanging.Load():
		<-ctx.Done()
		return ctx.Err()
	}
	for i, e := range events {
		if !e.Kind.Valid() {
			_ = f.LocalBus.Publish(ctx, append(append([]delivery.Event{}, events[:i]...), events[i+1:]...))
			return delivery.Refused(map[int]error{i: errors.New("of no kind")})
		}
	}
	return f.LocalBus.Publish(ctx, events)
}

func TestNotifier(t *testing.T) {
	deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
		bus := new(faulty)
		_, handler := start(t, bus, nil)
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		client := listen(t, server.Client(), server.URL+"?conversation=conversation+0&conversation=conversation+1&conversation=conversation+2")
		client.until(t, atLeast(1))
		return deliverytest.Endpoint{
			Notifier:  delivery.NotifierFunc(bus.Publish),
			Accepted:  func(event delivery.Event) bool { return tells(t, client, event) },
			Refusable: delivery.Event{ID: 99, Conversation: "conversation 0", Updates: []delivery.Update{{Message: "m"}}},
			Fail:      func() { bus.failing.Store(true) },
			Hang:      func() { bus.hanging.Store(true) },
		}
	})
}

// tells waits until a client has heard all that the event tells.
func tells(t *testing.T, client *listener, told delivery.Event) bool {
	t.Helper()
	missing := make(map[delivery.Update]bool)
	for _, u := range told.Updates {
		u.Receipt = nil
		missing[u] = true
	}
	client.until(t, func(events []event) bool {
		for _, e := range events {
			if e.name != told.Kind.String() {
				continue
			}
			p := payload(t, e)
			for _, u := range p.Expand() {
				if u.Receipt = nil; p.Conversation == told.Conversation {
					delete(missing, u)
				}
			}
		}
		return len(missing) == 0
	})
	return len(missing) == 0
}

func TestAStreamOutlivesTheServersDeadlines(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("by HTTP/2: ", http2), func(t *testing.T) {
			t.Parallel()
			tracker, handler := start(t, new(delivery.LocalBus), &sseadapter.Options{Heartbeat: 100 * time.Millisecond, WriteTimeout: 300 * time.Millisecond})
			server := httptest.NewUnstartedServer(handler)
			server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
			server.EnableHTTP2 = http2
			server.StartTLS()
			t.Cleanup(server.Close)
			client := listen(t, server.Client(), server.URL+"?conversation=c1")
			if client.response.ProtoMajor == 2 != http2 {
				t.Errorf("by %s", client.response.Proto)
			}
			client.until(t, func(events []event) bool {
				pings := 0
				for _, e := range events {
					if e.name == "ping" {
						pings++
					}
				}
				return pings == 10 // as long as five of the server's deadlines
			})
			if _, err := tracker.Send(t.Context(), delivery.Draft{ID: "m1", Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
				t.Fatal(err)
			}
			if err := tracker.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			client.until(t, func(events []event) bool { return events[len(events)-1].name == "message" })
		})
	}
}

func TestAnIdleStreamOutlivesItsWriteTimeout(t *testing.T) {
	t.Parallel()
	_, handler := start(t, new(delivery.LocalBus), &sseadapter.Options{Heartbeat: 600 * time.Millisecond, WriteTimeout: 100 * time.Millisecond})
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	listen(t, server.Client(), server.URL+"?conversation=c1").until(t, atLeast(3))
}

func TestAClientThatReadsNothingIsCutOff(t *testing.T) {
	t.Parallel()
	tracker, handler := start(t, new(delivery.LocalBus), &sseadapter.Options{WriteTimeout: 200 * time.Millisecond})
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /?conversation=c1 HTTP/1.1\r\nHost: x\r\nUser: bob\r\n\r\n")
	body := strings.Repeat("x", 60_000)
	limit := time.After(20 * time.Second)
	for i := 0; ; i++ {
		if _, err := tracker.Send(t.Context(), delivery.Draft{ID: fmt.Sprint("m", i), Conversation: "c1", Sender: "alice", Body: body, Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
			return
		case <-limit:
			t.Fatalf("%d events of 60 KB, and the client that reads nothing was not cut off", i)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestAServerShutsDownCleanlyOnceRunHasEnded(t *testing.T) {
	t.Parallel()
	bus := new(delivery.LocalBus)
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(bus.Publish), &delivery.Options{Authorize: mayDo})
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	handler, err := sseadapter.New(tracker, announcing{bus, begun}, identify, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var run sync.WaitGroup
	run.Go(func() { _ = handler.Run(ctx) })
	<-begun
	server := httptest.NewServer(handler)
	defer server.Close()
	client := listen(t, server.Client(), server.URL+"?conversation=c1")
	client.until(t, atLeast(1))
	cancel()
	run.Wait()
	within, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	if err := server.Config.Shutdown(within); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestAResponseWriterWithoutDeadlinesIsRefusedAndSaid(t *testing.T) {
	var log strings.Builder
	_, handler := start(t, new(delivery.LocalBus), &sseadapter.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/?conversation=c1", nil)
	r.Header.Set("User", "bob")
	handler.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError || !strings.Contains(log.String(), "middleware") {
		t.Errorf("status %d, and the log says %s", w.Code, &log)
	}
}

func TestACatchUpOfAThousandTakesAtMost70KB(t *testing.T) {
	tracker, handler := start(t, new(delivery.LocalBus), nil)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	var last delivery.Message
	for range 1000 {
		var err error
		if last, err = tracker.Send(t.Context(), delivery.Draft{Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := listen(t, server.Client(), server.URL+"?conversation=c1")
	client.until(t, atLeast(1))
	if _, err := tracker.MarkUpTo(t.Context(), delivery.Actor{User: "bob"}, delivery.Read, delivery.MessageRef{Conversation: "c1", ID: last.ID}); err != nil {
		t.Fatal(err)
	}
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	size, receipts := 0, 0
	client.until(t, func(events []event) bool {
		size, receipts = 0, 0
		for _, e := range events[1:] {
			size += len(e.data)
			var p deliverywire.Payload
			if err := json.Unmarshal([]byte(e.data), &p); err != nil {
				t.Fatal(err)
			}
			receipts += len(p.Updates)
		}
		return receipts >= 1000
	})
	if receipts != 1000 || size > 70_000 {
		t.Errorf("%d receipts took %d bytes", receipts, size)
	}
	t.Logf("%d receipts took %d bytes", receipts, size)
}
