package contention

import (
	"database/sql"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// withDefault returns a pool on a migrated database of Postgres where transactions begin at this
// isolation by default.
func withDefault(t *testing.T, level string) (*sql.DB, *cutter.Cutter, *sqlstore.Store) {
	e := engines.First(engines.Postgres)
	db, cut := cutter.Open(t, e)
	plain := cut.Database.Open(t)
	if _, err := plain.Exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''` + level + `''', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	return db, cut, stores.Open(t, e, db)
}

// A statement at SERIALIZABLE that passes by the conversation of a caller's transaction makes that
// one's commit fail.
func TestPostgresCallsFailNoTransactionBesideThem(t *testing.T) {
	for _, level := range []string{"repeatable read", "serializable"} {
		t.Run(level, func(t *testing.T) {
			db, _, store := withDefault(t, level)
			for range 3 { // conflicts are found by heuristics
				openMessage(t, store, "c", "m1")
				openMessage(t, store, "d", "m2")
				tx := stores.Begin(t, db)
				if _, _, err := store.InTx(tx).Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m1")}, delivery.Lease{}); err != nil {
					t.Fatal(err)
				}
				marked, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("carol", "m1"), stores.MarkBy("carol", "m2")}, delivery.Lease{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := store.Load(t.Context(), []string{"m1", "m2"}); err != nil {
					t.Fatal(err)
				}
				if !marked[0].Blocked || !marked[1].Changed {
					t.Errorf("the marks beside the transaction: %+v", marked)
				}
				if err := tx.Commit(); err != nil {
					t.Errorf("the caller's commit: %v", err)
				}
				for _, table := range []string{"receipts", "states", "messages"} {
					if _, err := db.Exec("DELETE FROM delivery_" + table); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// Where the default is right, a call is the one statement that it was.
func TestPostgresBeginsTransactionsOnlyWhereTheDefaultIsAnother(t *testing.T) {
	for level, statements := range map[string]int64{"read committed": 1, "repeatable read": 3, "serializable": 3} {
		t.Run(level, func(t *testing.T) {
			_, cut, store := withDefault(t, level)
			openMessage(t, store, "c", "m")
			mark := stores.MarkBy("bob", "m")
			if _, _, err := store.Advance(t.Context(), []delivery.Mark{mark}, delivery.Lease{}); err != nil { // after which the conversation knows bob
				t.Fatal(err)
			}
			mark.Status = delivery.Read
			for call, run := range map[string]func() error{
				"Load": func() error { _, err := store.Load(t.Context(), []string{"m"}); return err },
				"Advance": func() error {
					_, _, err := store.Advance(t.Context(), []delivery.Mark{mark}, delivery.Lease{})
					return err
				},
			} {
				before := cut.Seen()
				if err := run(); err != nil {
					t.Errorf("%s: %v", call, err)
				}
				if n := cut.Seen() - before; n != statements {
					t.Errorf("%s took %d statements, want %d", call, n, statements)
				}
			}
		})
	}
}
