package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// OverdueRule says whom [Tracker.Overdue] returns: the recipients who have not received, or not
// read, a message some time after it was sent.
type OverdueRule struct {
	// Name has 1 to [MaxID] bytes. The store keeps the rule's progress by Name, Status and For: a
	// rule that differs in one of them is another rule. The rule applies only to messages that were
	// stored after the first call of [Tracker.Overdue] with the rule. Processes that work on one
	// rule give it the same fields.
	Name string

	// Status is the status that a recipient must reach: Delivered or Read. After is the time that
	// the recipient has for it, counted from when the message was stored. It is at least 1 µs and
	// at most [MaxOverdue].
	Status Status
	After  time.Duration

	// Within is for how long Overdue returns the recipient, counted from when the time After has
	// passed. Later the rule no longer returns that recipient. It is at most [MaxOverdue], and
	// defaults to [DefaultWithin].
	Within time.Duration

	// For says whom the answers are for, and so what counts as reached. It must be set.
	For OverdueFor

	// Lease is the time during which a returned recipient is not returned to any other call. Within
	// that time the app acts on all recipients that one call returned, and calls
	// [Tracker.OverdueDone]. It is at most [MaxOverdue], and defaults to [DefaultOverdueLease].
	Lease time.Duration
}

// OverdueFor says whom the answers of an [OverdueRule] are for.
type OverdueFor uint8

const (
	// ForRecipient is for what the app tells the recipient alone, such as a mail or a push. It goes
	// by what the recipient knows: private marks and dismissals count. Untracked recipients are
	// returned too. Never show such an answer, or what follows from it, to anybody else: a
	// recipient who is missing from it may have read the message privately.
	ForRecipient OverdueFor = iota + 1

	// ForSender is for what the app tells the sender or others. It goes by what they may see. A
	// recipient who has read the message privately is returned. Recipients whom others can never
	// see at the Status are not returned: untracked recipients and, if the Status is Read,
	// recipients who hide reads ([Audience]).
	ForSender
)

// The defaults of an [OverdueRule], and the most that After, Within and Lease may be.
const (
	DefaultWithin       = 7 * 24 * time.Hour
	DefaultOverdueLease = 5 * time.Minute
	MaxOverdue          = 10 * 365 * 24 * time.Hour
)

// Due is a recipient who is overdue by a rule.
type Due struct {
	Message   Header
	Recipient string
	Status    Status       // the recipient's; private marks count only for a rule ForRecipient
	Failure   string       // the last code that [Tracker.Fail] recorded; for a rule ForSender, only if others see it
	Attempts  int          // calls that returned the recipient, this one included
	Claim     OverdueClaim // to hand back
}

// OverdueClaim names what one call of [Tracker.Overdue] has returned.
type OverdueClaim struct {
	Lease  int64 // the token of the call's lease
	Number int   // the number of the claim in the call
}

// Overdue returns up to limit recipients who are overdue by the rule, and reserves them for the
// rule's Lease. It returns none if nobody is overdue now. The limit is at most [MaxBatch], and 0
// stands for 50. The app calls [Tracker.OverdueDone] for each recipient that it has dealt with. Any
// number of processes may work on one rule.
//
// A recipient is returned at least once, and never again after OverdueDone. If the process dies
// before it calls OverdueDone, another call returns the recipient again, once the Lease has ended,
// unless the message was read, deleted or pruned meanwhile. A recipient who reads the message after
// the call may still be reminded. A recipient with a failure is overdue like any other, and
// [Due.Failure] tells the app to try another way.
//
// Recipients who are returned again take at most 1/2 of the limit while others wait for their first
// time. So mails that always fail do not hold up the others.
//
// The database's clock decides, whatever the clocks of the processes say. So nobody is returned
// early. If a transaction that sent a message commits after the message was due, one of the next
// calls finds the message, provided that the transaction was open for at most an hour. If it was
// open for longer, the message is found when the next message of its conversation is due. Open
// messages have no recipients, so rules pass over them. Erased users are passed over too.
//
// Overdue returns an [*InvalidError] that names the field of the rule, or "limit", if that is out
// of bounds. It needs an [OverdueStore]; with any other store it returns [errors.ErrUnsupported].
// If it has to pass over many messages, it uses several transactions. If ctx has no deadline, each
// may take [Options.WriteTimeout]. If Overdue returns another error, such as one that wraps
// [ErrOutcomeUnknown], some recipients may be reserved although no call has returned them. A later
// call returns them when the Lease has ended.
func (t *Tracker) Overdue(ctx context.Context, rule OverdueRule, limit int) ([]Due, error) {
	if err := rule.check(); err != nil {
		return nil, err
	}
	limit, err := checkLimit(limit)
	if err != nil {
		return nil, err
	}
	store, err := overdueStoreOf(t.store)
	if err != nil {
		return nil, err
	}
	for {
		result, err := t.overdue(ctx, store, rule, limit)
		if err != nil {
			return nil, outcome("looking for who is overdue", err)
		}
		if len(result.Due) > 0 || !result.More {
			return result.Due, nil
		}
	}
}

// overdue is one call of the store that is not blocked.
func (t *Tracker) overdue(ctx context.Context, store OverdueStore, rule OverdueRule, limit int) (OverdueResult, error) {
	ctx, cancel := limited(ctx, t.opts.WriteTimeout)
	defer cancel()
	return patient(ctx, func() (OverdueResult, bool, error) {
		lease := t.relay.newLease()
		lease.For = rule.Lease
		r, err := store.Overdue(ctx, rule, limit, lease)
		return r, r.Blocked, err
	})
}

// OverdueDone tells the Tracker that the app has dealt with up to [MaxBatch] recipients. It returns
// how many of them were still reserved by the call of [Tracker.Overdue] that returned them. The
// others were returned by another call meanwhile, or are done already.
//
// OverdueDone returns an [*InvalidError] of the field "due" if there are more than MaxBatch. If ctx
// has no deadline, it takes at most [Options.WriteTimeout]. If the error wraps [ErrOutcomeUnknown],
// either all of the recipients are done or none is. The call may be repeated: it returns 0 if they
// were done.
func (t *Tracker) OverdueDone(ctx context.Context, due ...Due) (done int, err error) {
	if len(due) > MaxBatch {
		return 0, tooMany("due", MaxBatch)
	}
	store, err := overdueStoreOf(t.store)
	if err != nil {
		return 0, err
	}
	claims := make([]OverdueClaim, len(due))
	for i, d := range due {
		claims[i] = d.Claim
	}
	ctx, cancel := limited(ctx, t.opts.WriteTimeout)
	defer cancel()
	if done, err = store.SettleOverdue(ctx, claims); err != nil {
		return 0, outcome("settling who was overdue", err)
	}
	return done, nil
}

// check applies the rule's defaults and bounds.
func (r *OverdueRule) check() error {
	if err := checkID("name", r.Name); err != nil {
		return err
	}
	if err := checkMarking(r.Status); err != nil {
		return err
	}
	if r.For != ForRecipient && r.For != ForSender {
		return &InvalidError{Field: "for", Reason: "is not ForRecipient or ForSender"}
	}
	if r.Within == 0 {
		r.Within = DefaultWithin
	}
	if r.Lease == 0 {
		r.Lease = DefaultOverdueLease
	}
	for _, d := range []struct {
		field string
		time.Duration
	}{{"after", r.After}, {"within", r.Within}, {"lease", r.Lease}} {
		if d.Duration < time.Microsecond {
			return &InvalidError{Field: d.field, Reason: "is less than a microsecond"}
		}
		if d.Duration > MaxOverdue {
			return &InvalidError{Field: d.field, Reason: fmt.Sprintf("is more than %v", MaxOverdue)}
		}
	}
	return nil
}

// Judge returns the recipient's status of the message, and whether the recipient is overdue.
// Private marks count for a rule ForRecipient only. Every [OverdueStore] must use Judge. Limit is
// the recipient's cap: the highest status of the recipient that others may ever see.
func (r OverdueRule) Judge(s OwnState, recipient string, limit Status) (at Status, overdue bool) {
	if at = s.Own(recipient); at != 0 && r.For == ForSender {
		at = s.Receipt.Status
		return at, at < r.Status && r.Status <= limit
	}
	return at, at != 0 && at < r.Status
}

// OverdueStore is a [Store] that can find who is overdue: [Tracker.Overdue] needs it. The rules for
// every method of a Store hold for it. The executable form of this contract is
// deliverytest.TestOverdueStore.
type OverdueStore interface {
	Store

	// Overdue finds up to limit recipients who are overdue by the rule, puts them under the lease,
	// and counts an attempt for each. All fields of the rule are set and within their bounds. The
	// store's own clock decides when a message was stored, and what time it is. Rules that differ
	// in Name, Status or For share nothing. The first call by a rule returns nobody, and no call by
	// it looks at messages that were stored before that.
	//
	// A recipient of a message that is not open is first judged by [OverdueRule.Judge] when the
	// rule's After has passed since the message was stored. If the recipient is overdue, each call
	// returns it, as long as it is not under a lease, not settled, still overdue, and the rule's
	// Within has not passed. A recipient who is being settled at the same time is either settled or
	// returned. Recipients that an earlier call has returned take at most 1/2 of the limit, rounded
	// down, unless there are too few new recipients to fill the rest. A call looks at a bounded
	// number of messages and recipients; More says that a further call may find somebody now.
	Overdue(ctx context.Context, rule OverdueRule, limit int, lease Lease) (OverdueResult, error)

	// SettleOverdue ends claims for good, and returns how many of the claims it settled. A claim
	// whose lease ran out can still be settled until another call claims the recipient.
	SettleOverdue(ctx context.Context, claims []OverdueClaim) (settled int, err error)
}

// OverdueResult is what [OverdueStore.Overdue] has found.
type OverdueResult struct {
	Due     []Due
	More    bool
	Blocked bool // not tried: another call has the rule; all else is zero
}

func overdueStoreOf(store Store) (OverdueStore, error) {
	s, ok := store.(OverdueStore)
	if !ok {
		return nil, fmt.Errorf("delivery: %T is no OverdueStore: %w", store, errors.ErrUnsupported)
	}
	return s, nil
}
