package sqlstore

import (
	"fmt"

	"github.com/msgdelivery/delivery"
)

// unread is what SQLite and MySQL say differently in the statement of unread counts: the table u, a
// row for each conversation (c) and the user as a reader of it (p), and what stands in it.
type unread struct {
	table string // takes the limit, and perhaps the limit less one
	count string // how many messages are unread, up to the limit or more
	first string // the seq of the first of them

	twice bool // whether table takes both
}

// lockedUnread returns the text that counts unread messages.
func lockedUnread(ids string, u unread) string {
	return `
SELECT /*! STRAIGHT_JOIN */ c.version, c.floor, ` + u.count + `, f.id, f.seq, g.id, g.seq, ` + placeCols + `, o.status, ` + headerCols + `, SUBSTR(m.body, 1, ` + fmt.Sprint(delivery.MaxPreview) + `), ` + tallyCols + `,
	m.id, p.name, ` + lockedOwn("p") + `
FROM ` + ids + ` j
CROSS JOIN delivery_conversations c /*! FORCE INDEX (delivery_conversations_id) */ ON c.id = j.id
LEFT JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = c.conv AND p.name = ?
CROSS JOIN ` + u.table + ` u
LEFT JOIN delivery_messages f /*! FORCE INDEX (PRIMARY) */ ON f.conv = c.conv AND f.seq = ` + u.first + `
LEFT JOIN delivery_messages g /*! FORCE INDEX (PRIMARY) */ ON g.conv = c.conv AND g.seq = (
	SELECT seq FROM delivery_messages n /*! FORCE INDEX (PRIMARY) */
	WHERE n.conv = CASE WHEN p.flag > 0 THEN c.conv END AND n.seq >= p.flag AND n.sender IS NOT NULL ORDER BY n.seq LIMIT 1)
LEFT JOIN delivery_messages m /*! FORCE INDEX (PRIMARY) */ ON m.conv = c.conv AND m.seq = (
	SELECT seq FROM delivery_messages n /*! FORCE INDEX (PRIMARY) */ WHERE n.conv = c.conv AND n.sender IS NOT NULL ORDER BY n.seq DESC LIMIT 1)
LEFT JOIN delivery_states t /*! FORCE INDEX (PRIMARY) */ ON t.conv = m.conv AND t.seq = m.seq` + lockedMaybeSender + `
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader = p.reader
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = m.conv AND r.seq = m.seq AND r.reader = p.reader AND r.version > 0
LEFT JOIN delivery_own o /*! FORCE INDEX (PRIMARY) */ ON o.reader = CASE WHEN p.rev > 0 THEN p.reader END AND o.seq = m.seq`
}

// lockedIsUnread follows messages (m) of a conversation, and a condition for them, where u is made.
// It keeps those that the user has not read. A receipt that is not there yet counts as Sent.
var lockedIsUnread = `
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader = p.reader
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = m.conv AND r.seq = m.seq AND r.reader = p.reader
LEFT JOIN delivery_own o /*! FORCE INDEX (PRIMARY) */ ON o.reader = CASE WHEN p.rev > 0 THEN p.reader END AND o.seq = m.seq
WHERE m.sender <> COALESCE(p.reader, 0) AND (m.roster IS NULL OR b.reader IS NOT NULL)
	AND COALESCE(r.status, ` + sqlSent + `) IN (` + sqlSent + `, ` + sqlDelivered + `)
	AND COALESCE(o.status, ` + sqlSent + `) IN (` + sqlSent + `, ` + sqlDelivered + `)`

// sqliteUnread reads the messages once. A table function of SQLite may name the tables before it,
// which no table in parentheses can.
var sqliteUnread = unread{
	table: `json_each((
	SELECT json_array(json_array(COUNT(*), MIN(seq))) FROM (
		SELECT m.seq FROM delivery_messages m` + lockedIsUnread + `
			AND m.conv = c.conv AND m.seq > COALESCE(max(p.read_seq, p.badge), 0)
		ORDER BY m.seq LIMIT ?)))`,
	count: "u.value->>0",
	first: "u.value->>1",
}

// mysqlUnread is the same for MySQL, where a table function may name the tables before it as well,
// and a table in parentheses within it may not. So no limit can be put to what is counted: it is
// counted if there are not more unread messages than the limit. To see that there are takes no
// order of them, and to find the first of them takes any one of them.
//
// MariaDB finds the beginning of a range of messages for each conversation anew, and reads none
// before it, if the range is of both columns and begins at a column of a table in the same FROM.
// The conversation may not be said to be equal: then it would be all that is looked up.
var mysqlUnread = func() unread {
	const many = "2147483647"
	messages := func(what, within, end string) string {
		return `(
	SELECT STRAIGHT_JOIN ` + what + ` FROM delivery_conversations x FORCE INDEX (PRIMARY)
	JOIN delivery_messages m FORCE INDEX (PRIMARY) ON m.conv BETWEEN x.conv AND x.conv + 0 AND m.seq > COALESCE(GREATEST(p.read_seq, p.badge), 0)` + within + lockedIsUnread + `
		AND x.conv = c.conv` + end + `)`
	}
	return unread{
		table: `JSON_TABLE(COALESCE(
	CASE WHEN c.version - COALESCE(GREATEST(p.read_seq, p.badge), 0) > ? AND ` + messages("TRUE", "", " LIMIT 1 OFFSET ?") + `
		THEN JSON_ARRAY(` + many + `, ` + messages("m.seq", "", " LIMIT 1") + `) END,
	` + messages("JSON_ARRAY(COUNT(*), MIN(m.seq))", "", "") + `
), '$' COLUMNS (count INT PATH '$[0]', seq BIGINT PATH '$[1]'))`,
		twice: true,

		count: "u.count",
		first: "CASE WHEN u.count < " + many + " THEN u.seq ELSE " + messages("MIN(m.seq)", " AND m.seq <= u.seq", "") + " END",
	}
}()
