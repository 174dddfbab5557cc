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

// How much one call of Overdue looks at.
const (
	mostMessages = 500
	mostMembers  = 2000
)

// ruleKey tells rules apart.
type ruleKey struct {
	name   string
	status delivery.Status
	whose  delivery.OverdueFor
}

// rule is how far the calls by a rule have come.
type rule struct {
	since  time.Time         // messages that are not newer are none of the rule's
	looked map[string]looked // by conversation
	waits  []overdue         // recipients who were returned and are not settled
}

// looked is how far a rule has come in a conversation: up to a recipient of a message, or if that
// is empty, to its last one.
type looked struct {
	seq       int64
	recipient string
}

// overdue is a recipient of a message who was claimed.
type overdue struct {
	conversation string
	seq          int64
	recipient    string
	attempts     int
	claim        delivery.OverdueClaim
	until        time.Time // the end of the lease
}

// looker is one call of Overdue.
type looker struct {
	*Store
	*rule
	by       delivery.OverdueRule
	lease    delivery.Lease
	limit    int
	now      time.Time
	due      []delivery.Due
	messages int // that the call may still look at
	members  int
}

// Overdue finds who is overdue, as [delivery.OverdueStore] says. It never answers Blocked.
func (s *Store) Overdue(ctx context.Context, by delivery.OverdueRule, limit int, lease delivery.Lease) (delivery.OverdueResult, error) {
	if err := s.enter(ctx); err != nil {
		return delivery.OverdueResult{}, err
	}
	defer s.mu.Unlock()
	l := looker{Store: s, by: by, lease: lease, limit: limit, now: time.Now(), messages: mostMessages, members: mostMembers}
	key := ruleKey{by.Name, by.Status, by.For}
	if l.rule = s.rules[key]; l.rule == nil {
		l.rule = &rule{since: l.now, looked: map[string]looked{}}
		s.rules[key] = l.rule
	}
	// Recipients who wait for their first time have at least 1/2 of the limit.
	waiting := l.again(limit / 2)
	done := l.find()
	if waiting && done && !l.full() {
		waiting = l.again(limit - len(l.due))
	}
	return delivery.OverdueResult{Due: l.due, More: waiting || !done}, nil
}

// full reports whether the call has found, or looked at, as much as it may.
func (l *looker) full() bool { return len(l.due) == l.limit || l.members <= 0 }

// again claims up to n recipients whose leases have run out, and forgets those among them who are
// overdue no more. It reports whether others are ready.
func (l *looker) again(n int) (more bool) {
	waits := l.waits
	slices.SortStableFunc(waits, func(a, b overdue) int { return a.until.Compare(b.until) })
	l.waits = nil
	for _, w := range waits {
		switch ready := !w.until.After(l.now); {
		case !ready:
			l.waits = append(l.waits, w)
		case n == 0:
			l.waits, more = append(l.waits, w), true
		default:
			n--
			l.claim(w)
		}
	}
	return more
}

// find claims recipients of messages that have become due. Done says that this is all there is.
func (l *looker) find() (done bool) {
	for _, id := range slices.Sorted(maps.Keys(l.conversations)) {
		if !l.walk(id) {
			return false
		}
	}
	return true
}

// walk claims the recipients of a conversation's messages that have become due, and reports whether
// it came to the last one.
func (l *looker) walk(id string) (whole bool) {
	c, from := l.conversations[id], l.looked[id]
	at := c.search(from.seq)
	if at < len(c.messages) && c.messages[at].Seq == from.seq && from.recipient == "" {
		at++
	}
	for _, m := range c.messages[at:] {
		switch {
		case m.stored.Add(l.by.After).After(l.now):
			return true
		case !m.stored.After(l.since) || l.late(m):
			l.looked[id] = looked{seq: m.Seq}
			continue
		case l.full() || l.messages == 0:
			return false
		}
		l.messages--
		members := m.roster.members
		if m.Seq == from.seq {
			at, found := slices.BinarySearch(members, from.recipient)
			if found {
				at++
			}
			members = members[at:]
		}
		for _, recipient := range members {
			if l.full() {
				return false
			}
			l.claim(overdue{conversation: id, seq: m.Seq, recipient: recipient})
			l.looked[id] = looked{m.Seq, recipient}
		}
		l.looked[id] = looked{seq: m.Seq}
	}
	return true
}

// late reports whether the rule has given a message up.
func (l *looker) late(m *message) bool {
	return m.stored.Add(l.by.After).Add(l.by.Within).Before(l.now)
}

// claim claims a recipient who is overdue.
func (l *looker) claim(w overdue) {
	l.members--
	c := l.conversations[w.conversation]
	at := c.search(w.seq)
	if at == len(c.messages) || c.messages[at].Seq != w.seq || nameless.Shown(w.recipient) == "" {
		return
	}
	m := c.messages[at]
	status, still := l.by.Judge(c.state(m, w.recipient), w.recipient, m.cap(w.recipient))
	if !still || l.late(m) {
		return
	}
	w.attempts++
	w.claim = delivery.OverdueClaim{Lease: l.lease.Token, Number: len(l.due)}
	w.until = l.now.Add(l.lease.For)
	l.waits = append(l.waits, w)
	failure := m.failures[w.recipient].code
	if l.by.For == delivery.ForSender {
		r, _ := m.shown(w.recipient)
		failure = r.Failure
	}
	l.due = append(l.due, delivery.Due{Message: m.Header, Recipient: w.recipient, Status: status, Failure: failure, Attempts: w.attempts, Claim: w.claim})
}

// SettleOverdue ends claims, as [delivery.OverdueStore] says.
func (s *Store) SettleOverdue(ctx context.Context, claims []delivery.OverdueClaim) (settled int, err error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	for _, r := range s.rules {
		r.waits = slices.DeleteFunc(r.waits, func(w overdue) bool {
			done := slices.Contains(claims, w.claim)
			if done {
				settled++
			}
			return done
		})
	}
	return settled, nil
}
