package sqlstore

// Columns of the tables that SQLite and MySQL have alike, in the order in which they are scanned.
const (
	headerCols   = "m.id, c.id, m.sender, m.seq, m.open, m.total, m.quorum, m.sent_at"
	tallyCols    = "t.version, t.status, t.delivered_count, t.read_count, t.delivered_at, t.read_at"
	progressCols = "r.status, r.version, r.delivered_at, r.read_at"
	messageCols  = headerCols + ", m.body, " + tallyCols
	receiptCols  = "m.id, r.recipient, " + progressCols
)

// lockedReads returns the texts of the reading operations for SQLite or MySQL. Their difference is how a
// batch of ids becomes a list, and the clock.
func lockedReads(ids, now string) reads {
	// A page is found first, in the index alone, and then filled. The conversation comes before it, to
	// be there even if the page is empty.
	page := func(place, within, order string) string {
		return `
WITH c AS (SELECT conv, id, version FROM delivery_conversations WHERE id = ?)
SELECT c.version, ` + messageCols + `, ` + receiptCols + `
FROM c
LEFT JOIN (
	SELECT p.conv, p.seq FROM c JOIN ` + place + ` p ON p.conv = c.conv WHERE ` + within + ` ORDER BY ` + order + ` LIMIT ?
) p ON p.conv = c.conv
LEFT JOIN delivery_messages m ON m.conv = p.conv AND m.seq = p.seq
LEFT JOIN delivery_states t ON t.conv = p.conv AND t.seq = p.seq
LEFT JOIN delivery_receipts r ON r.conv = p.conv AND r.seq = p.seq AND r.recipient = ?
ORDER BY `
	}
	const bySeq = "p.seq > ? AND p.seq < ?"
	return reads{
		load: `
SELECT ` + messageCols + `
FROM delivery_messages m
JOIN delivery_conversations c ON c.conv = m.conv
JOIN delivery_states t ON t.conv = m.conv AND t.seq = m.seq
WHERE m.id IN (` + ids + `)`,

		receipts: `
SELECT ` + receiptCols + `
FROM delivery_messages m
JOIN delivery_receipts r ON r.conv = m.conv AND r.seq = m.seq
WHERE m.id IN (` + ids + `)
ORDER BY m.id, r.recipient`,

		after:   page("delivery_messages", bySeq, "p.seq") + "p.seq",
		before:  page("delivery_messages", bySeq, "p.seq DESC") + "p.seq DESC",
		changes: page("delivery_states", "p.version > ?", "p.version") + "t.version",

		// An open message's receipt that is not there yet counts as Sent. What is found becomes one row at once: MariaDB
		// would find it again for each mention.
		pending: `
WITH c AS (SELECT conv, version FROM delivery_conversations WHERE id = ?)
SELECT c.version, u.unread, f.id, f.seq, n.id, n.seq
FROM c
JOIN (
	SELECT COUNT(*) AS unread, MIN(seq) AS first
	FROM (
		SELECT m.seq
		FROM c
		LEFT JOIN delivery_readers p ON p.conv = c.conv AND p.reader = ?
		JOIN delivery_messages m ON m.conv = c.conv AND m.seq > COALESCE(p.read_seq, 0)
		LEFT JOIN delivery_receipts r ON r.conv = m.conv AND r.seq = m.seq AND r.recipient = ?
		WHERE m.sender <> ? AND COALESCE(r.status, m.open) IN (1, 2)
		ORDER BY m.seq LIMIT ?
	) m
) u
LEFT JOIN delivery_messages f ON f.conv = c.conv AND f.seq = u.first
LEFT JOIN delivery_messages n ON n.conv = c.conv
	AND n.seq = (SELECT seq FROM delivery_messages WHERE conv = c.conv ORDER BY seq DESC LIMIT 1)`,

		dead: `SELECT id, payload, attempts, reason, at FROM delivery_dead WHERE id > ? ORDER BY id LIMIT ?`,

		backlog: `
SELECT COUNT(*), ` + now + ` - MIN(created_at), (SELECT COUNT(*) FROM delivery_dead)
FROM delivery_outbox`,
	}
}
