package sqlstore

import (
	"context"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/drift"
)

// Verify counts receipts again, as [delivery.Keeper] says.
func (s *Store) Verify(ctx context.Context, conversation string, after int64, limit int) (delivery.Verification, error) {
	return awaitRead(ctx, s.session, "verifying messages", func() (v delivery.Verification, err error) {
		err = s.session.read(ctx, func(q delivery.DBTX) error {
			v, err = s.session.verify(ctx, q, conversation, after, limit)
			return err
		})
		return v, err
	})
}

// verifyText counts in one statement, which sees one moment: key, after seq, limit → id, seq,
// whether it is a tombstone, quorum, readers, status, delivered, read, failed, receipts delivered,
// receipts read, failures that others see, whether a roster is missing. Caps are looked up where a
// recipient has one.
func (d *dialect) verifyText() string {
	return `
SELECT m.id, m.seq, m.sender IS NULL, m.quorum, m.readers, t.status, t.delivered_count, t.read_count, t.failed,
	` + d.countReceipts(sqlDelivered) + `,
	` + d.countReceipts(sqlRead) + `,
	` + d.countFailures() + `,
	m.roster IS NOT NULL AND g.roster IS NULL
FROM (
	SELECT conv, seq, id, sender, roster, quorum, recipients, readers FROM delivery_messages /*! FORCE INDEX (PRIMARY) */
	WHERE conv = ? AND seq > ? ORDER BY seq LIMIT ?
) m
JOIN delivery_conversations c /*! FORCE INDEX (PRIMARY) */ ON c.conv = m.conv
JOIN delivery_states t /*! FORCE INDEX (PRIMARY) */ ON t.conv = m.conv AND t.seq = m.seq
LEFT JOIN delivery_rosters g /*! FORCE INDEX (delivery_rosters_roster) */ ON g.roster = m.roster
ORDER BY m.seq`
}

// countReceipts counts the receipts that show at least this status, with a row or without. Only
// Compact removes rows, and only those of messages that were sent at or before the version up to
// which it came. Import moves that version where it makes no rows.
func (d *dialect) countReceipts(status string) string {
	return `(
	SELECT COUNT(*) FROM delivery_receipts r /*! FORCE INDEX (PRIMARY) */
	LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = CASE WHEN m.readers < m.recipients THEN m.roster END AND b.reader = r.reader
	WHERE r.conv = m.conv AND r.seq = m.seq AND r.version > 0 AND r.status >= ` + status + ` AND COALESCE(b.cap, ` + sqlRead + `) >= ` + status + `) + (
	SELECT /*! STRAIGHT_JOIN */ COUNT(*) FROM delivery_members b /*! FORCE INDEX (PRIMARY) */` +
		d.one("delivery_readers p", "delivery_readers_reader", "p.reader = b.reader") +
		d.orNone("delivery_receipts r", "PRIMARY", "r.conv = m.conv AND r.seq = m.seq AND r.reader = b.reader AND r.version > 0") + `
	WHERE b.roster = CASE WHEN m.seq <= c.compacted THEN m.roster END AND b.reader <> m.sender AND r.reader IS NULL AND ` + absent("p") + ` >= ` + status + `)`
}

// countFailures counts the failures of receipts at Sent, but for those that others do not see.
func (d *dialect) countFailures() string {
	return `(
	SELECT /*! STRAIGHT_JOIN */ COUNT(*) FROM delivery_failures f /*! FORCE INDEX (PRIMARY) */` +
		d.one("delivery_readers p", "delivery_readers_reader", "p.reader = f.reader") +
		d.one("delivery_members b", "PRIMARY", "b.roster = m.roster AND b.reader = f.reader") +
		d.orNone("delivery_receipts r", "PRIMARY", "r.conv = f.conv AND r.seq = f.seq AND r.reader = f.reader AND r.version > 0") + `
	WHERE f.conv = m.conv AND f.seq = m.seq AND f.version > 0 AND r.reader IS NULL AND ` + absent("p") + ` = ` + sqlSent + `)`
}

func (s *session) verify(ctx context.Context, q delivery.DBTX, conversation string, after int64, limit int) (v delivery.Verification, err error) {
	keys, err := query(ctx, q, scanInt, s.say("SELECT conv FROM delivery_conversations WHERE id = ?"), conversation)
	if err != nil || len(keys) == 0 {
		return v, err
	}
	type counted struct {
		delivery.Header
		delivery.Tally
		gone, noRoster  bool
		delivered, read int
		failed          int
	}
	columns := func(c *counted) []any {
		return []any{&c.ID, &c.Seq, &c.gone, &c.Quorum, &c.Readers, status{&c.Status}, &c.Tally.Delivered, &c.Tally.Read, &c.Tally.Failed, &c.delivered, &c.read, &c.failed, &c.noRoster}
	}
	err = each(ctx, q, into(columns), func(c counted) bool {
		v.Messages, v.Last = v.Messages+1, c.Seq
		c.Conversation = conversation
		if d := drift.Of(c.Header, c.Tally, c.delivered, c.read, c.failed, c.noRoster); !c.gone && d != (delivery.Drift{}) {
			v.Drifts = append(v.Drifts, d)
		}
		return true
	}, s.say(s.verifyText()), keys[0], after, limit)
	v.More = v.Messages == limit
	return v, err
}
