package sqlstore

import (
	"cmp"
	"context"

	"github.com/msgdelivery/delivery"
)

// sentMessage is a message whose recipients are to be judged.
type sentMessage struct {
	delivery.Header
	delivery.Tally
	conv, stored, roster int64
	recipients           int // tracked or not
}

// messages returns those of a conversation between two seqs, up to [delivery.MaxBatch].
func (l *looker) messages(ctx context.Context, conv, after, last int64) ([]sentMessage, error) {
	columns := func(m *sentMessage) []any {
		return append([]any{&m.conv, &m.stored, orZero[int64]{&m.roster}, &m.recipients, &m.Tally.Delivered, &m.Tally.Read}, headerColumns(&m.Header)...)
	}
	return queryInto(ctx, l.q, 1, columns, l.say(`
SELECT /*! STRAIGHT_JOIN */ m.conv, m.stored_at, m.roster, m.recipients, t.delivered_count, t.read_count, `+headerCols+`
FROM delivery_messages m /*! FORCE INDEX (PRIMARY) */`+
		l.one("delivery_conversations c", "PRIMARY", "c.conv = m.conv")+
		l.one("delivery_states t", "PRIMARY", "t.conv = m.conv AND t.seq = m.seq")+
		l.orNone("delivery_readers s", "delivery_readers_reader", "s.reader = m.sender")+`
WHERE m.conv = ? AND m.seq > ? AND m.seq <= ? ORDER BY m.seq LIMIT ?`), conv, after, last, delivery.MaxBatch)
}

// concerns reports whether a recipient of the message may be overdue.
func (l *looker) concerns(m *sentMessage) bool {
	reached := m.Tally.Delivered
	if l.rule.Status == delivery.Read {
		reached = m.Tally.Read
	}
	until := m.stored + l.rule.After.Microseconds() + l.rule.Within.Microseconds()
	return m.roster != 0 && until >= l.now && reached < m.recipients
}

// full reports whether the call has found, or looked at, as much as it may.
func (l *looker) full() bool { return len(l.due) == l.limit || l.members <= 0 }

// judgeAll claims the overdue recipients of a message, from one on. It returns 0 if these were all,
// or the last one that it has looked at.
func (l *looker) judgeAll(ctx context.Context, m *sentMessage, reader int64) (int64, error) {
	for {
		n := min(l.members, delivery.MaxBatch)
		all, err := l.judge(ctx, m, reader, n)
		if err != nil {
			return 0, err
		}
		for _, j := range all {
			reader = j.reader
			if !j.overdue {
				continue
			}
			if err := l.claim(ctx, m, j); err != nil {
				return 0, err
			}
			if l.full() {
				return reader, nil
			}
		}
		if len(all) < n {
			return 0, nil
		}
		if l.full() {
			return reader, nil
		}
	}
}

// claim claims a recipient for the first time.
func (l *looker) claim(ctx context.Context, m *sentMessage, j judged) error {
	d := l.add(m, j, 1)
	return l.exec(ctx, l.q, "INSERT INTO delivery_overdue (lease, number, rule, conv, seq, reader, attempts, ready_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		d.Claim.Lease, d.Claim.Number, l.id, m.conv, m.Seq, j.reader, d.Attempts, l.until())
}

// add adds a recipient to what the call returns.
func (l *looker) add(m *sentMessage, j judged, attempts int) delivery.Due {
	d := delivery.Due{
		Message: m.Header, Recipient: j.name, Status: j.at, Failure: j.failure, Attempts: attempts,
		Claim: delivery.OverdueClaim{Lease: l.lease.Token, Number: len(l.due)},
	}
	l.due = append(l.due, d)
	return d
}

// judged is how the rule sees a recipient of a message.
type judged struct {
	reader  int64
	name    string // empty if the user was erased
	at      delivery.Status
	overdue bool
	failure string // that the rule may know
}

// judge judges up to n recipients of a message after one.
func (l *looker) judge(ctx context.Context, m *sentMessage, after int64, n int) (all []judged, err error) {
	type member struct {
		reader       int64
		name         string
		limit        delivery.Status
		shown, alone delivery.Status
		reach        places
		failure      failure
		place        ownPlace
	}
	columns := func(b *member) []any {
		columns := []any{&b.reader, shown{&b.name}, status{&b.limit}, status{&b.shown}, orZero[int64]{&b.reach[delivery.Delivered]}, orZero[int64]{&b.reach[delivery.Read]}}
		return append(append(append(columns, b.failure.columns()...), status{&b.alone}), b.place.columns()...)
	}
	args := []any{m.roster, after, n, m.conv, m.Seq, m.conv, m.Seq}
	if l.rule.For == delivery.ForRecipient {
		args = append(args, m.Seq)
	}
	err = each(ctx, l.q, into(columns), func(b member) bool {
		l.members--
		state := delivery.OwnState{Header: m.Header, Private: b.alone, Place: b.place.place()}
		state.Receipt.Status = cmp.Or(b.shown, b.reach.absent(m.Seq, b.limit))
		at, overdue := l.rule.Judge(state, b.name, b.limit)
		code := b.failure.code
		if l.rule.For == delivery.ForSender {
			code = b.failure.shownBy(state.Receipt).Failure
		}
		all = append(all, judged{b.reader, b.name, at, overdue && b.name != "", code})
		return true
	}, l.say(l.judgeText(l.rule.For)), args...)
	return all, err
}

// judgeText returns the text that finds members of a roster, the sender too: roster, after which
// member, how many, key, seq, the same two again, and the seq again for the recipient → number,
// name, cap, shown status, delivered place, read place, failure…, private status, place. Only the
// text for the recipient has what is not for others.
func (d *dialect) judgeText(who delivery.OverdueFor) string {
	alone, join := "NULL, 0, 0, 0, 0, 0, 0", ""
	if who == delivery.ForRecipient {
		alone, join = d.alone()
	}
	return `
SELECT /*! STRAIGHT_JOIN */ b.reader, p.name, b.cap, r.status, p.delivered_seq, p.read_seq, f.code, f.version, ` + alone + `
FROM (
	SELECT reader, cap FROM delivery_members /*! FORCE INDEX (PRIMARY) */
	WHERE roster = ? AND reader > ? ORDER BY reader LIMIT ?
) b` +
		d.one("delivery_readers p", "delivery_readers_reader", "p.reader = b.reader") +
		d.orNone("delivery_receipts r", "PRIMARY", "r.conv = ? AND r.seq = ? AND r.reader = b.reader AND r.version > 0") +
		d.orNone("delivery_failures f", "PRIMARY", "f.conv = ? AND f.seq = ? AND f.reader = b.reader") + join + `
ORDER BY b.reader`
}
