package natsadapter_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/natsadapter"
)

// gateway is a subscriber of conversations' subjects.
type gateway struct {
	mu       sync.Mutex
	messages []*nats.Msg
	grown    chan struct{}
}

func newGateway(t *testing.T, conn *nats.Conn, subject string) *gateway {
	t.Helper()
	g := &gateway{grown: make(chan struct{})}
	_, err := conn.Subscribe(subject, func(m *nats.Msg) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.messages = append(g.messages, m)
		close(g.grown)
		g.grown = make(chan struct{})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gateway) got() ([]*nats.Msg, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.messages), g.grown
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
		messages, grown := g.got()
		for _, received := range messages {
			m, p := decode(t, received)
			if m.Event != event.Kind.String() || m.Except != event.Except || p.Conversation != event.Conversation {
				continue
			}
			for _, u := range p.Expand() {
				u.Receipt = nil
				delete(missing, u)
			}
		}
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

func decode(t *testing.T, received *nats.Msg) (m natsadapter.Message, p deliverywire.Payload) {
	t.Helper()
	if err := json.Unmarshal(received.Data, &m); err != nil {
		t.Fatalf("%v: %s", err, received.Data)
	}
	if err := json.Unmarshal(m.Data, &p); err != nil {
		t.Fatalf("%v: %s", err, m.Data)
	}
	return m, p
}

func newNotifier(t *testing.T, conn *nats.Conn) *natsadapter.Notifier {
	t.Helper()
	n, err := natsadapter.NewNotifier(conn, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// newStreamNotifier returns a notifier and its stream, with the changes that set makes.
func newStreamNotifier(t *testing.T, conn *nats.Conn, set func(*jetstream.StreamConfig)) (*natsadapter.Notifier, jetstream.Stream) {
	t.Helper()
	js := newStream(t, conn)
	s := addStream(t, js, func(c *jetstream.StreamConfig) {
		c.Name, c.Subjects = "CONVERSATIONS", []string{natsadapter.DefaultPrefix + "*"}
		if set != nil {
			set(c)
		}
	})
	n, err := natsadapter.NewStreamNotifier(js, nil)
	if err != nil {
		t.Fatal(err)
	}
	return n, s
}

var ofNoKind = delivery.Event{ID: 99, Conversation: "c1", Updates: []delivery.Update{{Message: "m"}}}

func TestNotifier(t *testing.T) {
	deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
		broker := newBroker(t, nil)
		link := newLink(t, broker)
		gateway := newGateway(t, broker.connect(), natsadapter.DefaultPrefix+"*")
		return deliverytest.Endpoint{
			Notifier: newNotifier(t, connect(t, link.addr)), Refusable: ofNoKind, Fail: broker.stop, Hang: link.hang,
			Accepted: func(event delivery.Event) bool { return gateway.heard(t, event) },
		}
	})
}

func TestStreamNotifier(t *testing.T) {
	deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
		broker := newBroker(t, nil)
		link := newLink(t, broker)
		gateway := newGateway(t, broker.connect(), natsadapter.DefaultPrefix+"*")
		notifier, _ := newStreamNotifier(t, connect(t, link.addr), nil)
		return deliverytest.Endpoint{
			Notifier: notifier, Refusable: ofNoKind, Fail: broker.stop, Hang: link.hang,
			Accepted: func(event delivery.Event) bool { return gateway.heard(t, event) },
		}
	})
}

func TestEveryIDHasASubjectOfItsOwn(t *testing.T) {
	broker := newBroker(t, nil)
	conn := broker.connect()
	core := newNotifier(t, conn)
	stream, _ := newStreamNotifier(t, conn, nil)
	ids := []string{
		"a", "A", "a.b", "a..b", ".", "*", ">", "a.*", "a.>", " ", "a b", "\t", "\r\n", "$SYS", "_INBOX.x", "=2E", "=", "é", "\u2028", "a=2Eb",
		"\xff", strings.Repeat("\x01", delivery.MaxID), strings.Repeat("x", delivery.MaxID),
	}
	seen := make(map[string]string)
	for _, id := range ids {
		if other, taken := seen[natsadapter.Token(id)]; taken {
			t.Errorf("%q and %q have the same token", id, other)
		}
		seen[natsadapter.Token(id)] = id
		if strings.ToValidUTF8(id, "") != id {
			continue // never the id of a conversation
		}
		gateway := newGateway(t, conn, natsadapter.DefaultPrefix+natsadapter.Token(id))
		for _, notifier := range []delivery.Notifier{core, stream} {
			e := event(1, 0)
			e.Conversation = id
			if err := notifier.Notify(t.Context(), []delivery.Event{e}); err != nil {
				t.Errorf("%q: %v", id, err)
			}
			if !gateway.heard(t, e) {
				t.Errorf("%q: not heard", id)
			}
		}
		messages, _ := gateway.got()
		for _, m := range messages {
			if _, p := decode(t, m); p.Conversation != id {
				t.Errorf("the subject of %q has an event of %q", id, p.Conversation)
			}
		}
	}
}

func TestALargeEventComesInMessagesThatTheServerTakes(t *testing.T) {
	broker := newBroker(t, func(o *server.Options) { o.MaxPayload = 8 << 10 })
	conn := broker.connect()
	gateway := newGateway(t, conn, natsadapter.DefaultPrefix+"*")
	notifier := newNotifier(t, conn)
	large := event(1, 0)
	for v := int64(2); v < 500; v++ {
		large.Updates = append(large.Updates, event(v, 10).Updates...)
	}
	large.To, large.Except = 499, strings.Repeat("<", delivery.MaxID)
	if err := notifier.Notify(t.Context(), []delivery.Event{large}); err != nil {
		t.Fatal(err)
	}
	whole := gateway.heard(t, large)
	if messages, _ := gateway.got(); !whole || len(messages) < 2 {
		t.Errorf("it came in %d messages, which tell all: %t", len(messages), whole)
	}
}

func stored(t *testing.T, s jetstream.Stream) uint64 {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

func TestAStreamKeepsAnEventOnceThatIsPublishedAgain(t *testing.T) {
	broker := newBroker(t, nil)
	notifier, s := newStreamNotifier(t, broker.connect(), nil)
	notify := func(events ...delivery.Event) {
		t.Helper()
		if err := notifier.Notify(t.Context(), events); err != nil {
			t.Error(err)
		}
	}
	elsewhere := event(1, 0) // of another database, say
	elsewhere.Conversation = "c2"
	notify(event(1, 0), elsewhere)
	notify(elsewhere, event(1, 0))
	if n := stored(t, s); n != 2 {
		t.Errorf("%d messages are stored of 2 events", n)
	}
	js := newStream(t, broker.connect())
	addStream(t, js, func(c *jetstream.StreamConfig) {
		c.Name, c.Subjects = "CONVERSATIONS", []string{natsadapter.DefaultPrefix + "*", "other.*"}
	})
	other, err := natsadapter.NewStreamNotifier(js, &natsadapter.NotifierOptions{Prefix: "other."})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Notify(t.Context(), []delivery.Event{event(1, 0)}); err != nil {
		t.Fatal(err)
	}
	if n := stored(t, s); n != 3 {
		t.Errorf("%d messages are stored after a notifier of other subjects", n)
	}
	replayed := event(1, 0)
	replayed.Updates[0].Read = 1 // says something else under the same id
	notify(replayed)
	if n := stored(t, s); n != 4 {
		t.Errorf("%d messages are stored after a replay", n)
	}
}

func TestAnEventIsStoredAgainAfterAPurge(t *testing.T) {
	notifier, s := newStreamNotifier(t, newBroker(t, nil).connect(), nil)
	for range 2 {
		if err := notifier.Notify(t.Context(), []delivery.Event{event(1, 0)}); err != nil {
			t.Fatal(err)
		}
		if n := stored(t, s); n != 1 {
			t.Errorf("%d messages are stored", n)
		}
		if err := s.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEventThatAConsumerHasAcknowledgedIsNotStoredAgain(t *testing.T) {
	notifier, s := newStreamNotifier(t, newBroker(t, nil).connect(), func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy })
	if err := notifier.Notify(t.Context(), []delivery.Event{event(1, 0)}); err != nil {
		t.Fatal(err)
	}
	consumer, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	m, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := notifier.Notify(t.Context(), []delivery.Event{event(1, 0)}); err != nil {
		t.Fatal(err)
	}
	if n := stored(t, s); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}
