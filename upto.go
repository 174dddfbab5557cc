package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// UpToResult is what an up-to mark changed. The versions from From to To are all its own if To -
// From + 1 equals Changed. If it is more, others' changes lie between, as they may when the mark
// took several transactions: whoever counts versions reads them by [Tracker.Changes].
type UpToResult struct {
	Changed int   `json:"changed"` // receipts that advanced
	From    int64 `json:"from"`    // the first and the last version they took; 0 if none did
	To      int64 `json:"to"`
}

// MarkUpTo marks all messages of the conversation up to and including the named one, as far as the
// actor is a recipient: what a user who comes back does once, instead of marking each. The actor's
// own messages, and those frozen without the actor, are passed over; the named one may be such.
//
// An id that is not in the conversation is [ErrNotFound]. When nothing could be marked and the
// actor neither sent nor received the named message, it is [ErrNotRecipient] or [ErrForbidden].
// Long stretches are marked in several transactions, oldest first, so after an error a part may be
// done; repeating the call does the rest.
func (t *Tracker) MarkUpTo(ctx context.Context, actor Actor, status Status, conversation, message string) (UpToResult, error) {
	return t.markUpTo(ctx, t.advanceUpTo, actor, status, conversation, message)
}

// MarkUpToTx is [Tracker.MarkUpTo] inside the caller's transaction. It needs a [TxStore]. See
// [Tracker.SendTx] for locks and events.
func (t *Tracker) MarkUpToTx(ctx context.Context, tx DBTX, actor Actor, status Status, conversation, message string) (UpToResult, error) {
	store, err := t.inTx(tx)
	if err != nil {
		return UpToResult{}, err
	}
	return t.markUpTo(ctx, func(ctx context.Context, u UpTo) (MarkedUpTo, error) {
		r, _, err := advanceUpTo(ctx, store, u, Lease{})
		return r, err
	}, actor, status, conversation, message)
}

func (t *Tracker) advanceUpTo(ctx context.Context, u UpTo) (MarkedUpTo, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.opts.WriteTimeout)
		defer cancel()
	}
	return coalesce.Await(ctx, func() (MarkedUpTo, error) {
		lease, began := t.relay.lease(t.opts.Lease, &t.breaker), time.Now()
		r, claimed, err := advanceUpTo(ctx, t.store, u, lease)
		t.handOver(claimed, began)
		return r, err
	})
}

// advanceUpTo has the store apply one up-to mark.
func advanceUpTo(ctx context.Context, store Store, u UpTo, lease Lease) (r MarkedUpTo, claimed []Claimed, err error) {
	results, claimed, err := store.AdvanceUpTo(ctx, []UpTo{u}, upToLimit, lease)
	if err == nil && len(results) != 1 {
		err = fmt.Errorf("%w: %d results for an up-to mark", errStray, len(results))
	}
	if err == nil {
		r = results[0]
	}
	return r, claimed, err
}

func (t *Tracker) markUpTo(ctx context.Context, advance func(context.Context, UpTo) (MarkedUpTo, error),
	actor Actor, status Status, conversation, message string,
) (sum UpToResult, err error) {
	if err := cmp.Or(actor.check(), checkMarking(status), checkID("conversation", conversation), checkID("message", message)); err != nil {
		return UpToResult{}, err
	}
	u := UpTo{
		Conversation: conversation, Message: message, User: actor.User, Socket: actor.Socket,
		Status: status, At: now(), Admitted: t.opts.Authorize == nil, Covered: true,
	}
	refusal, asked := ErrNotRecipient, u.Admitted
	ask := func() error {
		asked = true
		err := t.Authorize(ctx, actor.User, ToMark, conversation)
		u.Admitted = err == nil
		if errors.Is(err, ErrForbidden) {
			refusal, err = err, nil
		}
		return err
	}
	if h, known := t.headers.get(message); known && h.Open && h.Conversation == conversation && !asked {
		if err := ask(); err != nil {
			return sum, err
		}
	}
	for tries := 0; ; {
		r, err := advance(ctx, u)
		if err == nil && r.Blocked {
			if tries++; tries > 1 {
				err = rest(ctx, pauseOf(tries-2))
			}
			if err == nil {
				continue
			}
		}
		if err != nil {
			return sum, outcome("marking up to a message", err)
		}
		if r.Header.ID == "" {
			t.opts.Observer.refused(actor.User, message, ErrNotFound)
			return sum, ErrNotFound
		}
		if r.Header.ID != message {
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
		if r.More {
			u.After, u.Covered = r.Reached, u.Covered && r.LeftOut == 0
			continue
		}
		if sum.Changed == 0 && r.Header.Sender != actor.User && !r.Receipt.Status.Valid() {
			t.opts.Observer.refused(actor.User, message, refusal)
			return sum, refusal
		}
		t.opts.Observer.marked(status, sum.Changed > 0)
		return sum, nil
	}
}
