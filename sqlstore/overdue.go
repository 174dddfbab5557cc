package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

// Overdue finds who is overdue, as [delivery.OverdueStore] says.
func (s *Store) Overdue(ctx context.Context, rule delivery.OverdueRule, limit int, lease delivery.Lease) (delivery.OverdueResult, error) {
	return awaitWrite(ctx, s.session, "looking for who is overdue", func() (result delivery.OverdueResult, err error) {
		err = s.session.write(ctx, func(q delivery.DBTX) error {
			l := looker{session: s.session, q: q, rule: rule, lease: lease, limit: limit, members: mostMembers}
			result = delivery.OverdueResult{}
			result.More, result.Blocked, err = l.look(ctx)
			result.Due = l.due
			return err
		})
		return result, err
	})
}

// SettleOverdue ends claims, as [delivery.OverdueStore] says.
func (s *Store) SettleOverdue(ctx context.Context, claims []delivery.OverdueClaim) (int, error) {
	if len(claims) == 0 {
		return 0, nil
	}
	return awaitWrite(ctx, s.session, "settling who was overdue", func() (settled int, err error) {
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
		return settled, err
	})
}

// How much one call of Overdue looks at. The head and the tail each judge the recipients of up to
// [delivery.MaxBatch] messages.
const (
	mostMembers = 2000   // recipients
	mostStored  = 10_000 // messages, by the index alone, for the head and for the tail
)

// lag is how far behind the head the tail begins, and so how long a transaction may be open without
// its messages being missed.
const lag = time.Hour

// tick is how far apart the ticks of a database's clock may be.
const tick = time.Millisecond

// looker is one call of Overdue: a transaction that has the rule locked. Times are in microseconds,
// on the clock of the database.
//
// A conversation's messages commit in order of seq, and its looked row says how far the rule has
// come there. So whichever way a conversation comes to the rule's notice, no message in it is
// skipped and none is judged twice. An index on the time of storing finds conversations. The rule's
// head moves along it to the messages that have become due since the last call. Its tail follows,
// for messages that were committed after the head had passed their time: when it comes to the head,
// it goes back by the lag.
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
	// Recipients who wait for their first time have at least 1/2 of the limit.
	waiting, err := l.again(ctx, l.limit/2)
	if err != nil {
		return false, false, err
	}
	done, err := l.find(ctx)
	if err != nil {
		return false, false, err
	}
	if waiting && done && !l.full() {
		waiting, err = l.again(ctx, l.limit-len(l.due))
	}
	return waiting || !done, false, err
}

// find claims recipients of messages that have become due. Done says that this is all there is.
func (l *looker) find(ctx context.Context) (done bool, err error) {
	due, oldest := l.dueSince(), l.oldest()
	head, done, err := l.scan(ctx, max(l.head, oldest), due)
	if err != nil {
		return false, err
	}
	head = max(head, l.head)
	tail := l.tail
	if done {
		end := min(l.head, due)
		if tail, done, err = l.scan(ctx, max(tail, oldest), end); err != nil {
			return false, err
		}
		if done {
			tail = end - lag.Microseconds()
		}
	}
	if head != l.head || tail != l.tail {
		err = l.exec(ctx, l.q, "UPDATE delivery_rules SET head = ?, tail = ? WHERE rule = ?", head, tail, l.id)
	}
	return done, err
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
	return false, l.exec(ctx, l.q, `
INSERT INTO delivery_rules (name, status, whose, since, head, tail)
SELECT ?, ?, ?, n, n, n FROM (SELECT `+l.clock+` AS n) now`+l.keep("name"), key...)
}

// again claims up to n recipients whose leases have run out, and forgets those among them who are
// overdue no more. More says that others may be ready. A recipient who is being settled is passed
// over.
func (l *looker) again(ctx context.Context, n int) (more bool, err error) {
	if n == 0 {
		return true, nil
	}
	type waiting struct {
		lease, number, conv, seq, reader int64
		attempts                         int
	}
	columns := func(w *waiting) []any {
		return []any{&w.lease, &w.number, &w.conv, &w.seq, &w.reader, &w.attempts}
	}
	all, err := queryInto(ctx, l.q, n, columns, l.say(`
SELECT lease, number, conv, seq, reader, attempts FROM delivery_overdue /*! FORCE INDEX (delivery_overdue_ready) */
WHERE rule = ? AND ready_at <= ? ORDER BY ready_at LIMIT ?`+l.ifFree), l.id, l.now, n)
	if err != nil {
		return false, err
	}
	for _, w := range all {
		messages, err := l.messages(ctx, w.conv, w.seq-1, w.seq)
		if err != nil {
			return false, err
		}
		var all []judged
		if len(messages) > 0 && l.concerns(&messages[0]) {
			if all, err = l.judge(ctx, &messages[0], w.reader-1, 1); err != nil {
				return false, err
			}
		}
		text, args := "DELETE FROM delivery_overdue WHERE lease = ? AND number = ?", []any{w.lease, w.number}
		if len(all) > 0 && all[0].reader == w.reader && all[0].overdue {
			d := l.add(&messages[0], all[0], w.attempts+1)
			text = "UPDATE delivery_overdue SET lease = ?, number = ?, attempts = ?, ready_at = ? WHERE lease = ? AND number = ?"
			args = append([]any{d.Claim.Lease, d.Claim.Number, d.Attempts, l.until()}, args...)
		}
		if err := l.exec(ctx, l.q, text, args...); err != nil {
			return false, err
		}
	}
	return len(all) == n, nil
}

// dueSince returns up to when messages were stored that are due now.
func (l *looker) dueSince() int64 { return l.now - (l.rule.After + tick).Microseconds() }

// oldest returns up to when messages were stored that are none of the rule's, or no longer.
func (l *looker) oldest() int64 { return max(l.since, l.dueSince()-l.rule.Within.Microseconds()) }

// until returns when a lease that begins now has ended, however long ago the clock ticked.
func (l *looker) until() int64 { return l.now + (l.lease.For + tick).Microseconds() }
