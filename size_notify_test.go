package delivery_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestACallBringsSoManyBytes(t *testing.T) {
	const small, large = 1000, 9000
	bubble := func(name string, f func(t *testing.T, tracker *delivery.Tracker, calls func() []int, e *endpoint)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var sizes []int // events of each call
				e := new(endpoint)
				tracker := newTracker(t, memstore.New(), delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
					sum := 0
					for _, event := range events {
						sum += len(event.Updates[0].Body)
					}
					if sum > 5*small && len(events) > 1 {
						t.Errorf("%d events of %d bytes and more in one call", len(events), sum)
					}
					mu.Lock()
					sizes = append(sizes, len(events))
					mu.Unlock()
					return e.Notify(ctx, events)
				}), &delivery.Options{EventBodies: true, NotifyBytes: 5000})
				f(t, tracker, func() []int { mu.Lock(); defer mu.Unlock(); return sizes }, e)
			})
		})
	}
	send := func(t *testing.T, tracker *delivery.Tracker, id string, size int) {
		t.Helper()
		_, err := tracker.Send(t.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Body: strings.Repeat("x", size), Audience: delivery.Audience{Open: true}})
		if err != nil {
			t.Fatal(err)
		}
	}
	fill := func(t *testing.T, tracker *delivery.Tracker) {
		t.Helper()
		for _, id := range numbered(20) {
			send(t, tracker, id, small)
		}
		send(t, tracker, "large", large)
		send(t, tracker, "last", small)
	}

	bubble("from Run", func(t *testing.T, tracker *delivery.Tracker, calls func() []int, e *endpoint) {
		fill(t, tracker)
		defer run(t, tracker)()
		pass(time.Second)
		if n := len(calls()); len(e.accepted()) != 22 || n > 10 {
			t.Errorf("%d accepted in %v", len(e.accepted()), calls())
		}
	})

	bubble("from Flush, which gives back what it does not reach", func(t *testing.T, tracker *delivery.Tracker, calls func() []int, e *endpoint) {
		fill(t, tracker)
		e.set(failing)
		if err := tracker.Flush(t.Context()); err == nil {
			t.Error("it failed, and Flush does not say so")
		}
		e.set(nil)
		if err := tracker.Flush(t.Context()); err != nil || len(e.accepted()) < 18 { // those that failed rest
			t.Errorf("%d accepted, %v", len(e.accepted()), err)
		}
	})

	bubble("and goes out at once when it has them", func(t *testing.T, tracker *delivery.Tracker, calls func() []int, e *endpoint) {
		e.set(func(context.Context, []delivery.Event) error { time.Sleep(time.Second); return errors.New("503") })
		defer run(t, tracker)()
		send(t, tracker, "first", small)
		synctest.Wait()
		for _, id := range numbered(4) {
			send(t, tracker, id, small)
		}
		synctest.Wait()
		if got := calls(); len(got) != 2 || got[1] != 3 {
			t.Errorf("calls of %v events", got)
		}
	})
}
