package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// upToMarking is one call of MarkUpTo under way.
type upToMarking struct {
	t      *Tracker
	tx     Store // bound to the caller's transaction, or nil
	actor  Actor
	status Status // what the actor claims
	mark   UpTo   // what others may see of it; without a Status, nothing

	asked   bool  // whether the app's rule was, or there is none
	refusal error // of a mark that concerns none of the actor's messages
	passed  bool  // all messages so far
	capped  bool  // the actor's cap for a message is below the mark's status
	sum     UpToResult
}

func (m *upToMarking) run(ctx context.Context) error {
	if m.mark.Status == 0 {
		return m.hidden(ctx)
	}
	if h, known := m.t.headers.get(m.mark.Message); known && h.Open && h.Conversation == m.mark.Conversation {
		if err := m.ask(ctx); err != nil {
			return err
		}
	}
	last, err := m.advance(ctx)
	if err != nil {
		return err
	}
	return m.finish(ctx, last)
}

// ask asks the app's rule, once.
func (m *upToMarking) ask(ctx context.Context) error {
	if m.asked {
		return nil
	}
	m.asked = true
	err := m.t.Authorize(ctx, m.actor.User, ToMark, m.mark.Conversation)
	m.mark.Admitted = err == nil
	if errors.Is(err, ErrForbidden) {
		m.refusal, err = err, nil
	}
	return err
}

// hidden makes a mark of which others see nothing. The actor's place passes over open messages too.
func (m *upToMarking) hidden(ctx context.Context) error {
	if err := m.ask(ctx); err != nil {
		return err
	}
	if m.mark.Admitted {
		return m.markOwn(ctx, OwnMarkedUpTo, 0)
	}
	err := m.markOwn(ctx, OwnMarked, 0)
	if errors.Is(err, ErrOwnMessage) {
		err = nil // up to its own message is no refusal
	}
	return err
}

// markOwn makes what others may not see of the mark. Reach is 0 unless they see all they may.
func (m *upToMarking) markOwn(ctx context.Context, act OwnAct, reach Status) error {
	return m.t.markOwn(ctx, m.tx, m.actor, OwnMark{
		Act: act, Conversation: m.mark.Conversation, Message: m.mark.Message, Status: m.status, Reach: reach, Admitted: m.mark.Admitted,
	})
}

// advance makes what others may see of the mark, stretch by stretch, and returns what the last call
// of the store did.
func (m *upToMarking) advance(ctx context.Context) (MarkedUpTo, error) {
	for {
		r, err := m.write(ctx)
		if err != nil {
			return MarkedUpTo{}, outcome("marking up to a message", err)
		}
		if r.Header.ID == "" {
			return r, nil
		}
		if r.Header.ID != m.mark.Message {
			return MarkedUpTo{}, fmt.Errorf("delivery: marking up to a message: %w", errStray)
		}
		if r.Changed > 0 {
			m.sum = UpToResult{m.sum.Changed + r.Changed, cmp.Or(m.sum.From, r.From), r.To}
		}
		if r.LeftOut > 0 && !m.asked {
			if err := m.ask(ctx); err != nil {
				return MarkedUpTo{}, err
			}
			if m.mark.Admitted {
				continue
			}
		}
		m.passed, m.capped = m.passed && r.LeftOut == 0, m.capped || r.Capped
		if !r.More {
			return r, nil
		}
		m.mark.After, m.mark.Covered = r.Reached, m.passed && !m.capped
	}
}

// write is one call of the store.
func (m *upToMarking) write(ctx context.Context) (MarkedUpTo, error) {
	if m.tx == nil {
		r := m.t.upTos.do(ctx, m.mark.User, []UpTo{m.mark}, m.t.upToWhereabouts)[0]
		return r.Out, r.Err
	}
	r, err := upToKind.inTx([]UpTo{m.mark}, func(u []UpTo) ([]MarkedUpTo, []Claimed, error) {
		return m.tx.AdvanceUpTo(ctx, u, upToLimit, Lease{})
	})
	if err != nil {
		return MarkedUpTo{}, err
	}
	return r[0].Out, nil
}

// finish refuses a mark that concerns none of the actor's messages, and makes what others may not
// see of any other.
func (m *upToMarking) finish(ctx context.Context, last MarkedUpTo) error {
	h, received := last.Header, last.Receipt.Status.Valid()
	hides := m.mark.Status < m.status || m.capped
	if h.ID == "" {
		if hides { // it takes as long as for a message of others
			return m.markOwn(ctx, OwnMarkedUpTo, 0)
		}
		return ErrNotFound
	}
	unflags := m.status == Read && last.Flag > 0 && last.Flag <= h.Seq
	// A user may have something to hide, or a flag to clear, without a change that others see.
	concerned := m.sum.Changed > 0 || m.capped || m.passed && (hides || unflags)
	if !concerned && !received && h.Sender != m.actor.User {
		if !h.deleted() {
			return m.refusal
		}
		// Nobody knows any more whose it was.
		if err := m.ask(ctx); err != nil {
			return err
		}
		if !m.mark.Admitted {
			return m.refusal
		}
	}
	if !hides && !unflags || !m.passed && !received {
		return nil
	}
	act, reach := OwnMarkedUpTo, m.mark.Status
	if !m.passed || !hides && received {
		act, reach = OwnMarked, 0 // which passes over nothing that was left out
	}
	err := m.markOwn(ctx, act, reach)
	if m.mark.Status == m.status && errors.Is(err, ErrForbidden) {
		err = nil // what the rule keeps from the actor is passed over
	}
	return err
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
