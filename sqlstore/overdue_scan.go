package sqlstore

import (
	"context"

	"github.com/msgdelivery/delivery"
)

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
	end, err := l.storedUpTo(ctx, l.q, from, to, mostStored)
	if err != nil {
		return 0, false, err
	}
	type candidate struct {
		stored, conv, seq int64
		seen, reader      int64
	}
	columns := func(c *candidate) []any {
		return []any{&c.stored, &c.conv, &c.seq, orZero[int64]{&c.seen}, orZero[int64]{&c.reader}}
	}
	found, err := queryInto(ctx, l.q, delivery.MaxBatch, columns, l.say(`
SELECT /*! STRAIGHT_JOIN */ m.stored_at, m.conv, m.seq, u.seq, u.reader`+fromStored+
		l.orNone("delivery_looked u", "PRIMARY", "u.conv = m.conv AND u.rule = ?")+whereStored+`
AND (u.seq IS NULL OR u.seq < m.seq OR u.seq = m.seq AND u.reader > 0) ORDER BY m.stored_at LIMIT ?`), l.id, from, end, delivery.MaxBatch)
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
// came to the last one that is due. Messages before that one are due as well, for they were stored
// earlier, even if the clock was set back and says something else.
func (l *looker) walk(ctx context.Context, conv int64, n news) (whole bool, err error) {
	seq, reader := n.seq, n.reader
	if seq+1 < n.first {
		between, args := l.between(conv, seq, n.first)
		old, err := query(ctx, l.q, scanInt, l.say(`
SELECT seq FROM delivery_messages /*! FORCE INDEX (PRIMARY) */
WHERE `+between+` AND stored_at <= ? ORDER BY conv DESC, seq DESC LIMIT 1`), append(args, l.oldest())...)
		if err != nil {
			return false, err
		}
		if len(old) > 0 {
			seq, reader = old[0], 0
		}
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
