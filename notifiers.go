package delivery

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Notifiers returns a [CheckingNotifier] that tells all of the given notifiers, at the same time:
// Pusher for some clients and a [Bus] for others, say.
//
// An event is accepted once all of them have accepted it, and refused if one of them refuses it. If
// an endpoint fails, all events come again, also to those notifiers that accepted them, and the
// pauses of the breaker hold up the events for all. If several endpoints ask for a pause
// ([RetryAfter]), the longest is kept. A notifier that must not wait for another's outage needs a
// queue of its own, such as a broker to which its Notify hands the events. A conversation is
// refused if one of the notifiers is a CheckingNotifier and refuses it. The result is an
// [OwnNotifier] too, and hands OwnChanged events to those that take them.
func Notifiers(notifiers ...Notifier) CheckingNotifier {
	s := make(several, len(notifiers))
	for i, n := range notifiers {
		s[i] = member{n, takesOwn(n)}
	}
	return s
}

type several []member

// member is one of several notifiers.
type member struct {
	Notifier
	own bool // it takes OwnChanged events
}

var _ OwnNotifier = several(nil)

// TakesOwn implements [OwnNotifier].
func (s several) TakesOwn() bool { return slices.ContainsFunc(s, func(m member) bool { return m.own }) }

// takesOwn reports whether a notifier takes OwnChanged events.
func takesOwn(n Notifier) bool {
	own, ok := n.(OwnNotifier)
	return ok && own.TakesOwn()
}

// CheckConversation implements [CheckingNotifier].
func (s several) CheckConversation(conversation string) error {
	for _, m := range s {
		if checking, ok := m.Notifier.(CheckingNotifier); ok {
			if err := checking.CheckConversation(conversation); err != nil {
				return err
			}
		}
	}
	return nil
}

// Notify implements [Notifier]. If a notifier panics, so does Notify, after the others have
// returned.
func (s several) Notify(ctx context.Context, events []Event) error {
	errs := make([]error, len(s))
	panics := make([]any, len(s))
	at := make([][]int, len(s)) // which events each was told
	var wait sync.WaitGroup
	for i, m := range s {
		errs[i] = errEnded // until it has returned
		wait.Go(func() {
			defer func() { panics[i] = recover() }()
			for j, e := range events {
				if e.Kind != OwnChanged || m.own {
					at[i] = append(at[i], j)
				}
			}
			var err error
			if len(at[i]) > 0 {
				err = m.Notify(ctx, slices.Clone(pick(events, at[i])))
			}
			errs[i] = err
		})
	}
	wait.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	var failure error
	refused := make(map[int]error)
	for n, err := range errs {
		var refusal *RefusedError
		switch {
		case errors.As(err, &refusal):
			for k, i := range at[n] {
				if why := refusal.ByIndex[k]; why != nil {
					refused[i] = join(refused[i], why)
				}
			}
		case err != nil:
			failure = join(failure, err)
		}
	}
	if failure != nil {
		return failure // says nothing about any event, as the contract wants it
	}
	return Refused(refused)
}

// errEnded is the error of a notifier that ended its goroutine, as t.FailNow does.
var errEnded = errors.New("delivery: the notifier ended its goroutine")

// join joins errors of two notifiers, either of which may be nil. Of the pauses that they ask for,
// the longer one holds.
func join(a, b error) error {
	var one, two *retryAfterError
	if errors.As(a, &one) && errors.As(b, &two) && two.after > one.after {
		a, b = b, a // errors.As finds the first
	}
	return errors.Join(a, b)
}
