package deliverytest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestRecorderWaitReturnsWhenEnoughEventsCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var recorder Recorder
		go func() {
			for i := range 3 {
				time.Sleep(time.Minute)
				recorder.Notify(t.Context(), told(i+1))
			}
		}()
		start := time.Now()
		events, err := recorder.Wait(t.Context(), 2)
		if err != nil || len(events) != 2 || time.Since(start) != 2*time.Minute {
			t.Errorf("Wait returned %d events and %v after %v, want 2 after 2m0s", len(events), err, time.Since(start))
		}
		if events, err := recorder.Wait(t.Context(), 1); err != nil || len(events) != 2 {
			t.Errorf("Wait for less than there is returned %d events and %v, want all 2", len(events), err)
		}
		recorder.Wait(t.Context(), 3)
	})
}

func TestRecorderWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var recorder Recorder
		recorder.Notify(t.Context(), told(1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		events, err := recorder.Wait(ctx, 2)
		if !errors.Is(err, context.DeadlineExceeded) || len(events) != 1 {
			t.Errorf("Wait returned %d events and %v, want 1 and a deadline exceeded", len(events), err)
		}
		if want := "deliverytest: 1 of 2 events came: context deadline exceeded"; err != nil && err.Error() != want {
			t.Errorf("the error is %q, want %q", err, want)
		}
	})
}

func TestRecorderSharesNothing(t *testing.T) {
	var recorder Recorder
	given := told(2)
	recorder.Notify(t.Context(), given)
	spoil(given[0])
	for range 2 {
		events := recorder.Events()
		if d := diff("the events", events, told(2)); d != "" {
			t.Errorf("a recorded event%s", d)
		}
		spoil(events[0])
	}
}

func TestRecorderAcceptsNothingAfterItsContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var recorder Recorder
	if err := recorder.Notify(ctx, told(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Notify returned %v, want a canceled context", err)
	}
	if events := recorder.Events(); len(events) != 0 {
		t.Errorf("%d events were recorded", len(events))
	}
}

func TestRecorderIsSafeForConcurrentUse(t *testing.T) {
	const notifiers = 32
	var recorder Recorder
	var all sync.WaitGroup
	for i := range notifiers {
		all.Go(func() { recorder.Notify(t.Context(), told(i+1)) })
		all.Go(func() {
			if events, err := recorder.Wait(t.Context(), i+1); err != nil || len(events) <= i {
				t.Errorf("Wait for %d returned %d events and %v", i+1, len(events), err)
			}
		})
	}
	all.Wait()
	if got := len(recorder.Events()); got != notifiers {
		t.Errorf("%d events were recorded, want %d", got, notifiers)
	}
}
