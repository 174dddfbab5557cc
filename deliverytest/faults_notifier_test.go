package deliverytest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
)

func TestAFailingNotifierTellsNobodyAndALosingOneDoes(t *testing.T) {
	for _, c := range []struct {
		wrap func(delivery.Notifier, Fault) delivery.Notifier
		want int
	}{{FailingNotifier, 1}, {LosingNotifier, 2}} {
		var recorder Recorder
		notifier := c.wrap(&recorder, OnCall(1, errFault, "Notify"))
		if err := notifier.Notify(t.Context(), told(1)); err != errFault {
			t.Errorf("the first Notify returned %v", err)
		}
		if err := notifier.Notify(t.Context(), told(1)); err != nil {
			t.Errorf("the second Notify returned %v", err)
		}
		if got := len(recorder.Events()); got != c.want {
			t.Errorf("%d events were told, want %d", got, c.want)
		}
	}
}

func TestRefusingNotifiersKeepTheIndexesStraight(t *testing.T) {
	refuse := func(id int64) func(delivery.Event) error {
		return func(event delivery.Event) error {
			if event.ID == id {
				return delivery.Permanent(errFault)
			}
			return nil
		}
	}
	var recorder Recorder
	notifier := RefusingNotifier(RefusingNotifier(&recorder, refuse(4)), refuse(1))
	err := notifier.Notify(t.Context(), told(1, 2, 3, 4, 5))
	var refused *delivery.RefusedError
	if !errors.As(err, &refused) || len(refused.ByIndex) != 2 || !errors.Is(refused.ByIndex[0], errFault) || !errors.Is(refused.ByIndex[3], errFault) {
		t.Fatalf("Notify returned %v, want refusals of 0 and 3", err)
	}
	if d := diff("the events", recorder.Events(), told(2, 3, 5)); d != "" {
		t.Errorf("the events told%s", d)
	}
	if err := notifier.Notify(t.Context(), told(1)); !errors.As(err, &refused) || len(recorder.Events()) != 3 {
		t.Errorf("with nothing left to tell Notify returned %v", err)
	}
	failing := RefusingNotifier(FailingNotifier(&recorder, func(string) error { return errFault }), refuse(1))
	if err := failing.Notify(t.Context(), told(1, 2)); err != errFault {
		t.Errorf("over a failing endpoint Notify returned %v, want its plain error", err)
	}
}

func TestASlowNotifierWaitsOrEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var recorder Recorder
		notifier := SlowNotifier(&recorder, time.Hour)
		start := time.Now()
		if err := notifier.Notify(t.Context(), told(1)); err != nil || time.Since(start) != time.Hour {
			t.Errorf("Notify returned %v after %v, want nil after an hour", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := notifier.Notify(ctx, told(2)); !errors.Is(err, context.DeadlineExceeded) || len(recorder.Events()) != 1 {
			t.Errorf("Notify returned %v and told %d events, want a deadline exceeded and 1", err, len(recorder.Events()))
		}
	})
}

// picky is a notifier that takes events for one user, and no conversation of the name "no".
type picky struct{ Recorder }

var errPicky = &delivery.InvalidError{Field: "conversation", Reason: "is no"}

func (*picky) TakesOwn() bool { return true }

func (*picky) CheckConversation(conversation string) error {
	if conversation == "no" {
		return errPicky
	}
	return nil
}

func TestAFaultTakesNothingFromWhatANotifierCan(t *testing.T) {
	fault := func(string) error { return nil }
	for name, wrap := range map[string]func(delivery.Notifier) delivery.Notifier{
		"FailingNotifier": func(n delivery.Notifier) delivery.Notifier { return FailingNotifier(n, fault) },
		"LosingNotifier":  func(n delivery.Notifier) delivery.Notifier { return LosingNotifier(n, fault) },
		"RefusingNotifier": func(n delivery.Notifier) delivery.Notifier {
			return RefusingNotifier(n, func(delivery.Event) error { return nil })
		},
		"SlowNotifier": func(n delivery.Notifier) delivery.Notifier { return SlowNotifier(n, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				inner delivery.Notifier
				own   bool
				check error
			}{{new(picky), true, errPicky}, {new(Recorder), false, nil}} {
				n := wrap(wrap(c.inner))
				if own := n.(delivery.OwnNotifier).TakesOwn(); own != c.own {
					t.Errorf("over %T it takes events for one user: %t", c.inner, own)
				}
				check := n.(delivery.CheckingNotifier).CheckConversation
				if err := errors.Join(check("yes"), check("no")); !errors.Is(err, c.check) {
					t.Errorf("over %T it refuses a conversation with %v, want %v", c.inner, err, c.check)
				}
			}
		})
	}
}
