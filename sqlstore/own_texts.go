package sqlstore

import (
	"cmp"
	"strings"
)

// lockedOwnTexts returns the texts of SQLite and MySQL.
func lockedOwnTexts(t *tongue, hold, inTx, take, move, forget string) own {
	row := func(text string) string { return t.rows(text) }
	most := func(column string) string {
		return column + " = " + t.most + "(delivery_readers." + column + ", " + t.later(column) + ")"
	}
	over := t.over("conv, name", strings.Join([]string{
		most("own_delivered"), most("badge"), most("delivered_seq"), most("read_seq"), "rev = delivery_readers.rev + 1", "flag = " + flagNow("delivery_readers.flag", t.later("flag")),
	}, ", "))
	return own{
		look: `
SELECT /*! STRAIGHT_JOIN */ c.conv, ` + headerCols + `, p.reader IS NOT NULL, ` + placeCols + `, ` + lockedOwn("p") + `, o.status` +
			lockedByID(t.ids) + lockedConversation + lockedMaybeSender + `
LEFT JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = m.conv AND p.name = ?
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader = p.reader
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = m.conv AND r.seq = m.seq AND r.reader = p.reader AND r.version > 0
LEFT JOIN delivery_own o /*! FORCE INDEX (PRIMARY) */ ON o.reader = p.reader AND o.seq = m.seq` + lockedNamed,
		hold: hold,
		inTx: inTx,
		take: take,
		move: cmp.Or(move, `
INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq, own_delivered, badge, flag, rev)
SELECT j.conv, j.name, j.delivered_seq, j.read_seq, j.own_delivered, j.badge, j.flag, 1
FROM `+row(ownMoved)+lockedReader+over),
		join: `
INSERT INTO delivery_readers (conv, name, own_delivered, badge, flag, delivered_seq, read_seq, rev)
` + t.each(columns(ownMoved), ", 1") + over,
		keep: `
INSERT INTO delivery_own (reader, seq, status)
SELECT /*! STRAIGHT_JOIN */ p.reader, j.seq, j.status
FROM ` + row("conv BIGINT, seq BIGINT, name ID, status TINYINT") + lockedReader +
			t.over("reader, seq", "status = "+t.most+"(delivery_own.status, "+t.later("status")+")"),
		forget: forget,
		views: `
SELECT /*! STRAIGHT_JOIN */ ` + placeCols + `, j.id, o.status
FROM ` + strings.Replace(t.ids, "VARCHAR(128) CHARACTER SET utf8mb4", "BIGINT", 1) + ` j
CROSS JOIN delivery_conversations c /*! FORCE INDEX (delivery_conversations_id) */ ON c.id = ?
CROSS JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = c.conv AND p.name = ?
LEFT JOIN delivery_own o /*! FORCE INDEX (PRIMARY) */ ON o.reader = p.reader AND o.seq = j.id`,
		places: `
SELECT /*! STRAIGHT_JOIN */ j.conv, ` + placeCols + ` FROM ` + row("conv BIGINT, name ID") + lockedReader,
	}
}

// ownMoved are the columns of a place that moves.
const ownMoved = "conv BIGINT, name ID, own_delivered BIGINT, badge BIGINT, flag BIGINT, delivered_seq BIGINT, read_seq BIGINT"

// flagNow is what becomes of a flag, given what a call says of it.
func flagNow(was, said string) string {
	return "CASE WHEN " + said + " > 0 THEN " + said + " WHEN " + was + " <= -" + said + " THEN 0 ELSE " + was + " END"
}

var sqliteOwn = lockedOwnTexts(&sqliteTongue, "", "", "", "", `
WITH reached (reader, delivered, badge) AS MATERIALIZED (
	SELECT p.reader, j.value->>2, j.value->>3 FROM json_each(?) j
	CROSS JOIN delivery_readers p ON p.conv = j.value->>0 AND p.name = j.value->>1
)
DELETE FROM delivery_own WHERE (reader, seq) IN (
	SELECT o.reader, o.seq FROM reached CROSS JOIN delivery_own o
		ON o.reader = reached.reader AND o.seq <= delivered AND (o.seq <= badge OR o.status = `+sqlDelivered+`)
)`)

// mysqlKept finds messages in the index of ids alone. A locking read for sharing then locks their
// entries there, which a deletion leaves as they are, and not their rows, which a deletion changes.
// At REPEATABLE READ it would lock the gaps before the entries, too. So in callers' transactions
// mysqlRows finds the rows.
var (
	mysqlKept = mysqlKeep("m.id = j.id AND m.conv = j.conv AND m.seq = j.seq", "delivery_messages_id")
	mysqlRows = mysqlKeep("m.conv = j.conv AND m.seq = j.seq", "PRIMARY")
)

func mysqlKeep(on, index string) string {
	return `
SELECT STRAIGHT_JOIN m.conv FROM ` + mysqlTable(columns("conv BIGINT, seq BIGINT, id ID")) + `
JOIN delivery_messages m FORCE INDEX (` + index + `) ON ` + on
}

var mysqlOwn = lockedOwnTexts(&mysqlTongue, mysqlKept+mysqlShare, mysqlRows+mysqlShare, mysqlKept+"\nFOR UPDATE SKIP LOCKED", `
UPDATE `+mysqlTable(columns(ownMoved))+`
STRAIGHT_JOIN delivery_readers p FORCE INDEX (PRIMARY) ON p.conv = j.conv AND p.name = j.name
SET p.own_delivered = GREATEST(p.own_delivered, j.own_delivered), p.badge = GREATEST(p.badge, j.badge), p.rev = p.rev + 1,
	p.delivered_seq = GREATEST(p.delivered_seq, j.delivered_seq), p.read_seq = GREATEST(p.read_seq, j.read_seq), p.flag = `+flagNow("p.flag", "j.flag"), `
DELETE o FROM `+mysqlTable(columns("conv BIGINT, name ID, delivered BIGINT, badge BIGINT"))+`
STRAIGHT_JOIN delivery_readers p FORCE INDEX (PRIMARY) ON p.conv = j.conv AND p.name = j.name
STRAIGHT_JOIN delivery_own o FORCE INDEX (PRIMARY) ON o.reader = p.reader AND o.seq <= j.delivered
WHERE o.seq <= j.badge OR o.status = `+sqlDelivered)

const pgJoin = `
INSERT INTO delivery_readers AS p (conv, name, delivered_seq, read_seq, own_delivered, badge, flag, rev)
SELECT (j->>0)::bigint, j->>1, (j->>5)::bigint, (j->>6)::bigint, (j->>2)::bigint, (j->>3)::bigint, (j->>4)::bigint, 1 FROM json_array_elements($1::json) AS j`

var pgMove = `
ON CONFLICT (conv, name) DO UPDATE SET
	own_delivered = greatest(p.own_delivered, excluded.own_delivered), badge = greatest(p.badge, excluded.badge), rev = p.rev + 1,
	delivered_seq = greatest(p.delivered_seq, excluded.delivered_seq), read_seq = greatest(p.read_seq, excluded.read_seq),
	flag = ` + flagNow("p.flag", "excluded.flag")

var pgOwnTexts = own{
	look: `
SELECT m.conv, ` + pgHeader + `, p.reader IS NOT NULL, ` + placeCols + `, ` + pgStanding + `, coalesce(r.version, m.seq), r.delivered_at, r.read_at, o.status` + pgNamed + `
CROSS JOIN LATERAL (SELECT id FROM delivery_conversations WHERE conv = m.conv LIMIT 1) c
LEFT JOIN LATERAL (SELECT * FROM delivery_readers WHERE conv = m.conv AND name = $2::text LIMIT 1) p ON true` + pgReceipt + `
LEFT JOIN LATERAL (SELECT status FROM delivery_own WHERE reader = p.reader AND seq = m.seq LIMIT 1) o ON true`,
	hold: `
SELECT m.conv FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (SELECT conv FROM delivery_messages WHERE conv = (j->>0)::bigint AND seq = (j->>1)::bigint LIMIT 1 FOR KEY SHARE) m`,
	take: `
SELECT m.conv FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (SELECT conv FROM delivery_messages WHERE conv = (j->>0)::bigint AND seq = (j->>1)::bigint LIMIT 1 FOR UPDATE SKIP LOCKED) m`,
	move: pgJoin + `
CROSS JOIN LATERAL (SELECT FROM delivery_readers WHERE conv = (j->>0)::bigint AND name = j->>1 LIMIT 1 FOR NO KEY UPDATE) r` + pgMove,
	join: pgJoin + pgMove,
	keep: `
INSERT INTO delivery_own AS o (reader, seq, status)
SELECT p.reader, (j->>1)::bigint, (j->>3)::smallint FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (SELECT reader FROM delivery_readers WHERE conv = (j->>0)::bigint AND name = j->>2 LIMIT 1) p
ON CONFLICT (reader, seq) DO UPDATE SET status = greatest(o.status, excluded.status)`,
	forget: `
DELETE FROM delivery_own o USING (
	SELECT p.reader, (j->>2)::bigint AS delivered, (j->>3)::bigint AS badge FROM json_array_elements($1::json) AS j
	CROSS JOIN LATERAL (SELECT reader FROM delivery_readers WHERE conv = (j->>0)::bigint AND name = j->>1 LIMIT 1) p
) p
WHERE o.reader = p.reader AND o.seq <= p.delivered AND (o.seq <= p.badge OR o.status = ` + sqlDelivered + `)`,
	views: `
SELECT ` + placeCols + `, j.seq::bigint, o.status
FROM json_array_elements_text($1::json) AS j(seq)
CROSS JOIN LATERAL (SELECT conv FROM delivery_conversations WHERE id = $2::text LIMIT 1) c
CROSS JOIN LATERAL (SELECT * FROM delivery_readers WHERE conv = c.conv AND name = $3::text LIMIT 1) p
LEFT JOIN LATERAL (SELECT status FROM delivery_own WHERE reader = p.reader AND seq = j.seq::bigint LIMIT 1) o ON true`,
	places: `
SELECT (j->>0)::bigint, ` + placeCols + ` FROM json_array_elements($1::json) AS j
CROSS JOIN LATERAL (SELECT * FROM delivery_readers WHERE conv = (j->>0)::bigint AND name = j->>1 LIMIT 1) p`,
}
