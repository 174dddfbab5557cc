// Package stores gives tests SQL stores on the databases of package engines, and the transactions,
// messages and marks that several folders of tests put into them.
package stores

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/sqlstore"
)

// Dialects says which dialect each kind of database speaks.
var Dialects = map[engines.Kind]sqlstore.Dialect{
	engines.SQLite:   sqlstore.SQLite,
	engines.Postgres: sqlstore.Postgres,
	engines.MySQL:    sqlstore.MySQL,
}

// Isolations are the levels at which callers begin transactions. The default is READ COMMITTED on
// Postgres, REPEATABLE READ on MariaDB, and on SQLite the only one.
var Isolations = map[engines.Kind][]sql.IsolationLevel{
	engines.SQLite:   {sql.LevelDefault},
	engines.Postgres: {sql.LevelDefault, sql.LevelRepeatableRead, sql.LevelSerializable},
	engines.MySQL:    {sql.LevelDefault, sql.LevelReadCommitted, sql.LevelSerializable},
}

// Each runs test on every engine and in every setting of it.
func Each(t *testing.T, test func(t *testing.T, e engines.Engine)) {
	for _, e := range slices.Concat(engines.All, engines.Variants) {
		t.Run(e.Name, func(t *testing.T) { test(t, e) })
	}
}

// EachPostgres runs test with every driver for Postgres, on a fresh database.
func EachPostgres(t *testing.T, test func(t *testing.T, db *sql.DB, store *sqlstore.Store)) {
	for _, e := range slices.Concat(engines.All, engines.Variants) {
		if e.Kind == engines.Postgres {
			t.Run(e.Name, func(t *testing.T) {
				db, store := Migrated(t, e)
				db.SetMaxIdleConns(64)
				test(t, db, store)
			})
		}
	}
}

// Migrated returns a pool on a fresh database with the tables in it, and a store on it.
func Migrated(t testing.TB, e engines.Engine) (*sql.DB, *sqlstore.Store) {
	t.Helper()
	db := Database(t, e).Open(t)
	return db, Open(t, e, db)
}

// Database makes a database with the tables in it.
func Database(t testing.TB, e engines.Engine) engines.Database {
	t.Helper()
	return e.Filled(t, func(db *sql.DB) error { return sqlstore.Migrate(t.Context(), db, Dialects[e.Kind]) })
}

// Migrate makes the tables in a database.
func Migrate(t testing.TB, e engines.Engine, db *sql.DB) {
	t.Helper()
	if err := sqlstore.Migrate(t.Context(), db, Dialects[e.Kind]); err != nil {
		t.Fatal(err)
	}
}

// Open returns a store on a database that has the tables.
func Open(t testing.TB, e engines.Engine, db *sql.DB) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.New(db, Dialects[e.Kind])
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// Tracker returns a tracker over a store, which lets everybody do everything and tells nobody.
func Tracker(t testing.TB, store delivery.Store) *delivery.Tracker {
	t.Helper()
	tracker, err := delivery.New(store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
	if err != nil {
		t.Fatal(err)
	}
	return tracker
}

// Begin starts a transaction of somebody else's, which ends with the test.
func Begin(t testing.TB, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return tx
}

// MarkBy returns the mark of a user who may mark the message.
func MarkBy(user, message string) delivery.Mark {
	return delivery.Mark{Message: message, User: user, Status: delivery.Delivered, At: time.Now(), Admitted: true}
}

// Receipts returns all receipts of these messages, in their order.
func Receipts(ctx context.Context, store delivery.Store, messages ...string) (all []delivery.Receipt, err error) {
	for _, id := range messages {
		list := delivery.ReceiptList{Message: id, Limit: delivery.MaxBatch}
		for more := true; more; {
			page, err := store.Receipts(ctx, list)
			if err != nil {
				return nil, err
			}
			all = append(all, page.Receipts...)
			list.After, more = page.Next, page.More
		}
	}
	return all, nil
}
