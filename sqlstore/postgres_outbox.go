package sqlstore

import (
	"context"
	"database/sql"
	"strings"

	"github.com/msgdelivery/delivery"
)

// pgClaim leases due events: $1 how many, $2 the lease's token, $3 its length.
//
// The materialized step is what keeps to the limit: a plan that ran it once per row of an outer loop
// would skip what it had locked and take more each time. It compares with the statement's time, which
// unlike the clock's can search an index.
const pgClaim = `
WITH due AS MATERIALIZED (
	SELECT id, ready_at AS since FROM delivery_outbox
	WHERE ready_at <= statement_timestamp()
	ORDER BY ready_at, id LIMIT $1::bigint
	FOR UPDATE SKIP LOCKED
),
claimed AS (
	UPDATE delivery_outbox SET
		lease = $2::bigint, attempts = attempts + 1, ready_at = clock_timestamp() + $3::bigint * INTERVAL '1 microsecond'
	WHERE id = ANY (ARRAY(SELECT id FROM due))
	RETURNING id, payload, attempts
)
SELECT id, payload, attempts FROM claimed JOIN due USING (id) ORDER BY since, id`

func (postgresWrites) claim(ctx context.Context, s *session, limit int, lease delivery.Lease) (claimed []delivery.Claimed, err error) {
	err = s.single(ctx, func(q delivery.DBTX) error {
		claimed, err = query(ctx, q, func(rows *sql.Rows) (c delivery.Claimed, err error) {
			var id int64
			var payload []byte
			if err := rows.Scan(&id, &payload, &c.Attempts); err != nil {
				return c, err
			}
			c.Lease = lease.Token
			c.Event = readEvent(id, payload)
			return c, nil
		}, pgClaim, limit, lease.Token, lease.For.Microseconds())
		return err
	})
	return claimed, err
}

// pgSettle settles: $1 pgSettlements. Outcomes stand as in [delivery.Outcome].
const pgSettle = `
WITH s AS MATERIALIZED (
	SELECT * FROM json_to_recordset($1::json) AS s(id bigint, lease bigint, outcome int, after bigint, reason text, payload text)
),
ended AS (
	DELETE FROM delivery_outbox o USING s
	WHERE o.id = ANY (ARRAY(SELECT id FROM s)) AND o.id = s.id AND o.lease = s.lease AND s.lease <> 0 AND outcome IN (1, 4)
	RETURNING o.id, o.attempts, o.payload, outcome, reason
),
buried AS (
	INSERT INTO delivery_dead (id, attempts, reason, at, payload)
	SELECT id, attempts, reason, clock_timestamp(), payload FROM ended WHERE outcome = 4
),
deferred AS (
	UPDATE delivery_outbox o SET
		lease = 0, attempts = attempts - (outcome = 3)::int, ready_at = clock_timestamp() + after * INTERVAL '1 microsecond'
	FROM s
	WHERE o.id = ANY (ARRAY(SELECT id FROM s)) AND o.id = s.id AND o.lease = s.lease AND s.lease <> 0 AND outcome IN (2, 3)
	RETURNING o.id
),
raised AS (
	DELETE FROM delivery_dead d USING s WHERE d.id = s.id AND outcome IN (5, 6)
	RETURNING d.id, outcome, s.payload
),
requeued AS (
	INSERT INTO delivery_outbox (id, ready_at, lease, attempts, payload)
	SELECT id, clock_timestamp(), 0, 0, payload FROM raised WHERE outcome = 5
)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM deferred) + (SELECT count(*) FROM raised)`

// pgSettlement is one settlement on its way to pgSettle.
type pgSettlement struct {
	ID      int64  `json:"id"`
	Lease   int64  `json:"lease"`
	Outcome uint8  `json:"outcome"`
	After   int64  `json:"after"` // microseconds
	Reason  string `json:"reason"`
	Payload string `json:"payload"`
}

func (postgresWrites) settle(ctx context.Context, s *session, settlements []delivery.Settlement) (held int, err error) {
	batch := make([]pgSettlement, len(settlements))
	for i := range settlements {
		s := &settlements[i]
		batch[i] = pgSettlement{
			ID: s.ID, Lease: s.Lease, Outcome: uint8(s.Outcome), After: s.After.Microseconds(),
			Reason: strings.ReplaceAll(s.Reason, "\x00", "\uFFFD"), // Postgres has no NUL, an endpoint's answer may
		}
		if s.Outcome == delivery.Requeue {
			if batch[i].Payload, err = encodeEvent(s.Event); err != nil {
				return 0, err
			}
		}
	}
	list := toJSON(batch)
	err = s.single(ctx, func(q delivery.DBTX) error {
		return q.QueryRowContext(ctx, pgSettle, list).Scan(&held)
	})
	return held, err
}
