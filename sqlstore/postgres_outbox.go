package sqlstore

import (
	"context"
	"database/sql"

	"github.com/msgdelivery/delivery"
)

// pgClaim leases due events: $1 how many, $2 the lease's token, $3 its length.
//
// The materialized step is what keeps to the limit: a plan that ran it once per row of an outer loop
// would skip what it had locked and take more each time. It compares with the statement's time, which
// unlike the clock's can search an index.
const pgClaim = `
with due as materialized (
	select id, ready_at as since from delivery_outbox
	where ready_at <= statement_timestamp()
	order by ready_at, id limit $1::bigint
	for update skip locked
),
claimed as (
	update delivery_outbox o set
		lease = $2::bigint, attempts = attempts + 1, ready_at = clock_timestamp() + $3::bigint * interval '1 microsecond'
	from due where o.id = due.id
	returning o.id, payload, attempts, since
)
select id, payload, attempts from claimed order by since, id`

func (postgresWrites) claim(ctx context.Context, s *session, limit int, lease delivery.Lease) (claimed []delivery.Claimed, err error) {
	err = s.single(ctx, func(q delivery.DBTX) error {
		claimed, err = query(ctx, q, func(rows *sql.Rows) (c delivery.Claimed, err error) {
			var id int64
			var payload []byte
			if err := rows.Scan(&id, &payload, &c.Attempts); err != nil {
				return c, err
			}
			c.Lease = lease.Token
			c.Event, err = decodeEvent(id, payload)
			return c, err
		}, pgClaim, limit, lease.Token, lease.For.Microseconds())
		return err
	})
	return claimed, err
}

// pgSettle settles: $1 pgSettlements. Outcomes stand as in [delivery.Outcome].
const pgSettle = `
with s as materialized (
	select * from json_to_recordset($1::json) as s(id bigint, lease bigint, outcome int, after bigint, reason text, payload text)
),
ended as (
	delete from delivery_outbox o using s
	where o.id = s.id and o.lease = s.lease and s.lease <> 0 and outcome in (1, 4)
	returning o.id, o.attempts, o.payload, outcome, reason
),
buried as (
	insert into delivery_dead (id, attempts, reason, at, payload)
	select id, attempts, reason, clock_timestamp(), payload from ended where outcome = 4
),
deferred as (
	update delivery_outbox o set
		lease = 0, attempts = attempts - (outcome = 3)::int, ready_at = clock_timestamp() + after * interval '1 microsecond'
	from s
	where o.id = s.id and o.lease = s.lease and s.lease <> 0 and outcome in (2, 3)
	returning o.id
),
raised as (
	delete from delivery_dead d using s where d.id = s.id and outcome in (5, 6)
	returning d.id, outcome, s.payload
),
requeued as (
	insert into delivery_outbox (id, ready_at, lease, attempts, payload)
	select id, clock_timestamp(), 0, 0, payload from raised where outcome = 5
)
select (select count(*) from ended) + (select count(*) from deferred) + (select count(*) from raised)`

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
		batch[i] = pgSettlement{ID: s.ID, Lease: s.Lease, Outcome: uint8(s.Outcome), After: s.After.Microseconds(), Reason: s.Reason}
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
