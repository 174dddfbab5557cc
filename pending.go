package delivery

import (
	"cmp"
	"context"
	"fmt"
)

// MaxUnread is how far [Tracker.Pending] counts: what is more is "1000+" on a badge.
const MaxUnread = 1000

// Pending is what a user has not read yet in one conversation, at one moment.
type Pending struct {
	// Unread is how many messages the user has not read and could mark, open ones if the app's rule
	// lets the user mark there, up to [MaxUnread]; More says that there are more.
	Unread int  `json:"unread"`
	More   bool `json:"more"`

	// First is the first unread message, zero if there is none. With a [Query.After] of its Seq
	// less one a page begins with it.
	First Position `json:"first,omitzero"`

	// Newest is the conversation's newest message, whoever sent it: what to mark up to, so that
	// none of these is unread. It is zero in an empty conversation.
	Newest Position `json:"newest,omitzero"`

	// Version is the conversation's: what [Tracker.Changes] after it returns is not counted here.
	Version int64 `json:"version"`
}

// Position is where a message stands in its conversation.
type Position struct {
	ID  string `json:"id"`
	Seq int64  `json:"seq"`
}

// Pending counts what the actor has not read yet in the conversation, and says where it begins:
// what a badge and a line above the first unread message want to know. Messages of others count as
// long as the user's receipt is not at [Read]: those frozen with the user as a recipient, and all
// open ones. A conversation that does not exist has nothing pending. Like the other reads it asks
// no rule.
//
// It looks at the messages after the place that the user's last [Tracker.MarkUpTo] reached, until
// it has found more than [MaxUnread], and at none before. Marks of single messages move no place:
// what was read so is looked at each time.
func (t *Tracker) Pending(ctx context.Context, actor Actor, conversation string) (Pending, error) {
	if err := cmp.Or(actor.check(), checkID("conversation", conversation)); err != nil {
		return Pending{}, err
	}
	pending, err := t.store.Pending(ctx, Reader{actor.User, conversation}, MaxUnread)
	if err != nil {
		return Pending{}, fmt.Errorf("delivery: counting unread messages: %w", err)
	}
	return pending, nil
}
