package delivery

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// Dismiss says that no message at or before the named one is to count as unread for the actor, and
// returns the actor's place. No receipt changes: others learn nothing of it. When a user joins a
// conversation with a history, call Dismiss with its newest message.
//
// The named message must be one that the actor could mark, the actor's own, or a deleted one, whose
// seq is still known. Otherwise the call is refused as a mark is: see [Tracker.MarkDelivered].
// Dismiss looks at no other message, so it costs the same whatever lies before.
func (t *Tracker) Dismiss(ctx context.Context, actor Actor, through MessageRef) (Place, error) {
	if err := checkID("conversation", through.Conversation); err != nil {
		return Place{}, err
	}
	return t.place(ctx, OwnMark{Act: OwnDismissed, Conversation: through.Conversation, Message: through.ID, Status: Read}, actor)
}

// MarkUnread marks the message's conversation as unread for the actor, from the message on, and
// returns the actor's place. [Unread.Flagged] says so until the actor marks a message at or after
// that one as read, or dismisses it. No count and no receipt changes, and others learn nothing of
// it. An earlier MarkUnread in the conversation is forgotten.
//
// The message must be one that the actor could mark, the actor's own, or a deleted one. Otherwise
// the call is refused as a mark is: see [Tracker.MarkDelivered].
func (t *Tracker) MarkUnread(ctx context.Context, actor Actor, message string) (Place, error) {
	return t.place(ctx, OwnMark{Act: OwnFlagged, Message: message}, actor)
}

// place makes one mark that only the actor may know.
func (t *Tracker) place(ctx context.Context, m OwnMark, actor Actor) (Place, error) {
	if err := cmp.Or(actor.check(), checkID("message", m.Message)); err != nil {
		return Place{}, err
	}
	outs, errs, _ := t.advanceOwn(ctx, nil, []OwnMark{t.own(m, actor)})
	if err := errs[0]; err != nil {
		return Place{}, err
	}
	return outs[0].Place, nil
}

// own fills in whose mark it is.
func (t *Tracker) own(m OwnMark, actor Actor) OwnMark {
	m.User, m.Socket = actor.User, actor.Socket
	m.Admitted, m.Tell = m.Admitted || t.opts.Authorize == nil, t.relay.tellsOwn
	return m
}

// advanceOwn has the store make marks that only their user may know, and again those that the app's
// rule lets in after the store asked for it. It returns a result, a refusal or the failure of each,
// and the failure, if there was one.
//
// Such marks share no batch with others, whose writes would tell how long they take.
func (t *Tracker) advanceOwn(ctx context.Context, tx Store, marks []OwnMark) (outs []MarkedOwn, errs []error, err error) {
	outs, errs = make([]MarkedOwn, len(marks)), make([]error, len(marks))
	todo, trace := make([]int, len(marks)), t.trace(ctx)
	for i := range marks {
		todo[i], marks[i].Trace = i, trace
	}
	rule := make(map[string]error)
	for len(todo) > 0 {
		results, err := t.writeOwn(ctx, tx, pick(marks, todo))
		if err != nil {
			err = outcome("marking for the user alone", err)
			for _, i := range todo {
				errs[i] = err
			}
			return outs, errs, err
		}
		var admitted []int
		for k, i := range todo {
			outs[i], errs[i] = results[k], marks[i].judge(results[k])
			if errs[i] != errUnadmitted {
				continue
			}
			c := outs[i].Header.Conversation
			if _, asked := rule[c]; !asked {
				rule[c] = t.Authorize(ctx, marks[i].User, ToMark, c)
			}
			if errs[i] = rule[c]; errs[i] == nil {
				marks[i].Admitted = true
				admitted = append(admitted, i)
			}
		}
		todo = admitted
	}
	return outs, errs, nil
}

// writeOwn is one call of the store.
func (t *Tracker) writeOwn(ctx context.Context, tx Store, marks []OwnMark) (outs []MarkedOwn, err error) {
	if tx != nil {
		outs, _, err = tx.AdvanceOwn(ctx, marks, Lease{})
	} else {
		ctx, cancel := limited(ctx, t.opts.WriteTimeout)
		defer cancel()
		var claimed []Claimed
		began := time.Now()
		outs, claimed, err = t.store.AdvanceOwn(ctx, marks, t.relay.lease())
		t.relay.handOver(claimed, began)
	}
	if err == nil && len(outs) != len(marks) {
		err = errStray
	}
	return outs, err
}

// judge names what the store's answer means.
func (m OwnMark) judge(out MarkedOwn) error {
	switch h := out.Header; {
	case h.ID == "":
		return ErrNotFound
	case h.ID != m.Message:
		return fmt.Errorf("delivery: marking for the user alone: %w", errStray)
	case out.May:
		return nil
	case h.deleted() && m.Act == OwnMarked:
		return ErrNotFound
	case h.Sender == m.User:
		return ErrOwnMessage
	case (h.Open || h.deleted()) && !m.Admitted:
		return errUnadmitted
	}
	return ErrNotRecipient
}

// markOwn makes one mark that only the actor may know, for what others may not see of a mark, or to
// clear a flag that the mark has reached.
func (t *Tracker) markOwn(ctx context.Context, tx Store, actor Actor, m OwnMark) error {
	_, errs, _ := t.advanceOwn(ctx, tx, []OwnMark{t.own(m, actor)})
	return errs[0]
}
