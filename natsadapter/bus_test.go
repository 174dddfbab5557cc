package natsadapter_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/natsadapter"
)

func newBus(t testing.TB, conn *nats.Conn, opts *natsadapter.BusOptions) *natsadapter.Bus {
	t.Helper()
	bus, err := natsadapter.NewBus(conn, opts)
	if err != nil {
		t.Fatal(err)
	}
	return bus
}

func newStreamBus(t testing.TB, conn *nats.Conn, opts *natsadapter.BusOptions) *natsadapter.StreamBus {
	t.Helper()
	bus, err := natsadapter.NewStreamBus(newStream(t, conn), opts)
	if err != nil {
		t.Fatal(err)
	}
	return bus
}

func TestBus(t *testing.T) {
	deliverytest.TestBus(t, func(t *testing.T) deliverytest.BusEnds {
		broker := newBroker(t, nil)
		here, there := newLink(t, broker), newLink(t, broker)
		return deliverytest.BusEnds{
			Here:  newBus(t, connect(t, here.addr), nil),
			There: newBus(t, connect(t, there.addr), nil),
			Cut:   there.cut, Fail: broker.stop, Hang: func() { here.hang(); there.hang() },
		}
	})
}

func TestStreamBus(t *testing.T) {
	deliverytest.TestBus(t, func(t *testing.T) deliverytest.BusEnds {
		broker := newBroker(t, nil)
		here, there := newLink(t, broker), newLink(t, broker)
		js := newStream(t, broker.connect())
		addStream(t, js, nil)
		return deliverytest.BusEnds{
			Here:  newStreamBus(t, connect(t, here.addr), nil),
			There: newStreamBus(t, connect(t, there.addr), nil),
			// A connection that breaks loses nothing. A stream that is made anew does.
			Cut: func() {
				if err := js.DeleteStream(t.Context(), "DELIVERY"); err != nil {
					t.Error(err)
				}
				addStream(t, js, nil)
				there.cut()
			},
			Fail: broker.stop, Hang: func() { here.hang(); there.hang() },
		}
	})
}

// event is an event with a body of so many bytes.
func event(id int64, size int) delivery.Event {
	return delivery.Event{
		ID: id, Kind: delivery.MessageSent, Conversation: "c1", From: id, To: id,
		Updates: []delivery.Update{{Message: fmt.Sprint("m", id), Sender: "alice", Version: id, Status: delivery.Sent, Body: strings.Repeat("x", size)}},
	}
}

func TestAnEventThatIsLargerThanTheServersLimitComesInParts(t *testing.T) {
	broker := newBroker(t, func(o *server.Options) { o.MaxPayload = 8 << 10 })
	addStream(t, newStream(t, broker.connect()), nil)
	for name, bus := range map[string]delivery.Bus{"core": newBus(t, broker.connect(), &natsadapter.BusOptions{Subject: "core"}), "stream": newStreamBus(t, broker.connect(), nil)} {
		heard := listen(t, bus)
		large := delivery.Event{ID: 1, Kind: delivery.StatusChanged, Conversation: "c1", From: 1, To: 510}
		for v := range int64(500) {
			u := event(v+1, 0).Updates[0]
			u.Receipt = &delivery.Receipt{Message: u.Message, Recipient: "bob", Status: delivery.Read, Version: v + 1}
			large.Updates = append(large.Updates, u)
		}
		fat := event(2, 0)
		fat.Updates[0].Sender = strings.Repeat("\x01", 9000)
		err := bus.Publish(t.Context(), []delivery.Event{large, fat, event(3, 9000), event(4, 10)})
		var refused *delivery.RefusedError
		if !errors.As(err, &refused) || len(refused.ByIndex) != 1 || refused.ByIndex[1] == nil {
			t.Errorf("%s: Publish returned %v", name, err)
		}
		heard.wait(t, 4)
		to, updates := int64(0), 0
		for _, e := range heard.events() {
			if e.ID != 1 {
				if size := len(e.Updates[0].Body); (size == 0) != (e.ID == 3) {
					t.Errorf("%s: event %d has a body of %d bytes", name, e.ID, size)
				}
				continue
			}
			if e.From != to+1 || e.Updates[0].Version != e.From {
				t.Errorf("%s: versions %d to %d with updates from %d follow version %d", name, e.From, e.To, e.Updates[0].Version, to)
			}
			to, updates = e.To, updates+len(e.Updates)
		}
		if to != 510 || updates != 500 {
			t.Errorf("%s: %d updates came, up to version %d", name, updates, to)
		}
	}
}

func TestASubscriptionWhoseConnectionIsSilentEnds(t *testing.T) {
	const ping = time.Second // a third of what the server may take for an answer
	broker := newBroker(t, nil)
	link := newLink(t, broker)
	heard := listen(t, newBus(t, connect(t, link.addr), &natsadapter.BusOptions{Ping: ping}))
	select {
	case err := <-heard.ended:
		t.Fatalf("an idle subscription ended: %v", err)
	case <-time.After(7 * ping / 2):
	}
	link.hang()
	select {
	case err := <-heard.ended:
		if err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("Subscribe returned %v", err)
		}
	case <-time.After(forever):
		t.Error("Subscribe goes on")
	}
}

func TestASubscriberThatIsTooSlowIsTold(t *testing.T) {
	broker := newBroker(t, nil)
	conn := broker.connect(nats.SyncQueueLen(10))
	heard := listen(t, newBus(t, conn, nil))
	slow := make(chan struct{})
	heard.delay(func() { <-slow })
	bus := newBus(t, broker.connect(), nil)
	for id := range int64(100) {
		if err := bus.Publish(t.Context(), []delivery.Event{event(id+1, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	close(slow)
	select {
	case err := <-heard.ended:
		if !errors.Is(err, nats.ErrSlowConsumer) {
			t.Errorf("Subscribe returned %v", err)
		}
	case <-time.After(forever):
		t.Error("Subscribe goes on")
	}
}

func TestWhatTheServerDoesNotPermitIsAnError(t *testing.T) {
	broker := newBroker(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "reader", Password: "x", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"other"}}, Subscribe: &server.SubjectPermission{Deny: []string{natsadapter.DefaultSubject}},
		}}}
	})
	bus := newBus(t, broker.connect(nats.UserInfo("reader", "x")), nil)
	if err := bus.Publish(t.Context(), []delivery.Event{event(1, 0)}); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("Publish returned %v", err)
	}
	if err := bus.Subscribe(t.Context(), func(delivery.Event) { t.Error("something was heard") }); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("Subscribe returned %v", err)
	}
	other := newBus(t, broker.connect(nats.UserInfo("reader", "x")), &natsadapter.BusOptions{Subject: "other"})
	if err := other.Publish(t.Context(), []delivery.Event{event(1, 0)}); err != nil {
		t.Errorf("to what is permitted Publish returned %v", err)
	}
	broker.reload(func(o *server.Options) { o.Users = []*server.User{{Username: "reader", Password: "x"}} })
	if err := bus.Publish(t.Context(), []delivery.Event{event(1, 0)}); err != nil {
		t.Errorf("once it is permitted Publish returned %v", err)
	}
	listen(t, bus)
}

func TestWhatIsNoEventEndsTheSubscription(t *testing.T) {
	broker := newBroker(t, nil)
	conn := broker.connect()
	addStream(t, newStream(t, conn), nil)
	for _, bus := range []delivery.Bus{newBus(t, broker.connect(), nil), newStreamBus(t, broker.connect(), nil)} {
		for _, message := range []string{"", "x", "{}", `[{"id":"x"}]`, `[{"kind":"other"}]`} {
			heard := listen(t, bus)
			if err := conn.Publish(natsadapter.DefaultSubject, []byte(message)); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-heard.ended:
				if err == nil || strings.Contains(err.Error(), "other") {
					t.Errorf("%T, %q: Subscribe returned %v", bus, message, err)
				}
			case <-time.After(forever):
				t.Errorf("%T, %q: Subscribe goes on", bus, message)
			}
		}
	}
}

func TestBusesOfOtherSubjectsAreApart(t *testing.T) {
	broker := newBroker(t, nil)
	mine := listen(t, newBus(t, broker.connect(), &natsadapter.BusOptions{Subject: "mine"}))
	for id, subject := range []string{"other", "mine"} {
		bus := newBus(t, broker.connect(), &natsadapter.BusOptions{Subject: subject})
		if err := bus.Publish(t.Context(), []delivery.Event{event(int64(id), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	mine.wait(t, 1)
	if slices.ContainsFunc(mine.events(), func(e delivery.Event) bool { return e.ID == 0 }) {
		t.Error("an event of another subject was heard")
	}
}

func TestASubjectOrAPrefixThatIsNoneIsRefused(t *testing.T) {
	conn := newBroker(t, nil).connect()
	for _, subject := range []string{".a", "a.", "a..b", "a b", "a.*", "a.>", "a\n", strings.Repeat("a", 1025)} {
		var invalid *delivery.InvalidError
		if _, err := natsadapter.NewBus(conn, &natsadapter.BusOptions{Subject: subject}); !errors.As(err, &invalid) || invalid.Field != "subject" {
			t.Errorf("%q: NewBus returned %v", subject, err)
		}
		if _, err := natsadapter.NewStreamBus(newStream(t, conn), &natsadapter.BusOptions{Subject: subject}); !errors.As(err, &invalid) || invalid.Field != "subject" {
			t.Errorf("%q: NewStreamBus returned %v", subject, err)
		}
		if _, err := natsadapter.NewNotifier(conn, &natsadapter.NotifierOptions{Prefix: subject + "."}); !errors.As(err, &invalid) || invalid.Field != "prefix" {
			t.Errorf("%q: NewNotifier returned %v", subject, err)
		}
	}
	if _, err := natsadapter.NewNotifier(conn, &natsadapter.NotifierOptions{Prefix: "a"}); err == nil {
		t.Error("a prefix without a dot at its end is accepted")
	}
}

func TestWithoutAServerPublishFailsAtOnce(t *testing.T) {
	broker := newBroker(t, nil)
	conn := broker.connect()
	addStream(t, newStream(t, conn), nil)
	broker.stop()
	for conn.IsConnected() {
		time.Sleep(time.Millisecond)
	}
	for _, bus := range []delivery.Bus{newBus(t, conn, nil), newStreamBus(t, conn, nil)} {
		if err := bus.Publish(t.Context(), []delivery.Event{event(1, 0)}); err == nil || !strings.Contains(err.Error(), "away") {
			t.Errorf("%T: Publish returned %v", bus, err)
		}
	}
	if n, _ := conn.Buffered(); n > 100 {
		t.Errorf("%d bytes wait in the client", n)
	}
}
