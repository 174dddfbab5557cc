package delivery

import (
	"context"
	"fmt"
	"slices"
)

// Limits of [Tracker.Unread].
const (
	MaxUnread        = 1000 // the most messages that Tracker.Unread counts: a badge shows "1000+" for more
	MaxConversations = 200  // in one call
	MaxPreview       = 256  // characters of the newest message's body
)

// Unread is what a user has not read yet in one conversation, at one moment.
type Unread struct {
	Conversation string `json:"conversation"`

	// Count is how many messages of others the user has not read, up to [MaxUnread]: those that the
	// user is a recipient of, and all open ones. More says that there are more.
	Count int  `json:"count"`
	More  bool `json:"more"`

	// Flagged says that the user has marked the conversation as unread, by [Tracker.MarkUnread]. If
	// Count is 0, show a badge without a number. Flagged is false once all messages from the
	// [Place.Flag] on were deleted.
	Flagged bool `json:"flagged"`

	// First is the first message that is unread or marked as unread, zero if there is none. A page
	// with [Query.After] = First.Seq − 1 begins with it.
	First Position `json:"first,omitzero"`

	// Newest is the conversation's newest message, whoever sent it, with the user's own receipt and
	// the first [MaxPreview] characters of its body. A list of conversations shows Newest, and
	// a [Tracker.MarkUpTo] that names it leaves nothing unread. Newest is nil in an empty
	// conversation.
	Newest *Message `json:"newest,omitempty"`

	// Version is the version of the conversation. Later changes are not counted here.
	// [Tracker.Changes] returns them.
	Version int64 `json:"version"`

	// Floor is the Seq up to which the messages of the conversation were removed, as in a [Page].
	Floor int64 `json:"floor,omitempty"`

	// Place is where the user stands in the conversation.
	Place Place `json:"place"`
}

// Position is where a message stands in its conversation.
type Position struct {
	ID  string `json:"id"`
	Seq int64  `json:"seq"`
}

// Unread counts what the actor has not read yet in each of 1 to [MaxConversations] conversations,
// none of them named twice. The answers are in the order of the call. A list of conversations with
// badges needs one call. A message of somebody else's counts if the user is a recipient or it is
// open, as long as the user has neither read nor dismissed it. A conversation that does not exist
// has nothing unread. Like the other reads it does not check permissions.
//
// Unread looks only at messages after the one that the user's last [Tracker.MarkUpTo] or
// [Tracker.Dismiss] reached, and stops once it has found more than [MaxUnread]. Marks of single
// messages do not move that starting point: messages that were read one by one are looked at each
// time.
func (t *Tracker) Unread(ctx context.Context, actor Actor, conversations ...string) ([]Unread, error) {
	if err := actor.check(); err != nil {
		return nil, err
	}
	switch {
	case len(conversations) == 0:
		return nil, &InvalidError{Field: "conversation", Reason: "is missing"}
	case len(conversations) > MaxConversations:
		return nil, &InvalidError{Field: "conversation", Reason: fmt.Sprintf("is named more than %d times", MaxConversations)}
	}
	for _, c := range conversations {
		if err := checkID("conversation", c); err != nil {
			return nil, err
		}
	}
	if sorted := slices.Sorted(slices.Values(conversations)); len(slices.Compact(sorted)) < len(conversations) {
		return nil, &InvalidError{Field: "conversation", Reason: "is named twice"}
	}
	unread, err := t.store.Unread(ctx, actor.User, conversations, MaxUnread)
	if err == nil && len(unread) != len(conversations) {
		err = errStray
	}
	if err != nil {
		return nil, fmt.Errorf("delivery: counting unread messages: %w", err)
	}
	return unread, nil
}

// Preview returns the beginning of a message's body, of at most [MaxPreview] characters. Stores
// that do not cut the body of [Unread.Newest] in SQL use Preview.
func Preview(body string) string {
	n := 0
	for i := range body {
		if n++; n > MaxPreview {
			return body[:i]
		}
	}
	return body
}
