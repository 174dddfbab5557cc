package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"reflect"
	"strings"

	"github.com/msgdelivery/delivery"
)

var mysql = dialect{
	name: "mysql",

	// The default, REPEATABLE READ, locks the gaps between rows and reads what was true when the
	// transaction began.
	begin:    begin("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION"),
	inTx:     guard{enter: mysqlEnter, leave: "RELEASE SAVEPOINT delivery_call", fail: mysqlFail},
	classify: mysqlFate,
	settings: mysqlSettings,
	lost:     func(err error) bool { return err.Error() == "invalid connection" }, // the driver keeps the cause to its log
	unmigrated: func(err error) bool {
		n := mysqlNumber(err)
		return n == 1146 || n == 1054 // table, column
	},
	tables:  "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()",
	migrate: mysqlMigrate,
	reads:   lockedReads(mysqlIDs, mysqlNow),
	writes:  func() writes { return &mysqlWrites },
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

// mysqlWanted turns a batch of receipts that are asked for into a table.
const mysqlWanted = "JSON_TABLE(?, '$[*]' COLUMNS (i BIGINT PATH '$[0]', conv BIGINT PATH '$[1]', seq BIGINT PATH '$[2]', recipient VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[3]'))"

// An INSERT waits for a row that another transaction has inserted and not committed. MariaDB can be
// told not to. MySQL, which reads the hint alone, can be told to wait for a second at most.
const (
	mysqlNoWait = "/*M! SET STATEMENT innodb_lock_wait_timeout = 0 FOR */ "
	mysqlFound  = "INSERT INTO delivery_conversations (id, version) VALUES (?, 0) ON DUPLICATE KEY UPDATE conv = LAST_INSERT_ID(conv)"
)

const mysqlShare = "\nLOCK IN SHARE MODE"

var mysqlWrites = locked{
	known: lockedKnown(mysqlIDs),
	// INSERT IGNORE would take a shared lock first, and two of them would wait for each other.
	found:     mysqlFound,
	foundFree: mysqlNoWait + strings.Replace(mysqlFound, "INSERT", "INSERT /*+ SET_VAR(innodb_lock_wait_timeout = 1) */", 1),
	lock: `
SELECT STRAIGHT_JOIN c.conv, c.version
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$')) j
JOIN delivery_conversations c FORCE INDEX (PRIMARY) ON c.conv = j.conv
FOR UPDATE`,
	addMessages: `
INSERT INTO delivery_messages (conv, seq, id, sender, body, open, total, quorum, sent_at)
SELECT j.conv, j.seq, j.id, j.sender, j.body, j.open, j.total, j.quorum, j.sent_at
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$[0]', seq BIGINT PATH '$[1]', id VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[2]', sender VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[3]', body MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$[4]', open TINYINT PATH '$[5]', total INT PATH '$[6]', quorum INT PATH '$[7]', sent_at BIGINT PATH '$[8]')) j`,
	duplicate: mysqlDuplicate,
	addStates: `
INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count)
SELECT j.conv, j.seq, j.version, j.status, 0, 0
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$[0]', seq BIGINT PATH '$[1]', version BIGINT PATH '$[2]', status TINYINT PATH '$[3]')) j`,
	addReceipts: `
INSERT INTO delivery_receipts (conv, seq, recipient, status, version)
SELECT j.conv, j.seq, j.recipient, j.status, j.version
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$[0]', seq BIGINT PATH '$[1]', recipient VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[2]', status TINYINT PATH '$[3]', version BIGINT PATH '$[4]')) j`,

	headers: lockedHeaders(mysqlIDs),
	lockFree: `
SELECT STRAIGHT_JOIN c.conv, c.version
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$')) j
JOIN delivery_conversations c FORCE INDEX (PRIMARY) ON c.conv = j.conv
FOR UPDATE SKIP LOCKED`,
	standing: `
SELECT STRAIGHT_JOIN j.i, c.version, ` + tallyCols + `, ` + progressCols + `
FROM ` + mysqlWanted + ` j
JOIN delivery_conversations c FORCE INDEX (PRIMARY) ON c.conv = j.conv
JOIN delivery_states t FORCE INDEX (PRIMARY) ON t.conv = j.conv AND t.seq = j.seq
LEFT JOIN delivery_receipts r FORCE INDEX (PRIMARY) ON r.conv = j.conv AND r.seq = j.seq AND r.recipient = j.recipient`,
	wait:     "\nFOR UPDATE",
	noWait:   "\nFOR UPDATE NOWAIT",
	isLocked: mysqlLocked,
	putReceipts: `
INSERT INTO delivery_receipts (conv, seq, recipient, status, version, delivered_at, read_at)
SELECT j.conv, j.seq, j.recipient, j.status, j.version, j.delivered_at, j.read_at
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$[0]', seq BIGINT PATH '$[1]', recipient VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[2]', status TINYINT PATH '$[3]', version BIGINT PATH '$[4]', delivered_at BIGINT PATH '$[5]', read_at BIGINT PATH '$[6]')) j
ON DUPLICATE KEY UPDATE status = VALUES(status), version = VALUES(version),
	delivered_at = VALUES(delivered_at), read_at = VALUES(read_at)`,
	putStates: `
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$[0]', seq BIGINT PATH '$[1]', version BIGINT PATH '$[2]', status TINYINT PATH '$[3]', delivered_count INT PATH '$[4]', read_count INT PATH '$[5]', delivered_at BIGINT PATH '$[6]', read_at BIGINT PATH '$[7]')) j
STRAIGHT_JOIN delivery_states t FORCE INDEX (PRIMARY) ON t.conv = j.conv AND t.seq = j.seq
SET t.version = j.version, t.status = j.status, t.delivered_count = j.delivered_count, t.read_count = j.read_count,
	t.delivered_at = j.delivered_at, t.read_at = j.read_at`,
	putVersions: `
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$[0]', version BIGINT PATH '$[1]')) j
STRAIGHT_JOIN delivery_conversations c FORCE INDEX (PRIMARY) ON c.conv = j.conv
SET c.version = j.version`,

	readers:  lockedReaders(mysqlWanted),
	receipts: lockedReceipts(mysqlWanted),
	putReaders: `
INSERT INTO delivery_readers (conv, reader, delivered_seq, read_seq)
SELECT j.conv, j.reader, j.delivered_seq, j.read_seq
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$[0]', reader VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[1]', delivered_seq BIGINT PATH '$[2]', read_seq BIGINT PATH '$[3]')) j
ON DUPLICATE KEY UPDATE
	delivered_seq = GREATEST(delivery_readers.delivered_seq, VALUES(delivered_seq)), read_seq = GREATEST(delivery_readers.read_seq, VALUES(read_seq))`,

	newest: newest{
		lock: mysqlShare,
		load: lockedReads(mysqlIDs, mysqlNow).load + mysqlShare,
		seen: `
SELECT STRAIGHT_JOIN j.i, r.status
FROM ` + mysqlWanted + ` j
JOIN delivery_messages m FORCE INDEX (PRIMARY) ON m.conv = j.conv AND m.seq = j.seq
LEFT JOIN delivery_receipts r FORCE INDEX (PRIMARY) ON r.conv = j.conv AND r.seq = j.seq AND r.recipient = j.recipient`,
		reserve: `
INSERT INTO delivery_receipts (conv, seq, recipient, status, version)
SELECT j.conv, j.seq, j.recipient, ` + sqlSent + `, 0
FROM JSON_TABLE(?, '$[*]' COLUMNS (conv BIGINT PATH '$[0]', seq BIGINT PATH '$[1]', recipient VARCHAR(128) CHARACTER SET utf8mb4 PATH '$[2]')) j
ON DUPLICATE KEY UPDATE version = delivery_receipts.version`,
		stretch: `
SELECT STRAIGHT_JOIN c.conv, ` + headerCols + `
FROM delivery_messages m FORCE INDEX (PRIMARY)
JOIN delivery_conversations c FORCE INDEX (PRIMARY) ON c.conv = m.conv
WHERE m.conv = ? AND m.seq >= ? AND m.seq < ?
ORDER BY m.seq LIMIT ?` + mysqlShare,
	},

	addEvents: `
INSERT INTO delivery_outbox (ready_at, lease, attempts, created_at, payload)
SELECT ` + mysqlNow + ` + ?, ?, ?, ` + mysqlNow + `, j.payload
FROM JSON_TABLE(?, '$[*]' COLUMNS (i FOR ORDINALITY, payload MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$')) j
ORDER BY j.i`,
	latest: `SELECT id FROM delivery_outbox WHERE lease = ? ORDER BY id DESC LIMIT ?`,
	anyDue: `SELECT EXISTS (SELECT 1 FROM delivery_outbox WHERE ready_at <= ` + mysqlNow + `)`,
	due: `
SELECT id, attempts, payload FROM delivery_outbox FORCE INDEX (delivery_outbox_ready)
WHERE ready_at <= ` + mysqlNow + ` ORDER BY ready_at, id LIMIT ? FOR UPDATE SKIP LOCKED`,
	hold: `
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$')) j
STRAIGHT_JOIN delivery_outbox o FORCE INDEX (PRIMARY) ON o.id = j.id
SET o.lease = ?, o.ready_at = ` + mysqlNow + ` + ?, o.attempts = o.attempts + 1`,
	done: `
DELETE o FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', lease BIGINT PATH '$[1]')) j
STRAIGHT_JOIN delivery_outbox o FORCE INDEX (PRIMARY) ON o.id = j.id AND o.lease = j.lease
WHERE o.lease <> 0`,
	again: `
UPDATE JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', lease BIGINT PATH '$[1]', after BIGINT PATH '$[2]', forget INT PATH '$[3]')) j
STRAIGHT_JOIN delivery_outbox o FORCE INDEX (PRIMARY) ON o.id = j.id AND o.lease = j.lease
SET o.lease = 0, o.ready_at = ` + mysqlNow + ` + j.after, o.attempts = o.attempts - j.forget
WHERE o.lease <> 0`,
	bury: `
INSERT INTO delivery_dead (id, attempts, reason, at, payload)
SELECT STRAIGHT_JOIN o.id, o.attempts, j.reason, ` + mysqlNow + `, o.payload
FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', lease BIGINT PATH '$[1]', reason MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$[2]')) j
JOIN delivery_outbox o FORCE INDEX (PRIMARY) ON o.id = j.id AND o.lease = j.lease
WHERE o.lease <> 0`,
	requeue: `
INSERT INTO delivery_outbox (id, ready_at, lease, attempts, created_at, payload)
SELECT STRAIGHT_JOIN d.id, ` + mysqlNow + `, 0, 0, ` + mysqlNow + `, j.payload
FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]', payload MEDIUMTEXT CHARACTER SET utf8mb4 PATH '$[1]')) j
JOIN delivery_dead d FORCE INDEX (PRIMARY) ON d.id = j.id`,
	discard: `
DELETE d FROM JSON_TABLE(?, '$[*]' COLUMNS (id BIGINT PATH '$[0]')) j
STRAIGHT_JOIN delivery_dead d FORCE INDEX (PRIMARY) ON d.id = j.id`,
}

// mysqlFate tells the fates of errors by the numbers of MySQL and MariaDB.
func mysqlFate(err error) fate {
	switch mysqlNumber(err) {
	case 1213, // deadlock
		1205, // lock wait timeout
		1020: // the row changed since the transaction's snapshot
		return conflict
	case 1290, // the server runs with an option, mostly read_only
		1792, // read-only transaction
		1836, // read-only mode
		1047: // unknown command, which Galera says of all while its node is not in the cluster
		return readOnly
	case 1021, // disk full
		1114, // table full
		1037, // out of memory
		1041, // the same
		1040, // too many connections
		1203, // of the user
		1226: // more than the user's resources
		return away
	case 0, // not an answer
		1053, // server shutdown
		1180, // error during COMMIT
		1317, // query interrupted
		1927, // connection killed
		3024: // query timeout
		return unknown
	}
	return refused
}

func mysqlLocked(err error) bool {
	n := mysqlNumber(err)
	return n == 1205 || n == 3572 // as MariaDB and as MySQL say it
}

func mysqlDuplicate(err error) bool {
	return mysqlNumber(err) == 1062 && strings.Contains(err.Error(), "delivery_messages_id")
}

// mysqlNumber returns the number of a server's error, 0 if err is none.
func mysqlNumber(err error) int64 {
	return errorNumber(err, func(err reflect.Value) int64 { return integer(fieldOf(err, "Number")) })
}

// mysqlMigrate holds a lock by name, since a transaction holds none over a CREATE.
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
	return apply(conn)
}
