package sqlstore

import "strings"

// tongue is what SQLite and MySQL say differently in statements that are otherwise the same. See
// lockedReads for what they have in common.
type tongue struct {
	ids   string                                     // turns a batch of ids into a table
	table func(columns []column) string              // turns a batch of rows with these columns into the table j
	each  func(columns []column, more string) string // the rows of a batch, with more values behind each, for an INSERT INTO delivery_readers
	over  func(key, sets string) string              // the end of an INSERT … SELECT that overwrites columns where the key is there
	keep  func(key, same string) string              // the same, that leaves the row as it is; same is one of the key's columns, with its table
	most  string                                     // the function that returns the greatest of its arguments
	later func(column string) string                 // the value of a column that was to be inserted
	now   string                                     // the clock, in microseconds

	noWait func(write string) string // the same statement, which fails if it would wait for a lock
}

// column is one of a batch of rows. Its kind is a type of MySQL, "ID" for an id, "KEY" for the key
// of a roster, "TEXT" for a text.
type column struct{ name, kind string }

// columns returns the columns of a batch: "conv BIGINT, id ID".
func columns(text string) (all []column) {
	for part := range strings.SplitSeq(text, ", ") {
		name, kind, _ := strings.Cut(part, " ")
		all = append(all, column{name, kind})
	}
	return all
}

// namesOf returns a list of the columns.
func namesOf(columns []column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// rows returns the table of a batch with these columns.
func (t *tongue) rows(text string) string { return t.table(columns(text)) }

// insert returns the statement that inserts a batch with these columns.
func (t *tongue) insert(table, text string) string {
	list := namesOf(columns(text))
	return `
INSERT INTO ` + table + ` (` + list + `)
SELECT ` + list + ` FROM ` + t.rows(text)
}

// lockedTally joins, to rows that name a message, its conversation and its state.
const lockedTally = `
CROSS JOIN delivery_conversations c /*! FORCE INDEX (PRIMARY) */ ON c.conv = j.conv
CROSS JOIN delivery_states t /*! FORCE INDEX (PRIMARY) */ ON t.conv = j.conv AND t.seq = j.seq`

// lockedReader joins, to rows that name a user, the user's number.
const lockedReader = `
CROSS JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = j.conv AND p.name = j.name`

// lockedFree returns both texts of a statement.
func lockedFree(t *tongue, write string) whether {
	return whether{waits: write, fails: t.noWait(write)}
}

// lockedWrites returns the texts that SQLite and MySQL have in common.
func lockedWrites(t *tongue) locked {
	wanted := t.rows("i BIGINT, conv BIGINT, seq BIGINT, roster BIGINT, name ID")
	place := func(column string) string {
		return column + " = " + t.most + "(delivery_readers." + column + ", " + t.later(column) + ")"
	}
	again := func(names ...string) string {
		sets := make([]string, len(names))
		for i, name := range names {
			sets[i] = name + " = " + t.later(name)
		}
		return strings.Join(sets, ", ")
	}
	return locked{
		audiences: `
SELECT /*! STRAIGHT_JOIN */ j.i, c.conv, c.drops, g.roster, g.size, g.tracked, g.readers, p.reader IS NOT NULL, b.cap
FROM ` + t.rows("i BIGINT, id ID, roster KEY, name ID") + `
CROSS JOIN delivery_conversations c /*! FORCE INDEX (delivery_conversations_id) */ ON c.id = j.id
LEFT JOIN delivery_rosters g /*! FORCE INDEX (PRIMARY) */ ON g.conv = c.conv AND g.name = j.roster
LEFT JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = c.conv AND p.name = j.name
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = g.roster AND b.reader = p.reader`,
		addReaders: lockedFree(t, `
INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq)
`+t.each(columns("conv BIGINT, name ID"), ", 0, 0")+t.keep("conv, name", "delivery_readers.conv")),
		numbers: `
SELECT /*! STRAIGHT_JOIN */ j.i, p.reader FROM ` + t.rows("i BIGINT, conv BIGINT, name ID") + lockedReader,
		addRosters: t.insert("delivery_rosters", "conv BIGINT, name KEY, size INT, tracked INT, readers INT") + t.keep("conv, name", "delivery_rosters.conv"),
		addMembers: `
INSERT INTO delivery_members (roster, reader, cap)
SELECT /*! STRAIGHT_JOIN */ j.roster, p.reader, j.cap
FROM ` + t.rows("roster BIGINT, conv BIGINT, name ID, cap TINYINT") + lockedReader,
		addNumbered: t.insert("delivery_members", "roster BIGINT, reader BIGINT, cap TINYINT"),
		addMessages: `
INSERT INTO delivery_messages (conv, seq, id, sender, body, roster, recipients, total, readers, quorum, sent_at, stored_at)
SELECT /*! STRAIGHT_JOIN */ j.conv, j.seq, j.id, p.reader, j.body, j.roster, j.recipients, j.total, j.readers, j.quorum, j.sent_at, ` + t.now + `
FROM ` + t.rows("conv BIGINT, seq BIGINT, id ID, name ID, body TEXT, roster BIGINT, recipients INT, total INT, readers INT, quorum INT, sent_at BIGINT") + lockedReader,
		addStates: `
INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count)
SELECT conv, seq, version, status, 0, 0 FROM ` + t.rows("conv BIGINT, seq BIGINT, version BIGINT, status TINYINT"),

		headers: lockedHeaders(t.ids),
		tallies: `
SELECT /*! STRAIGHT_JOIN */ j.i, c.version, ` + tallyCols + `
FROM ` + t.rows("i BIGINT, conv BIGINT, seq BIGINT") + lockedTally,
		standing: `
SELECT /*! STRAIGHT_JOIN */ j.i, c.version, ` + tallyCols + `, ` + relationCols + `
FROM ` + wanted + lockedTally + lockedRelation,
		putReceipts: `
INSERT INTO delivery_receipts (conv, seq, reader, status, version, delivered_at, read_at)
SELECT /*! STRAIGHT_JOIN */ j.conv, j.seq, p.reader, j.status, j.version, j.delivered_at, j.read_at
FROM ` + t.rows("conv BIGINT, seq BIGINT, name ID, status TINYINT, version BIGINT, delivered_at BIGINT, read_at BIGINT") + lockedReader +
			t.over("conv, seq, reader", again("status", "version", "delivered_at", "read_at")),

		failures: `
SELECT /*! STRAIGHT_JOIN */ j.i, f.code
FROM ` + t.rows("i BIGINT, conv BIGINT, seq BIGINT, name ID") + lockedReader + `
CROSS JOIN delivery_failures f /*! FORCE INDEX (PRIMARY) */ ON f.conv = j.conv AND f.seq = j.seq AND f.reader = p.reader
WHERE f.version > 0`,

		readers: `
SELECT /*! STRAIGHT_JOIN */ j.i, c.version, c.drops, ` + relationCols + `
FROM ` + wanted + `
CROSS JOIN delivery_conversations c /*! FORCE INDEX (PRIMARY) */ ON c.conv = j.conv` + lockedRelation,
		receipts: `
SELECT /*! STRAIGHT_JOIN */ j.i, ` + relationCols + `
FROM ` + wanted + lockedRelation + `
WHERE b.reader IS NOT NULL OR r.reader IS NOT NULL`,
		putReaders: lockedFree(t, `
INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq)
`+t.each(columns("conv BIGINT, name ID, delivered_seq BIGINT, read_seq BIGINT"), "")+
			t.over("conv, name", place("delivered_seq")+", "+place("read_seq"))),

		putTombstones: `
INSERT INTO delivery_messages (conv, seq, id, body, total, quorum, sent_at, stored_at)
SELECT conv, seq, id, '', 0, 0, 0, 0 FROM ` + t.rows("conv BIGINT, seq BIGINT, id ID") +
			t.over("conv, seq", "sender = NULL, roster = NULL, "+again("body", "total", "quorum")),

		latest: `SELECT id FROM delivery_outbox WHERE lease = ? ORDER BY id DESC LIMIT ?`,
		anyDue: `SELECT EXISTS (SELECT 1 FROM delivery_outbox WHERE ready_at <= ` + t.now + `)`,
		bury: lockedFree(t, `
INSERT INTO delivery_dead (id, attempts, reason, at, body_of, payload)
SELECT /*! STRAIGHT_JOIN */ o.id, o.attempts, j.reason, `+t.now+`, o.body_of, o.payload
FROM `+t.rows("id BIGINT, lease BIGINT, reason TEXT")+`
CROSS JOIN delivery_outbox o /*! FORCE INDEX (PRIMARY) */ ON o.id = j.id AND o.lease = j.lease
WHERE o.lease <> 0
/*! FOR UPDATE */`), // or MySQL would copy what somebody else is about to take away
		requeue: `
INSERT INTO delivery_outbox (id, ready_at, lease, attempts, created_at, body_of, payload)
SELECT /*! STRAIGHT_JOIN */ d.id, ` + t.now + `, 0, 0, ` + t.now + `, j.body_of, j.payload
FROM ` + t.rows("id BIGINT, body_of ID, payload TEXT") + `
CROSS JOIN delivery_dead d /*! FORCE INDEX (PRIMARY) */ ON d.id = j.id
/*! FOR UPDATE */`,
	}
}
