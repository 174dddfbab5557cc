package sqlstore

import (
	"cmp"
	"context"
	"slices"

	"github.com/msgdelivery/delivery"
)

func (l *locked) delete(ctx context.Context, s *session, deletions []delivery.Deletion, lease delivery.Lease) (deleted []delivery.Deleted, claimed []delivery.Claimed, err error) {
	err = s.write(ctx, func(q delivery.DBTX) error {
		deleted, claimed, err = l.deleteIn(ctx, q, s, deletions, lease)
		return err
	})
	return deleted, claimed, err
}

func (l *locked) deleteIn(ctx context.Context, q delivery.DBTX, s *session, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
	ids := make([]string, len(deletions))
	for i, d := range deletions {
		ids[i] = d.Message
	}
	found, err := l.find(ctx, q, s, ids)
	if err != nil {
		return nil, nil, err
	}
	deleted := make([]delivery.Deleted, len(deletions))
	var messages []*standing
	for i, d := range deletions {
		f := found[d.Message]
		if f == nil {
			continue
		}
		deleted[i].Header = tombstone(f.header)
		if !f.gone() {
			f.mark = i
			messages = append(messages, f)
		}
	}
	if s.tx == nil {
		there, err := l.lockRows(ctx, q, l.lockFree, keysOf(messages))
		if err != nil {
			return nil, nil, err
		}
		messages = slices.DeleteFunc(messages, func(m *standing) bool {
			_, free := there[m.key]
			deleted[m.mark].Blocked = !free
			return !free
		})
	}
	if err := l.lockTallies(ctx, q, messages); err != nil {
		return nil, nil, err
	}
	for _, m := range messages {
		if m.header.ID == "" { // it was pruned
			deleted[m.mark] = delivery.Deleted{}
		}
	}
	messages = slices.DeleteFunc(messages, (*standing).gone)
	if messages, err = l.freeRows(ctx, q, s, messages, deleted); err != nil {
		return nil, nil, err
	}
	if len(messages) == 0 {
		return deleted, nil, nil
	}
	for _, m := range messages {
		deleted[m.mark].Changed = true
	}
	claimed, err := l.remove(ctx, q, s, messages, deletions, lease)
	return deleted, claimed, err
}

// freeRows locks the rows of messages, whose conversations are locked, and returns those that are
// free. A private mark in a caller's transaction may have locked the others.
func (l *locked) freeRows(ctx context.Context, q delivery.DBTX, s *session, messages []*standing, deleted []delivery.Deleted) ([]*standing, error) {
	if s.tx != nil || l.rows == "" || len(messages) == 0 {
		return messages, nil
	}
	rows := make([]row, len(messages))
	for i, m := range messages {
		rows[i] = row{i, m.key, m.header.Seq}
		deleted[m.mark].Blocked = true
	}
	all, err := query(ctx, q, scanInt, l.rows, toJSON(rows))
	var free []*standing
	for _, i := range all {
		free = append(free, messages[i])
		deleted[messages[i].mark].Blocked = false
	}
	return free, err
}

// remove makes tombstones of messages, which are locked, and announces that.
func (l *locked) remove(ctx context.Context, q delivery.DBTX, s *session, messages []*standing, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Claimed, error) {
	if err := l.removeReceipts(ctx, q, s, messages); err != nil {
		return nil, err
	}
	// Deletions that share an event go together, and in their order.
	slices.SortFunc(messages, func(a, b *standing) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(deletions[a.mark].Socket, deletions[b.mark].Socket), cmp.Compare(a.mark, b.mark))
	})
	var c changes
	var tombstones []row
	for _, m := range messages {
		c.remove(m, deletions[m.mark].Socket, deletions[m.mark].Trace)
		tombstones = append(tombstones, row{m.key, m.header.Seq, m.header.ID})
	}
	if err := execAll(ctx, q, batch{l.putTombstones, tombstones}); err != nil {
		return nil, err
	}
	if err := l.removeRosters(ctx, q, s, messages); err != nil {
		return nil, err
	}
	return l.put(ctx, q, nil, &c, lease)
}

// removeRosters drops the rosters that have lost their last message. A session that reads by newest
// could not look for other messages without a lock of a gap: it leaves the rosters.
func (l *locked) removeRosters(ctx context.Context, q delivery.DBTX, s *session, messages []*standing) error {
	if l.newest.in(s) {
		return nil
	}
	rosters := map[int64]map[int64]bool{} // by the conversations' keys
	for _, m := range messages {
		if m.roster != 0 {
			if rosters[m.key] == nil {
				rosters[m.key] = map[int64]bool{}
			}
			rosters[m.key][m.roster] = true
		}
	}
	for _, key := range sortedKeys(rosters, cmp.Compare[int64]) {
		if err := s.dropRosters(ctx, q, key, sortedKeys(rosters[key], cmp.Compare[int64])); err != nil {
			return err
		}
	}
	return nil
}

// removeReceipts drops the receipts and the failures of the messages. In a session that reads by
// newest it looks up the receipts that the snapshot shows. If these are not all, the transaction
// has to start anew. They are all if there are as many as the counters say, or else if the snapshot
// shows the receipts without rows, too, and all of them as far as they are.
func (l *locked) removeReceipts(ctx context.Context, q delivery.DBTX, s *session, messages []*standing) error {
	rows := make([]row, len(messages))
	for i, m := range messages {
		rows[i] = row{i, m.key, m.header.Seq}
	}
	if !l.newest.in(s) {
		return execAll(ctx, q, batch{l.dropReceipts, rows}, batch{l.dropFailures, rows})
	}
	type mark struct{ i, reader int64 }
	marks, err := queryInto(ctx, q, 0, func(m *mark) []any { return []any{&m.i, &m.reader} }, l.newest.marked, toJSON(rows))
	if err != nil {
		return err
	}
	seen := make([]int, len(messages))
	var known, some []row
	for _, m := range marks {
		seen[m.i]++
		known = append(known, row{messages[m.i].key, messages[m.i].header.Seq, m.reader})
	}
	for i, m := range messages {
		if m.hidden {
			return errSnapshot
		}
		if seen[i] != m.tally.Delivered {
			some = append(some, rows[i])
		}
	}
	if len(some) > 0 {
		type counted struct{ i, delivered, read int }
		counts, err := queryInto(ctx, q, len(some), func(c *counted) []any { return []any{&c.i, &c.delivered, &c.read} }, l.newest.counted, toJSON(some))
		if err != nil {
			return err
		}
		counts = slices.DeleteFunc(counts, func(c counted) bool {
			return c.delivered != messages[c.i].tally.Delivered || c.read != messages[c.i].tally.Read
		})
		if len(counts) < len(some) {
			return errSnapshot
		}
	}
	return execAll(ctx, q, batch{l.newest.unmark, known}, batch{l.dropFailures, rows})
}
