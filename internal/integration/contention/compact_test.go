package contention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// readM sends m1 and m2 to bob and cem. bob has read both, and m2 has come to cem.
func readM(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	for _, id := range []string{"m1", "m2"} {
		sendTo(t.Context(), t, store, frozen(id, "c", "ann", "them", "bob", "cem"))
	}
	bob := upToBy("bob", "c", "m2")
	bob.Status = delivery.Read
	cem := upToBy("cem", "c", "m2")
	cem.Status = delivery.Delivered
	for _, mark := range []delivery.UpTo{bob, cem} {
		if marked, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{mark}, 10, delivery.Lease{}); err != nil || marked[0].Changed != 2 {
			t.Fatalf("%+v, %v", marked, err)
		}
	}
}

// compactM compacts m1 and m2, of whose receipts no row is left.
func compactM(t *testing.T, db *sql.DB, store *sqlstore.Store) {
	t.Helper()
	r, err := store.Compact(t.Context(), delivery.Compaction{Conversation: "c", Before: time.Now().Add(time.Hour), Limit: 10})
	if n := countRows(t, db, "delivery_receipts"); err != nil || r.Compacted != 2 || n != 0 {
		t.Errorf("%+v, %v, %d rows", r, err, n)
	}
}

// afterM are calls about m1 and m2, and whether each did what it is to do.
var afterM = map[string]func(ctx context.Context, store delivery.Store) (fits bool, err error){
	"a mark that was there": func(ctx context.Context, store delivery.Store) (bool, error) {
		marks := []delivery.Mark{stores.MarkBy("cem", "m1"), {Message: "m1", User: "bob", Status: delivery.Read, At: time.Now()}}
		for i := range marks {
			marked, _, err := store.Advance(ctx, marks[i:i+1], delivery.Lease{})
			if err != nil || marked[0].Blocked || marked[0].Changed || marked[0].Receipt.Status < marks[i].Status {
				return false, err
			}
		}
		marked, _, err := store.Advance(ctx, marks, delivery.Lease{})
		return err == nil && !marked[0].Changed && !marked[1].Changed, err
	},
	"a mark that goes on": func(ctx context.Context, store delivery.Store) (bool, error) {
		marked, _, err := store.Advance(ctx, []delivery.Mark{{Message: "m1", User: "cem", Status: delivery.Read, At: time.Now()}}, delivery.Lease{})
		return err == nil && marked[0].Changed && marked[0].Receipt.DeliveredAt.IsZero(), err
	},
	"an up-to mark": func(ctx context.Context, store delivery.Store) (bool, error) {
		mark := upToBy("cem", "c", "m2")
		mark.Status = delivery.Read
		marked, _, err := store.AdvanceUpTo(ctx, []delivery.UpTo{mark}, 10, delivery.Lease{})
		return err == nil && marked[0].Changed == 2 && marked[0].Receipt.DeliveredAt.IsZero(), err
	},
	"a deletion": func(ctx context.Context, store delivery.Store) (bool, error) {
		deleted, _, err := store.(delivery.Keeper).Delete(ctx, deletionsOf("m1", "m2"), delivery.Lease{})
		return err == nil && deleted[0].Changed && deleted[1].Changed, err
	},
}

// checkM checks that counters and receipts fit together in the end.
func checkM(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	v, err := store.Verify(t.Context(), "c", 0, 10)
	if err != nil || v.Messages != 2 || len(v.Drifts) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	for _, m := range []string{"m1", "m2"} {
		messages, err := store.Load(t.Context(), []string{m})
		if err != nil || len(messages) == 1 && (messages[0].Delivered != 2 || messages[0].Read < 1) {
			t.Errorf("%+v, %v", messages, err)
		}
	}
}

// A call in a transaction whose snapshot shows receipts that are no longer there, or shows them
// with times, does what it would do without it, or reports a conflict.
func TestWhatWasCompactedSinceATransactionBeganIsNotCountedAgain(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		for name, call := range afterM {
			t.Run(name, func(t *testing.T) {
				if e.Kind == engines.SQLite {
					return // a transaction keeps others from writing from its beginning
				}
				for _, level := range stores.Isolations[e.Kind] {
					t.Run(level.String(), func(t *testing.T) {
						db, store := stores.Migrated(t, e)
						readM(t, store)
						tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
						if err != nil {
							t.Fatal(err)
						}
						defer tx.Rollback()
						inside := store.InTx(tx)
						if _, err := inside.Load(t.Context(), []string{"m1"}); err != nil { // takes the snapshot
							t.Fatal(err)
						}
						if e.Kind == engines.MySQL && level == sql.LevelSerializable {
							return // whoever has read keeps others from writing
						}
						compactM(t, db, store)
						fits, err := call(t.Context(), inside)
						fresh := level == sql.LevelReadCommitted || e.Kind == engines.Postgres && level == sql.LevelDefault // each statement's snapshot
						if errors.Is(err, delivery.ErrTxConflict) && !fresh {
							return
						}
						if err == nil {
							err = tx.Commit()
						}
						if !fits || err != nil {
							if sqlstore.IsConflict(err) && !fresh {
								return
							}
							t.Errorf("%t, %v", fits, err)
						}
						checkM(t, store)
						if name == "a deletion" {
							if n := countRows(t, db, "delivery_receipts WHERE version > 0"); n != 0 {
								t.Errorf("%d receipts are left", n)
							}
						}
					})
				}
			})
		}
	})
}

// In a transaction that began after a compaction, deletions and marks find no rows.
func TestWhatWasCompactedCanBeMarkedAndDeletedInATransaction(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		for name, call := range afterM {
			t.Run(name, func(t *testing.T) {
				for _, level := range stores.Isolations[e.Kind] {
					t.Run(level.String(), func(t *testing.T) {
						db, store := stores.Migrated(t, e)
						readM(t, store)
						compactM(t, db, store)
						tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
						if err != nil {
							t.Fatal(err)
						}
						defer tx.Rollback()
						if fits, err := call(t.Context(), store.InTx(tx)); err != nil || !fits {
							t.Fatalf("%t, %v", fits, err)
						}
						if err := tx.Commit(); err != nil {
							t.Fatal(err)
						}
						checkM(t, store)
					})
				}
			})
		}
	})
}

// A call looks without a lock, and what it has seen is compacted before it has the lock.
func TestWhatIsCompactedWhileACallLooksIsNotCountedAgain(t *testing.T) {
	lock := map[engines.Kind]string{engines.MySQL: "FOR UPDATE", engines.SQLite: "BEGIN IMMEDIATE"}
	eachLocked(t, func(t *testing.T, e engines.Engine) {
		for name, call := range afterM {
			t.Run(name, func(t *testing.T) {
				db, cut := cutter.Open(t, e)
				store, other := stores.Open(t, e, db), cut.Database.Open(t)
				readM(t, store)
				cut.Meanwhile(lock[e.Kind], func() { compactM(t, other, stores.Open(t, e, other)) })
				if fits, err := call(t.Context(), store); err != nil || !fits {
					t.Errorf("%t, %v", fits, err)
				}
				if cut.Pending() {
					t.Errorf("nothing was compacted")
				}
				checkM(t, store)
				if n := countRows(t, db, "delivery_receipts WHERE delivered_at IS NOT NULL"); n != 0 {
					t.Error("a time came back", fmt.Sprint(n))
				}
			})
		}
	})
}
