package delivery

import (
	"context"
	"fmt"
	"time"
)

// compactLimit is how many messages are compacted in one transaction.
const compactLimit = 100

// Compact removes the times at which old messages were delivered and read, in every conversation,
// and returns the number of messages that it processed. All statuses, counts, lists and badges stay
// as they are. Compact does not raise the version of a conversation, and makes no event. A receipt
// without its times has the message's Seq as its Version, because its real version would reveal
// when it changed. [Tracker.Receipts] returns it with the Reason [Expired]. The lower Version does
// not disturb clients, because they compare the statuses of a receipt, and those never fall.
//
// In each conversation, Compact goes through the messages in order of their last changes, and stops
// at the first one that was sent at the given time or later. A message that changed late comes late
// in this order. For example, if somebody reads an old message today, the message moves to the end
// of the order. Compact reaches it only once the given time is later than the SentAt of every
// message that comes earlier in this order. Until then its times are kept. If the given time is
// less than [Options.PruneAge] ago, the error is an [InvalidError].
//
// Receipts take most of the space in groups. sqlstore removes the rows of receipts that an up-to
// mark ([Tracker.MarkUpTo]) has covered. It does not need them, because it stores for each user how
// far the user's up-to marks have come. The receipts of open messages, and those of users who mark
// messages one by one, keep their rows.
//
// Compact works in transactions of up to 100 messages, and pauses after each, as [Tracker.Prune]
// does. If a conversation fails, Compact goes on with the next one, as Prune does. An event that
// waits, or is a dead letter, keeps the times that it has.
//
// Compact needs a [Keeper]; with any other store it returns [errors.ErrUnsupported].
func (t *Tracker) Compact(ctx context.Context, before time.Time) (compacted int, err error) {
	return t.everywhere(ctx, before, func(keeper Keeper, conversation string) (int, error) {
		return unhurried(ctx, fmt.Sprintf("compacting conversation %q", conversation), t.opts.WriteTimeout, func() (portion, bool, error) {
			r, err := keeper.Compact(ctx, Compaction{Conversation: conversation, Before: before, Limit: compactLimit})
			return portion{r.Compacted, r.More}, r.Blocked, err
		})
	})
}
