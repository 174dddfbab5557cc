package natsadapter_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/natsadapter"
)

// TestRestartsOfTheServerLoseNothing sends under load while the server restarts ten times. Every
// process hears every message through the stream, and no client has to catch up.
func TestRestartsOfTheServerLoseNothing(t *testing.T) {
	broker := newBroker(t, nil)
	addStream(t, newStream(t, broker.connect()), nil)
	store := memstore.New()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var processes []*listener
	var trackers []*delivery.Tracker
	for range 3 {
		bus := newStreamBus(t, broker.connect(), nil)
		tracker, err := delivery.New(store, delivery.NotifierFunc(bus.Publish), &delivery.Options{OpenConversations: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { _ = tracker.Run(ctx) })
		trackers, processes = append(trackers, tracker), append(processes, listen(t, bus))
	}
	var sent atomic.Int64
	calm := make(chan struct{})
	var senders sync.WaitGroup
	for i, tracker := range trackers {
		senders.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-calm:
					return
				case <-time.After(2 * time.Millisecond):
				}
				draft := delivery.Draft{ID: fmt.Sprint(i, "-", n), Conversation: fmt.Sprint("c", n%10), Sender: "alice", Audience: delivery.Audience{Open: true}}
				if _, err := tracker.Send(ctx, draft); err != nil {
					t.Error(err)
					return
				}
				sent.Add(1)
			}
		})
	}
	for range 10 {
		time.Sleep(50 * time.Millisecond)
		broker.restart()
	}
	close(calm)
	senders.Wait()
	want := int(sent.Load())
	for i, p := range processes {
		if heard := p.messages(want); heard != want {
			t.Errorf("process %d heard of %d of %d messages", i, heard, want)
		}
		if p.zeros != 1 {
			t.Errorf("process %d was told to catch up %d times", i, p.zeros-1)
		}
	}
	backlog, err := trackers[0].Backlog(ctx)
	if err != nil || backlog.Dead > 0 {
		t.Errorf("%v: %d events are dead", err, backlog.Dead)
	}
	t.Logf("%d messages", want)
}

// messages waits until the listener has heard of so many messages, and returns of how many it has.
func (l *listener) messages(want int) int {
	limit := time.After(forever)
	for {
		l.mu.Lock()
		heard, grown := l.heard, l.grown
		l.mu.Unlock()
		told := make(map[string]bool)
		for _, e := range heard {
			for _, u := range e.Updates {
				told[u.Message] = true
			}
		}
		if len(told) >= want {
			return len(told)
		}
		select {
		case <-grown:
		case <-limit:
			return len(told)
		}
	}
}

// missed publishes three events while a subscriber's connection is broken, and has do done to the
// stream before the subscriber is back.
func missed(t *testing.T, set func(*jetstream.StreamConfig), do func(*broker, jetstream.Stream)) *listener {
	t.Helper()
	broker := newBroker(t, nil)
	s := addStream(t, newStream(t, broker.connect()), set)
	link := newLink(t, broker)
	l := listen(t, newStreamBus(t, connect(t, link.addr), &natsadapter.BusOptions{Ping: time.Second}))
	bus := newStreamBus(t, broker.connect(), nil)
	if err := bus.Publish(t.Context(), []delivery.Event{event(1, 0)}); err != nil {
		t.Fatal(err)
	}
	l.wait(t, 1)
	link.close()
	for id := range int64(3) {
		if err := bus.Publish(t.Context(), []delivery.Event{event(id+2, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	do(broker, s)
	link.open()
	return l
}

func TestASubscriberWhoseConnectionBrokeContinues(t *testing.T) {
	l := missed(t, nil, func(*broker, jetstream.Stream) {})
	l.wait(t, 4)
	if events := l.events(); len(events) != 4 || l.zeros != 1 {
		t.Errorf("it heard %d events and was told to catch up %d times", len(events), l.zeros-1)
	}
}

func TestASubscriberIsToldWhatTheStreamHasLost(t *testing.T) {
	purge := func(opts ...jetstream.StreamPurgeOpt) func(*broker, jetstream.Stream) {
		return func(_ *broker, s jetstream.Stream) {
			if err := s.Purge(t.Context(), opts...); err != nil {
				t.Error(err)
			}
		}
	}
	for name, c := range map[string]struct {
		set  func(*jetstream.StreamConfig)
		do   func(*broker, jetstream.Stream)
		want string
	}{
		"all that was published":   {nil, purge(), "lost"},
		"the first of it":          {nil, purge(jetstream.WithPurgeKeep(2)), "lost"},
		"one in the middle":        {nil, func(_ *broker, s jetstream.Stream) { _ = s.DeleteMsg(t.Context(), 3) }, "lost"},
		"what was kept in memory":  {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, func(b *broker, _ jetstream.Stream) { b.restart() }, "not found"},
		"more than a stream keeps": {func(c *jetstream.StreamConfig) { c.MaxMsgs = 2 }, func(*broker, jetstream.Stream) {}, "lost"},
	} {
		t.Run(name, func(t *testing.T) {
			select {
			case err := <-missed(t, c.set, c.do).ended:
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Subscribe returned %v", err)
				}
			case <-time.After(forever):
				t.Error("Subscribe goes on")
			}
		})
	}
}
