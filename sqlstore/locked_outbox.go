package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/msgdelivery/delivery"
)

// announce puts the events of a transaction into the outbox.
func (l *locked) announce(ctx context.Context, q delivery.DBTX, events []delivery.Event, lease delivery.Lease) ([]delivery.Claimed, error) {
	payloads := make([]row, len(events))
	for i, e := range events {
		payload, err := encodeEvent(e)
		if err != nil {
			return nil, err
		}
		payloads[i] = row{payload, bodyOf(e)}
	}
	attempts := 0
	if lease.Token != 0 {
		attempts = 1 // who dies holding an event has tried it
	} else {
		lease.For = 0
	}
	result, err := q.ExecContext(ctx, l.addEvents, lease.For.Microseconds(), lease.Token, attempts, toJSON(payloads))
	if err != nil || lease.Token == 0 {
		return nil, err
	}
	ids, err := l.bornIDs(ctx, q, result, lease.Token, len(events))
	if err != nil {
		return nil, err
	}
	claimed := make([]delivery.Claimed, len(events))
	for i, e := range events {
		e.ID = ids[i]
		claimed[i] = delivery.Claimed{Event: e, Lease: lease.Token, Attempts: attempts}
	}
	return claimed, nil
}

// bornIDs returns the ids that n new events under the lease got, in order.
func (l *locked) bornIDs(ctx context.Context, q delivery.DBTX, result sql.Result, token int64, n int) ([]int64, error) {
	if n == 1 {
		id, err := result.LastInsertId()
		return []int64{id}, err
	}
	ids, err := query(ctx, q, scanInt, l.latest, token, n)
	slices.Reverse(ids)
	return ids, err
}

func (l *locked) claim(ctx context.Context, s *session, limit int, lease delivery.Lease) (claimed []delivery.Claimed, err error) {
	// Mostly nothing is due, and to see that takes no lock.
	var due bool
	err = s.read(ctx, func(q delivery.DBTX) error { return queryOne(ctx, q, []any{&due}, l.anyDue) })
	if err != nil || !due {
		return nil, err
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		claimed, err = query(ctx, q, scanClaimed, l.due, limit)
		if err != nil || len(claimed) == 0 {
			return err
		}
		ids := make([]int64, len(claimed))
		for i := range claimed {
			c := &claimed[i]
			ids[i] = c.Event.ID
			c.Lease = lease.Token
			c.Attempts++
		}
		slices.Sort(ids)
		_, err = q.ExecContext(ctx, l.hold, toJSON(ids), lease.Token, lease.For.Microseconds())
		return err
	})
	return claimed, err
}

func scanClaimed(rows *sql.Rows) (c delivery.Claimed, err error) {
	var id int64
	var payload []byte
	var from source
	if err := rows.Scan(&id, &c.Attempts, &payload, orZero[string]{&from.body}, orZero[string]{&from.conversation}); err != nil {
		return c, err
	}
	c.Event = readEvent(id, payload, from)
	return c, nil
}

func (l *locked) settle(ctx context.Context, s *session, settlements []delivery.Settlement) (held int, err error) {
	settlements = slices.Clone(settlements)
	slices.SortStableFunc(settlements, compareClaims)
	settlements = slices.CompactFunc(settlements, func(a, b delivery.Settlement) bool { return compareClaims(a, b) == 0 }) // the first one ends the claim
	var done, again, bury, requeue, discard []row
	for _, x := range settlements {
		switch x.Outcome {
		case delivery.SettleDone:
			done = append(done, row{x.ID, x.Lease})
		case delivery.SettleRetry:
			again = append(again, row{x.ID, x.Lease, x.After.Microseconds(), 0})
		case delivery.SettleRelease:
			again = append(again, row{x.ID, x.Lease, x.After.Microseconds(), 1})
		case delivery.SettleBury:
			bury = append(bury, row{x.ID, x.Lease, x.Reason})
			done = append(done, row{x.ID, x.Lease})
		case delivery.SettleRequeue:
			payload, err := encodeEvent(x.Event)
			if err != nil {
				return 0, err
			}
			requeue = append(requeue, row{x.ID, bodyOf(x.Event), payload})
			discard = append(discard, row{x.ID})
		case delivery.SettleDiscard:
			discard = append(discard, row{x.ID})
		}
	}
	err = l.write(ctx, s, func(q delivery.DBTX, b *busy) error {
		bury, done, again := bury, done, again
		pass := b != nil && b.events
		if pass {
			free, err := l.findUnlocked(ctx, q, slices.Concat(done, again))
			if err != nil {
				return err
			}
			bury, done, again = free(bury), free(done), free(again)
		}
		if len(requeue) > 0 && l.dead != "" {
			if _, err := query(ctx, q, scanInt, l.dead, toJSON(discard)); err != nil {
				return err
			}
		}
		fails := b != nil && !pass
		err := execAll(ctx, q, batch{l.bury.of(fails), bury}, batch{l.requeue, requeue})
		if err == nil {
			held, err = execCounted(ctx, q, batch{l.done.of(fails), done}, batch{l.again.of(fails), again}, batch{l.discard, discard})
		}
		if err != nil && fails && l.isLocked(err) {
			err = &foundBusy{func(b *busy) { b.events = true }}
		}
		return err
	})
	return held, err
}

// findUnlocked locks those events of the rows that nobody else has locked, and returns what leaves
// out the rows of the others. An EraseTx, say, keeps an event locked until its commit. Such an
// event is left to the end of its lease: its neighbours would wait with it.
func (l *locked) findUnlocked(ctx context.Context, q delivery.DBTX, rows []row) (free func(rows []row) []row, err error) {
	ids := make([]row, len(rows))
	for i, r := range rows {
		ids[i] = r[:1]
	}
	unlocked, err := query(ctx, q, scanInt, l.unlocked, toJSON(ids))
	return func(rows []row) []row {
		return slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !slices.Contains(unlocked, r[0].(int64)) })
	}, err
}

// execCounted executes batches in order, and returns how many rows they have changed.
func execCounted(ctx context.Context, q delivery.DBTX, batches ...batch) (changed int, err error) {
	for _, b := range batches {
		if len(b.rows) == 0 {
			continue
		}
		result, err := q.ExecContext(ctx, b.text, toJSON(b.rows))
		if err != nil {
			return 0, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return 0, err
		}
		changed += int(n)
	}
	return changed, nil
}

func compareClaims(a, b delivery.Settlement) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Lease, b.Lease))
}

// lockedTell returns the text of [dialect.tell].
func lockedTell(now string) string {
	return "INSERT INTO delivery_outbox (ready_at, lease, attempts, created_at, payload) VALUES (" + now + ", 0, 0, " + now + ", ?)"
}
