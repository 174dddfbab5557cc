package delivery_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// returns is a notifier that returns err.
type returns struct{ err error }

func (r returns) Notify(context.Context, []delivery.Event) error { return r.err }

// narrow refuses the conversation "long".
type narrow struct{ delivery.Notifier }

func (narrow) CheckConversation(conversation string) error {
	if conversation == "long" {
		return &delivery.InvalidError{Field: "conversation", Reason: "is too long"}
	}
	return nil
}

func TestNotifiersTellAll(t *testing.T) {
	var a, b deliverytest.Recorder
	events := []delivery.Event{{ID: 1}, {ID: 2}}
	if err := delivery.Notifiers(&a, &b).Notify(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if len(a.Events()) != 2 || len(b.Events()) != 2 {
		t.Errorf("told %d and %d events", len(a.Events()), len(b.Events()))
	}
}

func TestNotifiersAcceptWhatAllAccept(t *testing.T) {
	down, busy := errors.New("down"), errors.New("busy")
	no, never := errors.New("no"), errors.New("never")
	refuse := func(byIndex map[int]error) delivery.Notifier { return returns{delivery.Refused(byIndex)} }
	for _, test := range []struct {
		name      string
		notifiers []delivery.Notifier
		refused   map[int][]error // by index, the causes
		failures  []error
	}{
		{name: "nobody is to be told", notifiers: nil},
		{name: "all accept", notifiers: []delivery.Notifier{returns{}, returns{}}},
		{name: "a failure is a plain error", notifiers: []delivery.Notifier{returns{}, returns{down}}, failures: []error{down}},
		{name: "several failures are all there", notifiers: []delivery.Notifier{returns{busy}, returns{down}}, failures: []error{busy, down}},
		{
			name:      "refusals are of the event that one of them refused",
			notifiers: []delivery.Notifier{refuse(map[int]error{0: no}), refuse(map[int]error{0: never, 2: no})},
			refused:   map[int][]error{0: {no, never}, 2: {no}},
		},
		{
			name:      "a failure beside a refusal says nothing of any event",
			notifiers: []delivery.Notifier{refuse(map[int]error{0: no}), returns{down}}, failures: []error{down},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := delivery.Notifiers(test.notifiers...).Notify(t.Context(), []delivery.Event{{ID: 1}, {ID: 2}, {ID: 3}})
			var refused *delivery.RefusedError
			errors.As(err, &refused)
			if (refused != nil) != (test.refused != nil) || (err == nil) != (test.refused == nil && test.failures == nil) {
				t.Fatalf("got %v", err)
			}
			for _, failure := range test.failures {
				if !errors.Is(err, failure) {
					t.Errorf("got %v, want %v in it", err, failure)
				}
			}
			if refused == nil {
				return
			}
			if len(refused.ByIndex) != len(test.refused) {
				t.Errorf("refused %v", refused.ByIndex)
			}
			for i, causes := range test.refused {
				for _, cause := range causes {
					if !errors.Is(refused.ByIndex[i], cause) {
						t.Errorf("event %d is refused for %v, want %v in it", i, refused.ByIndex[i], cause)
					}
				}
			}
		})
	}
}

func TestAHangingNotifierKeepsNoEventFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hears deliverytest.Recorder
		hangs := delivery.NotifierFunc(func(ctx context.Context, _ []delivery.Event) error {
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := delivery.Notifiers(hangs, &hears).Notify(ctx, []delivery.Event{{ID: 1}})
		if !errors.Is(err, context.DeadlineExceeded) || len(hears.Events()) != 1 {
			t.Errorf("got %v, and the other heard %d events", err, len(hears.Events()))
		}
	})
}

func TestANotifierThatPanicsPanicsInItsCaller(t *testing.T) {
	var hears deliverytest.Recorder
	panics := delivery.NotifierFunc(func(context.Context, []delivery.Event) error { panic("a bug") })
	defer func() {
		if p := recover(); p != "a bug" || len(hears.Events()) != 1 {
			t.Errorf("recovered %v, and the other heard %d events", p, len(hears.Events()))
		}
	}()
	_ = delivery.Notifiers(panics, &hears).Notify(t.Context(), []delivery.Event{{ID: 1}})
}

// once takes OwnChanged events, and says so the first time that it is asked.
type once struct {
	deliverytest.Recorder
	asked bool
}

func (o *once) TakesOwn() bool {
	first := !o.asked
	o.asked = true
	return first
}

func TestNotifiersAreAskedOnceWhetherTheyTakeEventsOfOneUser(t *testing.T) {
	var takes once
	both := delivery.Notifiers(returns{}, &takes).(delivery.OwnNotifier)
	if err := both.Notify(t.Context(), []delivery.Event{{ID: 1, Kind: delivery.OwnChanged}}); err != nil || !both.TakesOwn() || len(takes.Events()) != 1 {
		t.Errorf("got %v, and %d events were told", err, len(takes.Events()))
	}
}

func TestNotifiersCheckConversationsWithAllThatCan(t *testing.T) {
	both := delivery.Notifiers(new(deliverytest.Recorder), narrow{new(deliverytest.Recorder)})
	var invalid *delivery.InvalidError
	if err := both.CheckConversation("long"); !errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
	if err := both.CheckConversation("short"); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestANotifierThatFiltersItsEventsTakesNoneFromTheOthers(t *testing.T) {
	var hears deliverytest.Recorder
	filtered := make(chan struct{})
	filters := delivery.NotifierFunc(func(_ context.Context, events []delivery.Event) error {
		defer close(filtered)
		_ = slices.DeleteFunc(events, func(e delivery.Event) bool { return e.ID == 1 })
		return nil
	})
	late := delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
		<-filtered
		return hears.Notify(ctx, events)
	})
	if err := delivery.Notifiers(filters, late).Notify(t.Context(), []delivery.Event{{ID: 1}, {ID: 2}}); err != nil {
		t.Fatal(err)
	}
	if got := hears.Events(); len(got) != 2 || got[0].ID != 1 || got[1].ID != 2 {
		t.Errorf("the other heard %+v", got)
	}
}

func TestANotifierThatEndsItsGoroutineHasAcceptedNothing(t *testing.T) {
	ends := delivery.NotifierFunc(func(context.Context, []delivery.Event) error { runtime.Goexit(); return nil })
	if err := delivery.Notifiers(ends, returns{}).Notify(t.Context(), []delivery.Event{{ID: 1}}); err == nil {
		t.Error("the event counts as accepted")
	}
}

func TestTheLongestPauseThatOneOfSeveralNotifiersAsksForIsKept(t *testing.T) {
	asks := func(d time.Duration) delivery.Notifier {
		return returns{delivery.RetryAfter(errors.New("429"), d)}
	}
	short, long, down := asks(time.Second), asks(time.Minute), returns{errors.New("down")}
	for _, notifiers := range [][]delivery.Notifier{{short, long}, {long, short}, {down, short, long}, {long, down, short}} {
		synctest.Test(t, func(t *testing.T) {
			e := new(endpoint)
			tracker := newTracker(t, memstore.New(), delivery.Notifiers(append(notifiers, e)...), nil)
			defer run(t, tracker)()
			sendAs(t, tracker, "m")
			pass(59 * time.Second)
			if n := e.called(); n != 1 {
				t.Errorf("%v are called %d times in 59 s", notifiers, n)
			}
		})
	}
}
