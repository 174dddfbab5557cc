package sqlstore

import "fmt"

const (
	pgMessage = `m.id, c.id, m.sender, m.seq, m.open, m.total, m.quorum, m.sent_at, m.body,
	t.version, t.status, t.delivered_count, t.read_count, t.delivered_at, t.read_at`

	pgReceipt = `m.id, r.recipient, r.status, r.version, r.delivered_at, r.read_at`

	// A page: the conversation's version in every row, and in the one row of an empty page.
	pgPage = `
select c.version, page.*
from delivery_conversations c
left join lateral (
	select ` + pgMessage + `, m.id, r.recipient, r.status, r.version as own_version, r.delivered_at, r.read_at
	from delivery_messages m
	join delivery_states t on t.conv = m.conv and t.seq = m.seq
	left join delivery_receipts r on r.conv = m.conv and r.seq = m.seq and r.recipient = `

	pgPageBySeq = pgPage + `$3::text
	where m.conv = c.conv and m.seq > $1::bigint and m.seq < $2::bigint
	order by m.seq %[1]s limit $5::bigint
) page on true
where c.id = $4::text order by page.seq %[1]s`

	pgPageByVersion = pgPage + `$2::text
	where t.conv = c.conv and t.version > $1::bigint
	order by t.version limit $4::bigint
) page on true
where c.id = $3::text order by page.version`
)

var pgReads = reads{
	load: `
select ` + pgMessage + `
from delivery_messages m
join delivery_conversations c on c.conv = m.conv
join delivery_states t on t.conv = m.conv and t.seq = m.seq
where m.id in (select json_array_elements_text($1::json))`,

	receipts: `
select ` + pgReceipt + `
from delivery_messages m
join delivery_receipts r on r.conv = m.conv and r.seq = m.seq
where m.id in (select json_array_elements_text($1::json))
order by m.id, r.recipient`,

	after:   fmt.Sprintf(pgPageBySeq, "asc"),
	before:  fmt.Sprintf(pgPageBySeq, "desc"),
	changes: pgPageByVersion,

	dead: `
select id, payload, attempts, reason, at from delivery_dead where id > $1::bigint order by id limit $2::bigint`,

	backlog: `
select count(*), (extract(epoch from clock_timestamp() - min(created_at)) * 1000000)::bigint,
	(select count(*) from delivery_dead)
from delivery_outbox`,
}
