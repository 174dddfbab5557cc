package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

// pgDelete deletes messages: $1 and $2 are columns of deletions, $3 is how many updates an event
// may have, $4 the lease's length, $5 its token.
//
// It takes the rows of conversations as pgAdvance does: at the version and the drops that the
// snapshot shows, the snapshot shows all receipts and failures, and all messages of the rosters
// that lose one.
//
// Each event's id stands in the row of its first deletion.
var pgDelete = `
WITH asked AS MATERIALIZED (
	SELECT k.ord, k.socket, k.trace, m.id, m.conv, m.seq, m.roster, m.sender IS NOT NULL AS needed, c.id AS conversation, c.version AS seen, c.drops
	FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $6::text[])) WITH ORDINALITY AS k(message, socket, trace, ord)
	CROSS JOIN LATERAL (SELECT id, conv, seq, roster, sender FROM delivery_messages WHERE id = k.message LIMIT 1) m
	CROSS JOIN LATERAL (SELECT id, version, drops FROM delivery_conversations WHERE conv = m.conv LIMIT 1) c
),
turn AS MATERIALIZED (
	SELECT c.conv, w.steps FROM delivery_conversations c
	JOIN (SELECT conv, seen, drops, count(*) AS steps FROM asked WHERE needed GROUP BY conv, seen, drops) w
		ON c.conv = w.conv AND c.version = w.seen AND c.drops = w.drops
	WHERE c.conv = ANY (ARRAY(SELECT conv FROM asked WHERE needed))
	FOR NO KEY UPDATE OF c SKIP LOCKED
),
-- The rosters whose messages are all deleted here. A search by equality for one that is in most of the rows, as the
-- statistics have it, would read them in any order.
emptied AS MATERIALIZED (
	SELECT conv, roster
	FROM (SELECT conv, roster, array_agg(seq) AS seqs FROM asked JOIN turn USING (conv) WHERE needed AND roster IS NOT NULL GROUP BY conv, roster) g
	LEFT JOIN LATERAL (
		SELECT seq AS other FROM delivery_messages WHERE roster BETWEEN g.roster AND g.roster AND seq <> ALL (g.seqs) ORDER BY roster LIMIT 1
	) m ON true
	WHERE other IS NULL
),
member AS (DELETE FROM delivery_members WHERE roster = ANY (ARRAY(SELECT roster FROM emptied))),
roster AS (DELETE FROM delivery_rosters WHERE roster = ANY (ARRAY(SELECT roster FROM emptied))),
taken AS (
	UPDATE delivery_conversations c SET version = c.version + turn.steps, drops = c.drops + (SELECT count(*) FROM emptied WHERE conv = c.conv)
	FROM unnest(ARRAY(SELECT conv FROM turn), ARRAY(SELECT steps FROM turn)) AS turn(conv, steps)
	WHERE c.conv = turn.conv AND c.conv = ANY (ARRAY(SELECT conv FROM turn))
	RETURNING c.conv
),
step AS MATERIALIZED (
	SELECT ord, conv, seq, id, conversation, socket, trace,
		seen + row_number() OVER (PARTITION BY conv ORDER BY socket COLLATE "C", ord) AS version,
		(row_number() OVER (PARTITION BY conv, socket COLLATE "C" ORDER BY ord) - 1) / $3::bigint AS part
	FROM asked JOIN taken USING (conv)
	WHERE needed
),
message AS (
	INSERT INTO delivery_messages (conv, seq, id, sender, body, roster, total, quorum, sent_at)
	SELECT conv, seq, id, NULL, '', NULL, 0, 0, 'epoch' FROM step
	ON CONFLICT (conv, seq) DO UPDATE SET
		sender = NULL, body = '', roster = NULL, total = 0, quorum = 0
),
state AS (` + pgState + `
	SELECT conv, seq, version, ` + sqlSent + `, 0, 0, NULL, NULL, 0 FROM step
	ON CONFLICT (conv, seq) DO UPDATE SET
		version = excluded.version, status = excluded.status, delivered_count = 0, read_count = 0, delivered_at = NULL, read_at = NULL, failed = 0
),
receipt AS (
	DELETE FROM delivery_receipts WHERE ctid = ANY (ARRAY(
		SELECT r.ctid FROM step CROSS JOIN LATERAL (
			SELECT ctid FROM delivery_receipts WHERE conv = step.conv AND seq = step.seq ORDER BY conv, seq, reader OFFSET 0
		) r))
),
failure AS (
	DELETE FROM delivery_failures WHERE ctid = ANY (ARRAY(
		SELECT f.ctid FROM step CROSS JOIN LATERAL (
			SELECT ctid FROM delivery_failures WHERE conv = step.conv AND seq = step.seq ORDER BY conv, seq, reader OFFSET 0
		) f))
),
told AS MATERIALIZED (
	SELECT nextval('delivery_outbox_id_seq') AS id, conv, min(version) AS first,
		` + pgEvent(sqlMessageDeleted, `min(conversation)`, `min(version)`, `max(version)`, `socket COLLATE "C"`, pgTraces,
	`string_agg(concat('{"i":', to_json(id), ',"v":', version, '}'), ',' ORDER BY version)`) + ` AS payload
	FROM step GROUP BY conv, socket COLLATE "C", part
),
event AS (
	INSERT INTO delivery_outbox (id, ready_at, lease, attempts, payload)
	SELECT id, clock_timestamp() + $4::bigint * INTERVAL '1 microsecond', $5::bigint, ($5::bigint <> 0)::int, payload FROM told
)
SELECT asked.ord, asked.id, asked.conversation, asked.seq, needed AND step.ord IS NULL, step.version, told.id
FROM asked
LEFT JOIN step USING (ord)
LEFT JOIN told ON told.conv = step.conv AND told.first = step.version`

func (*postgresWrites) delete(ctx context.Context, s *session, deletions []delivery.Deletion, lease delivery.Lease) (deleted []delivery.Deleted, claimed []delivery.Claimed, err error) {
	if s.tx == nil {
		err = s.single(ctx, func(q delivery.DBTX) error {
			deleted, claimed, err = pgRemove(ctx, q, deletions, lease)
			return err
		})
		return deleted, claimed, err
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		deleted, err = pgWaiting(ctx, q, deletions, func(d *delivery.Deletion) string { return d.Message }, func(some []delivery.Deletion) ([]delivery.Deleted, error) {
			deleted, _, err := pgRemove(ctx, q, some, lease)
			return deleted, err
		}, func(d *delivery.Deleted) bool { return d.Blocked })
		if err != nil {
			return err
		}
		var missing []string
		for i := range deleted {
			if deleted[i].Header.ID == "" {
				missing = append(missing, deletions[i].Message)
			}
		}
		return pgProbe(ctx, q, pgProbeMissing, missing)
	})
	return deleted, nil, err
}

// pgRemove deletes messages in one statement, as far as it may without waiting.
func pgRemove(ctx context.Context, q delivery.DBTX, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
	var messages, sockets, traces pgArray
	for i := range deletions {
		messages.text(deletions[i].Message)
		sockets.text(deletions[i].Socket)
		traces.text(deletions[i].Trace)
	}
	rows, err := queryInto(ctx, q, len(deletions), (*pgDeleted).columns, pgDelete,
		messages.String(), sockets.String(), delivery.MaxBatch, lease.For.Microseconds(), lease.Token, traces.String())
	if err != nil {
		return nil, nil, err
	}
	deleted := make([]delivery.Deleted, len(deletions))
	for i := range rows {
		d := &rows[i]
		d.Changed = d.version != 0
		deleted[d.ord-1] = d.Deleted
	}
	if lease.Token == 0 {
		return deleted, nil, nil
	}
	slices.SortFunc(rows, func(a, b pgDeleted) int {
		return cmp.Or(strings.Compare(a.Header.Conversation, b.Header.Conversation), cmp.Compare(a.version, b.version))
	})
	var claimed []delivery.Claimed
	for i := range rows {
		d := &rows[i]
		if !d.Changed {
			continue
		}
		if d.event != 0 || len(claimed) == 0 {
			claimed = append(claimed, delivery.Claimed{Lease: lease.Token, Attempts: 1, Event: delivery.Event{
				ID: d.event, Kind: delivery.MessageDeleted, Conversation: d.Header.Conversation, From: d.version, Except: deletions[d.ord-1].Socket,
			}})
		}
		e := &claimed[len(claimed)-1].Event
		e.To = d.version
		e.Updates = append(e.Updates, delivery.Update{Message: d.Header.ID, Version: d.version})
		e.AddTrace(deletions[d.ord-1].Trace)
	}
	return deleted, claimed, nil
}

// pgDeleted is a row of what pgDelete returns.
type pgDeleted struct {
	ord int
	delivery.Deleted
	version int64 // of the deletion; 0 if this call did not delete the message
	event   int64 // id of the event that begins with this deletion
}

func (d *pgDeleted) columns() []any {
	return []any{&d.ord, &d.Header.ID, &d.Header.Conversation, &d.Header.Seq, orZero[bool]{&d.Blocked}, orZero[int64]{&d.version}, orZero[int64]{&d.event}}
}
