package delivery

import (
	"context"
	"time"
)

// Outbox is the part of a [Store] that publishing needs: the committed events that the Notifier has
// not accepted yet, and the dead letters. The rules for every method of a Store hold for it.
type Outbox interface {
	// Claim puts up to limit due events under the lease, starting with those that fell due first,
	// and counts an attempt for each. An event that is stored under a lease starts with one
	// attempt, so a process that dies while it holds the event has used one. No event is under two
	// leases at a time. The store's own clock decides what is due. If an event cannot be decoded,
	// Claim and Dead return its id alone, and the Tracker moves it to the dead letters.
	Claim(ctx context.Context, limit int, lease Lease) ([]Claimed, error)

	// Settle ends claims and moves dead letters, and returns how many of the settlements took
	// effect. A settlement changes nothing if the event does not have, or no longer has, the
	// settlement's lease. It may also change nothing if another transaction has locked the event. A
	// lease that has run out still counts as the event's lease, until another claim takes the
	// event.
	Settle(ctx context.Context, settlements []Settlement) (settled int, err error)

	// Dead returns dead letters in order of id: those whose ids are greater than the parameter
	// after, at most limit of them.
	Dead(ctx context.Context, after int64, limit int) ([]DeadLetter, error)

	// Backlog counts the outbox. It does not set the fields about this process. A store whose clock
	// cannot be set back leaves Ahead at 0.
	Backlog(ctx context.Context) (Backlog, error)
}

// Lease reserves events of a [Store] for one holder and for a while.
type Lease struct {
	Token int64         // random, fresh for every call; zero is no lease
	For   time.Duration // from now, by the store's clock
}

// Claimed is what [Outbox.Claim] returns: an event under a lease.
type Claimed struct {
	Event    Event
	Lease    int64 // the lease's token
	Attempts int   // claims so far, this one included
}

// Outcome is how [Outbox.Settle] ends a claim or moves a dead letter.
type Outcome uint8

const (
	SettleDone    Outcome = iota + 1 // accepted: the event is gone
	SettleRetry                      // due again once the duration After has passed
	SettleRelease                    // due again once the duration After has passed, and the attempt does not count
	SettleBury                       // to the dead letters, with Reason
	SettleRequeue                    // a dead letter is due again at once: Event replaces it, with the same id and no attempts
	SettleDiscard                    // a dead letter is gone
)

// Settlement is what [Outbox.Settle] applies: the end of a claim, or the move of a dead letter
// ([SettleRequeue], [SettleDiscard]), which has no lease.
type Settlement struct {
	ID      int64 // of the event
	Lease   int64 // the token it was claimed with
	Outcome Outcome
	After   time.Duration
	Reason  string
	Event   Event // with SettleRequeue: what the event is to say now
}

// DeadLetter is an event that the Notifier can never accept.
type DeadLetter struct {
	Event    Event
	Attempts int
	Reason   string // the last refusal
	At       time.Time
}

// Backlog is the state of the outbox.
type Backlog struct {
	Waiting int           // events committed and not accepted yet
	Oldest  time.Duration // how long ago the oldest of them was committed or replayed; 0 if there is none
	Ahead   time.Duration // by how much the newest of them is ahead of the store's clock; above 0 only after the clock was set back
	Dead    int           // dead letters

	// Of this process's relay, and filled by [Tracker.Backlog]:
	Breaker BreakerState // whether it trusts the Notifier's endpoint
	Running bool         // [Tracker.Run] is on
	Calls   int          // calls of the Notifier that Run has under way
}
