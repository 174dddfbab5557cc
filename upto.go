package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// UpToResult is what an up-to mark changed. The versions from From to To are all its own if To -
// From + 1 equals Changed. If it is more, others' changes lie between, as they may when the mark
// took several transactions: whoever counts versions reads them by [Tracker.Changes].
type UpToResult struct {
	Changed int   `json:"changed"` // receipts that advanced, as far as others may see it
	From    int64 `json:"from"`    // the first and the last version they took; 0 if none did
	To      int64 `json:"to"`
}

// MessageRef names a message and the conversation that it is in.
type MessageRef struct {
	Conversation string
	ID           string
}

// MarkUpTo marks all messages of the conversation up to and including the named one, as far as the
// actor is a recipient: what a user who comes back does once, instead of marking each. The actor's
// own messages, and those frozen without the actor, are passed over; the named one may be such.
//
// A message that is not in the conversation is [ErrNotFound]. When nothing could be marked and the
// actor neither sent nor received the named message, it is [ErrNotRecipient] or [ErrForbidden].
// What [Actor.Hide] or an [Audience] hides is one step, however many messages there are: the
// actor's own place moves up to the named message. If the app's rule keeps the actor from marking
// open messages there, the place stays, and of what is hidden the named message alone is marked.
// With [HideAll] the rule is asked before the write.
//
// Long stretches are marked in several transactions, oldest first, so after an error a part may be
// done; repeating the call does the rest.
func (t *Tracker) MarkUpTo(ctx context.Context, actor Actor, status Status, message MessageRef) (UpToResult, error) {
	return t.markUpTo(ctx, nil, func(u UpTo) (MarkedUpTo, error) {
		r := t.upTos.do(ctx, u.User, []UpTo{u}, t.upToWhereabouts)[0]
		return r.Out, r.Err
	}, actor, status, message)
}

// MarkUpToTx is [Tracker.MarkUpTo] inside the caller's transaction. It needs a [TxStore]. See
// [Tracker.SendTx] for locks and events.
func (t *Tracker) MarkUpToTx(ctx context.Context, tx DBTX, actor Actor, status Status, message MessageRef) (UpToResult, error) {
	store, err := t.inTx(tx)
	if err != nil {
		return UpToResult{}, err
	}
	return t.markUpTo(ctx, store, func(u UpTo) (MarkedUpTo, error) {
		r, err := upToKind.inTx([]UpTo{u}, func(u []UpTo) ([]MarkedUpTo, []Claimed, error) {
			return store.AdvanceUpTo(ctx, u, upToLimit, Lease{})
		})
		if err != nil {
			return MarkedUpTo{}, err
		}
		return r[0].Out, nil
	}, actor, status, message)
}

// upToKind is what gather knows of up-to marks.
var upToKind = kind[UpTo, Reader, MarkedUpTo]{
	what: WroteUpTos,
	key:  func(u UpTo) Reader { return Reader{u.User, u.Conversation} },
	implies: func(done, also UpTo) bool {
		return done.Message == also.Message && done.After == also.After && done.Covered == also.Covered && done.Status.Reaches(also.Status) && (done.Admitted || !also.Admitted)
	},
	repeat:  func(m MarkedUpTo) MarkedUpTo { m.Changed, m.From, m.To = 0, 0, 0; return m },
	blocked: func(m MarkedUpTo) (string, bool) { return m.Header.Conversation, m.Blocked },
}

// upToWhereabouts is [Tracker.whereabouts] of an up-to mark. The conversation that a caller names
// counts if the caller may mark there.
func (t *Tracker) upToWhereabouts(u UpTo) string {
	if u.Admitted {
		return u.Conversation
	}
	return t.whereabouts(Mark{Message: u.Message, User: u.User})
}

func (t *Tracker) markUpTo(ctx context.Context, tx Store, advance func(UpTo) (MarkedUpTo, error),
	actor Actor, status Status, message MessageRef,
) (sum UpToResult, err error) {
	if err := cmp.Or(actor.check(), checkMarking(status), checkID("conversation", message.Conversation), checkID("message", message.ID)); err != nil {
		return UpToResult{}, err
	}
	shown := actor.Hide.shown(status)
	u := UpTo{
		Conversation: message.Conversation, Message: message.ID, User: actor.User, Socket: actor.Socket,
		Status: shown, At: now(), Admitted: t.opts.Authorize == nil, Covered: true, Trace: t.trace(ctx),
	}
	passed, capped := true, false // all so far, and more than the user's caps show
	defer func() {
		t.opts.Observer.Marked(ctx, MarkedInfo{
			Conversation: message.Conversation, Message: message.ID, User: actor.User, Status: status, UpTo: true, Private: shown != status || capped, InTx: tx != nil, Changed: sum.Changed, Err: err,
		})
	}()
	own := OwnMark{Act: OwnMarkedUpTo, Conversation: message.Conversation, Message: message.ID, Status: status}
	refusal, asked := ErrNotRecipient, u.Admitted
	ask := func() error {
		asked = true
		err := t.Authorize(ctx, actor.User, ToMark, message.Conversation)
		u.Admitted = err == nil
		if errors.Is(err, ErrForbidden) {
			refusal, err = err, nil
		}
		return err
	}
	if shown == 0 { // the place passes over open messages too
		if !asked {
			if err := ask(); err != nil {
				return sum, err
			}
		}
		if own.Admitted = u.Admitted; !own.Admitted {
			own.Act = OwnMarked
		}
		err := t.markOwn(ctx, tx, actor, own)
		if own.Act == OwnMarked && errors.Is(err, ErrOwnMessage) {
			err = nil // up to its own message is no refusal
		}
		return sum, err
	}
	if h, known := t.headers.get(message.ID); known && h.Open && h.Conversation == message.Conversation && !asked {
		if err := ask(); err != nil {
			return sum, err
		}
	}
	for {
		r, err := advance(u)
		if err != nil {
			return sum, outcome("marking up to a message", err)
		}
		if r.Header.ID == "" {
			if shown < status { // it takes as long as for a message of others
				return sum, t.markOwn(ctx, tx, actor, own)
			}
			return sum, ErrNotFound
		}
		if r.Header.ID != message.ID {
			return sum, fmt.Errorf("delivery: marking up to a message: %w", errStray)
		}
		if r.Changed > 0 {
			sum.Changed += r.Changed
			sum.To = r.To
			if sum.From == 0 {
				sum.From = r.From
			}
		}
		if r.LeftOut > 0 && !asked {
			if err := ask(); err != nil {
				return sum, err
			}
			if u.Admitted {
				continue
			}
		}
		passed, capped = passed && r.LeftOut == 0, capped || r.Capped
		if r.More {
			u.After, u.Covered = r.Reached, passed && !capped
			continue
		}
		// Who has something to hide, or a flag to clear, may have it without a change that others see.
		flagged := status == Read && r.Flag > 0 && r.Flag <= r.Header.Seq
		private := shown < status || capped
		if sum.Changed == 0 && !capped && !(passed && (private || flagged)) && r.Header.Sender != actor.User && !r.Receipt.Status.Valid() {
			if r.Header.deleted() && !asked { // deleted, and nobody knows whose it was
				if err := ask(); err != nil {
					return sum, err
				}
			}
			if !r.Header.deleted() || !u.Admitted {
				return sum, refusal
			}
		}
		if private || flagged {
			received := r.Receipt.Status.Valid()
			if !passed && !received {
				return sum, nil
			}
			if own.Admitted = u.Admitted; !passed || !private && received {
				own.Act = OwnMarked // which passes over nothing that was left out
			} else {
				own.Reach = shown
			}
			err := t.markOwn(ctx, tx, actor, own)
			if shown == status && errors.Is(err, ErrForbidden) {
				err = nil // what the rule keeps from the actor is passed over
			}
			return sum, err
		}
		return sum, nil
	}
}
