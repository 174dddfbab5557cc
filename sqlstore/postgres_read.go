package sqlstore

import "fmt"

const (
	pgMessage = `m.id, c.id, m.sender, m.seq, m.open, m.total, m.quorum, m.sent_at, m.body,
	t.version, t.status, t.delivered_count, t.read_count, t.delivered_at, t.read_at`

	pgReceipt = `m.id, r.recipient, r.status, r.version, r.delivered_at, r.read_at`

	// A page: the conversation's version in every row, and in the one row of an empty page.
	pgPage = `
SELECT c.version, page.*
FROM delivery_conversations c
LEFT JOIN LATERAL (
	SELECT ` + pgMessage + `, m.id, r.recipient, r.status, r.version AS own_version, r.delivered_at, r.read_at
	FROM delivery_messages m
	JOIN delivery_states t ON t.conv = m.conv AND t.seq = m.seq
	LEFT JOIN delivery_receipts r ON r.conv = m.conv AND r.seq = m.seq AND r.recipient = `

	pgPageBySeq = pgPage + `$5::text
	WHERE m.conv = c.conv AND m.seq > $2::bigint AND m.seq < $3::bigint
	ORDER BY m.seq %[1]s LIMIT $4::bigint
) page ON true
WHERE c.id = $1::text ORDER BY page.seq %[1]s`

	pgPageByVersion = pgPage + `$4::text
	WHERE t.conv = c.conv AND t.version > $2::bigint
	ORDER BY t.version LIMIT $3::bigint
) page ON true
WHERE c.id = $1::text ORDER BY page.version`
)

var pgReads = reads{
	load: `
SELECT ` + pgMessage + `
FROM delivery_messages m
JOIN delivery_conversations c ON c.conv = m.conv
JOIN delivery_states t ON t.conv = m.conv AND t.seq = m.seq
WHERE m.id IN (SELECT json_array_elements_text($1::json))`,

	receipts: `
SELECT ` + pgReceipt + `
FROM delivery_messages m
JOIN delivery_receipts r ON r.conv = m.conv AND r.seq = m.seq
WHERE m.id IN (SELECT json_array_elements_text($1::json))
ORDER BY m.id, r.recipient`,

	after:   fmt.Sprintf(pgPageBySeq, "asc"),
	before:  fmt.Sprintf(pgPageBySeq, "desc"),
	changes: pgPageByVersion,

	dead: `
SELECT id, payload, attempts, reason, at FROM delivery_dead WHERE id > $1::bigint ORDER BY id LIMIT $2::bigint`,

	backlog: `
SELECT count(*), (extract(epoch FROM clock_timestamp() - min(created_at)) * 1000000)::bigint,
	(SELECT count(*) FROM delivery_dead)
FROM delivery_outbox`,
}
