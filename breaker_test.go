package delivery_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// open has the breaker of the tracker's relay open, with so many events waiting.
func open(t *testing.T, tracker *delivery.Tracker, e *endpoint, events int) {
	t.Helper()
	e.set(failing)
	sendAs(t, tracker, numbered(events)...)
	for {
		pass(time.Second)
		if b, err := tracker.Backlog(t.Context()); err != nil || b.Breaker != delivery.BreakerClosed {
			return
		}
	}
}

func TestAHalfOpenBreaker(t *testing.T) {
	bubble := func(name string, f func(t *testing.T, tracker *delivery.Tracker, e *endpoint)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := new(endpoint)
				tracker := newTracker(t, memstore.New(), e, nil)
				defer run(t, tracker)()
				open(t, tracker, e, 50)
				f(t, tracker, e)
			})
		})
	}
	well := func(t *testing.T, tracker *delivery.Tracker, e *endpoint) {
		t.Helper()
		e.set(nil)
		pass(time.Minute)
		if b, err := tracker.Backlog(t.Context()); err != nil || b.Breaker != delivery.BreakerClosed || b.Waiting > 0 || b.Dead > 0 {
			t.Errorf("backlog %+v, %v", b, err)
		}
	}

	bubble("tries one event, and no other beside it", func(t *testing.T, tracker *delivery.Tracker, e *endpoint) {
		var mu sync.Mutex
		var now, most, calls int
		e.set(func(_ context.Context, events []delivery.Event) error {
			mu.Lock()
			calls++
			now += len(events)
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			now -= len(events)
			return errors.New("503")
		})
		pass(5 * time.Minute)
		if most != 1 || calls < 10 {
			t.Errorf("%d events at a time, %d calls", most, calls)
		}
		well(t, tracker, e)
	})

	t.Run("tries one event of many that a slow write brings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, store := new(endpoint), &slowly{Store: memstore.New()}
			tracker := newTracker(t, store, e, nil)
			ids := numbered(10)
			for _, id := range ids {
				if _, err := tracker.Send(t.Context(), delivery.Draft{ID: id, Conversation: id, Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
					t.Fatal(err)
				}
			}
			defer run(t, tracker)()
			pass(time.Second)
			e.set(func(context.Context, []delivery.Event) error {
				return delivery.RetryAfter(errors.New("429"), time.Second)
			})
			store.takes = time.Second + time.Millisecond // until just after the pause
			go func() {
				if _, err := tracker.Mark(t.Context(), bob, delivery.Delivered, ids...); err != nil {
					t.Error(err)
				}
			}()
			synctest.Wait()
			sendAs(t, tracker, "x")
			synctest.Wait()
			var most, calls int
			e.set(func(_ context.Context, events []delivery.Event) error {
				most = max(most, len(events))
				calls++
				return errors.New("503")
			})
			pass(10 * time.Second)
			if most != 1 || calls < 3 {
				t.Errorf("up to %d events in %d calls", most, calls)
			}
		})
	})

	t.Run("goes on when what it tries cannot be read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, store := new(endpoint), &spoiling{Store: memstore.New()}
			tracker := newTracker(t, store, e, nil)
			defer run(t, tracker)()
			open(t, tracker, e, 50)
			e.set(nil)
			store.spoils.Store(true)
			pass(10 * time.Second)
			if len(e.accepted()) != 49 || store.spoils.Load() {
				t.Errorf("%d were accepted", len(e.accepted()))
			}
		})
	})

	t.Run("claims one event at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, store := new(endpoint), &counted{Store: memstore.New()}
			e.set(failing)
			tracker := newTracker(t, store, e, nil)
			sendAs(t, tracker, numbered(1000)...)
			defer run(t, tracker)()
			pass(2 * time.Second)
			claimed, calls := store.claimed.Load(), e.called()
			pass(time.Minute)
			if claimed, calls = store.claimed.Load()-claimed, e.called()-calls; int(claimed) != calls || calls < 3 {
				t.Errorf("%d were claimed for %d tries", claimed, calls)
			}
		})
	})

	bubble("goes on when its try panics", func(t *testing.T, tracker *delivery.Tracker, e *endpoint) {
		var once sync.Once
		e.set(func(context.Context, []delivery.Event) error {
			once.Do(func() { panic("boom") })
			return nil
		})
		pass(time.Minute)
		well(t, tracker, e)
	})

	bubble("goes on when its try hangs", func(t *testing.T, tracker *delivery.Tracker, e *endpoint) {
		var calls int
		e.set(func(ctx context.Context, _ []delivery.Event) error { calls++; <-ctx.Done(); return ctx.Err() })
		pass(5 * time.Minute)
		if calls < 10 || calls > 60 {
			t.Errorf("%d calls in 5 minutes", calls)
		}
		well(t, tracker, e)
	})

	bubble("goes on when a Flush beside it is cut off", func(t *testing.T, tracker *delivery.Tracker, e *endpoint) {
		e.set(func(ctx context.Context, _ []delivery.Event) error { <-ctx.Done(); return ctx.Err() })
		for range 60 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_ = tracker.Flush(ctx)
			cancel()
		}
		well(t, tracker, e)
	})

	t.Run("goes on when nobody can read the event that it tries", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, store := new(endpoint), &scrambled{Store: memstore.New()}
			tracker := newTracker(t, store, e, nil)
			sendAs(t, newTracker(t, store, e, nil), "m0")
			e.set(func(context.Context, []delivery.Event) error {
				return delivery.RetryAfter(errors.New("429"), 10*time.Second)
			})
			defer run(t, tracker)()
			pass(time.Second)
			sendAs(t, newTracker(t, store, e, nil), "m1") // due sooner than m0 is again
			e.set(nil)
			pass(time.Minute)
			if b, err := tracker.Backlog(t.Context()); err != nil || b.Dead != 1 || b.Waiting > 0 || len(e.accepted()) != 1 {
				t.Errorf("backlog %+v, %v, accepted %v", b, err, e.accepted())
			}
		})
	})

	t.Run("waits for a pause that was asked for, whatever calls under way said since", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := new(endpoint)
			tracker := newTracker(t, memstore.New(), e, nil)
			defer run(t, tracker)()
			e.set(func(_ context.Context, events []delivery.Event) error {
				if events[0].Updates[0].Message == "m" {
					return delivery.RetryAfter(errors.New("429"), 30*time.Second)
				}
				time.Sleep(time.Second)
				return nil
			})
			sendAs(t, tracker, "slow")
			synctest.Wait()
			sendAs(t, tracker, "m")
			pass(2 * time.Second)
			sendAs(t, tracker, "later")
			pass(25 * time.Second)
			if n := e.called(); n != 2 {
				t.Errorf("%d calls", n)
			}
		})
	})
}

// slowly is a store whose marks take a time.
type slowly struct {
	delivery.Store
	takes time.Duration
}

func (s *slowly) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	time.Sleep(s.takes)
	return s.Store.Advance(ctx, marks, lease)
}

// spoiling is a store whose next claim finds an event that cannot be read.
type spoiling struct {
	delivery.Store
	spoils atomic.Bool
}

func (s *spoiling) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := s.Store.Claim(ctx, limit, lease)
	if len(claimed) > 0 && s.spoils.Swap(false) {
		claimed[0].Event = delivery.Event{ID: claimed[0].Event.ID}
	}
	return claimed, err
}
