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
	serial:   true,
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
	reads:  lockedReads(sqliteIDs, sqliteNow),
	writes: func() writes { return &sqliteWrites },
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
		if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
			return err
		}
		defer func() {
			if _, err := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprint("PRAGMA busy_timeout = ", patience)); err != nil {
				drop(conn)
			}
		}()
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

// sqliteWanted turns a batch of receipts that are asked for into a table.
const sqliteWanted = "(SELECT value->>0 AS i, value->>1 AS conv, value->>2 AS seq, value->>3 AS recipient FROM json_each(?))"

const sqliteFound = "INSERT INTO delivery_conversations (id, version) VALUES (?, 0)"

// sqliteVersions returns the versions of conversations: who writes has locked all of them.
const sqliteVersions = "SELECT c.conv, c.version FROM json_each(?) j CROSS JOIN delivery_conversations c ON c.conv = j.value"

// sqliteNow is the clock, in microseconds. It ticks in milliseconds.
const sqliteNow = "CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000"

// Once somebody has run ANALYZE, or PRAGMA optimize, SQLite goes by the sizes that the tables had
// then, and rather reads a table that was small from end to end. What keeps the statements to the
// indexes:
//
//   - CROSS JOIN, which joins in the order of the text
//   - INSERT … ON CONFLICT DO UPDATE, also where the row is known to exist: it looks into the index
//   - beside a list of ids, the range they are in
var sqliteWrites = locked{
	known:     lockedKnown(sqliteIDs),
	found:     sqliteFound,
	foundFree: sqliteFound,
	lock:      sqliteVersions,
	addMessages: `
INSERT INTO delivery_messages (conv, seq, id, sender, body, open, total, quorum, sent_at)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8 FROM json_each(?)`,
	duplicate: func(err error) bool {
		return strings.Contains(err.Error(), "UNIQUE constraint failed: delivery_messages.id")
	},
	addStates: `
INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count)
SELECT value->>0, value->>1, value->>2, value->>3, 0, 0 FROM json_each(?)`,
	addReceipts: `
INSERT INTO delivery_receipts (conv, seq, recipient, status, version)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?)`,

	headers:  lockedHeaders(sqliteIDs),
	lockFree: sqliteVersions,
	standing: `
SELECT j.value->>0, c.version, ` + tallyCols + `, ` + progressCols + `
FROM json_each(?) j
CROSS JOIN delivery_conversations c ON c.conv = j.value->>1
CROSS JOIN delivery_states t ON t.conv = c.conv AND t.seq = j.value->>2
LEFT JOIN delivery_receipts r ON r.conv = t.conv AND r.seq = t.seq AND r.recipient = j.value->>3`,
	isLocked: func(error) bool { return false }, // who writes has it all
	putReceipts: `
INSERT INTO delivery_receipts (conv, seq, recipient, status, version, delivered_at, read_at)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM json_each(?) WHERE true
ON CONFLICT (conv, seq, recipient) DO UPDATE SET status = excluded.status, version = excluded.version,
	delivered_at = excluded.delivered_at, read_at = excluded.read_at`,
	putStates: `
INSERT INTO delivery_states (conv, seq, version, status, delivered_count, read_count, delivered_at, read_at)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7 FROM json_each(?) WHERE true
ON CONFLICT (conv, seq) DO UPDATE SET version = excluded.version, status = excluded.status,
	delivered_count = excluded.delivered_count, read_count = excluded.read_count,
	delivered_at = excluded.delivered_at, read_at = excluded.read_at`,
	putVersions: `
INSERT INTO delivery_conversations (conv, id, version)
SELECT c.conv, c.id, j.value->>1 FROM json_each(?) j CROSS JOIN delivery_conversations c ON c.conv = j.value->>0 WHERE true
ON CONFLICT (conv) DO UPDATE SET version = excluded.version`,

	readers:  lockedReaders(sqliteWanted),
	receipts: lockedReceipts(sqliteWanted),
	putReaders: `
INSERT INTO delivery_readers (conv, reader, delivered_seq, read_seq)
SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?) WHERE true
ON CONFLICT DO UPDATE SET
	delivered_seq = max(delivered_seq, excluded.delivered_seq), read_seq = max(read_seq, excluded.read_seq)`,

	addEvents: `
INSERT INTO delivery_outbox (ready_at, lease, attempts, created_at, payload)
SELECT ` + sqliteNow + ` + ?, ?, ?, ` + sqliteNow + `, value FROM json_each(?) ORDER BY key`,
	latest: `SELECT id FROM delivery_outbox WHERE lease = ? ORDER BY id DESC LIMIT ?`,
	anyDue: `SELECT EXISTS (SELECT 1 FROM delivery_outbox WHERE ready_at <= ` + sqliteNow + `)`,
	due: `
SELECT id, attempts, payload FROM delivery_outbox WHERE ready_at <= ` + sqliteNow + ` ORDER BY ready_at, id LIMIT ?`,
	hold: `
INSERT INTO delivery_outbox (id, ready_at, lease, attempts, created_at, payload)
SELECT value, 0, 0, 0, 0, '' FROM json_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET lease = ?, ready_at = ` + sqliteNow + ` + ?, attempts = attempts + 1`,
	done: `
WITH done (id) AS MATERIALIZED (SELECT o.id FROM ` + sqliteLeased + `)
DELETE FROM delivery_outbox
WHERE id IN done AND id BETWEEN (SELECT min(id) FROM done) AND (SELECT max(id) FROM done)`,
	again: `
INSERT INTO delivery_outbox (id, ready_at, lease, attempts, created_at, payload)
SELECT o.id, ` + sqliteNow + ` + (j.value->>2), 0, o.attempts - (j.value->>3), 0, '' FROM ` + sqliteLeased + ` WHERE true
ON CONFLICT (id) DO UPDATE SET lease = 0, ready_at = excluded.ready_at, attempts = excluded.attempts`,
	bury: `
INSERT INTO delivery_dead (id, attempts, reason, at, payload)
SELECT o.id, o.attempts, j.value->>2, ` + sqliteNow + `, o.payload
FROM ` + sqliteLeased,
	requeue: `
INSERT INTO delivery_outbox (id, ready_at, lease, attempts, created_at, payload)
SELECT d.id, ` + sqliteNow + `, 0, 0, ` + sqliteNow + `, j.value->>1
FROM json_each(?) j CROSS JOIN delivery_dead d ON d.id = j.value->>0`,
	discard: `
WITH gone (id) AS MATERIALIZED (SELECT value->>0 FROM json_each(?))
DELETE FROM delivery_dead
WHERE id IN gone AND id BETWEEN (SELECT min(id) FROM gone) AND (SELECT max(id) FROM gone)`,
}

// sqliteLeased joins a batch of leased events, [id, token], with those of them that still are.
const sqliteLeased = `json_each(?) j
CROSS JOIN delivery_outbox o ON o.id = j.value->>0 AND o.lease = j.value->>1 AND o.lease <> 0`
