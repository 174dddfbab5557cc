package sqlstore

import "fmt"

// pgNamed finds messages by their ids.
const pgNamed = `
FROM json_array_elements_text($1::json) AS named(id)
CROSS JOIN LATERAL (SELECT * FROM delivery_messages WHERE id = named.id LIMIT 1) m`

var (
	pgMessage = `m.id, c.id, ` + pgAuthor + `, m.seq, m.roster IS NULL, m.total, m.quorum, m.sent_at, m.body,
	t.version, t.status, t.delivered_count, t.read_count, t.delivered_at, t.read_at`

	pgOwn = `m.id, p.name, ` + pgStanding + `, coalesce(r.version, m.seq), r.delivered_at, r.read_at`

	// A page is found in one table and filled from the others.
	pgPage = `
SELECT coalesce(c.version, 0), e.epoch, ` + pgMessage + `, ` + pgOwn + `
FROM (SELECT epoch FROM delivery_epoch WHERE id = 1) e
LEFT JOIN LATERAL (SELECT * FROM delivery_conversations WHERE id = $1::text LIMIT 1) c ON true%s`

	pgPageBySeq = pgPage + `
LEFT JOIN LATERAL (
	SELECT * FROM delivery_messages WHERE conv = c.conv AND seq > $2::bigint AND seq < $3::bigint
	ORDER BY seq %[2]s LIMIT $4::bigint
) m ON true
LEFT JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1) t ON true` + pgReceipt + `
ORDER BY m.seq %[2]s`

	pgPageByVersion = pgPage + `
LEFT JOIN LATERAL (
	SELECT * FROM delivery_states WHERE conv = c.conv AND version > $2::bigint
	ORDER BY version LIMIT $3::bigint
) t ON true
LEFT JOIN LATERAL (SELECT * FROM delivery_messages WHERE conv = t.conv AND seq = t.seq LIMIT 1) m ON true` + pgReceipt + `
ORDER BY t.version`
)

var pgReads = reads{
	load: `
SELECT ` + pgMessage + `, g.name` + pgNamed + `
CROSS JOIN LATERAL (SELECT * FROM delivery_conversations WHERE conv = m.conv LIMIT 1) c
CROSS JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1) t
LEFT JOIN LATERAL (SELECT name FROM delivery_rosters WHERE roster = m.roster LIMIT 1) g ON true`,

	// Of a frozen message all members of its roster have one, and of an open one those who have marked it.
	// An array counts as few: joins of so many rows as there may be are so dear to the planner that
	// it has the statement compiled first, which takes seconds.
	receipts: `
SELECT m.id, p.name, coalesce(r.status, ` + sqlSent + `), coalesce(r.version, m.seq), r.delivered_at, r.read_at` + pgNamed + `
CROSS JOIN LATERAL unnest(CASE
	WHEN m.roster IS NULL THEN ARRAY(SELECT reader FROM delivery_receipts WHERE conv = m.conv AND seq = m.seq)
	ELSE ARRAY(SELECT reader FROM delivery_members WHERE roster = m.roster AND reader <> m.sender)
END) AS own(reader)
CROSS JOIN LATERAL (SELECT name FROM delivery_readers WHERE reader = own.reader LIMIT 1) p
LEFT JOIN LATERAL (SELECT * FROM delivery_receipts WHERE conv = m.conv AND seq = m.seq AND reader = own.reader LIMIT 1) r ON true
ORDER BY m.id, p.name`,

	after:   fmt.Sprintf(pgPageBySeq, pgReader("c.conv", "$5::text"), "ASC"),
	before:  fmt.Sprintf(pgPageBySeq, pgReader("c.conv", "$5::text"), "DESC"),
	changes: fmt.Sprintf(pgPageByVersion, pgReader("c.conv", "$4::text")),

	// The range over both columns, and conditions that seem to hold for many rows, make the planner
	// take the messages in the order of the index, whatever its statistics, and the limit ends the
	// search. To look for the member of each message seems too dear to it to read the whole table.
	pending: `
WITH reader AS MATERIALIZED (
	SELECT c.conv, c.version, p.reader, coalesce(p.read_seq, 0) AS place
	FROM delivery_conversations c` + pgReader("c.conv", "$2::text") + `
	WHERE c.id = $1::text
),
unread AS MATERIALIZED (
	SELECT m.id, m.seq
	FROM delivery_messages m CROSS JOIN (SELECT (SELECT reader FROM reader) AS reader) p` + pgReceipt + `
	WHERE (m.conv, m.seq) > ((SELECT conv FROM reader), (SELECT place FROM reader))
		AND (m.conv, m.seq) <= ((SELECT conv FROM reader), (SELECT version FROM reader))
		AND CASE WHEN m.sender = p.reader THEN false WHEN m.roster IS NULL THEN true ELSE (
			SELECT true FROM delivery_members WHERE roster = m.roster AND reader = p.reader
		) END
		AND CASE WHEN r.status = ` + sqlRead + ` THEN false ELSE true END
	ORDER BY m.conv, m.seq LIMIT $3::bigint
)
SELECT reader.version, (SELECT count(*) FROM unread), first.id, first.seq, newest.id, newest.seq
FROM reader
LEFT JOIN LATERAL (SELECT * FROM unread ORDER BY seq LIMIT 1) first ON true
LEFT JOIN LATERAL (SELECT id, seq FROM delivery_messages WHERE conv = reader.conv ORDER BY seq DESC LIMIT 1) newest ON true`,

	dead: `SELECT id, payload, attempts, reason, at FROM delivery_dead WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint`,

	backlog: `
SELECT count(*), (extract(epoch FROM clock_timestamp() - min(created_at)) * 1000000)::bigint,
	(extract(epoch FROM max(created_at) - clock_timestamp()) * 1000000)::bigint,
	(SELECT count(*) FROM delivery_dead)
FROM delivery_outbox`,
}
