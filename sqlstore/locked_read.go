package sqlstore

// Columns of the tables that SQLite and MySQL have alike, in the order in which they are scanned.
const (
	headerCols   = "m.id, c.id, s.name, m.seq, m.roster IS NULL, m.total, m.readers, m.quorum, m.sent_at"
	tallyCols    = "t.version, t.status, t.delivered_count, t.read_count, t.delivered_at, t.read_at, t.failed"
	progressCols = "r.status, r.version, r.delivered_at, r.read_at"
	relationCols = "p.reader IS NOT NULL, p.flag, p.delivered_seq, p.read_seq, b.cap, " + progressCols
	messageCols  = headerCols + ", m.body, " + tallyCols
)

// SQLite and MySQL read with the same texts. MySQL alone reads what stands in /*! */, and takes
// CROSS JOIN for JOIN; SQLite joins in the order of the text where it says CROSS JOIN. So a
// statement starts at its arguments on both, and finds everything else by an index. The optimizer
// of MariaDB would often decide otherwise: it takes tables for empty that were so when they were
// opened, until someone runs ANALYZE.
//
// A statement from a batch of ids locks the rows it finds and no others if a locking clause follows
// it.

// lockedHeaders returns the text that finds messages by their ids.
func lockedHeaders(ids string) string {
	return `
SELECT /*! STRAIGHT_JOIN */ c.conv, m.roster, m.recipients, ` + headerCols + lockedByID(ids) + lockedConversation + lockedMaybeSender + lockedNamed
}

// lockedByID returns the FROM clause of the messages with these ids.
func lockedByID(ids string) string {
	return `
FROM ` + ids + ` j
CROSS JOIN delivery_messages m /*! FORCE INDEX (delivery_messages_id) */ ON m.id = j.id`
}

// lockedConversation joins the conversation of each message.
const lockedConversation = `
CROSS JOIN delivery_conversations c /*! FORCE INDEX (PRIMARY) */ ON c.conv = m.conv`

// lockedSender joins the sender of each message, if it has one, and so passes over tombstones.
// lockedMaybeSender passes over none, and lockedNamed over messages whose sender's name the
// transaction's snapshot lacks. lockedRoster joins the roster, if there is one.
const (
	lockedSender      = "\nCROSS JOIN " + lockedSenders
	lockedMaybeSender = "\nLEFT JOIN " + lockedSenders
	lockedNamed       = "\nWHERE s.reader IS NOT NULL OR m.sender IS NULL"
	lockedSenders     = `delivery_readers s /*! FORCE INDEX (delivery_readers_reader) */ ON s.reader = m.sender`
	lockedRoster      = `
LEFT JOIN delivery_rosters g /*! FORCE INDEX (delivery_rosters_roster) */ ON g.roster = m.roster`
)

// lockedRelation joins, to rows that want a user and a message, the user's number, membership in
// the message's roster and receipt, as far as these exist.
const lockedRelation = `
LEFT JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = j.conv AND p.name = j.name
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = j.roster AND b.reader = p.reader
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = j.conv AND r.seq = j.seq AND r.reader = p.reader`

// lockedOwn returns the columns of a receipt r, or of the one that the member b of a message's
// roster has without a row, without its ids.
func lockedOwn(reader string) string {
	return `COALESCE(r.status, CASE WHEN b.reader <> m.sender THEN ` + absent(reader) + ` END), COALESCE(r.version, m.seq), r.delivered_at, r.read_at`
}

// lockedFailure joins the failure of the reader p that others see as long as the reader's receipt
// of the message m is at Sent.
const lockedFailure = `
LEFT JOIN delivery_failures f /*! FORCE INDEX (PRIMARY) */ ON f.conv = m.conv AND f.seq = m.seq AND f.reader = p.reader AND f.version > 0`

// lockedStretch reads messages of one conversation, and is a part of a UNION, with its number in
// the text: key, after seq, up to seq, limit → the number, key, roster, header…, tally…. MariaDB
// finds the beginning of a range by an index only if it knows both ends before it starts.
const lockedStretch = `
SELECT * FROM (
	SELECT /*! STRAIGHT_JOIN */ %[1]d AS i, m.conv, m.roster, m.id, s.name, m.seq, m.total, m.readers, m.quorum, m.sent_at, ` + tallyCols + `
	FROM delivery_messages m /*! FORCE INDEX (PRIMARY) */` + lockedSender + `
	CROSS JOIN delivery_states t /*! FORCE INDEX (PRIMARY) */ ON t.conv = m.conv AND t.seq = m.seq
	WHERE m.conv = ? AND m.seq > ? AND m.seq <= ?
	ORDER BY m.seq LIMIT ?
) s%[1]d`

// lockedBody has the columns of an event's [source], NULL if there is none.
const lockedBody = "(SELECT m.body FROM delivery_messages m /*! FORCE INDEX (delivery_messages_id) */ WHERE m.id = body_of), " +
	"(SELECT c.id FROM delivery_messages m /*! FORCE INDEX (delivery_messages_id) */ JOIN delivery_conversations c ON c.conv = m.conv WHERE m.id = body_of)"

// lockedReads returns the texts of the reading operations for SQLite or MySQL.
func lockedReads(t *tongue, unread unread) reads {
	ids, pairs, now := t.ids, t.rows("id ID, name ID"), t.now
	// A page is found first, in the index alone, and then filled. The conversation comes before it,
	// to be there even if the page is empty.
	page := func(table, index, within, order string) string {
		return `
WITH c AS (SELECT conv, id, version, floor FROM delivery_conversations /*! FORCE INDEX (delivery_conversations_id) */ WHERE id = ?)
SELECT /*! STRAIGHT_JOIN */ COALESCE(c.version, 0), e.epoch, c.floor, v.rev, ` + messageCols + `,
	m.id, v.name, ` + lockedOwn("v") + `
FROM delivery_epoch e
LEFT JOIN c ON true
LEFT JOIN (
	SELECT /*! STRAIGHT_JOIN */ p.conv, p.seq
	FROM c CROSS JOIN ` + table + ` p /*! FORCE INDEX (` + index + `) */ ON p.conv = c.conv
	WHERE ` + within + ` ORDER BY ` + order + ` LIMIT ?
) p ON p.conv = c.conv
LEFT JOIN delivery_messages m /*! FORCE INDEX (PRIMARY) */ ON m.conv = p.conv AND m.seq = p.seq
LEFT JOIN delivery_states t /*! FORCE INDEX (PRIMARY) */ ON t.conv = p.conv AND t.seq = p.seq
LEFT JOIN delivery_readers s /*! FORCE INDEX (delivery_readers_reader) */ ON s.reader = m.sender
LEFT JOIN delivery_readers v /*! FORCE INDEX (PRIMARY) */ ON v.conv = p.conv AND v.name = ?
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader = v.reader
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = p.conv AND r.seq = p.seq AND r.reader = v.reader AND r.version > 0
WHERE e.id = 1 ORDER BY `
	}
	const bySeq = "p.seq > ? AND p.seq < ? AND p.sender IS NOT NULL"
	return reads{
		load: `
SELECT /*! STRAIGHT_JOIN */ ` + messageCols + `, g.name, m.recipients` + lockedByID(ids) + lockedConversation + lockedMaybeSender + `
CROSS JOIN delivery_states t /*! FORCE INDEX (PRIMARY) */ ON t.conv = m.conv AND t.seq = m.seq` + lockedRoster + lockedNamed,

		// Of a frozen message, the members of its roster, with a receipt (r) or without. Of an open
		// one, the receipts (o). Nothing is looked for where a NULL is compared.
		receipts: `
SELECT /*! STRAIGHT_JOIN */ m.id, p.name, COALESCE(r.status, o.status, ` + absent("p") + `), COALESCE(r.version, o.version, m.seq),
	COALESCE(r.delivered_at, o.delivered_at), COALESCE(r.read_at, o.read_at), b.cap, f.code, f.version` + lockedByID(ids) + `
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader <> m.sender
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = m.conv AND r.seq = m.seq AND r.reader = b.reader AND r.version > 0
LEFT JOIN delivery_receipts o /*! FORCE INDEX (PRIMARY) */ ON o.conv = CASE WHEN m.roster IS NULL AND m.sender IS NOT NULL THEN m.conv END AND o.seq = m.seq AND o.version > 0
CROSS JOIN delivery_readers p /*! FORCE INDEX (delivery_readers_reader) */ ON p.reader = COALESCE(b.reader, o.reader)` + lockedFailure + `
ORDER BY p.name`,

		// The message is found first, since MariaDB then knows both ends of the range of readers.
		readers: `
SELECT /*! STRAIGHT_JOIN */ p.name, ` + lockedOwn("p") + `, b.cap, f.code, f.version
FROM delivery_messages m /*! FORCE INDEX (delivery_messages_id) */
CROSS JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader = p.reader
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = m.conv AND r.seq = m.seq AND r.reader = p.reader AND r.version > 0` + lockedFailure + `
WHERE m.id = ? AND m.sender IS NOT NULL AND p.conv = m.conv AND p.name > ? ORDER BY p.name LIMIT ?`,

		receiptsOf: `
SELECT /*! STRAIGHT_JOIN */ m.id, p.name, ` + lockedOwn("p") + `, f.code, f.version
FROM ` + pairs + `
CROSS JOIN delivery_messages m /*! FORCE INDEX (delivery_messages_id) */ ON m.id = j.id
CROSS JOIN delivery_readers p /*! FORCE INDEX (PRIMARY) */ ON p.conv = m.conv AND p.name = j.name
LEFT JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = m.roster AND b.reader = p.reader
LEFT JOIN delivery_receipts r /*! FORCE INDEX (PRIMARY) */ ON r.conv = m.conv AND r.seq = m.seq AND r.reader = p.reader AND r.version > 0` + lockedFailure + `
WHERE r.status IS NOT NULL OR b.reader <> m.sender`,

		after:   page("delivery_messages", "PRIMARY", bySeq, "p.seq") + "p.seq",
		before:  page("delivery_messages", "PRIMARY", bySeq, "p.seq DESC") + "p.seq DESC",
		changes: page("delivery_states", "delivery_states_version", "p.version > ?", "p.version") + "t.version",

		unread: lockedUnread(ids, unread), twice: unread.twice,

		dead: `SELECT id, payload, ` + lockedBody + `, attempts, reason, at FROM delivery_dead WHERE id > ? ORDER BY id LIMIT ?`,

		backlog: `
SELECT COUNT(*), ` + now + ` - MIN(created_at), MAX(created_at) - ` + now + `, (SELECT COUNT(*) FROM delivery_dead)
FROM delivery_outbox`,
	}
}
