package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"strings"

	"github.com/msgdelivery/delivery"
)

var sqlite = dialect{
	name: "sqlite",

	begin:    sqliteBegin,
	inTx:     guard{enter: sqliteEnter, leave: "RELEASE delivery_call", fail: sqliteFail},
	ids:      sqliteIDs,
	serial:   true,
	tell:     lockedTell(sqliteNow),
	clock:    sqliteNow,
	keep:     keepOnConflict,
	turns:    func() func(context.Context) (func(), error) { return newTurns().enter },
	classify: sqliteFate,
	settings: sqliteSettings,
	unmigrated: func(err error) bool {
		text := err.Error()
		return sqliteCode(err) == 1 && (strings.Contains(text, "no such table: delivery_") || strings.Contains(text, "no such column: "))
	},
	tables: "SELECT name FROM sqlite_master WHERE type = 'table'",
	migrate: func(ctx context.Context, s *session, apply func(q delivery.DBTX) error) error {
		return s.write(ctx, apply)
	},
	reads:         lockedReads(&sqliteTongue, sqliteUnread),
	dropRedundant: dropRedundant,
	own:           sqliteOwn,
	writes:        func() writes { return &sqliteWrites },
}

// sqliteBegin begins a transaction with the lock to write, whatever the driver was told of BEGIN.
// For this one moment it takes the connection its patience: SQLite would wait on when ctx has
// ended.
func sqliteBegin(ctx context.Context, conn *sql.Conn) error {
	var patience int
	if err := conn.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&patience); err != nil {
		return err
	}
	if patience > 0 {
		defer func() {
			if _, err := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprint("PRAGMA busy_timeout = ", patience)); err != nil {
				drop(conn)
			}
		}()
		// If ctx ends meanwhile, this may take effect and return an error.
		if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	return err
}

// sqliteEnter sets the savepoint of a call, unless the one of a call that failed is still set, and
// takes the lock to write. A transaction that read before does not get it if someone else wrote in
// between, however long it is willing to wait.
func sqliteEnter(ctx context.Context, tx delivery.DBTX) error {
	_, err := tx.ExecContext(ctx, "ROLLBACK TO delivery_call")
	if err == nil {
		return errFailedTx
	}
	if sqliteFate(err) != refused { // that there is no such savepoint
		return err
	}
	// A transaction cannot begin within another one, and that tells whether one is under way.
	if _, err := tx.ExecContext(ctx, "BEGIN"); err == nil {
		_, err = tx.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return cmp.Or(err, errNoTx)
	} else if sqliteFate(err) != refused {
		return err
	}
	return execEach(ctx, tx, "SAVEPOINT delivery_call", "UPDATE delivery_conversations SET version = version WHERE false")
}

// sqliteFail undoes what the call did, and leaves its savepoint as the sign that it failed. If
// SQLite has ended the transaction, another takes its place, so that the caller's ROLLBACK finds
// one.
func sqliteFail(ctx context.Context, tx delivery.DBTX) error {
	_, err := tx.ExecContext(ctx, "ROLLBACK TO delivery_call")
	if err == nil || sqliteFate(err) != refused {
		return err
	}
	// The call had not come to set it, or the transaction has ended: only then can another begin.
	if _, err := tx.ExecContext(ctx, "BEGIN"); err != nil && sqliteFate(err) != refused {
		return err
	}
	_, err = tx.ExecContext(ctx, "SAVEPOINT delivery_call")
	return err
}

// sqliteSettings wants the version that brought unixepoch('subsec').
func sqliteSettings(ctx context.Context, q delivery.DBTX) (found findings, err error) {
	var version string
	var clock sql.NullFloat64
	if err := queryOne(ctx, q, []any{&version, &clock}, "SELECT sqlite_version(), unixepoch('subsec')"); err != nil {
		return found, err
	}
	if !clock.Valid {
		found.fault("SQLite %s is too old: use a driver with SQLite 3.42 or newer", version)
	}
	return found, nil
}

// sqliteFate tells the fates of errors by the result codes of SQLite.
func sqliteFate(err error) fate {
	const (
		busy     = 5
		locked   = 6
		readonly = 8
		ioerr    = 10
		full     = 13
		cantopen = 14
	)
	switch sqliteCode(err) & 0xff { // the rest says more about the same
	case 0: // not an answer
		return unknown
	case busy, locked:
		return conflict
	case ioerr:
		return unknown
	case full, readonly, cantopen:
		return away
	}
	return refused
}

// sqliteCode returns the result code of SQLite's error, 0 if err is none. Drivers have it in a
// field Code, or as the result of a method Code.
func sqliteCode(err error) int64 {
	return errorNumber(err, func(err reflect.Value) int64 {
		if kind := reflect.Indirect(err).Type(); !strings.Contains(kind.PkgPath()+kind.String(), "sqlite") {
			return 0 // others count differently
		}
		code := err.MethodByName("Code")
		if code.IsValid() && code.Type().NumIn() == 0 && code.Type().NumOut() == 1 {
			return integer(code.Call(nil)[0])
		}
		return integer(fieldOf(err, "Code"))
	})
}

// sqliteIDs turns a batch of ids into a table.
const sqliteIDs = "(SELECT value AS id FROM json_each(?))"

const sqliteFound = "INSERT INTO delivery_conversations (id, version) VALUES (?, 0)"

// sqliteVersions returns the versions of conversations: who writes has locked all of them.
const sqliteVersions = "SELECT c.conv, c.version, c.drops FROM json_each(?) j CROSS JOIN delivery_conversations c ON c.conv = j.value"

// sqliteNow is the clock, in microseconds. It ticks in milliseconds.
const sqliteNow = "CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000"

// Once somebody has run ANALYZE, or PRAGMA optimize, SQLite goes by the sizes that the tables had
// then, and rather reads a table that was small from end to end. These keep the statements to the
// indexes:
//
//   - CROSS JOIN, which joins in the order of the text
//   - INSERT … ON CONFLICT DO UPDATE, also where the row is known to exist: it looks into the index
//   - beside a list of ids, the range they are in
var sqliteWrites = func() locked {
	l := lockedWrites(&sqliteTongue)
	l.found, l.foundFree = sqliteFound, sqliteFound
	l.duplicate = func(err error) bool {
		return strings.Contains(err.Error(), "UNIQUE constraint failed: delivery_messages.id")
	}
	l.lock, l.lockFree = sqliteVersions, sqliteVersions
	l.isLocked = func(error) bool { return false } // who writes has it all
	l.putStates = sqliteTongue.insert("delivery_states", "conv, seq, version, status, delivered_count, read_count, delivered_at, read_at, failed") + `
WHERE true
ON CONFLICT (conv, seq) DO UPDATE SET version = excluded.version, status = excluded.status,
	delivered_count = excluded.delivered_count, read_count = excluded.read_count,
	delivered_at = excluded.delivered_at, read_at = excluded.read_at, failed = excluded.failed`
	l.putVersions = `
INSERT INTO delivery_conversations (conv, id, version)
SELECT c.conv, c.id, j.version FROM ` + sqliteTongue.rows("conv, version") + ` CROSS JOIN delivery_conversations c ON c.conv = j.conv WHERE true
ON CONFLICT (conv) DO UPDATE SET version = excluded.version`
	l.dropReceipts, l.dropFailures = sqliteDrop("delivery_receipts"), sqliteDrop("delivery_failures")
	l.addEvents = `
INSERT INTO delivery_outbox (ready_at, lease, attempts, created_at, payload, body_of)
SELECT ` + sqliteNow + ` + ?, ?, ?, ` + sqliteNow + `, value->>0, value->>1 FROM json_each(?) ORDER BY key`
	l.due = `
SELECT id, attempts, payload, ` + lockedBody + ` FROM delivery_outbox WHERE ready_at <= ` + sqliteNow + ` ORDER BY ready_at, id LIMIT ?`
	l.hold = `
INSERT INTO delivery_outbox (id, ready_at, lease, attempts, created_at, payload)
SELECT value, 0, 0, 0, 0, '' FROM json_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET lease = ?, ready_at = ` + sqliteNow + ` + ?, attempts = attempts + 1`
	l.done = lockedFree(&sqliteTongue, `
WITH done (id) AS MATERIALIZED (SELECT o.id FROM `+sqliteLeased+`)
DELETE FROM delivery_outbox
WHERE id IN done AND id BETWEEN (SELECT min(id) FROM done) AND (SELECT max(id) FROM done)`)
	l.again = lockedFree(&sqliteTongue, `
INSERT INTO delivery_outbox (id, ready_at, lease, attempts, created_at, payload)
SELECT o.id, `+sqliteNow+` + (j.value->>2), 0, o.attempts - (j.value->>3), 0, '' FROM `+sqliteLeased+` WHERE true
ON CONFLICT (id) DO UPDATE SET lease = 0, ready_at = excluded.ready_at, attempts = excluded.attempts`)
	l.discard = sqliteBatch + `
DELETE FROM delivery_dead
` + sqliteOfBatch
	return l
}()

// sqliteDrop returns a statement that drops the rows of messages: [index, key, seq].
func sqliteDrop(table string) string {
	return `
WITH gone (conv, seq) AS MATERIALIZED (SELECT value->>1, value->>2 FROM json_each(?))
DELETE FROM ` + table + `
WHERE (conv, seq) IN gone AND conv BETWEEN (SELECT min(conv) FROM gone) AND (SELECT max(conv) FROM gone)`
}

var sqliteTongue = tongue{
	ids:   sqliteIDs,
	table: sqliteTable,
	each: func(columns []column, more string) string {
		return "SELECT " + namesOf(columns) + more + " FROM " + sqliteTable(columns)
	},
	over:  func(key, sets string) string { return " WHERE true\nON CONFLICT (" + key + ") DO UPDATE SET " + sets },
	keep:  func(key, _ string) string { return " WHERE true\nON CONFLICT (" + key + ") DO NOTHING" },
	most:  "max",
	later: func(column string) string { return "excluded." + column },
	now:   sqliteNow,

	noWait: func(write string) string { return write }, // who writes has it all
}

// sqliteTable turns a batch of rows into the table j.
func sqliteTable(columns []column) string {
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = fmt.Sprintf("value->>%d AS %s", i, c.name)
	}
	return "(SELECT " + strings.Join(values, ", ") + " FROM json_each(?)) j"
}

// sqliteBatch begins a statement about a batch of ids, [id], and sqliteOfBatch restricts it to
// them.
const (
	sqliteBatch = `
WITH batch (id) AS MATERIALIZED (SELECT value->>0 FROM json_each(?))`
	sqliteOfBatch = `WHERE id IN batch AND id BETWEEN (SELECT min(id) FROM batch) AND (SELECT max(id) FROM batch)`
)

// sqliteLeased joins a batch of leased events, [id, token], with those of them that still are.
const sqliteLeased = `json_each(?) j
CROSS JOIN delivery_outbox o ON o.id = j.value->>0 AND o.lease = j.value->>1 AND o.lease <> 0`
