package delivery

import (
	"cmp"
	"context"
	"time"
)

// MarkDelivered says that the message reached the actor, and returns the actor's receipt. Repeated
// and backward marks are no errors: they change nothing and tell nobody. Others see as much of the
// mark as [Actor.Hide] and the message's [Audience] say, and the actor alone knows the rest. A mark
// that hides nothing ignores earlier hidden marks: if the actor has read the message in private,
// MarkDelivered returns a receipt at [Delivered]. [Message.Own] includes the hidden marks.
//
// The sender gets [ErrOwnMessage], a user who is not among the frozen recipients gets
// [ErrNotRecipient], and a user whom the app's rule does not let mark an open message gets
// [ErrForbidden]. Marks by frozen recipients never ask that rule. When ctx ends while the write is
// under way the error wraps [ErrOutcomeUnknown]; when it ends before, nothing was written.
func (t *Tracker) MarkDelivered(ctx context.Context, actor Actor, message string) (Own, error) {
	return only(t.mark(ctx, nil, actor, Delivered, message))
}

// MarkRead says that the actor saw the message, which implies that it was delivered.
// It is otherwise like [Tracker.MarkDelivered].
func (t *Tracker) MarkRead(ctx context.Context, actor Actor, message string) (Own, error) {
	return only(t.mark(ctx, nil, actor, Read, message))
}

// only returns what became of the one message that was marked.
func only(results []MarkResult, err error) (Own, error) {
	if err != nil {
		return Own{}, err
	}
	return results[0].Own, results[0].Err
}

// MarkResult is what became of one of the messages in a [Tracker.Mark].
type MarkResult struct {
	Message string
	Own     Own   // the actor's receipt, after the mark; zero with an Err
	Changed bool  // this mark advanced the receipt; if Err is set too, the part of the mark that others may see is committed, and the hidden part failed
	Err     error // a refusal as in [Tracker.MarkDelivered], or the error of a write that failed for some of the messages only
}

// Mark marks up to [MaxBatch] messages, of any conversations, for one actor and returns a result
// for each in the same order. A message that is named more than once has one result, where it was
// named first. A refused message never fails the rest. The error is for the call as a whole:
// invalid arguments, or a failure of all marks.
func (t *Tracker) Mark(ctx context.Context, actor Actor, status Status, messages ...string) ([]MarkResult, error) {
	return t.mark(ctx, nil, actor, status, messages...)
}

// MarkTx is [Tracker.Mark] inside the caller's transaction: all of it is committed with the
// caller's own rows, or none. It needs a [TxStore]. See [Tracker.SendTx] for locks and events.
func (t *Tracker) MarkTx(ctx context.Context, tx DBTX, actor Actor, status Status, messages ...string) ([]MarkResult, error) {
	store, err := t.inTx(tx)
	if err != nil {
		return nil, err
	}
	return t.mark(ctx, store, actor, status, messages...)
}

// mark runs a marking: through the shared batches, or, if tx is not nil, inside that store.
func (t *Tracker) mark(ctx context.Context, tx Store, actor Actor, status Status, messages ...string) ([]MarkResult, error) {
	if err := cmp.Or(actor.check(), checkMarking(status)); err != nil {
		return nil, err
	}
	if len(messages) > MaxBatch {
		return nil, tooMany("messages", MaxBatch)
	}
	ids := distinctIDs(messages)
	shown := actor.Hide.shown(status)
	m := marking{t: t, tx: tx, status: status, marks: make([]Mark, len(ids)), results: make([]MarkResult, len(ids)), conversations: make([]string, len(ids)), sentAt: make([]time.Time, len(ids)), capped: make([]bool, len(ids))}
	todo := make([]int, 0, len(ids))
	at, trace := now(), t.trace(ctx)
	for i, id := range ids {
		m.results[i].Message = id
		m.marks[i] = Mark{Message: id, User: actor.User, Socket: actor.Socket, Status: shown, At: at, Admitted: t.opts.Authorize == nil, Trace: trace}
		if err := checkID("message", id); err != nil {
			m.results[i].Err = err
		} else if shown == 0 {
			m.private = append(m.private, i)
		} else if m.foresee(ctx, i) {
			todo = append(todo, i)
		}
	}
	err := m.write(ctx, todo)
	if err == nil {
		err = m.writePrivate(ctx)
	}
	for i, id := range ids {
		info := MarkedInfo{Conversation: m.conversations[i], Message: id, User: actor.User, Status: status, Private: shown != status || m.capped[i], InTx: tx != nil, Err: cmp.Or(m.results[i].Err, err)}
		if m.results[i].Changed {
			info.Changed = 1
		}
		if info.Err == nil {
			info.SentAt, info.Receipt = m.sentAt[i], Receipt(m.results[i].Own)
		}
		t.opts.Observer.Marked(ctx, info)
	}
	if err != nil {
		return nil, err
	}
	return m.results, nil
}

// distinctIDs returns the messages, each once. A call is cheap where it names few, however often.
func distinctIDs(messages []string) (ids []string) {
	seen := make(map[string]bool)
	for _, id := range messages {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}
