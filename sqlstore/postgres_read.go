package sqlstore

import "fmt"

const (
	pgMessage = `m.id, c.id, s.name, m.seq, m.roster IS NULL, m.total, m.quorum, m.sent_at, m.body,
	t.version, t.status, t.delivered_count, t.read_count, t.delivered_at, t.read_at`

	pgReceipt = `m.id, p.name, coalesce(r.status, x.status), coalesce(r.version, x.version), r.delivered_at, r.read_at`

	// pgNamed finds messages by their ids.
	pgNamed = `
FROM json_array_elements_text($1::json) AS named(id)
CROSS JOIN LATERAL (SELECT * FROM delivery_messages WHERE id = named.id LIMIT 1) m`

	// A page is found in one table and filled from the others.
	pgPage = `
SELECT coalesce(c.version, 0), e.epoch, ` + pgMessage + `, ` + pgReceipt + `
FROM (SELECT epoch FROM delivery_epoch WHERE id = 1) e
LEFT JOIN LATERAL (SELECT * FROM delivery_conversations WHERE id = $1::text LIMIT 1) c ON true%s`

	pgPageBySeq = pgPage + `
LEFT JOIN LATERAL (
	SELECT * FROM delivery_messages WHERE conv = c.conv AND seq > $2::bigint AND seq < $3::bigint
	ORDER BY seq %[2]s LIMIT $4::bigint
) m ON true
LEFT JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1) t ON true` + pgAuthor + `%[3]s
ORDER BY m.seq %[2]s`

	pgPageByVersion = pgPage + `
LEFT JOIN LATERAL (
	SELECT * FROM delivery_states WHERE conv = c.conv AND version > $2::bigint
	ORDER BY version LIMIT $3::bigint
) t ON true
LEFT JOIN LATERAL (SELECT * FROM delivery_messages WHERE conv = t.conv AND seq = t.seq LIMIT 1) m ON true` + pgAuthor + `%s
ORDER BY t.version`
)

var pgReads = reads{
	load: `
SELECT ` + pgMessage + `, r.name` + pgNamed + `
CROSS JOIN LATERAL (SELECT * FROM delivery_conversations WHERE conv = m.conv LIMIT 1) c
CROSS JOIN LATERAL (SELECT * FROM delivery_states WHERE conv = m.conv AND seq = m.seq LIMIT 1) t` + pgAuthor + `
LEFT JOIN LATERAL (SELECT * FROM delivery_rosters WHERE roster >= m.roster ORDER BY roster LIMIT 1) r ON r.roster = m.roster`,

	// Of a frozen message the members of its roster, and of an open one who has marked it.
	receipts: `
SELECT ` + pgReceipt + pgNamed + `
CROSS JOIN LATERAL (
	SELECT reader FROM (
		SELECT * FROM delivery_members WHERE (roster, reader) > (m.roster, 0) ORDER BY roster, reader LIMIT m.total + 1
	) members WHERE roster = m.roster AND reader <> m.sender
	UNION ALL
	SELECT reader FROM delivery_receipts WHERE conv = m.conv AND seq = m.seq AND m.roster IS NULL
) own
CROSS JOIN LATERAL (SELECT * FROM delivery_readers WHERE reader >= own.reader ORDER BY reader LIMIT 1) p` + pgOwn("p.reader") + `
ORDER BY m.id, p.name`,

	after:   fmt.Sprintf(pgPageBySeq, pgReader("c.conv", "$5::text"), "ASC", pgOwn("p.reader")),
	before:  fmt.Sprintf(pgPageBySeq, pgReader("c.conv", "$5::text"), "DESC", pgOwn("p.reader")),
	changes: fmt.Sprintf(pgPageByVersion, pgReader("c.conv", "$4::text"), pgOwn("p.reader")),

	// An open message's receipt that is not there yet counts as Sent. The range over both columns,
	// and one condition for all else, make the planner expect many rows, whatever its statistics:
	// so it takes them in the order of the index, and the limit ends the search.
	pending: `
WITH reader AS MATERIALIZED (
	SELECT c.conv, c.version, p.reader, coalesce(p.read_seq, 0) AS place
	FROM delivery_conversations c` + pgReader("c.conv", "$2::text") + `
	WHERE c.id = $1::text
),
unread AS MATERIALIZED (
	SELECT m.id, m.seq
	FROM delivery_messages m` + pgOwn("(SELECT reader FROM reader)") + `
	WHERE (m.conv, m.seq) > ((SELECT conv FROM reader), (SELECT place FROM reader))
		AND (m.conv, m.seq) <= ((SELECT conv FROM reader), (SELECT version FROM reader))
		AND CASE WHEN m.sender = (SELECT reader FROM reader) THEN false
			ELSE coalesce(r.status, x.status, (m.roster IS NULL)::int * ` + sqlSent + `) IN (` + sqlSent + `, ` + sqlDelivered + `) END
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
