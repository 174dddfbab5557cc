package contention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// eachSQLite runs test with every driver for SQLite.
func eachSQLite(t *testing.T, test func(t *testing.T, e engines.Engine)) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			t.Run(e.Name, func(t *testing.T) { test(t, e) })
		}
	}
}

// A caller's transaction that is begun without IMMEDIATE gets its lock by the store's first
// statement, and waits for it; to get it by a later one would fail at once when someone else wrote
// in between.
func TestSQLiteTransactionsBegunWithoutALockWaitForIt(t *testing.T) {
	eachSQLite(t, func(t *testing.T, e engines.Engine) {
		database := stores.Database(t, e)
		db := database.SQLite(t, "deferred", "busy_timeout(60000)").Open(t)
		store := stores.Open(t, e, db)
		const callers, calls = 8, 10
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for i := range calls {
					if err := sendAndMarkInTx(t.Context(), db, store, fmt.Sprintf("m-%d-%d", caller, i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		page, err := store.List(t.Context(), delivery.List{Conversation: "c", Limit: 1})
		if want := int64(callers * calls * 2); err != nil || page.Version != want {
			t.Errorf("the conversation is at version %d of %d, %v", page.Version, want, err)
		}
	})
}

func sendAndMarkInTx(ctx context.Context, db *sql.DB, store delivery.TxStore, id string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	inside := store.InTx(tx)
	if _, _, err := inside.Create(ctx, []delivery.NewMessage{{Header: delivery.Header{ID: id, Conversation: "c", Sender: "alice", Open: true, Quorum: 1}}}, delivery.Lease{}); err != nil {
		return err
	}
	marked, _, err := inside.Advance(ctx, []delivery.Mark{{Message: id, User: "bob", Status: delivery.Read, At: time.Now(), Admitted: true}}, delivery.Lease{})
	if err != nil {
		return err
	}
	if !marked[0].Changed {
		return fmt.Errorf("the mark of %s changed nothing", id)
	}
	return tx.Commit()
}

// This is why the package's documentation recommends its settings: once a caller's transaction has
// read, it can't get the lock if someone else wrote, so it has to take the lock first.
func TestSQLiteTransactionsThatReadFirstNeedTheLockAtBegin(t *testing.T) {
	eachSQLite(t, func(t *testing.T, e engines.Engine) {
		for txlock, busy := range map[string]bool{"deferred": true, "immediate": false} {
			t.Run(txlock, func(t *testing.T) {
				database := stores.Database(t, e)
				db := database.SQLite(t, txlock, "busy_timeout(5000)", "journal_mode(WAL)").Open(t)
				store := stores.Open(t, e, db)
				message := func(id string) []delivery.NewMessage {
					return []delivery.NewMessage{{Header: delivery.Header{ID: id, Conversation: "c", Sender: "alice", Open: true, Quorum: 1}}}
				}
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				var n int
				if err := tx.QueryRow("SELECT count(*) FROM delivery_messages").Scan(&n); err != nil {
					t.Fatal(err)
				}
				patience := time.Minute
				if !busy { // someone else can't write at all
					patience = 100 * time.Millisecond
				}
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if _, _, err := store.Create(ctx, message("other"), delivery.Lease{}); (err != nil) == busy {
					t.Errorf("someone else's Create says %v", err)
				}
				_, _, err = store.InTx(tx).Create(t.Context(), message("own"), delivery.Lease{})
				if engines.IsBusy(err) != busy || !busy && err != nil {
					t.Errorf("Create says %v; busy: want %t", err, busy)
				}
			})
		}
	})
}

// Someone else's lock is waited for as long as the call may take, however patient the connection
// is.
func TestSQLiteWaitsForOtherWritersUntilTheContextEnds(t *testing.T) {
	eachSQLite(t, func(t *testing.T, e engines.Engine) {
		for _, patience := range []string{"busy_timeout(0)", "busy_timeout(60000)"} {
			t.Run(patience, func(t *testing.T) {
				database := stores.Database(t, e)
				others := database.Open(t)
				db := database.SQLite(t, "deferred", patience).Open(t)
				store := stores.Open(t, e, db)
				message := []delivery.NewMessage{{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice", Open: true, Quorum: 1}}}

				other, err := others.BeginTx(t.Context(), nil) // immediate
				if err != nil {
					t.Fatal(err)
				}
				defer other.Rollback()
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if _, _, err := store.Create(ctx, message, delivery.Lease{}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, delivery.ErrOutcomeUnknown) {
					t.Errorf("Create says %v while another holds the lock", err)
				}
				if took := time.Since(began); took < 100*time.Millisecond || took > 10*time.Second {
					t.Errorf("Create took %v of its 100 ms", took)
				}

				done := make(chan error)
				go func() {
					_, _, err := store.Create(t.Context(), message, delivery.Lease{})
					done <- err
				}()
				select {
				case err := <-done:
					t.Fatalf("Create did not wait: %v", err)
				case <-time.After(100 * time.Millisecond):
				}
				other.Rollback()
				if err := <-done; err != nil {
					t.Error(err)
				}

				var after string
				if err := db.QueryRow("PRAGMA busy_timeout").Scan(&after); err != nil || !strings.Contains(patience, "("+after+")") {
					t.Errorf("the connection's patience became %s, %v", after, err)
				}
			})
		}
	})
}

// SQLite carries out a PRAGMA while it prepares it, before the driver looks at the context.
func TestSQLiteGivesAConnectionItsPatienceBackWhenAContextEnds(t *testing.T) {
	eachSQLite(t, func(t *testing.T, e engines.Engine) {
		db, cut := cutter.Open(t, e)
		cut.Database = cut.Database.SQLite(t, "deferred", "busy_timeout(60000)")
		db.SetMaxOpenConns(1)
		store := stores.Open(t, e, db)
		openMessage(t, store, "c", "m")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cut.Meanwhile("PRAGMA busy_timeout = 0", cancel)
		if _, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", "m")}, delivery.Lease{}); !errors.Is(err, context.Canceled) || cut.Pending() {
			t.Errorf("the mark says %v; pending: %t", err, cut.Pending())
		}
		var after int
		if err := db.QueryRow("PRAGMA busy_timeout").Scan(&after); err != nil || after != 60000 {
			t.Errorf("the connection's patience became %d, %v", after, err)
		}
	})
}

// A database in memory is gone with its connection, so a call whose context ends may not cost it.
func TestSQLiteKeepsItsConnectionWhenAContextEnds(t *testing.T) {
	eachSQLite(t, func(t *testing.T, e engines.Engine) {
		database := e.Database(t)
		database.DSN = "file::memory:"
		db := database.Open(t)
		db.SetMaxOpenConns(1)
		stores.Migrate(t, e, db)
		store := stores.Open(t, e, db)
		for i := range 300 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
			store.Create(ctx, []delivery.NewMessage{{Header: delivery.Header{ID: fmt.Sprint(i), Conversation: "c", Sender: "alice", Open: true, Quorum: 1}}}, delivery.Lease{})
			cancel()
		}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{{Header: delivery.Header{ID: "last", Conversation: "c", Sender: "alice", Open: true, Quorum: 1}}}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		page, err := store.List(t.Context(), delivery.List{Conversation: "c", Limit: 500})
		if err != nil || len(page.Messages) == 0 || page.Version != int64(len(page.Messages)) {
			t.Errorf("there are %d messages at version %d, %v", len(page.Messages), page.Version, err)
		}
		t.Logf("%d of 300 calls were in time", len(page.Messages)-1)
	})
}
