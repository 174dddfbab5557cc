package deliverytest

import (
	"context"
	"errors"
	"time"

	"github.com/msgdelivery/delivery"
)

// faultyNotifier is a notifier with another Notify. It takes events for one user and checks
// conversations as the notifier does.
type faultyNotifier struct {
	delivery.Notifier
	notify func(ctx context.Context, events []delivery.Event) error
}

var (
	_ delivery.OwnNotifier      = faultyNotifier{}
	_ delivery.CheckingNotifier = faultyNotifier{}
)

func (n faultyNotifier) Notify(ctx context.Context, events []delivery.Event) error {
	return n.notify(ctx, events)
}

func (n faultyNotifier) TakesOwn() bool {
	own, ok := n.Notifier.(delivery.OwnNotifier)
	return ok && own.TakesOwn()
}

func (n faultyNotifier) CheckConversation(conversation string) error {
	if checking, ok := n.Notifier.(delivery.CheckingNotifier); ok {
		return checking.CheckConversation(conversation)
	}
	return nil
}

// FailingNotifier returns a notifier that fails the calls for which fault returns an error. A call
// that fails publishes nothing.
func FailingNotifier(notifier delivery.Notifier, fault Fault) delivery.Notifier {
	return faultyNotifier{notifier, func(ctx context.Context, events []delivery.Event) error {
		if err := fault("Notify"); err != nil {
			return err
		}
		return notifier.Notify(ctx, events)
	}}
}

// LosingNotifier returns a notifier that loses the answers of the calls for which fault returns an
// error. Such a call publishes its events first. The fault is not asked about calls that failed by
// themselves.
func LosingNotifier(notifier delivery.Notifier, fault Fault) delivery.Notifier {
	return faultyNotifier{notifier, func(ctx context.Context, events []delivery.Event) error {
		if err := notifier.Notify(ctx, events); err != nil {
			return err
		}
		return fault("Notify")
	}}
}

// RefusingNotifier returns a notifier that refuses the events for which refuse returns an error,
// and hands on the others. If an error was made by [delivery.Permanent], the event is refused for
// good.
func RefusingNotifier(notifier delivery.Notifier, refuse func(delivery.Event) error) delivery.Notifier {
	return faultyNotifier{notifier, func(ctx context.Context, events []delivery.Event) error {
		refused := map[int]error{}
		var rest []delivery.Event
		var at []int // of the rest, among the events
		for i, event := range events {
			if err := refuse(event); err != nil {
				refused[i] = err
				continue
			}
			rest, at = append(rest, event), append(at, i)
		}
		if len(rest) > 0 {
			err := notifier.Notify(ctx, rest)
			var inner *delivery.RefusedError
			if err != nil && !errors.As(err, &inner) {
				return err
			}
			if inner != nil {
				for i, err := range inner.ByIndex {
					refused[at[i]] = err
				}
			}
		}
		return delivery.Refused(refused)
	}}
}

// SlowNotifier returns a notifier that waits before each call, and fails if ctx ends first.
func SlowNotifier(notifier delivery.Notifier, wait time.Duration) delivery.Notifier {
	return faultyNotifier{notifier, func(ctx context.Context, events []delivery.Event) error {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			return notifier.Notify(ctx, events)
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}
