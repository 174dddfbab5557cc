package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/msgdelivery/delivery"
)

var mysql = dialect{
	name: "mysql",

	// The default, REPEATABLE READ, locks the gaps between rows and reads what was true when the
	// transaction began.
	begin:    begin("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION"),
	inTx:     guard{enter: mysqlEnter, leave: "RELEASE SAVEPOINT delivery_call", fail: mysqlFail},
	ids:      mysqlIDs,
	ifFree:   " FOR UPDATE SKIP LOCKED",
	tell:     lockedTell(mysqlNow),
	clock:    mysqlNow,
	keep:     func(column string) string { return "\nON DUPLICATE KEY UPDATE " + column + " = VALUES(" + column + ")" },
	classify: mysqlFate,
	settings: mysqlSettings,
	unmigrated: func(err error) bool {
		n := mysqlNumber(err)
		return n == 1146 || n == 1054 // table, column
	},
	tables:        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
	migrate:       mysqlMigrate,
	reads:         lockedReads(&mysqlTongue, mysqlUnread),
	dropRedundant: mysqlDropRedundant,
	own:           mysqlOwn,
	writes:        func() writes { return &mysqlWrites },
}

// mysqlEnter sets the savepoint of a call, unless the one of a call that failed is still set. The
// server sets none, without an error, where no transaction is under way: after a deadlock, say,
// that the caller passed over.
func mysqlEnter(ctx context.Context, tx delivery.DBTX) error {
	if _, err := tx.ExecContext(ctx, mysqlBack); !mysqlNoSavepoint(err) {
		return cmp.Or(err, errFailedTx)
	}
	err := execEach(ctx, tx, mysqlSet, mysqlBack)
	if mysqlNoSavepoint(err) {
		return errNoTx
	}
	return err
}

// mysqlFail undoes what the call did, and leaves its savepoint as the sign that it failed. If the
// server has ended the transaction, later statements would each commit by itself, so one that takes
// no writes is put in its place.
func mysqlFail(ctx context.Context, tx delivery.DBTX) error {
	_, err := tx.ExecContext(ctx, mysqlBack)
	if mysqlNoSavepoint(err) { // the call had not come to set it, or the transaction has ended
		err = execEach(ctx, tx, mysqlSet, mysqlBack)
	}
	if mysqlNoSavepoint(err) {
		err = execEach(ctx, tx, "START TRANSACTION READ ONLY", mysqlSet)
	}
	return err
}

const mysqlSet, mysqlBack = "SAVEPOINT delivery_call", "ROLLBACK TO SAVEPOINT delivery_call"

func mysqlNoSavepoint(err error) bool { return mysqlNumber(err) == 1305 }

// mysqlNow is the clock, in microseconds.
const mysqlNow = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))"

// mysqlIDs turns a batch of ids into a table.
const mysqlIDs = "JSON_TABLE(?, '$[*]' COLUMNS (id VARCHAR(128) CHARACTER SET utf8mb4 PATH '$'))"

// A write waits for a row that another transaction has locked, or has inserted and not committed.
// MariaDB can be told not to wait. MySQL, which reads the hint alone, can be told to wait for a
// second at most.
const (
	mysqlNoWait = "/*M! SET STATEMENT innodb_lock_wait_timeout = 0 FOR */ "
	mysqlFound  = "INSERT INTO delivery_conversations (id, version) VALUES (?, 0) ON DUPLICATE KEY UPDATE conv = LAST_INSERT_ID(conv)"
)

func mysqlFree(write string) string {
	verb, rest, _ := strings.Cut(strings.TrimSpace(write), " ")
	return mysqlNoWait + verb + " /*+ SET_VAR(innodb_lock_wait_timeout = 1) */ " + rest
}

const mysqlShare = "\nLOCK IN SHARE MODE"

// mysqlWrites has the texts that only MySQL has so, beside those of lockedWrites.
var mysqlWrites = func() locked {
	l := lockedWrites(&mysqlTongue)
	// INSERT IGNORE would take a shared lock first, and two of them would wait for each other.
	l.found = mysqlFound
	l.foundFree = mysqlFree(mysqlFound)
	l.duplicate = mysqlDuplicate
	l.lock = mysqlVersions + "\nFOR UPDATE"
	l.lockFree = mysqlVersions + "\nFOR UPDATE SKIP LOCKED"
	l.wait = "\nFOR UPDATE"
	l.noWait = "\nFOR UPDATE NOWAIT"
	l.isLocked = mysqlLocked
	l.putStates = `
UPDATE ` + mysqlTable(columns("conv BIGINT, seq BIGINT, version BIGINT, status TINYINT, delivered_count INT, read_count INT, delivered_at BIGINT, read_at BIGINT, failed INT")) + `
STRAIGHT_JOIN delivery_states t FORCE INDEX (PRIMARY) ON t.conv = j.conv AND t.seq = j.seq
SET t.version = j.version, t.status = j.status, t.delivered_count = j.delivered_count, t.read_count = j.read_count,
	t.delivered_at = j.delivered_at, t.read_at = j.read_at, t.failed = j.failed`
	l.putVersions = `
UPDATE ` + mysqlTable(columns("conv BIGINT, version BIGINT")) + `
STRAIGHT_JOIN delivery_conversations c FORCE INDEX (PRIMARY) ON c.conv = j.conv
SET c.version = j.version`
	l.rows = `
SELECT STRAIGHT_JOIN j.i FROM ` + mysqlTable(columns("i BIGINT, conv BIGINT, seq BIGINT")) + `
JOIN delivery_messages m FORCE INDEX (PRIMARY) ON m.conv = j.conv AND m.seq = j.seq
FOR UPDATE SKIP LOCKED`
	l.dropReceipts, l.dropFailures = mysqlDrop("delivery_receipts"), mysqlDrop("delivery_failures")
	l.newest = newest{
		lock: mysqlShare,
		load: lockedReads(&mysqlTongue, mysqlUnread).load + mysqlShare,
		seen: `
SELECT STRAIGHT_JOIN j.i, g.roster IS NOT NULL, ` + relationCols + `
FROM ` + mysqlWanted + `
LEFT JOIN delivery_rosters g FORCE INDEX (delivery_rosters_roster) ON g.roster = j.roster` + lockedRelation,
		members: `
SELECT STRAIGHT_JOIN j.i
FROM ` + mysqlWanted + lockedReader + `
JOIN delivery_members b FORCE INDEX (PRIMARY) ON b.roster = j.roster AND b.reader = p.reader` + mysqlShare,
		reserve: `
INSERT INTO delivery_receipts (conv, seq, reader, status, version)
SELECT STRAIGHT_JOIN j.conv, j.seq, p.reader, ` + sqlSent + `, 0
FROM ` + mysqlTable(columns("conv BIGINT, seq BIGINT, name ID")) + lockedReader + `
ON DUPLICATE KEY UPDATE version = delivery_receipts.version`,
		marked: `
SELECT STRAIGHT_JOIN j.i, r.reader
FROM ` + mysqlTable(columns("i BIGINT, conv BIGINT, seq BIGINT")) + `
JOIN delivery_receipts r FORCE INDEX (PRIMARY) ON r.conv = j.conv AND r.seq = j.seq
WHERE r.version > 0`,
		counted: `
SELECT i, COUNT(*), COUNT(CASE WHEN status = ` + sqlRead + ` THEN 1 END) FROM (
	SELECT STRAIGHT_JOIN j.i, COALESCE(r.status, ` + absent("p") + `) AS status
	FROM ` + mysqlTable(columns("i BIGINT, conv BIGINT, seq BIGINT")) + `
	JOIN delivery_messages m FORCE INDEX (PRIMARY) ON m.conv = j.conv AND m.seq = j.seq
	JOIN delivery_members b FORCE INDEX (PRIMARY) ON b.roster = m.roster AND b.reader <> m.sender
	JOIN delivery_readers p FORCE INDEX (delivery_readers_reader) ON p.reader = b.reader
	LEFT JOIN delivery_receipts r FORCE INDEX (PRIMARY) ON r.conv = m.conv AND r.seq = m.seq AND r.reader = b.reader AND r.version > 0
) receipts
WHERE status >= ` + sqlDelivered + ` GROUP BY i`,
		unmark: `
DELETE r FROM ` + mysqlTable(columns("conv BIGINT, seq BIGINT, reader BIGINT")) + `
STRAIGHT_JOIN delivery_receipts r FORCE INDEX (PRIMARY) ON r.conv = j.conv AND r.seq = j.seq AND r.reader = j.reader`,
		first: `SELECT seq FROM delivery_messages FORCE INDEX (PRIMARY) WHERE conv = ? AND seq >= ? ORDER BY seq LIMIT 1`,
		stretch: `
SELECT STRAIGHT_JOIN c.conv, m.roster, m.recipients, ` + headerCols + `
FROM delivery_messages m FORCE INDEX (PRIMARY)` + lockedConversation + lockedMaybeSender + `
WHERE m.conv = ? AND m.seq >= ? AND m.seq < ?
ORDER BY m.seq LIMIT ?` + mysqlShare,
	}
	l.addEvents = `
INSERT INTO delivery_outbox (ready_at, lease, attempts, created_at, payload, body_of)
SELECT ` + mysqlNow + ` + ?, ?, ?, ` + mysqlNow + `, j.payload, j.body_of
FROM JSON_TABLE(?, '$[*]' COLUMNS (i FOR ORDINALITY, payload MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$[0]', body_of VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[1]')) j
ORDER BY j.i`
	l.due = `
SELECT id, attempts, payload, ` + lockedBody + ` FROM delivery_outbox FORCE INDEX (delivery_outbox_ready)
WHERE ready_at <= ` + mysqlNow + ` ORDER BY ready_at, id LIMIT ? FOR UPDATE SKIP LOCKED`
	l.hold = `
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) j
STRAIGHT_JOIN delivery_outbox o FORCE INDEX (PRIMARY) ON o.id = j.id
SET o.lease = ?, o.ready_at = ` + mysqlNow + ` + ?, o.attempts = o.attempts + 1`
	lock := func(table string) string {
		return `
SELECT STRAIGHT_JOIN o.id FROM ` + mysqlTable(columns("id BIGINT")) + `
JOIN ` + table + ` o FORCE INDEX (PRIMARY) ON o.id = j.id
FOR UPDATE`
	}
	l.unlocked = lock("delivery_outbox") + " SKIP LOCKED"
	l.dead = lock("delivery_dead") // requeue would wait with the outbox's AUTO_INCREMENT, which all need
	l.done = lockedFree(&mysqlTongue, `
DELETE o FROM `+mysqlTable(columns("id BIGINT, lease BIGINT"))+`
STRAIGHT_JOIN delivery_outbox o FORCE INDEX (PRIMARY) ON o.id = j.id AND o.lease = j.lease
WHERE o.lease <> 0`)
	l.again = lockedFree(&mysqlTongue, `
UPDATE `+mysqlTable(columns("id BIGINT, lease BIGINT, after BIGINT, forget INT"))+`
STRAIGHT_JOIN delivery_outbox o FORCE INDEX (PRIMARY) ON o.id = j.id AND o.lease = j.lease
SET o.lease = 0, o.ready_at = `+mysqlNow+` + j.after, o.attempts = o.attempts - j.forget
WHERE o.lease <> 0`)
	l.discard = `
DELETE d FROM ` + mysqlTable(columns("id BIGINT")) + `
STRAIGHT_JOIN delivery_dead d FORCE INDEX (PRIMARY) ON d.id = j.id`
	return l
}()

// mysqlDrop returns a statement that drops the rows of messages: [index, key, seq].
func mysqlDrop(table string) string {
	return `
DELETE r FROM ` + mysqlTable(columns("i BIGINT, conv BIGINT, seq BIGINT")) + `
STRAIGHT_JOIN ` + table + ` r FORCE INDEX (PRIMARY) ON r.conv = j.conv AND r.seq = j.seq`
}

const mysqlVersions = `
SELECT STRAIGHT_JOIN c.conv, c.version, c.drops
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$')) j
JOIN delivery_conversations c FORCE INDEX (PRIMARY) ON c.conv = j.conv`

// mysqlWanted is the table of the rows that ask how things stand.
var mysqlWanted = mysqlTable(columns("i BIGINT, conv BIGINT, seq BIGINT, roster BIGINT, name ID"))

var mysqlTongue = tongue{
	ids:   mysqlIDs,
	table: mysqlTable,
	each:  mysqlEach,
	over:  func(_, sets string) string { return "\nON DUPLICATE KEY UPDATE " + sets },
	keep: func(_, same string) string {
		_, column, _ := strings.Cut(same, ".")
		return "\nON DUPLICATE KEY UPDATE " + column + " = " + same
	},
	most:  "GREATEST",
	later: func(column string) string { return "VALUES(" + column + ")" },
	now:   mysqlNow,

	noWait: mysqlFree,
}

// mysqlTable turns a batch of rows into the table j.
func mysqlTable(columns []column) string {
	kinds := map[string]string{"ID": "VARCHAR(128) CHARACTER SET utf8mb4", "KEY": "VARCHAR(129) CHARACTER SET utf8mb4", "TEXT": "MEDIUMTEXT CHARACTER SET utf8mb4"}
	paths := make([]string, len(columns))
	for i, c := range columns {
		paths[i] = fmt.Sprintf("%s %s PATH '$[%d]'", c.name, cmp.Or(kinds[c.kind], c.kind), i)
	}
	return "JSON_TABLE(?, '$[*]' COLUMNS (" + strings.Join(paths, ", ") + ")) j"
}

// mysqlEach says INSERT … VALUES. INSERT … SELECT locks the counter of a table with AUTO_INCREMENT
// until the statement ends, and another one that must not wait would fail, whatever its rows.
func mysqlEach(columns []column, more string) string {
	return "VALUES {(" + strings.Repeat(", ?", len(columns))[2:] + more + ")}"
}

// mysqlMigrate holds a lock by name, since a transaction holds none over a CREATE. In a Galera
// cluster such a lock is a node's own, so migrations at two nodes may be conflicts. Their
// statements can be repeated.
func mysqlMigrate(ctx context.Context, s *session, apply func(q delivery.DBTX) error) (err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	const name = "CONCAT('delivery.', MD5(DATABASE()))" // such locks are the server's, not the database's
	for locked := false; !locked; {
		var got sql.NullBool
		if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK("+name+", 1)").Scan(&got); err != nil {
			return err
		}
		locked = got.Bool
	}
	defer func() {
		if _, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK("+name+")"); unlockErr != nil {
			drop(conn)
		}
	}()
	return s.repeat(ctx, func() error { return apply(conn) })
}
