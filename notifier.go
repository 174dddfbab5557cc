package delivery

import (
	"context"
	"fmt"
	"time"
)

// Notifier tells the outside world of committed changes: [pusheradapter] tells browsers, and an app
// may plug in a Notifier of its own. Only the relay calls it, after the commit, outside every
// transaction.
//
// The promise to the Notifier is at-least-once: an event may come again, after a crash or after an
// unclear answer, and events of one conversation may overtake each other. Once the Notifier has
// accepted an event, it alone is responsible for it.
//
// # Each event goes to one relay of one process
//
// Any number of processes may run a relay over one store. Each event goes to the Notifier of one
// process, and to the Notifier of another only after a crash. This suits a Notifier that hands
// events to something all processes share, such as Pusher or a broker. A Notifier that pushes to
// connections of its own process, such as server-sent events or WebSockets, would reach the clients
// of that process alone, and the others would hear nothing. Between several processes it needs a
// [Bus]: sseadapter takes one.
//
// [pusheradapter]: https://pkg.go.dev/github.com/msgdelivery/delivery/pusheradapter
type Notifier interface {
	// Notify publishes the events, at least one, and returns nil if all were accepted.
	//
	// A plain error means that the endpoint failed and that nothing is known of any event: all of
	// them are kept and come again, and none is blamed. If the calls with an event keep failing
	// while other events are accepted, the event waits longer after each failure. The wait is
	// random, so such events are soon published in different calls. [RetryAfter] adds how long to
	// wait. An error made by [Refused] names the events that the endpoint examined and refused; all
	// others were accepted. A refused event comes again. If its third or a later attempt is
	// refused, it goes to the dead letters. Each claim by a relay is an attempt, even if the
	// process then crashed. An event whose error was marked [Permanent] goes to the dead letters at
	// once.
	//
	// Notify must return soon after ctx ends. It may be called by several goroutines at the same
	// time. It may neither change nor keep the slice, or what is in it.
	Notify(ctx context.Context, events []Event) error
}

// CheckingNotifier is a [Notifier] that can publish the events of some conversations only, for
// example because it makes channel names from their ids and the length of such names is limited. A
// send to a conversation that it refuses fails, and nothing is stored. Without this check the
// events would become dead letters, and a user who chooses conversation ids could make any number
// of them.
type CheckingNotifier interface {
	Notifier

	// CheckConversation returns nil if the conversation's events can be published. Otherwise it
	// returns an [*InvalidError] of the field "conversation" that says why not. It is called before
	// each send, so it should be quick. It may be called concurrently.
	CheckConversation(conversation string) error
}

// OwnNotifier is a [Notifier] that can send an event to the devices of one user and to nobody else.
// No other Notifier gets events of the kind [OwnChanged]: a Notifier that publishes to
// conversations would tell everybody there. If the Tracker's Notifier takes no such events, the
// Tracker makes none, and a user's other devices learn of a private change when they next ask
// [Tracker.Unread].
type OwnNotifier interface {
	Notifier

	// TakesOwn says that Notify takes events of the kind OwnChanged, and sends them to the devices
	// of [Event.User] and to nobody else. It is asked once.
	TakesOwn() bool
}

// OwnNotifierFunc turns a function, such as the Publish method of a [Bus], into an [OwnNotifier]
// that takes OwnChanged events.
type OwnNotifierFunc func(ctx context.Context, events []Event) error

// Notify calls f.
func (f OwnNotifierFunc) Notify(ctx context.Context, events []Event) error { return f(ctx, events) }

// TakesOwn returns true.
func (f OwnNotifierFunc) TakesOwn() bool { return true }

// NotifierFunc turns a function into a [Notifier].
type NotifierFunc func(ctx context.Context, events []Event) error

// Notify calls f.
func (f NotifierFunc) Notify(ctx context.Context, events []Event) error { return f(ctx, events) }

// Refused returns the error by which a [Notifier] names the events it refused, by their index in
// the slice it was given. The other events count as accepted. If byIndex is empty, Refused returns
// nil.
func Refused(byIndex map[int]error) error {
	if len(byIndex) == 0 {
		return nil
	}
	return &RefusedError{ByIndex: byIndex}
}

// RefusedError is the error that [Refused] makes.
type RefusedError struct {
	ByIndex map[int]error // index into the events of the call; no nil errors
}

func (e *RefusedError) Error() string {
	for _, err := range e.ByIndex {
		if len(e.ByIndex) == 1 {
			return fmt.Sprintf("event refused: %v", err)
		}
	}
	return fmt.Sprintf("%d events refused", len(e.ByIndex))
}

// Unwrap returns the refusals in no particular order.
func (e *RefusedError) Unwrap() []error {
	errs := make([]error, 0, len(e.ByIndex))
	for _, err := range e.ByIndex {
		errs = append(errs, err)
	}
	return errs
}

// Permanent marks the refusal of one event as final: it is never tried again.
// It has a meaning only inside [Refused]. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// RetryAfter wraps err with the time d during which the endpoint does not want to be called. The
// relay takes less than 1 s as 1 s, and more than 10 min as 10 min. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{err, d}
}

type retryAfterError struct {
	err   error
	after time.Duration
}

func (e *retryAfterError) Error() string { return e.err.Error() }
func (e *retryAfterError) Unwrap() error { return e.err }
