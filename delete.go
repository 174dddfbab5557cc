package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// Delete deletes up to [MaxBatch] messages for everyone, and announces that. It returns when the
// deletions and their events are committed, with the number of messages that this call deleted.
// Messages that were deleted before are passed over. An id that no message ever had is
// [ErrNotFound]; the other messages are deleted all the same.
//
// Whether the actor may delete a message is for the app to decide, before the call. The actor's
// socket is not told.
//
// Of a deleted message nothing is left but its id, its conversation and its Seq. The id stays
// taken: a send with it is [ErrGone]. Marking it fails with [ErrNotFound], but [Tracker.MarkUpTo]
// accepts its id. Clients that were away learn of the deletion from [Tracker.Changes]
// ([Message.Deleted]). No other list contains a deleted message. Its body is gone from waiting
// events and dead letters too. An event that a relay holds at that moment may still be published
// with the body, within [Options.Lease].
//
// Delete needs a [Keeper]; with any other store it returns [errors.ErrUnsupported]. When ctx ends
// while the write is under way the error wraps [ErrOutcomeUnknown].
func (t *Tracker) Delete(ctx context.Context, actor Actor, messages ...string) (deleted int, err error) {
	if _, err := keeperOf(t.store); err != nil {
		return 0, err
	}
	return t.delete(ctx, false, actor, messages, func(deletions []Deletion) ([]coalesce.Result[Deleted], error) {
		outs := t.deletes.do(ctx, actor.User, deletions, func(d Deletion) string { return t.whereabouts(Mark{Message: d.Message, User: actor.User}) })
		return outs, common(outs)
	})
}

// DeleteTx is [Tracker.Delete] inside the caller's transaction: the messages are deleted if and
// only if the caller commits. It needs a [TxStore] whose InTx returns a [Keeper]. See
// [Tracker.SendTx] for locks and events.
func (t *Tracker) DeleteTx(ctx context.Context, tx DBTX, actor Actor, messages ...string) (deleted int, err error) {
	inside, err := t.inTx(tx)
	if err != nil {
		return 0, err
	}
	store, err := keeperOf(inside)
	if err != nil {
		return 0, err
	}
	return t.delete(ctx, true, actor, messages, func(deletions []Deletion) ([]coalesce.Result[Deleted], error) {
		return deleteKind.inTx(deletions, func(d []Deletion) ([]Deleted, []Claimed, error) { return store.Delete(ctx, d, Lease{}) })
	})
}

// keeperOf returns the store as a Keeper, or an error that wraps [errors.ErrUnsupported].
func keeperOf(store Store) (Keeper, error) {
	keeper, ok := store.(Keeper)
	if !ok {
		return nil, fmt.Errorf("delivery: %T is no Keeper: %w", store, errors.ErrUnsupported)
	}
	return keeper, nil
}

// deleteKind is what gather knows of deletions.
var deleteKind = kind[Deletion, string, Deleted]{
	what:    WroteDeletions,
	weigh:   func(Deletion) int { return 1 },
	key:     func(d Deletion) string { return d.Message },
	implies: func(Deletion, Deletion) bool { return true },
	repeat:  func(d Deleted) Deleted { d.Changed = false; return d },
	blocked: func(d Deleted) (string, bool) { return d.Header.Conversation, d.Blocked },
}

func (t *Tracker) delete(ctx context.Context, inTx bool, actor Actor, messages []string,
	write func([]Deletion) ([]coalesce.Result[Deleted], error),
) (deleted int, err error) {
	if err := actor.check(); err != nil {
		return 0, err
	}
	if len(messages) > MaxBatch {
		return 0, tooMany("messages", MaxBatch)
	}
	ids := distinctIDs(messages)
	deletions, trace := make([]Deletion, len(ids)), t.trace(ctx)
	for i, id := range ids {
		if err := checkID("message", id); err != nil {
			return 0, err
		}
		deletions[i] = Deletion{Message: id, Socket: actor.Socket, Trace: trace}
	}
	if len(ids) == 0 {
		return 0, nil
	}
	outs, err := write(deletions)
	if err != nil {
		err = outcome("deleting", err)
	}
	missing, failure := 0, err
	for i, id := range ids {
		info := DeletedInfo{Message: id, User: actor.User, InTx: inTx, Err: err}
		if err == nil {
			out := outs[i].Out
			info.Conversation, info.Changed, info.Err = out.Header.Conversation, out.Changed, outs[i].Err
			switch {
			case outs[i].Err != nil:
				info.Err = outcome("deleting", outs[i].Err)
				failure = cmp.Or(failure, info.Err)
			case out.Header.ID == "":
				info.Err = ErrNotFound
				missing++
			case out.Header.ID != id:
				info.Err = fmt.Errorf("delivery: deleting: %w", errStray)
				failure = cmp.Or(failure, info.Err)
			case out.Changed:
				deleted++
			}
		}
		t.opts.Observer.Deleted(ctx, info)
	}
	if failure == nil && missing > 0 {
		failure = fmt.Errorf("%d of %d messages: %w", missing, len(ids), ErrNotFound)
	}
	return deleted, failure
}
