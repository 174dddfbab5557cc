package sqlstore

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// pgClaim leases due events: $1 how many, $2 the lease's token, $3 its length, $4 since when at
// most they have been due, in microseconds.
//
// Events come and go in the order in which they fall due, so that where the index begins lies what
// is gone. While somebody's old snapshot keeps vacuum from clearing that away, to search from there
// would take longer and longer: see [sweep].
//
// The materialized step is what keeps to the limit: a plan that ran it once per row of an outer
// loop would skip what it had locked and take more each time. It compares with the statement's
// time, which unlike the clock's can search an index.
var pgClaim = `
WITH due AS MATERIALIZED (
	SELECT id, ready_at AS since FROM delivery_outbox
	WHERE ready_at <= statement_timestamp() AND ready_at > statement_timestamp() - $4::bigint * INTERVAL '1 microsecond'
	ORDER BY ready_at LIMIT $1::bigint
	FOR UPDATE SKIP LOCKED
),
claimed AS (
	UPDATE delivery_outbox SET
		lease = $2::bigint, attempts = attempts + 1, ready_at = clock_timestamp() + $3::bigint * INTERVAL '1 microsecond'
	WHERE id = ANY (ARRAY(SELECT id FROM due))
	RETURNING id, payload, body_of, attempts
)
SELECT id, payload, body, home, attempts FROM claimed JOIN due USING (id)` + pgBody + ` ORDER BY since, id`

func (w *postgresWrites) claim(ctx context.Context, s *session, limit int, lease delivery.Lease) (claimed []delivery.Claimed, err error) {
	began := time.Now()
	since := w.sweep.since(began)
	err = s.write(ctx, func(q delivery.DBTX) error {
		claimed, err = query(ctx, q, func(rows *sql.Rows) (c delivery.Claimed, err error) {
			var id int64
			var payload []byte
			var from source
			if err := rows.Scan(&id, &payload, orZero[string]{&from.body}, orZero[string]{&from.conversation}, &c.Attempts); err != nil {
				return c, err
			}
			c.Lease = lease.Token
			c.Event = readEvent(id, payload, from)
			return c, nil
		}, pgClaim, limit, lease.Token, lease.For.Microseconds(), since.Microseconds())
		return err
	})
	if err == nil && len(claimed) < limit {
		w.sweep.leftNothing(began, since)
	}
	return claimed, err
}

// pgBody is a join with an event's [source], which may be NULL.
const pgBody = `
LEFT JOIN LATERAL (SELECT conv, body FROM delivery_messages WHERE id = body_of LIMIT 1) m ON true
LEFT JOIN LATERAL (SELECT id AS home FROM delivery_conversations WHERE conv = m.conv LIMIT 1) c ON true`

// pgFree are the ids of the claims s that are to end. An event that is locked, as by an EraseTx,
// is left to the end of its lease: its neighbours would wait with it.
func pgFree(s string) string {
	return `ARRAY(
	SELECT o.id FROM delivery_outbox o JOIN ` + s + ` s ON o.id = s.id AND o.lease = s.lease
	WHERE o.id = ANY (ARRAY(SELECT id FROM ` + s + `)) FOR UPDATE OF o SKIP LOCKED
)`
}

// pgDone ends claims: $1 the events, $2 their leases. It is pgSettle for what mostly happens, in
// 0.33× the time.
var pgDone = `
WITH done AS MATERIALIZED (SELECT * FROM unnest((SELECT $1::bigint[]), (SELECT $2::bigint[])) AS s(id, lease))
DELETE FROM delivery_outbox WHERE id = ANY (` + pgFree("done") + `)`

// pgSettle settles: $1 pgSettlements that end claims, $2 those that give them back, $3 those of
// dead letters. Outcomes stand as in [delivery.Outcome]. One list with a filter on the outcome
// would pass for two rows, and be searched from end to end for each of its own.
var pgSettle = `
WITH ending AS MATERIALIZED (
	SELECT * FROM json_to_recordset($1::json) AS s(id bigint, lease bigint, outcome int, reason text)
),
ended AS (
	DELETE FROM delivery_outbox o USING ending s WHERE o.id = ANY (` + pgFree("ending") + `) AND o.id = s.id AND o.lease = s.lease
	RETURNING o.id, o.attempts, o.body_of, o.payload, outcome, reason
),
buried AS (
	INSERT INTO delivery_dead (id, attempts, reason, at, body_of, payload)
	SELECT id, attempts, reason, clock_timestamp(), body_of, payload FROM ended WHERE outcome = ` + sqlBury + `
),
deferring AS MATERIALIZED (
	SELECT * FROM json_to_recordset($2::json) AS s(id bigint, lease bigint, outcome int, after bigint)
),
deferred AS (
	UPDATE delivery_outbox o SET
		lease = 0, attempts = attempts - (outcome = ` + sqlRelease + `)::int, ready_at = clock_timestamp() + after * INTERVAL '1 microsecond'
	FROM deferring s WHERE o.id = ANY (` + pgFree("deferring") + `) AND o.id = s.id AND o.lease = s.lease
	RETURNING o.id
),
raising AS MATERIALIZED (
	SELECT * FROM json_to_recordset($3::json) AS s(id bigint, outcome int, body_of text, payload text)
),
raised AS (
	DELETE FROM delivery_dead d USING raising s WHERE d.id = ANY (ARRAY(SELECT id FROM raising)) AND d.id = s.id
	RETURNING d.id, outcome, s.body_of, s.payload
),
requeued AS (
	INSERT INTO delivery_outbox (id, ready_at, lease, attempts, body_of, payload)
	SELECT id, clock_timestamp(), 0, 0, body_of, payload FROM raised WHERE outcome = ` + sqlRequeue + `
)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM deferred) + (SELECT count(*) FROM raised)`

// pgSettlement is one settlement on its way to pgSettle.
type pgSettlement struct {
	ID      int64   `json:"id"`
	Lease   int64   `json:"lease"`
	Outcome uint8   `json:"outcome"`
	After   int64   `json:"after"` // microseconds
	Reason  string  `json:"reason"`
	BodyOf  *string `json:"body_of"`
	Payload string  `json:"payload"`
}

func (*postgresWrites) settle(ctx context.Context, s *session, settlements []delivery.Settlement) (held int, err error) {
	ending, deferring, raising := []pgSettlement{}, []pgSettlement{}, []pgSettlement{}
	var done, leases []int64 // of what is done
	for _, x := range settlements {
		if x.Lease == 0 && x.Outcome < delivery.SettleRequeue {
			continue // what has no lease is nobody's to settle
		}
		row := pgSettlement{ID: x.ID, Lease: x.Lease, Outcome: uint8(x.Outcome), After: x.After.Microseconds()}
		switch x.Outcome {
		case delivery.SettleDone:
			done, leases = append(done, x.ID), append(leases, x.Lease)
		case delivery.SettleBury:
			row.Reason = strings.ReplaceAll(x.Reason, "\x00", "\uFFFD") // Postgres has no NUL, an endpoint's answer may
			ending = append(ending, row)
		case delivery.SettleRetry, delivery.SettleRelease:
			deferring = append(deferring, row)
		case delivery.SettleRequeue:
			if row.Payload, err = encodeEvent(x.Event); err != nil {
				return 0, err
			}
			row.BodyOf = bodyOf(x.Event)
			raising = append(raising, row)
		case delivery.SettleDiscard:
			raising = append(raising, row)
		}
	}
	mixed := len(ending)+len(deferring)+len(raising) > 0
	if mixed {
		for i, id := range done {
			ending = append(ending, pgSettlement{ID: id, Lease: leases[i], Outcome: uint8(delivery.SettleDone)})
		}
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		if mixed {
			return queryOne(ctx, q, []any{&held}, pgSettle, toJSON(ending), toJSON(deferring), toJSON(raising))
		}
		result, err := q.ExecContext(ctx, pgDone, bigints(done), bigints(leases))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		held = int(n)
		return err
	})
	return held, err
}

// bigints returns numbers as an array.
func bigints(numbers []int64) string {
	var a pgArray
	for _, n := range numbers {
		a.number(n)
	}
	return a.String()
}
