package contention

import (
	"context"
	"database/sql/driver"
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

var (
	sending = func(ctx context.Context, store delivery.Store) error {
		_, _, err := store.Create(ctx, []delivery.NewMessage{{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "ann", Open: true, Quorum: 1}}}, delivery.Lease{})
		return err
	}
	listing = func(ctx context.Context, store delivery.Store) error {
		_, err := store.List(ctx, delivery.List{Conversation: "c", Limit: 1})
		return err
	}
)

// lockTables has calls wait for a table that somebody else has locked. Nobody can do that on
// SQLite, where an insert into the table does not end instead.
var lockTables = map[engines.Kind][]string{
	engines.Postgres: {"BEGIN", "LOCK TABLE delivery_messages"},
	engines.MySQL:    {"LOCK TABLES delivery_messages WRITE"},
	engines.SQLite: {
		"CREATE VIEW endless AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
		"CREATE TRIGGER endless BEFORE INSERT ON delivery_messages BEGIN SELECT COUNT(*) FROM endless; END",
	},
}

// Some drivers only repeat the database's words, that somebody interrupted a statement or that
// somebody has a lock.
func TestAnErrorOfACallWhoseContextHasEndedSaysSo(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		openMessage(t, store, "c", "first")
		other, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range lockTables[e.Kind] {
			if _, err := other.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		defer other.Raw(func(any) error { return driver.ErrBadConn }) // closes it
		calls := map[string]func(context.Context, delivery.Store) error{"a write": sending, "a read": listing}
		if e.Kind == engines.SQLite {
			delete(calls, "a read")
		}
		for name, call := range calls {
			for where, in := range map[string]delivery.Store{"": store, " in a caller's transaction": store.InTx(stores.Begin(t, db))} {
				t.Run(name+where, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan error, 1)
					go func() { done <- call(ctx, in) }()
					if e.Kind == engines.Postgres { // lib/pq cancels once, and waits if it was too early
						waiting(t, db, 1)
					} else {
						time.Sleep(100 * time.Millisecond)
					}
					cancel()
					if err := <-done; !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
				})
			}
		}
	})
}

func TestSQLiteSaysThatTheContextHasEndedWhereATransactionWaitsForALock(t *testing.T) {
	eachSQLite(t, func(t *testing.T, e engines.Engine) {
		database := stores.Database(t, e)
		stores.Begin(t, database.Open(t)) // which takes the lock
		db := database.SQLite(t, "deferred", "busy_timeout(1000)").Open(t)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := sending(ctx, stores.Open(t, e, db).InTx(stores.Begin(t, db)))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
