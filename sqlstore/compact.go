package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// Compact removes the times at which receipts of a conversation changed, as [delivery.Keeper] says.
// It cannot run in a caller's transaction.
func (s *Store) Compact(ctx context.Context, c delivery.Compaction) (delivery.CompactionResult, error) {
	if s.session.tx != nil {
		return delivery.CompactionResult{}, errors.ErrUnsupported
	}
	return awaitWrite(ctx, s.session, "compacting", func() (delivery.CompactionResult, error) { return s.session.compact(ctx, c) })
}

// mostCompacted is how many receipts and failures one call of Compact looks at, if its messages
// have more than one.
const mostCompacted = 5000

// changed is what is to be compacted of a conversation.
type changed struct {
	conv, compacted int64
	seqs            []int64 // of messages, in order of version
	failed          []int64 // those of them with failures that others see
	more            bool
}

func (s *session) compact(ctx context.Context, c delivery.Compaction) (result delivery.CompactionResult, err error) {
	var found *changed
	err = s.read(ctx, func(q delivery.DBTX) error { // mostly there is nothing to do, and to see that takes no lock
		found, err = s.findChanged(ctx, q, c, "")
		return err
	})
	if err != nil || found == nil || len(found.seqs) == 0 {
		return result, err
	}
	if !found.more { // once for all messages
		if result.More, err = s.dropReached(ctx, found.conv); err != nil || result.More {
			return result, err
		}
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		found, err := s.findChanged(ctx, q, c, s.ifFree)
		switch {
		case err != nil:
			return err
		case found == nil:
			result = delivery.CompactionResult{Blocked: true}
			return nil
		}
		result = delivery.CompactionResult{Compacted: len(found.seqs), More: found.more}
		return s.expire(ctx, q, found)
	})
	return result, err
}

// findChanged returns what is to be compacted, nil if the conversation is not there, or not free to
// lock.
func (s *session) findChanged(ctx context.Context, q delivery.DBTX, c delivery.Compaction, lock string) (*changed, error) {
	all, err := queryInto(ctx, q, 1, func(c *changed) []any { return []any{&c.conv, &c.compacted} },
		s.say("SELECT conv, compacted FROM delivery_conversations WHERE id = ?"+lock), c.Conversation)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	found := &all[0]
	type message struct {
		seq, version int64
		receipts     int
		failed       int
		sent         time.Time
	}
	columns := func(m *message) []any {
		return []any{&m.seq, &m.version, &m.receipts, &m.failed, timestamp{&m.sent}}
	}
	rows := 0
	err = each(ctx, q, into(columns), func(m message) bool {
		rows += m.receipts
		old := m.sent.Before(c.Before)
		if !old || len(found.seqs) == c.Limit || rows > mostCompacted && len(found.seqs) > 0 {
			found.more = old
			return false
		}
		found.seqs = append(found.seqs, m.seq)
		if m.failed > 0 {
			found.failed = append(found.failed, m.seq)
		}
		found.compacted = m.version
		return true
	}, s.say(`
SELECT /*! STRAIGHT_JOIN */ t.seq, t.version, t.delivered_count + t.failed, t.failed, m.sent_at
FROM delivery_states t /*! FORCE INDEX (delivery_states_version) */`+
		s.one("delivery_messages m", "PRIMARY", "m.conv = t.conv AND m.seq = t.seq")+`
WHERE t.conv = ? AND t.version > ? ORDER BY t.version LIMIT ?`), found.conv, found.compacted, c.Limit+1)
	return found, err
}

// redundant is whether a receipt r is the same without its row.
var redundant = `r.status = (
	SELECT ` + absent("p") + ` FROM delivery_messages m /*! FORCE INDEX (PRIMARY) */
	JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader = r.reader AND b.reader <> m.sender
	JOIN delivery_readers p /*! FORCE INDEX (delivery_readers_reader) */ ON p.reader = b.reader
	WHERE m.conv = r.conv AND m.seq = r.seq)`

// dropRedundant drops such receipts of some messages of a conversation.
var dropRedundant = []string{"DELETE FROM delivery_receipts AS r WHERE r.conv = ? AND r.seq IN (%s) AND " + redundant}

// mysqlDropRedundant first makes them rows that are none yet. MariaDB locks what a DELETE reads of
// other tables, also at READ COMMITTED. So a DELETE alone would wait for private marks, which lock
// their readers, while it has the conversation. An UPDATE does not lock what it reads.
var mysqlDropRedundant = []string{
	"UPDATE delivery_receipts AS r FORCE INDEX (PRIMARY) SET r.version = 0 WHERE r.conv = ? AND r.seq IN (%s) AND " + redundant,
	"DELETE r FROM delivery_receipts AS r FORCE INDEX (PRIMARY) WHERE r.conv = ? AND r.seq IN (%s) AND r.version = 0",
}

// expire compacts what was found, in a conversation that is locked. It counts as a drop: calls that
// have seen a receipt's row start anew.
func (s *session) expire(ctx context.Context, q delivery.DBTX, found *changed) error {
	if len(found.seqs) == 0 {
		return nil
	}
	const timed = " WHERE conv = ? AND seq IN (%s) AND (delivered_at IS NOT NULL OR read_at IS NOT NULL)"
	states := "UPDATE delivery_states /*! FORCE INDEX (PRIMARY) */ SET delivered_at = NULL, read_at = NULL" + timed
	if s.numbered { // Postgres might use the index of versions, and read all of the conversation
		states = `
INSERT INTO delivery_states AS t (conv, seq, version, status, delivered_count, read_count)
SELECT ?::bigint, seq, 0, ` + sqlSent + `, 0, 0 FROM unnest(ARRAY[%s]::bigint[]) AS known(seq)
ON CONFLICT (conv, seq) DO UPDATE SET delivered_at = NULL, read_at = NULL WHERE t.delivered_at IS NOT NULL OR t.read_at IS NOT NULL`
	}
	for _, text := range append(slices.Clip(s.dropRedundant),
		"UPDATE delivery_receipts /*! FORCE INDEX (PRIMARY) */ SET version = seq, delivered_at = NULL, read_at = NULL"+timed,
		states,
	) {
		if err := s.exec(ctx, q, fmt.Sprintf(text, commas(found.seqs)), found.conv); err != nil {
			return err
		}
	}
	for _, seq := range found.failed {
		if err := s.exec(ctx, q, "UPDATE delivery_failures SET version = seq WHERE conv = ? AND seq = ? AND version > 0", found.conv, seq); err != nil {
			return err
		}
	}
	return s.exec(ctx, q, "UPDATE delivery_conversations SET compacted = ?, drops = drops + 1 WHERE conv = ?", found.compacted, found.conv)
}

// dropReached drops some private marks that the places of their readers have reached, and reports
// whether there may be more. It takes no lock that anybody but such a reader could wait for. A
// place never moves back, so a mark stays reached, unless it becomes one as read meanwhile.
func (s *session) dropReached(ctx context.Context, conv int64) (more bool, err error) {
	type kind struct {
		reader int64
		status delivery.Status
	}
	type mark struct {
		kind
		seq int64
	}
	var marks []mark
	err = s.read(ctx, func(q delivery.DBTX) error {
		marks, err = queryInto(ctx, q, 0, func(m *mark) []any { return []any{&m.reader, &m.seq, status{&m.status}} }, s.say(`
SELECT /*! STRAIGHT_JOIN */ o.reader, o.seq, o.status FROM delivery_readers p /*! FORCE INDEX (PRIMARY) */
JOIN delivery_own o /*! FORCE INDEX (PRIMARY) */ ON o.reader = p.reader
	AND (o.seq <= p.badge OR o.seq <= p.read_seq OR o.status = `+sqlDelivered+` AND (o.seq <= p.own_delivered OR o.seq <= p.delivered_seq))
WHERE p.conv = ? AND p.rev > 0 LIMIT ?`), conv, mostForgot)
		return err
	})
	if err != nil || len(marks) == 0 {
		return false, err
	}
	seqs := map[kind][]int64{}
	for _, m := range marks {
		seqs[m.kind] = append(seqs[m.kind], m.seq)
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		for _, k := range sortedKeys(seqs, func(a, b kind) int { return cmp.Or(cmp.Compare(a.reader, b.reader), cmp.Compare(a.status, b.status)) }) {
			text := "DELETE FROM delivery_own WHERE reader = ? AND status = ? AND seq IN (" + commas(seqs[k]) + ")"
			if err := s.exec(ctx, q, text, k.reader, uint8(k.status)); err != nil {
				return err
			}
		}
		return nil
	})
	return len(marks) == mostForgot, err
}

// commas returns numbers as a list in a statement.
func commas(numbers []int64) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(texts, ", ")
}
