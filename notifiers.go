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
// pauses of the breaker hold up the events for all. A notifier that must not wait for another's
// outage needs a queue of its own, such as a broker to which its Notify hands the events. A
// conversation is refused if one of the notifiers is a CheckingNotifier and refuses it. The result
// is an [OwnNotifier] too, and hands OwnChanged events to those that take them.
func Notifiers(notifiers ...Notifier) CheckingNotifier { return several(notifiers) }

type several []Notifier

var _ OwnNotifier = several(nil)

// TakesOwn implements [OwnNotifier].
func (s several) TakesOwn() bool { return slices.ContainsFunc(s, takesOwn) }

// takesOwn reports whether a notifier takes OwnChanged events.
func takesOwn(n Notifier) bool {
	own, ok := n.(OwnNotifier)
	return ok && own.TakesOwn()
}

// CheckConversation implements [CheckingNotifier].
func (s several) CheckConversation(conversation string) error {
	for _, n := range s {
		if checking, ok := n.(CheckingNotifier); ok {
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
	for i, n := range s {
		wait.Go(func() {
			defer func() { panics[i] = recover() }()
			for j, e := range events {
				if e.Kind != OwnChanged || takesOwn(n) {
					at[i] = append(at[i], j)
				}
			}
			if len(at[i]) > 0 {
				errs[i] = n.Notify(ctx, pick(events, at[i]))
			}
		})
	}
	wait.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
	var failures []error
	refused := make(map[int]error)
	for n, err := range errs {
		var refusal *RefusedError
		switch {
		case errors.As(err, &refusal):
			for k, i := range at[n] {
				if why := refusal.ByIndex[k]; why != nil {
					refused[i] = errors.Join(refused[i], why)
				}
			}
		case err != nil:
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...) // says nothing about any event, as the contract wants it
	}
	return Refused(refused)
}
