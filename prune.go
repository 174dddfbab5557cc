package delivery

import (
	"context"
	"fmt"
	"time"
)

// pruneLimit is how many messages go in one transaction. After each, pruning rests pruneRest times
// as long as it took, and leaves the database to the others.
const (
	pruneLimit = 100
	pruneRest  = 2
)

// Prune removes old messages from every conversation, announces that, and returns the number of
// messages that it removed. In each conversation it stops at the first message that was sent at the
// given time or later. Nothing is left of a pruned message, and a message that is sent with its id
// is a new one. So the given time must be earlier than any send that a client may still retry: if
// it is less than [Options.PruneAge] ago, the error is an [InvalidError].
//
// Prune works in transactions of up to 100 messages, one conversation after the other, and pauses
// after each for twice as long as it took, so that other calls wait little. If Prune returns an
// error, a further call goes on from there. Every page has the floor up to which messages were
// removed ([Page.Floor]), and so has the event ([Pruned]): clients drop messages at or below it.
//
// Prune needs a [Keeper]; with any other store it returns [errors.ErrUnsupported].
func (t *Tracker) Prune(ctx context.Context, before time.Time) (removed int, err error) {
	if before.IsZero() || time.Since(before) < t.opts.PruneAge {
		return 0, &InvalidError{Field: "before", Reason: "is not at least " + t.opts.PruneAge.String() + " ago"}
	}
	keeper, err := keeperOf(t.store)
	if err != nil {
		return 0, err
	}
	for after, more := "", true; more; {
		conversations, err := keeper.Conversations(ctx, after, MaxBatch)
		if err != nil {
			return removed, fmt.Errorf("delivery: listing conversations: %w", err)
		}
		for _, c := range conversations {
			n, err := t.prune(ctx, keeper, Pruning{Conversation: c, Before: before, Limit: pruneLimit})
			if removed += n; err != nil {
				return removed, err
			}
			after = c
		}
		more = len(conversations) == MaxBatch
	}
	return removed, nil
}

// DeleteConversation removes all messages of a conversation, announces that as [Tracker.Prune]
// does, and then removes all else: its rosters, and what is kept of its users, so that [Place.Rev]
// starts again at 0. A conversation that does not exist is no error. A send while
// DeleteConversation is under way may or may not be removed.
//
// The conversation's id, its version and its floor stay, and later sends go on from that version.
// If the version started again at 0, new messages could raise it to a version that a page knows
// already. The page would keep the old messages and ignore the new ones.
func (t *Tracker) DeleteConversation(ctx context.Context, conversation string) error {
	if err := checkID("conversation", conversation); err != nil {
		return err
	}
	keeper, err := keeperOf(t.store)
	if err != nil {
		return err
	}
	_, err = t.prune(ctx, keeper, Pruning{Conversation: conversation, All: true, Limit: pruneLimit})
	return err
}

// prune prunes one conversation until nothing is left to do there.
func (t *Tracker) prune(ctx context.Context, keeper Keeper, p Pruning) (removed int, err error) {
	defer func() {
		if removed > 0 {
			t.Wake()
		}
	}()
	for {
		began := time.Now()
		pruning, err := patient(ctx, func() (PruningResult, bool, error) {
			r, err := keeper.Prune(ctx, p)
			return r, r.Blocked, err
		})
		if removed += pruning.Removed; err != nil {
			return removed, outcome("pruning", err)
		}
		if !pruning.More && pruning.Removed == 0 {
			return removed, nil
		}
		select {
		case <-ctx.Done():
			return removed, outcome("pruning", ctx.Err())
		case <-time.After(pruneRest * time.Since(began)):
		}
		if !pruning.More {
			return removed, nil
		}
	}
}

// patient calls again, after a pause, as long as another transaction is in the way.
func patient[T any](ctx context.Context, call func() (result T, blocked bool, err error)) (T, error) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		result, blocked, err := call()
		if !blocked || err != nil {
			return result, err
		}
		if err := sleep(ctx, pause); err != nil {
			return result, err
		}
	}
}
