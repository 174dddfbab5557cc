package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// marking is one call of Mark under way.
type marking struct {
	t       *Tracker
	tx      Store // bound to the caller's transaction, or nil
	marks   []Mark
	results []MarkResult
	rule    map[string]error // the app's answers so far, by conversation

	conversations []string    // of the marks, as far as they are known
	sentAt        []time.Time // of the messages of the marks that succeeded

	status  Status // what the user claims, of which the marks may show less
	private []int  // those that change what the user alone may know
	capped  []bool // of each, whether the user's cap for the message is below the mark's status
}

// markKind is what gather knows of marks. As one mark implies others, a batch writes no receipt
// more than four times: as delivered and as read, without and with the rule's yes.
var markKind = kind[Mark, receiptKey, Marked]{
	what: WroteMarks,
	key:  func(m Mark) receiptKey { return receiptKey{m.Message, m.User} },
	implies: func(done, also Mark) bool {
		return done.Status.Reaches(also.Status) && (done.Admitted && done.Conversation == also.Conversation || !also.Admitted)
	},
	repeat:  func(m Marked) Marked { m.Changed = false; return m },
	blocked: func(m Marked) (string, bool) { return m.Header.Conversation, m.Blocked },
}

type receiptKey struct{ message, user string }

// errUnadmitted says that the store wants the app's rule to be asked.
var errUnadmitted = errors.New("not admitted")

// judge names what the store's answer to a mark means. OwnMark.judge does so for private marks.
func judge(m Mark, h Header, r Receipt) error {
	switch {
	case h.ID == "":
		return ErrNotFound
	case h.ID != m.Message:
		return errStray
	case h.Sender == m.User:
		return ErrOwnMessage
	case h.Open && !m.AdmittedTo(h.Conversation):
		return errUnadmitted
	case !r.Status.Valid():
		return ErrNotRecipient
	}
	return nil
}

// foresee asks the app's rule before the first try, where the header is known to say that the store
// will want that. It reports whether the mark is still to be written. Refusals come from the store
// alone: another process may have deleted the message.
func (m *marking) foresee(ctx context.Context, i int) bool {
	h, known := m.t.headers.get(m.marks[i].Message)
	if !known {
		return true
	}
	m.conversations[i] = h.Conversation
	if judge(m.marks[i], h, Receipt{}) != errUnadmitted {
		return true
	}
	// A mark that the rule refuses goes to the store all the same, to be refused there: if the
	// answer came sooner than for a message that does not exist, it would tell a stranger that this
	// one does.
	return m.admit(ctx, i, h.Conversation) || errors.Is(m.results[i].Err, ErrForbidden)
}

// admit asks the app's rule, once per conversation, and reports whether it let the mark in.
func (m *marking) admit(ctx context.Context, i int, conversation string) bool {
	err, asked := m.rule[conversation]
	if !asked {
		err = m.t.Authorize(ctx, m.marks[i].User, ToMark, conversation)
		if m.rule == nil {
			m.rule = make(map[string]error)
		}
		m.rule[conversation] = err
	}
	m.results[i].Err = err
	m.marks[i].Admitted, m.marks[i].Conversation = err == nil, conversation
	return err == nil
}

// write tries the marks at these indexes, and again those that the app's rule then lets in.
func (m *marking) write(ctx context.Context, todo []int) error {
	for again := false; len(todo) > 0; again = true {
		marks := pick(m.marks, todo)
		var outs []coalesce.Result[Marked]
		var err error
		if m.tx != nil {
			outs, err = markKind.inTx(marks, func(round []Mark) ([]Marked, []Claimed, error) { return m.tx.Advance(ctx, round, Lease{}) })
		} else if outs = m.t.marks.do(ctx, marks[0].User, marks, m.t.whereabouts); !again {
			err = common(outs)
		}
		if err != nil {
			return outcome("marking", err)
		}
		var admitted []int
		for k, i := range todo {
			out := outs[k].Out
			m.conversations[i] = cmp.Or(out.Header.Conversation, m.conversations[i])
			if outs[k].Err != nil {
				m.results[i].Err = outcome("marking", outs[k].Err)
				continue
			}
			switch err := judge(m.marks[i], out.Header, out.Receipt); err {
			case nil:
				m.results[i].Own, m.results[i].Changed, m.sentAt[i] = Own(out.Receipt), out.Changed, out.Header.SentAt
				m.remember(out.Header)
				if m.tx == nil {
					m.t.places.put(m.marks[i].User, out.Header.Conversation)
				}
				m.capped[i] = out.Receipt.Status < m.marks[i].Status
				if out.Receipt.Status < m.status || m.status == Read && out.Flag > 0 && out.Flag <= out.Header.Seq {
					m.private = append(m.private, i)
				}
			case errUnadmitted:
				if m.admit(ctx, i, out.Header.Conversation) {
					m.remember(out.Header)
					admitted = append(admitted, i)
				}
			case ErrOwnMessage:
				m.remember(out.Header)
				m.results[i].Err = err
			default:
				m.results[i].Err = err
			}
		}
		todo = admitted
	}
	return nil
}

// writePrivate makes what others may not see of the marks. A failure is that of the results it met,
// beside which others may have been marked in public. It fails the call if it met all of it.
func (m *marking) writePrivate(ctx context.Context) error {
	if len(m.private) == 0 {
		return nil
	}
	marks := make([]OwnMark, len(m.private))
	for k, i := range m.private {
		mark := &m.marks[i]
		marks[k] = m.t.own(OwnMark{Act: OwnMarked, Conversation: mark.Conversation, Message: mark.Message, Status: m.status, Admitted: mark.Admitted}, Actor{User: mark.User, Socket: mark.Socket})
	}
	outs, errs, err := m.t.advanceOwn(ctx, m.tx, marks)
	met := 0
	for k, i := range m.private {
		if errs[k] == err && !m.results[i].Changed {
			met++
		}
	}
	if err != nil && (m.tx != nil || met == len(m.results)) {
		return err
	}
	for k, i := range m.private {
		r := &m.results[i]
		m.conversations[i] = cmp.Or(outs[k].Header.Conversation, m.conversations[i])
		if r.Err = errs[k]; r.Err != nil {
			if r.Err == err && r.Changed { // a part is committed, whatever the failure says of the rest
				r.Err = fmt.Errorf("%w: %v", ErrOutcomeUnknown, err)
			}
			r.Own = Own{}
			continue
		}
		m.sentAt[i] = outs[k].Header.SentAt
		r.Own.Message, r.Own.Recipient = marks[k].Message, marks[k].User
		r.Changed = r.Changed || outs[k].Advanced // a mark that only cleared the flag has changed no receipt
		r.Own.Status = max(r.Own.Status, outs[k].Status)
	}
	return nil
}

// common returns the error of a call all of whose marks failed: an unknown outcome, if there is
// one.
func common[Out any](outs []coalesce.Result[Out]) (err error) {
	for _, out := range outs {
		if out.Err == nil {
			return nil
		}
		if err == nil || isUnknown(out.Err) {
			err = out.Err
		}
	}
	return err
}

// whereabouts returns the mark's conversation, or what is the best guess. A mark that the app's
// rule refused is of none: it changes nothing, and how long it takes is not to tell a stranger what
// goes on there.
func (t *Tracker) whereabouts(m Mark) string {
	if h, known := t.headers.get(m.Message); known {
		if h.Open && !m.AdmittedTo(h.Conversation) {
			return ""
		}
		return h.Conversation
	}
	last, _ := t.places.get(m.User)
	return last
}

// remember keeps the header of a message that concerns the actor. Others' messages are not kept, so
// that a stranger who names many pushes none out.
func (m *marking) remember(h Header) {
	if m.tx == nil {
		m.t.headers.put(h.ID, h)
	}
}
