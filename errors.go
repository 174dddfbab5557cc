package delivery

import (
	"errors"
	"fmt"
)

// Refusals and outcomes that callers branch on, with [errors.Is].
var (
	// ErrOwnMessage refuses a mark by the message's sender.
	ErrOwnMessage = errors.New("delivery: a sender may not mark its own message")

	// ErrNotRecipient refuses a mark by someone who is not among the frozen recipients. Show it to
	// strangers as ErrNotFound, as deliveryhttp does.
	ErrNotRecipient = errors.New("delivery: not a recipient of this message")

	// ErrForbidden says that the app's own rule, [Options.Authorize], said no.
	ErrForbidden = errors.New("delivery: forbidden")

	// ErrNotFound says that there is no such message, or no such dead letter.
	ErrNotFound = errors.New("delivery: not found")

	// ErrConflict says that a message with this id exists with other content. [Tracker.Import] also
	// returns it for a conversation in which messages were sent.
	ErrConflict = errors.New("delivery: a message with this id exists with other content")

	// ErrGone says that a message with this id was deleted. The id stays taken.
	ErrGone = errors.New("delivery: a message with this id was deleted")

	// ErrOutcomeUnknown says that the call ended before it was known whether its write committed:
	// its ctx ended, the connection broke, or the store panicked. Repeating the call is safe and
	// shows the outcome.
	ErrOutcomeUnknown = errors.New("delivery: not known whether the write committed")

	// ErrTxConflict says that a method that ends in Tx conflicted with another transaction. Roll
	// back and run the whole transaction again, from its first statement.
	ErrTxConflict = errors.New("delivery: the transaction is to be run again")

	// ErrUnavailable says that the store cannot work now, because of a problem that is temporary or
	// that an administrator can fix: the database is down, out of connections, out of disk space or
	// read-only. Nothing was written. Repeating the call later is safe.
	ErrUnavailable = errors.New("delivery: the store is not available now")

	// ErrRunning refuses a second [Tracker.Run] at the same time.
	ErrRunning = errors.New("delivery: this tracker is already running")
)

// errStray says that a store answered a write with something else than the message it was about. A
// store does so behind a connection pooler that reads from a server which is behind, or that mixes
// up its clients.
var errStray = fmt.Errorf("%w: the store answered with something else", ErrOutcomeUnknown)

// InvalidError says which field of the input is not acceptable, and why. It never quotes the value.
type InvalidError struct {
	Field  string // as in the API, lower case: "conversation", "status", "recipients"
	Reason string // completes a sentence that begins with Field: "is empty", "is longer than 128 bytes"
}

func (e *InvalidError) Error() string { return "delivery: " + e.Field + " " + e.Reason }
