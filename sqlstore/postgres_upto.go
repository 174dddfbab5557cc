package sqlstore

import (
	"context"
	"database/sql"

	"github.com/msgdelivery/delivery"
)

// pgNeeds finds, among the messages from the user's place up to the named one, in order of seq, those
// of others that are not where the mark wants them; a frozen message without the user is none.
// The scalar subselects let the index deliver the order, so that a limit ends the search.
const pgNeeds = `
	select m.seq, m.id, m.sender, m.total, m.quorum, coalesce(r.status, 0) as was, r.delivered_at
	from delivery_messages m
	left join lateral (
		select status, delivered_at from delivery_receipts
		where conv = m.conv and seq = m.seq and recipient = $3::text limit 1
	) r on true
	where m.conv = (select conv from named) and m.seq > (select place from named) and m.seq <= (select seq from named)
		and m.sender <> $3::text and (m.open or r.status is not null) and $5::int > coalesce(r.status, 0)`

// pgAdvanceUpTo applies an up-to mark: $1 conversation, $2 message, $3 user, $4 socket, $5 status, $6 at,
// $7 admitted, $8 limit, $9 the lease's length, $10 its token. It takes the conversation's row as
// pgAdvance does. The place is safe without: what it passes over can never need a step again.
const pgAdvanceUpTo = `
with named as materialized (
	select m.conv, m.seq, m.id, m.sender, m.open, m.total, m.quorum, m.sent_at, c.id as conversation, c.version as seen,
		r.status, r.version, r.delivered_at, r.read_at,
		coalesce((
			select case when $5::int = 3 then read_seq else delivered_seq end from delivery_readers
			where conv = m.conv and reader = $3::text
		), 0) as place
	from delivery_messages m
	join delivery_conversations c on c.conv = m.conv
	left join delivery_receipts r on r.conv = m.conv and r.seq = m.seq and r.recipient = $3::text
	where m.id = $2::text and c.id = $1::text
),
found as materialized (
	select *, row_number() over (order by seq) as n
	from (` + pgNeeds + ` and (not m.open or $7::boolean) order by m.seq limit $8::bigint + 1) f
),
-- Up to where this statement looks: to the named message, or to before the first step beyond the limit.
looked as materialized (
	select coalesce((select seq - 1 from found where n > $8::bigint), named.seq) as till from named
),
left_out as materialized (
	select count(*) as messages, min(seq) as first
	from (` + pgNeeds + ` and m.open and not $7::boolean) o where seq <= (select till from looked)
),
turn as materialized (
	select c.conv, (select count(*) from found where n <= $8::bigint) as steps
	from delivery_conversations c join named on c.conv = named.conv and c.version = named.seen
	where exists (select from found)
	for no key update of c skip locked
),
taken as (
	update delivery_conversations c set version = c.version + turn.steps from turn where c.conv = turn.conv
	returning c.conv
),
step as materialized (
	select named.conv, conversation, f.seq, f.id as message, f.sender, f.total, f.quorum, $3::text as "user", $5::int as status,
		coalesce(f.delivered_at, $6::timestamptz) as delivered_at, case when $5::int = 3 then $6::timestamptz end as read_at,
		t.delivered_count + (f.was < 2)::int as delivered, t.read_count + ($5::int = 3)::int as read, named.seen + f.n as version
	from named
	join taken using (conv)
	join found f on f.n <= $8::bigint
	join delivery_states t on t.conv = named.conv and t.seq = f.seq
),
receipt as (
	insert into delivery_receipts (conv, seq, recipient, status, version, delivered_at, read_at)
	select conv, seq, "user", status, version, delivered_at, read_at from step
	on conflict (conv, seq, recipient) do update set
		status = excluded.status, version = excluded.version,
		delivered_at = excluded.delivered_at, read_at = excluded.read_at
),
state as (
	update delivery_states t set
		version = u.version, delivered_count = u.delivered, read_count = u.read, status = ` + pgStatus + `,
		delivered_at = coalesce(t.delivered_at, case when u.delivered >= u.quorum then $6::timestamptz end),
		read_at = coalesce(t.read_at, case when u.read >= u.quorum then $6::timestamptz end)
	from step u where t.conv = u.conv and t.seq = u.seq
),
place as (
	insert into delivery_readers as p (conv, reader, delivered_seq, read_seq)
	select conv, $3::text, reached, case when $5::int = 3 then reached else 0 end
	from (select conv, place, least(till, left_out.first - 1) as reached from named, looked, left_out) r
	where reached > place and (not exists (select from found) or exists (select from taken))
	on conflict (conv, reader) do update set
		delivered_seq = greatest(p.delivered_seq, excluded.delivered_seq), read_seq = greatest(p.read_seq, excluded.read_seq)
),
event as (
	insert into delivery_outbox (ready_at, lease, attempts, payload)
	select clock_timestamp() + $9::bigint * interval '1 microsecond', $10::bigint, ($10::bigint <> 0)::int,
		json_build_object('k', 2, 'c', conversation, 'f', min(version), 't', max(version), 'x', $4::text,
			'u', json_agg(` + pgUpdate + ` order by version))
	from step u group by conversation
	returning id, payload
)
select named.id, named.conversation, named.sender, named.seq, open, named.total, named.quorum, sent_at,
	coalesce(own.status, named.status), coalesce(own.version, named.version),
	coalesce(own.delivered_at, named.delivered_at), coalesce(own.read_at, named.read_at),
	taken.changed, taken.first, taken.last, left_out.messages,
	(select count(*) from found) > $8::bigint,
	taken.changed = 0 and exists (select from found),
	e.id, e.payload
from named
cross join left_out
cross join (select count(*) as changed, min(version) as first, max(version) as last from step) taken
left join step own on own.seq = named.seq
left join (select id, payload from event where $10::bigint <> 0) e on true`

func (postgresWrites) advanceUpTo(ctx context.Context, s *session, upTo delivery.UpTo, lease delivery.Lease) (marked delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	var row pgMarkedUpTo
	apply := func(q delivery.DBTX) error {
		rows, err := query(ctx, q, scanPgMarkedUpTo, pgAdvanceUpTo,
			upTo.Conversation, upTo.Message, upTo.User, upTo.Socket, uint8(upTo.Status), precise(upTo.At),
			upTo.Admitted, upTo.Limit, lease.For.Microseconds(), lease.Token)
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
			if _, err := q.ExecContext(ctx, pgLock, idList([]string{upTo.Message})); err != nil {
				return err
			}
			return apply(q)
		})
	}
	if err != nil {
		return delivery.MarkedUpTo{}, nil, err
	}
	if row.Receipt.Status != 0 {
		row.Receipt.Message, row.Receipt.Recipient = upTo.Message, upTo.User
	}
	claimed, err = pgClaimed([]pgEvent{row.event}, lease)
	return row.MarkedUpTo, claimed, err
}

// pgMarkedUpTo is what pgAdvanceUpTo returns.
type pgMarkedUpTo struct {
	delivery.MarkedUpTo
	held  bool
	event pgEvent
}

func scanPgMarkedUpTo(rows *sql.Rows) (m pgMarkedUpTo, err error) {
	columns := append(headerColumns(&m.Header), receiptColumns(&m.Receipt)[2:]...)
	columns = append(columns, &m.Changed, orZero[int64]{&m.From}, orZero[int64]{&m.To}, &m.LeftOut, &m.More, &m.held)
	return m, rows.Scan(append(columns, m.event.columns()...)...)
}
