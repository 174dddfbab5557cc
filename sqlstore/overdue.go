package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

// Overdue finds who is overdue, as [delivery.OverdueStore] says.
func (s *Store) Overdue(ctx context.Context, rule delivery.OverdueRule, limit int, lease delivery.Lease) (result delivery.OverdueResult, err error) {
	err = s.session.write(ctx, func(q delivery.DBTX) error {
		l := looker{session: s.session, q: q, rule: rule, lease: lease, limit: limit, members: mostMembers}
		result = delivery.OverdueResult{}
		result.More, result.Blocked, err = l.look(ctx)
		result.Due = l.due
		return err
	})
	if err != nil {
		return delivery.OverdueResult{}, fmt.Errorf("sqlstore: looking for who is overdue: %w", err)
	}
	return result, nil
}

// SettleOverdue ends claims, as [delivery.OverdueStore] says.
func (s *Store) SettleOverdue(ctx context.Context, claims []delivery.OverdueClaim) (settled int, err error) {
	if len(claims) == 0 {
		return 0, nil
	}
	err = s.session.write(ctx, func(q delivery.DBTX) error {
		settled = 0
		for _, c := range claims {
			result, err := q.ExecContext(ctx, s.session.say("DELETE FROM delivery_overdue WHERE lease = ? AND number = ?"), c.Lease, c.Number)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			settled += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("sqlstore: settling who was overdue: %w", err)
	}
	return settled, nil
}

// How much one call of Overdue looks at, beside [delivery.MaxBatch] messages to judge.
const (
	mostMembers = 2000   // recipients
	mostStored  = 10_000 // messages, by the index alone
)

// lag is for how long after their time messages are sought that were committed late.
const lag = time.Hour

// tick is how far apart the ticks of a database's clock may be.
const tick = time.Millisecond

// looker is one call of Overdue: a transaction that has the rule locked. Times are in microseconds,
// on the clock of the database.
//
// A conversation's messages commit in order of seq, and its looked row says how far the rule has
// come there. So whichever way a conversation comes to the rule's notice, no message in it is
// skipped and none is judged twice. An index on the time of storing finds conversations: messages
// that have become due since the last call, from the rule's head on, and those of the last hour
// before that, in turns from its tail on.
type looker struct {
	*session
	q     delivery.DBTX
	rule  delivery.OverdueRule
	lease delivery.Lease
	limit int

	id, since, head, tail, now int64
	members                    int // that the call may still look at
	due                        []delivery.Due
}

func (l *looker) look(ctx context.Context) (more, blocked bool, err error) {
	locked, err := l.take(ctx)
	if err != nil || !locked {
		return false, !locked && l.id != 0, err
	}
	if err := l.again(ctx); err != nil {
		return false, false, err
	}
	due := l.dueSince()
	oldest := max(l.since, due-l.rule.Within.Microseconds())
	head, done, err := l.scan(ctx, max(l.head, oldest), due)
	if err != nil {
		return false, false, err
	}
	head = max(head, l.head)
	tail, begin := l.tail, max(oldest, due-lag.Microseconds())
	if done {
		var whole bool
		if tail, whole, err = l.scan(ctx, max(tail, begin), min(l.head, due)); err != nil {
			return false, false, err
		}
		if whole {
			tail = begin
		}
	}
	if head != l.head || tail != l.tail {
		err = l.exec(ctx, l.q, "UPDATE delivery_rules SET head = ?, tail = ? WHERE rule = ?", head, tail, l.id)
	}
	return !done || len(l.due) == l.limit, false, err
}

// take locks the rule, and reports whether it did. The first call by a rule makes its row, and has
// nothing to look at. The rule has an id if another call has it.
func (l *looker) take(ctx context.Context) (locked bool, err error) {
	const text = `
SELECT rule, since, head, tail, %s FROM delivery_rules /*! FORCE INDEX (delivery_rules_name) */
WHERE name = ? AND status = ? AND whose = ?%s`
	key := []any{l.rule.Name, int64(l.rule.Status), int64(l.rule.For)}
	columns := func(r *looker) []any { return []any{&r.id, &r.since, &r.head, &r.tail, &r.now} }
	for _, lock := range []string{l.ifFree, ""} {
		rules, err := queryInto(ctx, l.q, 1, columns, l.say(fmt.Sprintf(text, l.clock, lock)), key...)
		if err != nil {
			return false, err
		}
		if len(rules) > 0 {
			r := rules[0]
			l.id, l.since, l.head, l.tail, l.now = r.id, r.since, r.head, r.tail, r.now
			return lock == l.ifFree, nil
		}
	}
	return false, l.exec(ctx, l.q, l.addRule, key...)
}

// addRule returns the text of [dialect.addRule].
func addRule(now, keep string) string {
	return "INSERT INTO delivery_rules (name, status, whose, since, head, tail) SELECT ?, ?, ?, n, n, n FROM (SELECT " + now + " AS n) now" + keep
}

// again claims those whose leases have run out, and forgets those who are overdue no more.
func (l *looker) again(ctx context.Context) error {
	type waiting struct {
		lease, number, conv, seq, reader int64
		attempts                         int
	}
	columns := func(w *waiting) []any {
		return []any{&w.lease, &w.number, &w.conv, &w.seq, &w.reader, &w.attempts}
	}
	all, err := queryInto(ctx, l.q, l.limit, columns, l.say(`
SELECT lease, number, conv, seq, reader, attempts FROM delivery_overdue /*! FORCE INDEX (delivery_overdue_ready) */
WHERE rule = ? AND ready_at <= ? ORDER BY ready_at LIMIT ?`), l.id, l.now, l.limit)
	if err != nil {
		return err
	}
	for _, w := range all {
		messages, err := l.messages(ctx, w.conv, w.seq-1, w.seq)
		if err != nil {
			return err
		}
		var all []judged
		if len(messages) > 0 && l.concerns(&messages[0]) {
			if all, err = l.judge(ctx, &messages[0], w.reader-1, 1); err != nil {
				return err
			}
		}
		text, args := "DELETE FROM delivery_overdue WHERE lease = ? AND number = ?", []any{w.lease, w.number}
		if len(all) > 0 && all[0].reader == w.reader && all[0].overdue {
			d := l.add(&messages[0], all[0], w.attempts+1)
			text = "UPDATE delivery_overdue SET lease = ?, number = ?, attempts = ?, ready_at = ? WHERE lease = ? AND number = ?"
			args = append([]any{d.Claim.Lease, d.Claim.Number, d.Attempts, l.until()}, args...)
		}
		if err := l.exec(ctx, l.q, text, args...); err != nil {
			return err
		}
	}
	return nil
}

// dueSince returns up to when messages were stored that are due now.
func (l *looker) dueSince() int64 { return l.now - (l.rule.After + tick).Microseconds() }

func (l *looker) until() int64 { return l.now + l.lease.For.Microseconds() }

// news is what a conversation has that is new to the rule.
type news struct {
	stored, first, last int64 // when the first message was stored, its seq, and the last one's
	seq, reader         int64 // how far the rule has come, 0 if it was never in the conversation
}

// scan judges the recipients of messages that were stored after one time, and not after another,
// and returns up to when. Done says that this is all there is.
func (l *looker) scan(ctx context.Context, from, to int64) (at int64, done bool, err error) {
	if from >= to {
		return to, true, nil
	}
	const stored = " FROM delivery_messages m /*! FORCE INDEX (delivery_messages_stored) */"
	const between = " WHERE m.stored_at > ? AND m.stored_at <= ?"
	const inOrder = " ORDER BY m.stored_at LIMIT "
	far, err := query(ctx, l.q, scanInt, l.say("SELECT m.stored_at"+stored+between+inOrder+"1 OFFSET ?"), from, to, mostStored-1)
	if err != nil {
		return 0, false, err
	}
	end := append(far, to)[0]
	type candidate struct {
		stored, conv, seq int64
		seen, reader      int64
	}
	columns := func(c *candidate) []any {
		return []any{&c.stored, &c.conv, &c.seq, orZero[int64]{&c.seen}, orZero[int64]{&c.reader}}
	}
	found, err := queryInto(ctx, l.q, delivery.MaxBatch, columns, l.say(`
SELECT /*! STRAIGHT_JOIN */ m.stored_at, m.conv, m.seq, u.seq, u.reader`+stored+
		l.orNone("delivery_looked u", "PRIMARY", "u.conv = m.conv AND u.rule = ?")+between+`
AND (u.seq IS NULL OR u.seq < m.seq OR u.seq = m.seq AND u.reader > 0)`+inOrder+"?"), l.id, from, end, delivery.MaxBatch)
	if err != nil {
		return 0, false, err
	}
	all := map[int64]*news{}
	var order []int64
	for _, c := range found {
		n := all[c.conv]
		if n == nil {
			n = &news{stored: c.stored, first: c.seq, seq: c.seen, reader: c.reader}
			all[c.conv], order = n, append(order, c.conv)
		}
		n.first, n.last = min(n.first, c.seq), max(n.last, c.seq)
	}
	for _, conv := range order {
		whole, err := l.walk(ctx, conv, *all[conv])
		if err != nil || !whole {
			return all[conv].stored - 1, false, err
		}
	}
	if len(found) == delivery.MaxBatch { // there may be more, also of the same time
		last := found[len(found)-1].stored
		return max(last-1, min(last, from+1)), false, nil
	}
	return end, end == to, nil
}

// walk judges the recipients of a conversation's messages in order of seq, and reports whether it
// came to the last one that is due.
func (l *looker) walk(ctx context.Context, conv int64, n news) (whole bool, err error) {
	seq, reader := n.seq, n.reader
	if seq == 0 {
		earlier, args := l.earlier(conv, n.first)
		before, err := query(ctx, l.q, scanInt, l.say(`
SELECT seq FROM delivery_messages /*! FORCE INDEX (PRIMARY) */
WHERE `+earlier+` AND stored_at <= ? ORDER BY conv DESC, seq DESC LIMIT 1`), append(args, l.since)...)
		if err != nil {
			return false, err
		}
		seq = append(before, 0)[0]
	}
	after := seq
	if reader > 0 {
		after-- // this message again
	}
	messages, err := l.messages(ctx, conv, after, n.last)
	if err != nil {
		return false, err
	}
	whole, moved := len(messages) < delivery.MaxBatch, false
	for i := range messages {
		m := &messages[i]
		if m.stored > l.dueSince() { // the clock was set back meanwhile
			break
		}
		if l.full() {
			whole = false
			break
		}
		if m.Seq != seq {
			reader = 0
		}
		seq, moved = m.Seq, true
		if !l.concerns(m) {
			reader = 0
		} else if reader, err = l.judgeAll(ctx, m, reader); err != nil {
			return false, err
		}
	}
	if !moved {
		return whole, nil
	}
	text := "UPDATE delivery_looked SET seq = ?, reader = ? WHERE conv = ? AND rule = ?"
	if n.seq == 0 {
		text = "INSERT INTO delivery_looked (seq, reader, conv, rule) VALUES (?, ?, ?, ?)"
	}
	return whole && reader == 0, l.exec(ctx, l.q, text, seq, reader, conv, l.id)
}
