package redisadapter_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/internal/redisserver"
	"github.com/msgdelivery/delivery/redisadapter"
)

// gateway is a subscriber of conversations' channels.
type gateway struct {
	mu       sync.Mutex
	messages []redisadapter.Message
	grown    chan struct{}
}

func newGateway(t *testing.T, server *redisserver.Server, pattern string) *gateway {
	t.Helper()
	subscription := newClient(t, server).PSubscribe(t.Context(), pattern)
	if _, err := subscription.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := &gateway{grown: make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			received, err := subscription.ReceiveMessage(context.Background())
			if err != nil {
				return
			}
			var m redisadapter.Message
			if err := json.Unmarshal([]byte(received.Payload), &m); err != nil {
				t.Errorf("%v: %s", err, received.Payload)
			}
			g.mu.Lock()
			g.messages = append(g.messages, m)
			close(g.grown)
			g.grown = make(chan struct{})
			g.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		subscription.Close()
		<-done
	})
	return g
}

// heard waits until all that the event tells has come.
func (g *gateway) heard(t *testing.T, event delivery.Event) bool {
	t.Helper()
	limit := time.After(forever)
	for {
		missing := make(map[delivery.Update]bool)
		for _, u := range event.Updates {
			u.Receipt = nil
			missing[u] = true
		}
		g.mu.Lock()
		grown := g.grown
		for _, m := range g.messages {
			var p deliverywire.Payload
			if err := json.Unmarshal(m.Data, &p); err != nil {
				t.Fatal(err)
			}
			if m.Event != event.Kind.String() || m.Except != event.Except || p.Conversation != event.Conversation {
				continue
			}
			for _, u := range p.Expand() {
				u.Receipt = nil
				delete(missing, u)
			}
		}
		g.mu.Unlock()
		if len(missing) == 0 {
			return true
		}
		select {
		case <-grown:
		case <-limit:
			return false
		}
	}
}

func TestNotifier(t *testing.T) {
	deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
		server := redisserver.Start(t)
		gateway := newGateway(t, server, redisadapter.DefaultPrefix+"*")
		return deliverytest.Endpoint{
			Notifier:  redisadapter.NewNotifier(newClient(t, server), nil),
			Accepted:  func(event delivery.Event) bool { return gateway.heard(t, event) },
			Refusable: delivery.Event{ID: 99, Conversation: "c1", Updates: []delivery.Update{{Message: "m"}}}, // of no kind
			Fail:      server.Kill,
			Hang:      server.Hang,
		}
	})
}

func TestAConversationHasAChannelOfItsOwn(t *testing.T) {
	server := redisserver.Start(t)
	other := newGateway(t, server, "app:c2")
	mine := newGateway(t, server, "app:c1")
	notifier := redisadapter.NewNotifier(newClient(t, server), &redisadapter.NotifierOptions{Prefix: "app:"})
	large := event(1, 0)
	large.Updates[0].Body = strings.Repeat("<", 60_000)
	for v := int64(2); v < 1000; v++ {
		large.Updates = append(large.Updates, event(v, 0).Updates...)
	}
	large.To = 999
	if err := notifier.Notify(t.Context(), []delivery.Event{large}); err != nil {
		t.Fatal(err)
	}
	if !mine.heard(t, large) || len(mine.messages) < 2 || len(other.messages) != 0 {
		t.Errorf("the channel got %d messages, and another %d", len(mine.messages), len(other.messages))
	}
	for _, m := range mine.messages {
		if len(m.Data) > redisadapter.MaxData {
			t.Errorf("a message has %d bytes of data", len(m.Data))
		}
	}
}
