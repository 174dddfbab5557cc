package sqlstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/msgdelivery/delivery"
)

// Why marks are exact.
//
// Whatever changes in a conversation holds its row until the commit and moves its version. An advance
// is one statement, and all of a statement reads one snapshot, which may be older than the lock the
// statement takes: the last holder may have committed in between, so that receipts and counters in
// the snapshot are stale. Therefore the statement takes the row only if it is free and, in its newest
// version (which is what a locking read checks under READ COMMITTED), still at the version that the
// snapshot shows: then nothing in the conversation has changed since the snapshot, nor can it now.
// Otherwise nothing is done for that conversation: no version is taken that could become a gap.
//
// Such marks count as held in a batch of several conversations. One conversation is tried again in a
// transaction that first waits for the row and then runs the same statement, whose snapshot is
// younger than the lock. Calls inside a caller's transaction do that from the start. Under a
// stricter isolation of the caller's, a stale snapshot is a serialization error.

// pgAdvance applies a batch: $1 pgMarks, $2 the lease's length, $3 its token.
//
// The lateral lookups with their limits keep the plan to the indexes, even one that was made while
// the tables were empty. Each event of the result stands in any row: there are no more than marks.
const pgAdvance = `
with mark as materialized (
	select k.*, m.*, c.id as conversation, c.version as seen,
		coalesce(r.status, 0) as was, r.version as last, r.delivered_at, r.read_at,
		m.sender <> k."user" and k.status > coalesce(r.status, 0)
			and case when m.open then k.admitted else r.status is not null end as needed
	from json_to_recordset($1::json) as k(ord int, message text, "user" text, socket text, status int, at timestamptz, admitted boolean)
	left join lateral (
		select id, conv, seq, sender, open, total, quorum, sent_at from delivery_messages where id = k.message limit 1
	) m on true
	left join lateral (select id, version from delivery_conversations where conv = m.conv limit 1) c on true
	left join lateral (
		select status, version, delivered_at, read_at from delivery_receipts
		where conv = m.conv and seq = m.seq and recipient = k."user" limit 1
	) r on true
),
wanted as materialized (
	select conv, seen, count(*) as steps from mark where needed group by conv, seen
),
turn as materialized (
	select c.conv, w.steps from delivery_conversations c join wanted w on c.conv = w.conv and c.version = w.seen
	for no key update of c skip locked
),
taken as (
	update delivery_conversations c set version = c.version + turn.steps from turn where c.conv = turn.conv
	returning c.conv
),
step as materialized (
	select ord, conv, seq, conversation, message, sender, total, quorum, "user", socket, was, status, at,
		coalesce(delivered_at, at) as delivered_at, case when status = 3 then at end as read_at,
		seen + row_number() over (partition by conv order by socket collate "C", ord) as version
	from mark join taken using (conv) where needed
),
receipt as (
	insert into delivery_receipts (conv, seq, recipient, status, version, delivered_at, read_at)
	select conv, seq, "user", status, version, delivered_at, read_at from step
	on conflict (conv, seq, recipient) do update set
		status = excluded.status, version = excluded.version,
		delivered_at = excluded.delivered_at, read_at = excluded.read_at
),
tally as materialized (
	select s.*,
		t.delivered_count + count(*) filter (where s.was < 2) over earlier as delivered,
		t.read_count + count(*) filter (where s.status = 3) over earlier as read
	from step s join delivery_states t on t.conv = s.conv and t.seq = s.seq
	window earlier as (partition by s.conv, s.seq order by s.version)
),
state as (
	update delivery_states t set
		version = u.version, delivered_count = u.delivered, read_count = u.read, status = ` + pgStatus + `,
		delivered_at = coalesce(t.delivered_at, u.delivered_at), read_at = coalesce(t.read_at, u.read_at)
	from (
		select conv, seq, quorum, max(version) as version, max(delivered) as delivered, max(read) as read,
			max(at) filter (where was < 2 and delivered = quorum) as delivered_at,
			max(at) filter (where status = 3 and read = quorum) as read_at
		from tally group by conv, seq, quorum
	) u
	where t.conv = u.conv and t.seq = u.seq
),
event as (
	insert into delivery_outbox (ready_at, lease, attempts, payload)
	select clock_timestamp() + $2::bigint * interval '1 microsecond', $3::bigint, ($3::bigint <> 0)::int,
		json_build_object('k', 2, 'c', conversation, 'f', min(version), 't', max(version), 'x', socket,
			'u', json_agg(` + pgUpdate + ` order by version))
	from tally u group by conversation, socket
	returning id, payload
)
select mark.ord, mark.id, conversation, mark.sender, mark.seq, open, mark.total, mark.quorum, sent_at,
	coalesce(step.status, mark.was), coalesce(step.version, mark.last),
	coalesce(step.delivered_at, mark.delivered_at), coalesce(step.read_at, mark.read_at),
	step.ord is not null, needed and step.ord is null, e.id, e.payload
from mark
left join (select ord, status, version, delivered_at, read_at from step) step using (ord)
left join (select row_number() over () as ord, id, payload from event where $3::bigint <> 0) e using (ord)`

// pgAdvanceOne is pgAdvance for one mark, in half the time: $1 message, $2 user, $3 socket, $4 status,
// $5 at, $6 admitted, $7 the lease's length, $8 its token.
const pgAdvanceOne = `
with mark as materialized (
	select m.id, m.conv, m.seq, m.sender, m.open, m.total, m.quorum, m.sent_at, c.id as conversation, c.version as seen,
		coalesce(r.status, 0) as was, r.version as last, r.delivered_at, r.read_at, t.delivered_count, t.read_count,
		m.sender <> $2::text and $4::int > coalesce(r.status, 0)
			and case when m.open then $6::boolean else r.status is not null end as needed
	from delivery_messages m
	join delivery_conversations c on c.conv = m.conv
	join delivery_states t on t.conv = m.conv and t.seq = m.seq
	left join delivery_receipts r on r.conv = m.conv and r.seq = m.seq and r.recipient = $2::text
	where m.id = $1::text
),
turn as materialized (
	select c.conv from delivery_conversations c join mark on c.conv = mark.conv and c.version = mark.seen
	where needed
	for no key update of c skip locked
),
taken as (
	update delivery_conversations c set version = c.version + 1 from turn where c.conv = turn.conv
	returning c.version
),
step as materialized (
	select conv, seq, conversation, id as message, sender, total, quorum, $2::text as "user", $4::int as status, taken.version,
		coalesce(delivered_at, $5::timestamptz) as delivered_at, case when $4::int = 3 then $5::timestamptz end as read_at,
		delivered_count + (was < 2)::int as delivered, read_count + ($4::int = 3)::int as read
	from mark, taken
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
		delivered_at = coalesce(t.delivered_at, case when u.delivered >= u.quorum then $5::timestamptz end),
		read_at = coalesce(t.read_at, case when u.read >= u.quorum then $5::timestamptz end)
	from step u where t.conv = u.conv and t.seq = u.seq
),
event as (
	insert into delivery_outbox (ready_at, lease, attempts, payload)
	select clock_timestamp() + $7::bigint * interval '1 microsecond', $8::bigint, ($8::bigint <> 0)::int,
		json_build_object('k', 2, 'c', conversation, 'f', version, 't', version, 'x', $3::text,
			'u', json_build_array(` + pgUpdate + `))
	from step u
	returning id, payload
)
select 1, mark.id, mark.conversation, mark.sender, mark.seq, open, mark.total, mark.quorum, sent_at,
	coalesce(step.status, was), coalesce(step.version, last),
	coalesce(step.delivered_at, mark.delivered_at), coalesce(step.read_at, mark.read_at),
	step.version is not null, needed and step.version is null, e.id, e.payload
from mark left join step on true left join (select id, payload from event where $8::bigint <> 0) e on true`

// pgLock waits for the rows of the conversations that these messages are in: $1 their ids.
const pgLock = `
select from delivery_conversations
where conv in (select conv from delivery_messages where id in (select json_array_elements_text($1::json)))
order by id for no key update`

// pgMark is one mark on its way to pgAdvance.
type pgMark struct {
	Ord      int       `json:"ord"`
	Message  string    `json:"message"`
	User     string    `json:"user"`
	Socket   string    `json:"socket"`
	Status   uint8     `json:"status"`
	At       time.Time `json:"at"`
	Admitted bool      `json:"admitted"`
}

func (postgresWrites) advance(ctx context.Context, s *session, marks []delivery.Mark, lease delivery.Lease) (marked []delivery.Marked, claimed []delivery.Claimed, err error) {
	apply := func(q delivery.DBTX) (err error) {
		marked, claimed, err = pgApply(ctx, q, marks, lease)
		return err
	}
	if s.tx == nil {
		err = s.single(ctx, apply)
		if err != nil || !anyHeld(marked) || severalConversations(marked) {
			return marked, claimed, err
		}
	}
	ids := make([]string, len(marks))
	for i := range marks {
		ids[i] = marks[i].Message
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		if _, err := q.ExecContext(ctx, pgLock, idList(ids)); err != nil {
			return err
		}
		return apply(q)
	})
	return marked, claimed, err
}

func pgApply(ctx context.Context, q delivery.DBTX, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	var rows []pgMarked
	var err error
	if len(marks) == 1 {
		m := &marks[0]
		rows, err = query(ctx, q, scanPgMarked, pgAdvanceOne,
			m.Message, m.User, m.Socket, uint8(m.Status), precise(m.At), m.Admitted, lease.For.Microseconds(), lease.Token)
	} else {
		batch := make([]pgMark, len(marks))
		for i := range marks {
			m := &marks[i]
			batch[i] = pgMark{i + 1, m.Message, m.User, m.Socket, uint8(m.Status), precise(m.At), m.Admitted}
		}
		rows, err = query(ctx, q, scanPgMarked, pgAdvance, toJSON(batch), lease.For.Microseconds(), lease.Token)
	}
	if err != nil {
		return nil, nil, err
	}
	marked := make([]delivery.Marked, len(marks))
	var events []pgEvent
	for _, row := range rows {
		m, mark := row.Marked, &marks[row.ord-1]
		switch {
		case m.Held:
			m.Receipt = delivery.Receipt{}
		case m.Receipt.Status != 0:
			m.Receipt.Message, m.Receipt.Recipient = mark.Message, mark.User
		}
		marked[row.ord-1] = m
		events = append(events, row.event)
	}
	claimed, err := pgClaimed(events, lease)
	return marked, claimed, err
}

// pgMarked is a row of what pgAdvance returns.
type pgMarked struct {
	ord int
	delivery.Marked
	event pgEvent
}

func scanPgMarked(rows *sql.Rows) (m pgMarked, err error) {
	columns := append([]any{&m.ord}, headerColumns(&m.Header)...)
	columns = append(columns, receiptColumns(&m.Receipt)[2:]...)
	columns = append(columns, orZero[bool]{&m.Changed}, orZero[bool]{&m.Held})
	return m, rows.Scan(append(columns, m.event.columns()...)...)
}

func anyHeld(marked []delivery.Marked) bool {
	for i := range marked {
		if marked[i].Held {
			return true
		}
	}
	return false
}

// severalConversations reports whether a batch was of more than one; what does not exist is another.
func severalConversations(marked []delivery.Marked) bool {
	for i := range marked {
		if marked[i].Header.Conversation != marked[0].Header.Conversation {
			return true
		}
	}
	return false
}
