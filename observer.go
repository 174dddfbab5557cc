package delivery

import (
	"context"
	"fmt"
	"time"
)

// Observer holds functions that are called at certain moments, for metrics and tracing. Any of them
// may be nil. They are called synchronously and concurrently, so they should be quick. Sent,
// Marked, Deleted, Failed and Resolved get the context of the caller, with whatever an app or a
// tracing library keeps in it. Wrote gets the context of the batch. The other functions get a
// context of the relay.
//
// Fields that name users, conversations and messages have too many values for the labels of a
// metric. Their comments say "an id". All other fields are numbers, or have few values. An error's
// text may contain ids, so label metrics by the kind of error, found with [errors.Is].
type Observer struct {
	// Sent is called after each Send and SendTx whose draft was valid.
	Sent func(context.Context, SentInfo)

	// Marked is called for each message of a Mark, and once for each MarkUpTo, whatever became of
	// it. A message that one call names several times is marked once.
	Marked func(context.Context, MarkedInfo)

	// Deleted is called for each message of a Delete, whatever became of it.
	Deleted func(context.Context, DeletedInfo)

	// Failed is called after each Fail whose arguments were valid.
	Failed func(context.Context, FailedInfo)

	// Wrote is called after each write of a batch of sends, marks, up-to marks or deletions, with
	// the ctx of the batch. A batch may have items of several callers. If the database refuses a
	// batch, the batch is written again in parts, and Wrote is called for each. Wrote is not called
	// for writes in the app's own transactions.
	Wrote func(context.Context, WroteInfo)

	// Notified is called after each call of the Notifier.
	Notified func(context.Context, NotifiedInfo)

	// LeaseLost is called when events could not be settled, because another relay has claimed them
	// after the lease had run out, or because another transaction has locked them
	// ([Tracker.EraseTx] does so). They may be published twice.
	LeaseLost func(context.Context, LeaseLostInfo)

	// Buried is called for each event that went to the dead letters, once it is stored there.
	Buried func(context.Context, BuriedInfo)

	// Resolved is called after each Replay and each Discard of at most MaxBatch dead letters, with
	// the caller's ctx.
	Resolved func(context.Context, ResolvedInfo)

	// BreakerChanged is called when the relay stops or starts trusting the endpoint.
	BreakerChanged func(context.Context, BreakerInfo)
}

// SentInfo says what became of a send.
type SentInfo struct {
	Conversation, Message, Sender string // ids

	InTx bool  // in the app's own transaction, which may still be rolled back
	Err  error // nil if the message is stored
}

// MarkedInfo says what became of a mark.
type MarkedInfo struct {
	Conversation string // an id; empty if the message was not found
	Message      string // an id
	User         string // an id

	Status  Status
	UpTo    bool  // of all messages up to Message
	Private bool  // others may not see all of it: see [Actor.Hide]
	InTx    bool  // in the app's own transaction, which may still be rolled back
	Changed int   // receipts that advanced; at most 1 unless UpTo
	Err     error // nil, a refusal such as [ErrOwnMessage], or a failure

	// SentAt is when the message was sent, and Receipt is the user's after the mark; it contains
	// ids. Both are zero with an Err, and for up-to marks.
	SentAt  time.Time
	Receipt Receipt
}

// DeletedInfo says what became of a deletion.
type DeletedInfo struct {
	Conversation string // an id; empty if the message was not found
	Message      string // an id
	User         string // an id

	InTx    bool  // in the app's own transaction, which may still be rolled back
	Changed bool  // this call deleted it
	Err     error // nil, [ErrNotFound], or a failure
}

// FailedInfo says what became of a failure.
type FailedInfo struct {
	Conversation string // an id; empty if the message was not found
	Message      string // an id
	Recipient    string // an id

	Code    string // as the app has named it
	Changed bool   // others see the failure, and did not see the same one before
	Err     error  // nil, a refusal such as [ErrNotRecipient], or a failure of the call
}

// Written says what the items of a batch were.
type Written uint8

const (
	WroteSends Written = iota + 1
	WroteMarks
	WroteUpTos
	WroteDeletions
)

// String returns "sends", "marks", "up-to marks" or "deletions".
func (w Written) String() string {
	switch w {
	case WroteSends:
		return "sends"
	case WroteMarks:
		return "marks"
	case WroteUpTos:
		return "up-to marks"
	case WroteDeletions:
		return "deletions"
	}
	return fmt.Sprintf("Written(%d)", uint8(w))
}

// WroteInfo says how the write of a batch went.
type WroteInfo struct {
	What  Written
	Items int // at most [MaxBatch]
	Took  time.Duration
	Err   error
}

// NotifiedInfo says how a call of the Notifier went.
type NotifiedInfo struct {
	Events int
	Took   time.Duration
	Err    error   // what the Notifier returned: a [RefusedError] says which events it refused, and it accepted the others
	Batch  []Event // what the Notifier was told; contains ids, and is not to be changed
}

// LeaseLostInfo says how many events could not be settled.
type LeaseLostInfo struct{ Events int }

// BuriedInfo says which event went to the dead letters, and why.
type BuriedInfo struct {
	Event    Event
	Attempts int
	Reason   string // as in [DeadLetter]
}

// ResolvedInfo says what became of a Replay or a Discard.
type ResolvedInfo struct {
	Events    []int64 // the ids of the events that were asked for, each once; not to be changed
	Discarded bool    // by a Discard; else by a Replay
	Settled   int     // how many of them were dead letters and have now been replayed or discarded
	Err       error   // nil, [ErrNotFound] if some of the ids are not dead letters, or a failure
}

// BreakerInfo says in which state the breaker is now.
type BreakerInfo struct {
	State BreakerState
	Err   error // the failure that opened it; nil if it closed
}

// whole returns the observer with functions that do nothing in the place of those that are nil.
func (o *Observer) whole() *Observer {
	if o == nil {
		o = new(Observer)
	}
	return &Observer{
		Sent: orNothing(o.Sent), Marked: orNothing(o.Marked), Deleted: orNothing(o.Deleted), Failed: orNothing(o.Failed), Wrote: orNothing(o.Wrote), Notified: orNothing(o.Notified),
		LeaseLost: orNothing(o.LeaseLost), Buried: orNothing(o.Buried), Resolved: orNothing(o.Resolved), BreakerChanged: orNothing(o.BreakerChanged),
	}
}

func orNothing[Info any](f func(context.Context, Info)) func(context.Context, Info) {
	if f == nil {
		return func(context.Context, Info) {}
	}
	return f
}
