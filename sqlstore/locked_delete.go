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
		versions, err := l.lockRows(ctx, q, l.lockFree, keysOf(messages))
		if err != nil {
			return nil, nil, err
		}
		messages = slices.DeleteFunc(messages, func(m *standing) bool {
			_, free := versions[m.key]
			deleted[m.mark].Blocked = !free
			return !free
		})
	}
	if err := l.lockTallies(ctx, q, messages); err != nil {
		return nil, nil, err
	}
	messages = slices.DeleteFunc(messages, (*standing).gone)
	if len(messages) == 0 {
		return deleted, nil, nil
	}
	for _, m := range messages {
		deleted[m.mark].Changed = true
	}
	claimed, err := l.remove(ctx, q, s, messages, deletions, lease)
	return deleted, claimed, err
}

// remove makes tombstones of messages, which are locked, and tells of that.
func (l *locked) remove(ctx context.Context, q delivery.DBTX, s *session, messages []*standing, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Claimed, error) {
	if err := l.removeReceipts(ctx, q, s, messages); err != nil {
		return nil, err
	}
	// What shares an event goes together, and in the order of the deletions.
	slices.SortFunc(messages, func(a, b *standing) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(deletions[a.mark].Socket, deletions[b.mark].Socket), cmp.Compare(a.mark, b.mark))
	})
	var c changes
	var tombstones []row
	for _, m := range messages {
		c.remove(m, deletions[m.mark].Socket)
		tombstones = append(tombstones, row{m.key, m.header.Seq, m.header.ID})
	}
	if err := execAll(ctx, q, batch{l.putTombstones, tombstones}); err != nil {
		return nil, err
	}
	claimed, err := l.put(ctx, q, &c, lease)
	if err != nil {
		return nil, err
	}
	return claimed, l.removeBodies(ctx, q, s, messages)
}

// removeReceipts drops the receipts of the messages. In a session that reads by newest it looks up
// those that the snapshot shows. If these are not all, the transaction has to start anew.
func (l *locked) removeReceipts(ctx context.Context, q delivery.DBTX, s *session, messages []*standing) error {
	rows := make([]row, len(messages))
	for i, m := range messages {
		rows[i] = row{i, m.key, m.header.Seq}
	}
	if !l.newest.in(s) {
		return execAll(ctx, q, batch{l.dropReceipts, rows})
	}
	type mark struct {
		i    int
		name string
	}
	marks, err := queryInto(ctx, q, 0, func(m *mark) []any { return []any{&m.i, &m.name} }, l.newest.marked, toJSON(rows))
	if err != nil {
		return err
	}
	seen := make([]int, len(messages))
	rows = nil
	for _, m := range marks {
		seen[m.i]++
		rows = append(rows, row{messages[m.i].key, messages[m.i].header.Seq, m.name})
	}
	for i, m := range messages {
		if m.hidden || seen[i] != m.tally.Delivered {
			return errSnapshot
		}
	}
	return execAll(ctx, q, batch{l.newest.unmark, rows})
}

// removeBodies takes the bodies of messages out of the events that have them and that nobody holds,
// and out of dead letters. An event may become a dead letter meanwhile. A session that reads by
// newest cannot look for that, since it would lock a gap. It locks the events instead, and if one
// is there no more, the transaction has to start anew.
func (l *locked) removeBodies(ctx context.Context, q delivery.DBTX, s *session, messages []*standing) error {
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.header.ID
	}
	list := idList(ids)
	type event struct {
		dead bool
		id   int64
	}
	events, err := queryInto(ctx, q, 0, func(e *event) []any { return []any{&e.dead, &e.id} }, l.bodies, list, list)
	if err != nil || len(events) == 0 {
		return err
	}
	var waiting, dead []row
	for _, e := range events {
		if !e.dead {
			waiting = append(waiting, row{e.id})
		}
		if e.dead || !l.newest.in(s) {
			dead = append(dead, row{e.id})
		}
	}
	if l.newest.in(s) {
		there, err := query(ctx, q, scanInt, l.newest.events, toJSON(waiting))
		if err != nil {
			return err
		}
		if len(there) < len(waiting) {
			return errSnapshot
		}
	}
	return execAll(ctx, q, batch{l.dropBodies, waiting}, batch{l.dropDead, dead})
}
