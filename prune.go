package delivery

import (
	"context"
	"fmt"
	"time"
)

// pruneLimit is how many messages go in one transaction.
const pruneLimit = 100

// Prune removes old messages from every conversation, announces that, and returns the number of
// messages that it removed. In each conversation it stops at the first message that was sent at the
// given time or later. Nothing is left of a pruned message, and a message that is sent with its id
// is a new one. So the given time must be earlier than any send that a client may still retry: if
// it is less than [Options.PruneAge] ago, the error is an [InvalidError].
//
// Prune works in transactions of up to 100 messages, one conversation after the other, and pauses
// after each for twice as long as it took, so that other calls wait little. If pruning a
// conversation fails, or another transaction keeps it locked for [Options.WriteTimeout], Prune goes
// on with the next one. It returns the first such error at the end. A further call does what is
// left. Every page has the floor up to which messages were removed ([Page.Floor]), and so has the
// event ([Pruned]): clients drop messages at or below it.
//
// Prune needs a [Keeper]; with any other store it returns [errors.ErrUnsupported].
func (t *Tracker) Prune(ctx context.Context, before time.Time) (removed int, err error) {
	return t.everywhere(ctx, before, func(keeper Keeper, conversation string) (int, error) {
		return t.prune(ctx, keeper, Pruning{Conversation: conversation, Before: before, Limit: pruneLimit})
	})
}

// DeleteConversation removes all messages of a conversation, announces that as [Tracker.Prune]
// does, and then removes all else: its rosters, and what is kept of its users, so that [Place.Rev]
// starts again at 0. A conversation that does not exist is no error. A send while
// DeleteConversation is under way may or may not be removed. If another transaction keeps the
// conversation locked for [Options.WriteTimeout], DeleteConversation returns an error. A further
// call removes what is left.
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
	return unhurried(ctx, fmt.Sprintf("pruning conversation %q", p.Conversation), t.opts.WriteTimeout, func() (portion, bool, error) {
		r, err := keeper.Prune(ctx, p)
		return portion{r.Removed, r.More}, r.Blocked, err
	})
}
