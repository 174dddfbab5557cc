package contention

import (
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

func failureOf(message, recipient string) delivery.NewFailure {
	return delivery.NewFailure{Failure: delivery.Failure{Message: message, Recipient: recipient, Code: "lost"}}
}

// At REPEATABLE READ, deletions and marks in callers' transactions lock gaps among the failures. A
// failure that would go there comes back blocked, and marks in its conversation wait for nobody.
func TestMySQLFailuresDoNotWaitForTransactions(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	ctx := patient(t)
	for _, conversation := range []string{"b", "c", "d"} {
		for i := range 4 {
			sendTo(ctx, t, store, frozen(fmt.Sprint(conversation, i), conversation, "ann", "them", "bob", "cem"))
		}
	}
	if _, _, err := store.Fail(ctx, failureOf("c0", "bob"), delivery.Lease{}); err != nil {
		t.Fatal(err)
	}
	tx := stores.Begin(t, db)
	inside := store.InTx(tx).(delivery.Keeper)
	if marked, _, err := inside.Advance(ctx, []delivery.Mark{stores.MarkBy("cem", "c0")}, delivery.Lease{}); err != nil || !marked[0].Changed {
		t.Fatalf("%+v, %v", marked, err)
	}
	if _, _, err := inside.Delete(ctx, deletionsOf("c1"), delivery.Lease{}); err != nil {
		t.Fatal(err)
	}
	failed := map[bool]int{}
	for _, conversation := range []string{"b", "d"} {
		for i := range 4 {
			id := fmt.Sprint(conversation, i)
			began := time.Now()
			f, _, err := store.Fail(ctx, failureOf(id, "bob"), delivery.Lease{})
			if took := time.Since(began); err != nil || f.Changed == f.Blocked || took > 5*time.Second {
				t.Fatalf("a failure of %s after %v: %+v, %v", id, took, f, err)
			}
			failed[f.Changed]++
			if marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("cem", id)}, delivery.Lease{}); err != nil || !marked[0].Changed {
				t.Fatalf("a mark of %s: %+v, %v", id, marked, err)
			}
		}
	}
	if failed[false] == 0 {
		t.Error("no gap was locked")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wantVersions(t, store, "b", int64(8+failed[true]))
}

// A message is pruned, and another one is sent elsewhere with its id, before a failure has the lock
// of the conversation. The failure is not kept there without that conversation's lock.
func TestAFailureOfWhatIsPrunedMeanwhileIsNotKept(t *testing.T) {
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL} {
		t.Run(engines.First(kind).Name, func(t *testing.T) {
			db, cut := cutter.Open(t, engines.First(kind))
			store, beside := stores.Open(t, engines.First(kind), db), stores.Open(t, engines.First(kind), cut.Database.Open(t))
			sendTo(t.Context(), t, store, frozen("m", "c", "ann", "them", "bob"))
			cut.Meanwhile("delivery_conversations WHERE conv = .* SKIP LOCKED", func() {
				if r, err := beside.Prune(t.Context(), delivery.Pruning{Conversation: "c", All: true, Limit: 10}); err != nil || r.Removed != 1 {
					t.Errorf("%+v, %v", r, err)
				}
				sendTo(t.Context(), t, beside, frozen("m", "d", "ann", "them", "bob"))
			})
			if f, _, err := store.Fail(t.Context(), failureOf("m", "bob"), delivery.Lease{}); err != nil || f != (delivery.Failed{}) || cut.Pending() {
				t.Errorf("%+v, %v", f, err)
			}
			wantVersions(t, store, "d", 1)
		})
	}
}

// Prune and Compact remove and change a bounded number of rows in a call. Failures count.
func TestFailuresOfManyRecipientsArePrunedAndCompactedInParts(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		users := make([]string, 3000)
		for i := range users {
			users[i] = fmt.Sprintf("u%04d", i)
		}
		for i := range 3 {
			sendTo(t.Context(), t, store, frozen(fmt.Sprint("m", i), "c", "ann", "them", users...))
		}
		for _, text := range []string{
			"INSERT INTO delivery_failures (conv, seq, reader, version, code) SELECT m.conv, m.seq, b.reader, m.seq, 'lost'" +
				" FROM delivery_messages m JOIN delivery_members b ON b.roster = m.roster AND b.reader <> m.sender",
			"UPDATE delivery_states SET failed = 3000",
		} {
			if _, err := db.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := store.Compact(t.Context(), delivery.Compaction{Conversation: "c", Before: time.Now().Add(time.Hour), Limit: 10}); err != nil || r.Compacted != 1 || !r.More {
			t.Errorf("Compact: %+v, %v", r, err)
		}
		if r, err := store.Prune(t.Context(), delivery.Pruning{Conversation: "c", All: true, Limit: 10}); err != nil || r.Removed != 1 || !r.More {
			t.Errorf("Prune: %+v, %v", r, err)
		}
		if n := countRows(t, db, "delivery_failures"); n != 6000 {
			t.Errorf("%d failures are left", n)
		}
	})
}
