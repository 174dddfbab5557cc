package memstore

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/nameless"
)

var _ delivery.OverdueStore = (*Store)(nil)

// mostLooked is how many messages one call of Overdue looks at.
const mostLooked = 500

// rule is how far the calls with a rule's name have come.
type rule struct {
	since  time.Time        // messages that are not newer are none of the rule's
	looked map[string]int64 // by conversation: the seq of the last message whose recipients were judged
	waits  []overdue        // those whose claims are not settled, in the order in which they were found
}

// overdue is a recipient of a message.
type overdue struct {
	conversation string
	seq          int64
	recipient    string
	attempts     int
	claim        delivery.OverdueClaim
	until        time.Time // the end of the lease
}

// Overdue finds who is overdue, as [delivery.OverdueStore] says. It never answers Blocked.
func (s *Store) Overdue(ctx context.Context, by delivery.OverdueRule, limit int, lease delivery.Lease) (result delivery.OverdueResult, err error) {
	if err := s.enter(ctx); err != nil {
		return result, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	r := s.rules[by.Name]
	if r == nil {
		r = &rule{since: now, looked: map[string]int64{}}
		s.rules[by.Name] = r
	}
	result.More = s.find(r, by, now)
	var waits []overdue
	for _, w := range r.waits {
		ready := !w.until.After(now)
		if ready && len(result.Due) < limit {
			due, still := s.judge(w, by, now)
			if !still {
				continue
			}
			w.attempts++
			w.claim = delivery.OverdueClaim{Lease: lease.Token, Number: len(result.Due)}
			w.until = now.Add(lease.For)
			due.Attempts, due.Claim = w.attempts, w.claim
			result.Due = append(result.Due, due)
		} else if ready {
			result.More = true
		}
		waits = append(waits, w)
	}
	r.waits = waits
	return result, nil
}

// find lets the recipients of messages that have become due wait to be judged, and reports whether
// it has left some.
func (s *Store) find(r *rule, by delivery.OverdueRule, now time.Time) (more bool) {
	looked := 0
	for _, id := range slices.Sorted(maps.Keys(s.conversations)) {
		c := s.conversations[id]
		for _, m := range c.messages[c.search(r.looked[id]+1):] {
			if m.stored.Add(by.After).After(now) {
				break
			}
			if looked == mostLooked {
				return true
			}
			looked++
			r.looked[id] = m.Seq
			for _, recipient := range m.roster.members {
				w := overdue{conversation: id, seq: m.Seq, recipient: recipient}
				if _, still := s.judge(w, by, now); still && m.stored.After(r.since) {
					r.waits = append(r.waits, w)
				}
			}
		}
	}
	return false
}

// judge returns the recipient as the rule sees it, and whether it is overdue.
func (s *Store) judge(w overdue, by delivery.OverdueRule, now time.Time) (due delivery.Due, still bool) {
	c := s.conversations[w.conversation]
	at := c.search(w.seq)
	if at == len(c.messages) || c.messages[at].Seq != w.seq || nameless.Shown(w.recipient) == "" {
		return due, false
	}
	m := c.messages[at]
	status, still := by.Judge(c.state(m, w.recipient), w.recipient, m.cap(w.recipient))
	gone := m.stored.Add(by.After).Add(by.Within).Before(now)
	return delivery.Due{Message: m.Header, Recipient: w.recipient, Status: status}, still && !gone
}

// SettleOverdue ends claims, as [delivery.OverdueStore] says.
func (s *Store) SettleOverdue(ctx context.Context, claims []delivery.OverdueClaim) (settled int, err error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	for _, r := range s.rules {
		r.waits = slices.DeleteFunc(r.waits, func(w overdue) bool {
			done := w.attempts > 0 && slices.Contains(claims, w.claim)
			if done {
				settled++
			}
			return done
		})
	}
	return settled, nil
}
