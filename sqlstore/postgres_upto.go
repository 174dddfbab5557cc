package sqlstore

import (
	"context"
	"database/sql"

	"github.com/msgdelivery/delivery"
)

// pgNeeds finds, among the messages from the user's place up to the named one, in order of seq,
// those of others that are not where the mark wants them; a frozen message without the user is
// none. The scalar subselects let the index deliver the order, so that a limit ends the search.
const pgNeeds = `
	SELECT m.seq, m.id, m.sender, m.total, m.quorum, coalesce(r.status, 0) AS was, r.delivered_at
	FROM delivery_messages m
	LEFT JOIN LATERAL (
		SELECT * FROM delivery_receipts WHERE conv = m.conv AND seq = m.seq AND recipient = $3::text LIMIT 1
	) r ON true
	WHERE m.conv = (SELECT conv FROM named) AND m.seq > (SELECT place FROM named) AND m.seq <= (SELECT seq FROM named)
		AND m.sender <> $3::text AND (m.open OR r.status IS NOT NULL) AND $5::int > coalesce(r.status, 0)`

// pgAdvanceUpTo applies an up-to mark: $1 conversation, $2 message, $3 user, $4 socket, $5 status,
// $6 at, $7 admitted, $8 limit, $9 the lease's length, $10 its token. It takes the conversation's
// row as pgAdvance does. The place is safe without: what it passes over can never need a step
// again. Strangers leave no place behind.
var pgAdvanceUpTo = `
WITH named AS MATERIALIZED (
	SELECT m.conv, m.seq, m.id, m.sender, m.open, m.total, m.quorum, m.sent_at, c.id AS conversation, c.version AS seen,
		r.status, r.version, r.delivered_at, r.read_at,
		coalesce((
			SELECT CASE WHEN $5::int = 3 THEN read_seq ELSE delivered_seq END FROM delivery_readers
			WHERE conv = m.conv AND reader = $3::text
		), 0) AS place
	FROM delivery_messages m
	JOIN delivery_conversations c ON c.conv = m.conv
	LEFT JOIN LATERAL (
		SELECT * FROM delivery_receipts WHERE conv = m.conv AND seq = m.seq AND recipient = $3::text LIMIT 1
	) r ON true
	WHERE m.id = $2::text AND c.id = $1::text LIMIT 1
),
found AS MATERIALIZED (
	SELECT *, row_number() OVER (ORDER BY seq) AS n
	FROM (` + pgNeeds + ` AND (NOT m.open OR $7::boolean) ORDER BY m.seq LIMIT $8::bigint + 1) f
),
-- Up to where this statement looks: to the named message, or to before the first step beyond the limit.
looked AS MATERIALIZED (
	SELECT coalesce((SELECT seq - 1 FROM found WHERE n > $8::bigint), named.seq) AS till FROM named
),
left_out AS MATERIALIZED (
	SELECT count(*) AS messages, min(seq) AS first
	FROM (` + pgNeeds + ` AND m.open AND NOT $7::boolean) o WHERE seq <= (SELECT till FROM looked)
),
turn AS MATERIALIZED (
	SELECT c.conv, (SELECT count(*) FROM found WHERE n <= $8::bigint) AS steps
	FROM delivery_conversations c JOIN named ON c.conv = named.conv AND c.version = named.seen
	WHERE EXISTS (SELECT FROM found)
	FOR NO KEY UPDATE OF c SKIP LOCKED
),
taken AS (
	UPDATE delivery_conversations c SET version = c.version + turn.steps FROM turn WHERE c.conv = turn.conv
	RETURNING c.conv
),
step AS MATERIALIZED (
	SELECT named.conv, conversation, f.seq, f.id AS message, f.sender, f.total, f.quorum, $3::text AS "user", f.was, $5::int AS status,
		coalesce(f.delivered_at, $6::timestamptz) AS delivered_at, CASE WHEN $5::int = 3 THEN $6::timestamptz END AS read_at,
		t.delivered_count + (f.was < 2)::int AS delivered, t.read_count + ($5::int = 3)::int AS read, named.seen + f.n AS version
	FROM named
	JOIN taken USING (conv)
	JOIN found f ON f.n <= $8::bigint
	CROSS JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = named.conv AND seq = f.seq LIMIT 1) t
),` + pgPutReceipts + `,
state AS (
	INSERT INTO delivery_states AS t (conv, seq, version, status, delivered_count, read_count, delivered_at, read_at)
	SELECT conv, seq, version, ` + pgStatus + `, delivered, read,
		CASE WHEN delivered >= quorum THEN $6::timestamptz END, CASE WHEN read >= quorum THEN $6::timestamptz END
	FROM step u ` + pgPutState + `
),
place AS (
	INSERT INTO delivery_readers AS p (conv, reader, delivered_seq, read_seq)
	SELECT conv, $3::text, reached, CASE WHEN $5::int = 3 THEN reached ELSE 0 END
	FROM (SELECT *, least(till, left_out.first - 1) AS reached FROM named, looked, left_out) r
	WHERE reached > place
		AND CASE WHEN EXISTS (SELECT FROM found) THEN EXISTS (SELECT FROM taken) ELSE status IS NOT NULL OR sender = $3::text END
	ON CONFLICT (conv, reader) DO UPDATE SET
		delivered_seq = greatest(p.delivered_seq, excluded.delivered_seq), read_seq = greatest(p.read_seq, excluded.read_seq)
),
told AS MATERIALIZED (
	SELECT nextval('delivery_outbox_id_seq') AS id,
		` + pgEvent(`conversation`, `min(version)`, `max(version)`, `$4::text`, `string_agg(`+pgUpdate+`, ',' ORDER BY version)`) + ` AS payload
	FROM step u GROUP BY conversation
),
event AS (
	INSERT INTO delivery_outbox (id, ready_at, lease, attempts, payload)
	SELECT id, clock_timestamp() + $9::bigint * INTERVAL '1 microsecond', $10::bigint, ($10::bigint <> 0)::int, payload FROM told
)
SELECT named.id, named.conversation, named.sender, named.seq, open, named.total, named.quorum, sent_at,
	coalesce(own.status, named.status), coalesce(own.version, named.version),
	coalesce(own.delivered_at, named.delivered_at), coalesce(own.read_at, named.read_at),
	steps.taken, steps.first, steps.last, left_out.messages,
	(SELECT count(*) FROM found) > $8::bigint,
	steps.taken = 0 AND EXISTS (SELECT FROM found),
	e.id, e.payload
FROM named
CROSS JOIN left_out
CROSS JOIN (SELECT count(*) AS taken, min(version) AS first, max(version) AS last FROM step) steps
LEFT JOIN step own ON own.seq = named.seq
LEFT JOIN told e ON $10::bigint <> 0`

func (w postgresWrites) advanceUpTo(ctx context.Context, s *session, upTo []delivery.UpTo, limit int, lease delivery.Lease) (marked []delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	for _, u := range upTo {
		m, c, err := w.advanceOneUpTo(ctx, s, u, limit, lease)
		if err != nil {
			return nil, nil, err
		}
		limit -= m.Changed
		marked, claimed = append(marked, m), append(claimed, c...)
	}
	return marked, claimed, nil
}

func (postgresWrites) advanceOneUpTo(ctx context.Context, s *session, upTo delivery.UpTo, limit int, lease delivery.Lease) (marked delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	var row pgMarkedUpTo
	apply := func(q delivery.DBTX) error {
		rows, err := query(ctx, q, scanPgMarkedUpTo, pgAdvanceUpTo,
			upTo.Conversation, upTo.Message, upTo.User, upTo.Socket, uint8(upTo.Status), precise(upTo.At),
			upTo.Admitted, limit, lease.For.Microseconds(), lease.Token)
		row = pgMarkedUpTo{}
		if err == nil && len(rows) > 0 {
			row = rows[0]
		}
		return err
	}
	if s.tx == nil {
		err = s.single(ctx, apply)
	}
	if s.tx != nil || err == nil && row.held {
		err = s.write(ctx, func(q delivery.DBTX) error {
			for row.held = true; row.held; { // twice if the message came between the two statements
				if _, err := q.ExecContext(ctx, pgLock, idList([]string{upTo.Message})); err != nil {
					return err
				}
				if err := apply(q); err != nil {
					return err
				}
			}
			if s.tx != nil && row.Header.ID == "" {
				return pgMissing(ctx, q, []string{upTo.Message})
			}
			return nil
		})
	}
	if err != nil {
		return delivery.MarkedUpTo{}, nil, err
	}
	if row.Receipt.Status != 0 {
		row.Receipt.Message, row.Receipt.Recipient = upTo.Message, upTo.User
	}
	if row.event == 0 {
		return row.MarkedUpTo, nil, nil
	}
	event, err := decodeEvent(row.event, row.payload)
	return row.MarkedUpTo, []delivery.Claimed{{Event: event, Lease: lease.Token, Attempts: 1}}, err
}

// pgMarkedUpTo is what pgAdvanceUpTo returns.
type pgMarkedUpTo struct {
	delivery.MarkedUpTo
	held    bool
	event   int64 // id; 0 if it is nobody's yet
	payload []byte
}

func scanPgMarkedUpTo(rows *sql.Rows) (m pgMarkedUpTo, err error) {
	columns := append(headerColumns(&m.Header), progressColumns(&m.Receipt)...)
	columns = append(columns, &m.Changed, orZero[int64]{&m.From}, orZero[int64]{&m.To}, &m.LeftOut, &m.More, &m.held)
	err = rows.Scan(append(columns, orZero[int64]{&m.event}, &m.payload)...)
	return m, err
}
