package delivery_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// arrivals is a notifier whose calls take a time, and that notes when each message was accepted.
type arrivals struct {
	takes time.Duration

	mu sync.Mutex
	at map[string]time.Time
}

func (a *arrivals) Notify(_ context.Context, events []delivery.Event) error {
	time.Sleep(a.takes)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range events {
		a.at[e.Updates[0].Message] = time.Now()
	}
	return nil
}

func (a *arrivals) of(id string) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.at[id]
	return at, ok
}

func TestConversationsTakeTurns(t *testing.T) {
	const latency, alone, calls, backlog = 30 * time.Millisecond, 30 * time.Millisecond, 4, 6400
	flood := func(t *testing.T, tracker *delivery.Tracker, conversations, messages int) {
		t.Helper()
		for n := range conversations {
			for range messages {
				if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: fmt.Sprint("busy", n), Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, conversations := range []int{1, 8} {
		t.Run(fmt.Sprintf("an event does not wait for thousands in %d other conversations", conversations), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &arrivals{takes: latency, at: map[string]time.Time{}}
				store := &counted{Store: memstore.New()}
				tracker := newTracker(t, store, a, &delivery.Options{NotifyCalls: calls})
				defer run(t, tracker)()
				flood(t, tracker, conversations, backlog/conversations)
				var slowest time.Duration
				for i := range 10 {
					id, sent := fmt.Sprint("quiet", i), time.Now()
					if _, err := tracker.Send(t.Context(), delivery.Draft{ID: id, Conversation: "quiet", Sender: "bob", Audience: delivery.Audience{Open: true}}); err != nil {
						t.Fatal(err)
					}
					pass(200 * time.Millisecond)
					for _, ok := a.of(id); !ok; _, ok = a.of(id) {
						pass(10 * time.Millisecond)
					}
					at, _ := a.of(id)
					slowest = max(slowest, at.Sub(sent))
				}
				if b, err := tracker.Backlog(t.Context()); err != nil || b.Waiting == 0 {
					t.Errorf("backlog %+v, %v: there should be one still", b, err)
				}
				t.Logf("slowest %v", slowest)
				if slowest > 10*alone {
					t.Errorf("it was accepted after %v at worst, %v if alone", slowest, alone)
				}
				pass(time.Minute)
				if b, err := tracker.Backlog(t.Context()); err != nil || b.Waiting > 0 {
					t.Errorf("backlog %+v, %v", b, err)
				}
				if n := store.claimed.Load(); n > backlog {
					t.Errorf("%d events were claimed, some of them twice", n)
				}
			})
		})
	}
}

func TestWhatOthersLeftIsPublishedBesideAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, store := &arrivals{takes: 100 * time.Millisecond, at: map[string]time.Time{}}, memstore.New()
		tracker := newTracker(t, store, a, &delivery.Options{NotifyCalls: 4}) // 400 events a second
		defer run(t, tracker)()
		for tick := range 1000 {
			if tick == 200 {
				if _, err := newTracker(t, store, a, nil).Send(t.Context(), delivery.Draft{ID: "left", Conversation: "d", Sender: "bob", Audience: delivery.Audience{Open: true}}); err != nil {
					t.Fatal(err)
				}
			}
			for range 5 {
				if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
					t.Fatal(err)
				}
			}
			pass(10 * time.Millisecond)
		}
		if _, ok := a.of("left"); !ok {
			t.Error("it was not published in 8 seconds")
		}
	})
}
