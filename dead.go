package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
)

// DeadQuery asks for a page of dead letters, in order of their events' ids.
type DeadQuery struct {
	After int64 // the id of the last one seen
	Limit int   // defaults to 50; at most [MaxBatch]
}

// DeadLetters returns events that the Notifier refused for good, with the reason.
func (t *Tracker) DeadLetters(ctx context.Context, q DeadQuery) ([]DeadLetter, error) {
	limit, err := checkLimit(q.Limit)
	if err != nil {
		return nil, err
	}
	dead, err := t.store.Dead(ctx, q.After, limit)
	if err != nil {
		return nil, fmt.Errorf("delivery: listing dead letters: %w", err)
	}
	return dead, nil
}

// Replay puts up to [MaxBatch] dead letters back into the outbox, due at once and with no attempts
// counted. Each event is brought up to date first, so that it shows nobody an old status or a
// deleted message. An event with nothing left to tell is dropped, and counts as replayed. If an id
// is not among the dead letters, the error is [ErrNotFound], and a dead letter that cannot be read
// is an error, too. The others are replayed all the same.
func (t *Tracker) Replay(ctx context.Context, ids ...int64) error {
	err := t.resolve(ctx, ids, false, t.requeue)
	t.Wake()
	return err
}

// Discard drops up to [MaxBatch] dead letters for good. An id that is not among them is
// [ErrNotFound]; the others are dropped all the same.
func (t *Tracker) Discard(ctx context.Context, ids ...int64) error {
	return t.resolve(ctx, ids, true, func(_ context.Context, ids []int64) ([]Settlement, error) {
		settlements := make([]Settlement, len(ids))
		for i, id := range ids {
			settlements[i] = Settlement{ID: id, Outcome: SettleDiscard}
		}
		return settlements, nil
	})
}

// resolve settles dead letters as the plan says, which is made of their distinct ids.
func (t *Tracker) resolve(ctx context.Context, ids []int64, discard bool, plan func(context.Context, []int64) ([]Settlement, error)) error {
	if len(ids) > MaxBatch {
		return tooMany("ids", MaxBatch)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	settlements, err := plan(ctx, ids)
	settled := 0
	if len(settlements) > 0 {
		writing, cancel := limited(ctx, t.opts.WriteTimeout)
		defer cancel()
		var failed error
		if settled, failed = t.store.Settle(writing, settlements); failed != nil {
			err = fmt.Errorf("delivery: moving dead letters: %w", failed)
		}
	}
	if settled < len(ids) && err == nil {
		err = fmt.Errorf("%d of %d dead letters: %w", len(ids)-settled, len(ids), ErrNotFound)
	}
	t.opts.Observer.Resolved(ctx, ResolvedInfo{Events: ids, Discarded: discard, Settled: settled, Err: err})
	return err
}

// requeue is the plan of a replay. It leaves out what is no dead letter, and with an error what
// cannot be read.
func (t *Tracker) requeue(ctx context.Context, ids []int64) (settlements []Settlement, unreadable error) {
	for _, id := range ids {
		dead, err := t.store.Dead(ctx, id-1, 1)
		if err != nil {
			return nil, fmt.Errorf("delivery: loading a dead letter: %w", err)
		}
		if len(dead) == 0 || dead[0].Event.ID != id {
			continue
		}
		if !dead[0].Event.Kind.Valid() {
			unreadable = errors.Join(unreadable, fmt.Errorf("delivery: dead letter %d cannot be read", id))
			continue
		}
		event, err := t.refresh(ctx, dead[0].Event)
		if err != nil {
			return nil, err
		}
		outcome := SettleRequeue
		if len(event.Updates) == 0 {
			outcome = SettleDiscard
		}
		settlements = append(settlements, Settlement{ID: id, Outcome: outcome, Event: event})
	}
	return settlements, unreadable
}

// refresh returns the event with the present state of its messages and receipts, and without those
// that were deleted.
func (t *Tracker) refresh(ctx context.Context, e Event) (Event, error) {
	switch e.Kind {
	case MessageDeleted, Pruned:
		return e, nil
	case OwnChanged:
		return t.refreshOwn(ctx, e)
	}
	ids := make([]string, len(e.Updates))
	var keys []ReceiptKey
	for i, u := range e.Updates {
		ids[i] = u.Message
		if u.Receipt != nil {
			keys = append(keys, ReceiptKey{u.Message, u.Receipt.Recipient})
		}
	}
	messages, err := t.store.Load(ctx, ids)
	receipts, err2 := t.store.ReceiptsOf(ctx, keys)
	if err := errors.Join(err, err2); err != nil {
		return Event{}, fmt.Errorf("delivery: bringing a dead letter up to date: %w", err)
	}
	tallies := make(map[string]Tally, len(messages))
	for _, m := range messages {
		if m.Conversation == e.Conversation { // else it is another of that id
			tallies[m.ID] = m.Tally
		}
	}
	current := make(map[ReceiptKey]Receipt, len(receipts))
	for _, r := range receipts {
		current[ReceiptKey{r.Message, r.Recipient}] = r
	}
	e.Updates = slices.DeleteFunc(e.Updates, func(u Update) bool { _, there := tallies[u.Message]; return !there })
	for i := range e.Updates {
		u := &e.Updates[i]
		tally := tallies[u.Message]
		u.Version, u.Status, u.Delivered, u.Read, u.Failed = tally.Version, tally.Status, tally.Delivered, tally.Read, tally.Failed
		if u.Receipt == nil {
			continue
		}
		if r, ok := current[ReceiptKey{u.Message, u.Receipt.Recipient}]; ok {
			u.Receipt = &r
		}
	}
	slices.SortFunc(e.Updates, func(a, b Update) int { return cmp.Compare(a.Version, b.Version) })
	return e, nil
}

// refreshOwn returns the event with the user's present places. An own status never falls, so that
// of the event is still reached.
func (t *Tracker) refreshOwn(ctx context.Context, e Event) (Event, error) {
	e.Updates = slices.Clone(e.Updates)
	for i, u := range e.Updates {
		unread, err := t.store.Unread(ctx, e.User, []string{u.Own.Conversation}, 1)
		if err == nil && len(unread) != 1 {
			err = errStray
		}
		if err != nil {
			return Event{}, fmt.Errorf("delivery: bringing a dead letter up to date: %w", err)
		}
		own := *u.Own
		own.Place = unread[0].Place
		e.Updates[i].Own = &own
	}
	return e, nil
}
