package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// ledger is a store that notes how often each outcome was settled.
type ledger struct {
	delivery.Store

	mu       sync.Mutex
	outcomes map[delivery.Outcome]int
}

func (l *ledger) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	l.mu.Lock()
	for _, s := range settlements {
		l.outcomes[s.Outcome]++
	}
	l.mu.Unlock()
	return l.Store.Settle(ctx, settlements)
}

func TestAnEventIsPublishedUnderAFreshLeaseOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{Store: memstore.New(), outcomes: map[delivery.Outcome]int{}}
		e := new(endpoint)
		e.set(func(context.Context, []delivery.Event) error { time.Sleep(600 * time.Millisecond); return nil })
		tracker := newTracker(t, store, e, &delivery.Options{Lease: 3 * time.Second, NotifyCalls: 1, NotifyEvents: 1})
		defer run(t, tracker)()
		sendAs(t, tracker, "a", "b", "c") // c waits for 1.2 s
		pass(time.Minute)
		if got := store.outcomes; got[delivery.SettleRelease] != 1 || got[delivery.SettleDone] != 3 || e.called() != 3 {
			t.Errorf("settled %v in %d calls", got, e.called())
		}
	})
}

func TestALostLeaseIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, e, lost := memstore.New(), new(endpoint), 0
		e.set(func(context.Context, []delivery.Event) error { time.Sleep(4 * time.Second); return nil }) // for all of the lease, and more
		tracker := newTracker(t, store, e, &delivery.Options{Lease: 3 * time.Second, Observer: &delivery.Observer{
			LeaseLost: func(_ context.Context, l delivery.LeaseLostInfo) { lost += l.Events },
		}})
		stop := run(t, tracker)
		sendAs(t, tracker, "m")
		pass(3*time.Second + time.Millisecond)
		if claimed, err := store.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: time.Hour}); err != nil || len(claimed) != 1 {
			t.Errorf("claimed %v, %v", claimed, err)
		}
		pass(10 * time.Second)
		stop()
		if lost != 1 {
			t.Errorf("%d events were told of, want 1", lost)
		}
	})
}

func TestABurialIsToldOnceItIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, store, told := new(endpoint), &sick{Store: memstore.New()}, 0
		e.set(func(context.Context, []delivery.Event) error {
			return delivery.Refused(map[int]error{0: delivery.Permanent(errors.New("no"))})
		})
		store.settle = func() error { store.settle = nil; return errors.New("the database restarts") }
		tracker := newTracker(t, store, e, &delivery.Options{Observer: &delivery.Observer{
			Buried: func(context.Context, delivery.BuriedInfo) { told++ },
		}})
		defer run(t, tracker)()
		sendAs(t, tracker, "m")
		pass(time.Minute)
		if b, err := tracker.Backlog(t.Context()); err != nil || b.Dead != 1 || told != 1 || e.called() != 2 {
			t.Errorf("%d burials were told after %d calls, and the backlog is %+v, %v", told, e.called(), b, err)
		}
	})
}

func TestABurialOfAnEventThatAnotherRelayHoldsIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, store, lost, told := new(endpoint), memstore.New(), 0, []int64(nil)
		e.set(func(context.Context, []delivery.Event) error {
			time.Sleep(3*time.Second + time.Millisecond) // all of the lease
			if claimed, err := store.Claim(t.Context(), 1, delivery.Lease{Token: 1, For: time.Hour}); err != nil || len(claimed) != 1 {
				t.Errorf("claimed %v, %v", claimed, err)
			}
			no := delivery.Permanent(errors.New("no"))
			return delivery.Refused(map[int]error{0: no, 1: no})
		})
		tracker := newTracker(t, store, e, &delivery.Options{Lease: 3 * time.Second, Observer: &delivery.Observer{
			LeaseLost: func(_ context.Context, l delivery.LeaseLostInfo) { lost += l.Events },
			Buried:    func(_ context.Context, b delivery.BuriedInfo) { told = append(told, b.Event.ID) },
		}})
		sendAs(t, tracker, "a", "b")
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
		if err != nil || lost != 1 || len(dead) != 1 || !slices.Equal(told, []int64{dead[0].Event.ID}) {
			t.Errorf("%d leases were lost and burials of %v told, and the dead letters are %+v, %v", lost, told, dead, err)
		}
	})
}

func TestAPanicThatTurnsIntoAFailureGivesTheOthersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		e.set(func(_ context.Context, events []delivery.Event) error {
			switch {
			case len(events) > 1:
				panic("boom")
			case events[0].Updates[0].Message == "b":
				return errors.New("503")
			}
			return nil
		})
		tracker := newTracker(t, store, e, nil)
		sendAs(t, tracker, "a", "b", "c", "d")
		if err := tracker.Flush(t.Context()); err == nil {
			t.Error("Flush does not tell of the failure")
		}
		e.set(nil)
		if err := tracker.Flush(t.Context()); err != nil || len(e.accepted()) != 3 { // b rests for a moment
			t.Errorf("accepted %v at once, %v", e.accepted(), err)
		}
		pass(time.Second)
		if err := tracker.Flush(t.Context()); err != nil || len(e.accepted()) != 4 {
			t.Errorf("accepted %v, %v", e.accepted(), err)
		}
	})
}

func TestAPanicThatTakesLongToIsolateGivesTheOthersBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(endpoint)
		e.set(func(_ context.Context, events []delivery.Event) error {
			if len(events) > 1 {
				panic("boom")
			}
			time.Sleep(900 * time.Millisecond)
			return nil
		})
		tracker := newTracker(t, memstore.New(), e, &delivery.Options{Lease: 3 * time.Second})
		sendAs(t, tracker, "a", "b", "c", "d") // two of them before 1/3 of the lease is gone
		if err := tracker.Flush(t.Context()); err != nil || len(e.accepted()) != 4 {
			t.Errorf("accepted %v, %v", e.accepted(), err)
		}
		if e.calls != 6 { // all four, a, b; then under a lease of their own c and d, c, d
			t.Errorf("%d calls, want 6", e.calls)
		}
	})
}

func TestARefusedEventComesAgainWhenItsErrorSays(t *testing.T) {
	for ask, want := range map[time.Duration]time.Duration{
		time.Minute:      time.Minute,
		time.Millisecond: time.Second,
		24 * time.Hour:   10 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			e := new(endpoint)
			e.set(func(context.Context, []delivery.Event) error {
				return delivery.Refused(map[int]error{0: delivery.RetryAfter(errors.New("not now"), ask)})
			})
			tracker := newTracker(t, memstore.New(), e, nil)
			defer run(t, tracker)()
			sendAs(t, tracker, "m")
			synctest.Wait()
			e.set(nil)
			pass(want - time.Millisecond)
			if got := e.accepted(); len(got) > 0 {
				t.Errorf("after %v it came before %v", ask, want)
			}
			if b, err := tracker.Backlog(t.Context()); err != nil || b.Oldest != want-time.Millisecond {
				t.Errorf("the age of an event that is tried again is %v, %v", b.Oldest, err)
			}
			pass(time.Millisecond + pollInterval)
			if got := e.accepted(); len(got) != 1 {
				t.Errorf("after %v it did not come by %v", ask, want+pollInterval)
			}
		})
	}
}

func TestAnEventThatFailsItsCallsKeepsNoOtherWaiting(t *testing.T) {
	named := func(events []delivery.Event, message string) bool {
		return slices.ContainsFunc(events, func(e delivery.Event) bool { return e.Updates[0].Message == message })
	}
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		e, store := new(endpoint), memstore.New()
		e.set(func(_ context.Context, events []delivery.Event) error {
			if named(events, "bad") {
				return errors.New("500")
			}
			return nil
		})
		before := newTracker(t, store, e, nil)
		sendAs(t, before, numbered(9)...)
		sendAs(t, before, "bad")
		tracker := newTracker(t, store, e, &delivery.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer run(t, tracker)()
		for range 95 { // and the breaker stays closed
			sendAs(t, tracker, fmt.Sprint("other", time.Now().UnixNano()))
			pass(100 * time.Millisecond)
		}
		if got := e.accepted(); len(got) != 9+95 {
			t.Errorf("%d of 104 accepted: %v", len(got), got)
		}
		if b, err := tracker.Backlog(t.Context()); err != nil || b.Waiting != 1 || b.Dead > 0 || b.Breaker != delivery.BreakerClosed {
			t.Errorf("backlog %+v, %v", b, err)
		}
		if strings.Count(log.String(), "a call of the notifier failed") != 1 || !strings.Contains(log.String(), "error=500") {
			t.Errorf("the log says\n%s", log.String())
		}
	})
}

// sweeping is a store whose claims mostly look at what fell due lately.
type sweeping struct {
	delivery.Store
	swept atomic.Int64
}

func (s *sweeping) Sweep() { s.swept.Add(1) }

func TestWakeAndFlushLookAtTheWholeOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sweeping{Store: memstore.New()}
		tracker := newTracker(t, store, new(endpoint), nil)
		if err := tracker.Flush(t.Context()); err != nil || store.swept.Load() != 1 {
			t.Errorf("Flush had it swept %d times, %v", store.swept.Load(), err)
		}
		defer run(t, tracker)()
		pass(time.Minute)
		before := store.swept.Load()
		tracker.Wake()
		if pass(time.Second); store.swept.Load() != before+1 {
			t.Errorf("Wake had it swept %d times", store.swept.Load()-before)
		}
	})
}

func TestFlushPublishesUnderAFreshLeaseOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &ledger{Store: memstore.New(), outcomes: map[delivery.Outcome]int{}}
		e := new(endpoint)
		e.set(func(context.Context, []delivery.Event) error { time.Sleep(600 * time.Millisecond); return nil })
		tracker := newTracker(t, store, e, &delivery.Options{Lease: 3 * time.Second, NotifyBytes: 1})
		sendAs(t, tracker, "a", "b", "c", "d") // c would wait for 1.2 s
		if err := tracker.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if got := store.outcomes; got[delivery.SettleRelease] != 2 || got[delivery.SettleDone] != 4 || e.called() != 4 {
			t.Errorf("settled %v in %d calls", got, e.called())
		}
	})
}
