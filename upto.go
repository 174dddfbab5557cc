package delivery

import (
	"cmp"
	"context"
)

// UpToResult is what an up-to mark changed. If To - From + 1 equals Changed, all versions of that
// range are the mark's. If the range is larger, it contains changes of others, which can happen if
// the mark took several transactions. A client that counts versions then reads [Tracker.Changes].
type UpToResult struct {
	Changed int   `json:"changed"` // receipts whose advance others may see
	From    int64 `json:"from"`    // the first and the last version they took; 0 if none did
	To      int64 `json:"to"`
}

// MessageRef names a message and the conversation that it is in.
type MessageRef struct {
	Conversation string
	ID           string
}

// MarkUpTo marks all messages of the conversation, up to and including the named one, that the
// actor may mark. A user who comes back needs one call, and not one for each message. MarkUpTo
// passes over the actor's own messages, and messages that are not open and of which the actor is no
// recipient. The named message may be such a message.
//
// A message that is not in the conversation is [ErrNotFound]. If nothing could be marked, and the
// actor neither sent the named message nor has a receipt of it, the error is [ErrNotRecipient] or
// [ErrForbidden]. The part of the mark that [Actor.Hide] or an [Audience] hides is stored as a
// single change, for any number of messages: the actor's own [Place] moves to the named message. If
// the app's rule does not let the actor mark open messages there, the Place does not move, and only
// the named message gets the hidden mark. With [HideAll], MarkUpTo asks the rule before the write,
// even if none of the messages is open.
//
// Long stretches are marked in several transactions, oldest first, so after an error a part may be
// done; repeating the call does the rest.
func (t *Tracker) MarkUpTo(ctx context.Context, actor Actor, status Status, message MessageRef) (UpToResult, error) {
	return t.markUpTo(ctx, nil, actor, status, message)
}

// MarkUpToTx is [Tracker.MarkUpTo] inside the caller's transaction. It needs a [TxStore]. See
// [Tracker.SendTx] for locks and events.
func (t *Tracker) MarkUpToTx(ctx context.Context, tx DBTX, actor Actor, status Status, message MessageRef) (UpToResult, error) {
	store, err := t.inTx(tx)
	if err != nil {
		return UpToResult{}, err
	}
	return t.markUpTo(ctx, store, actor, status, message)
}

// markUpTo runs an upToMarking: through the shared batches, or, if tx is not nil, inside that
// store.
func (t *Tracker) markUpTo(ctx context.Context, tx Store, actor Actor, status Status, message MessageRef) (UpToResult, error) {
	if err := cmp.Or(actor.check(), checkMarking(status), checkID("conversation", message.Conversation), checkID("message", message.ID)); err != nil {
		return UpToResult{}, err
	}
	shown := actor.Hide.shown(status)
	m := upToMarking{t: t, tx: tx, actor: actor, status: status, asked: t.opts.Authorize == nil, refusal: ErrNotRecipient, passed: true}
	m.mark = UpTo{
		Conversation: message.Conversation, Message: message.ID, User: actor.User, Socket: actor.Socket,
		Status: shown, At: now(), Admitted: m.asked, Covered: true, Trace: t.trace(ctx),
	}
	err := m.run(ctx)
	t.opts.Observer.Marked(ctx, MarkedInfo{
		Conversation: message.Conversation, Message: message.ID, User: actor.User, Status: status, UpTo: true, Private: shown < status || m.capped, InTx: tx != nil, Changed: m.sum.Changed, Err: err,
	})
	return m.sum, err
}
