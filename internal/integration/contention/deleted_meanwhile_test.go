package contention

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A call first looks where its messages are, and then locks their conversations: see
// [cutter.Cutter.Meanwhile]. What was deleted in between is so for the call.
func TestWhatIsDeletedWhileACallLooksIsNotThere(t *testing.T) {
	lock := map[engines.Kind]string{engines.MySQL: "FOR UPDATE", engines.SQLite: "BEGIN IMMEDIATE"}
	at := func(id string, seq int64) delivery.Header {
		return delivery.Header{ID: id, Conversation: "c", Seq: seq}
	}
	eachLocked(t, func(t *testing.T, e engines.Engine) {
		for name, call := range map[string]func(ctx context.Context, store delivery.Keeper) (got, want any, err error){
			"a mark": func(ctx context.Context, store delivery.Keeper) (got, want any, err error) {
				marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", "m2")}, delivery.Lease{})
				return marked[0], delivery.Marked{}, err
			},
			"an up-to mark": func(ctx context.Context, store delivery.Keeper) (got, want any, err error) {
				marked, _, err := store.AdvanceUpTo(ctx, []delivery.UpTo{upToBy("bob", "c", "m2")}, 10, delivery.Lease{})
				return marked[0], delivery.MarkedUpTo{Header: at("m2", 2), Changed: 1, From: 4, To: 4, Reached: 2}, err
			},
			"a deletion": func(ctx context.Context, store delivery.Keeper) (got, want any, err error) {
				deleted, _, err := store.Delete(ctx, deletionsOf("m2"), delivery.Lease{})
				return deleted[0], delivery.Deleted{Header: at("m2", 2)}, err
			},
		} {
			t.Run(name, func(t *testing.T) {
				db, cut := cutter.Open(t, e)
				store, beside := stores.Open(t, e, db), stores.Open(t, e, cut.Database.Open(t))
				for _, id := range []string{"m1", "m2"} {
					sendTo(t.Context(), t, store, frozen(id, "c", "ann", "them", "bob"))
				}
				cut.Meanwhile(lock[e.Kind], func() {
					if deleted, _, err := beside.Delete(t.Context(), deletionsOf("m2"), delivery.Lease{}); err != nil || !deleted[0].Changed {
						t.Errorf("%+v, %v", deleted, err)
					}
				})
				got, want, err := call(t.Context(), store)
				if err != nil || got != want {
					t.Errorf("%+v, %v; want %+v", got, err, want)
				}
				var receipts int
				if err := db.QueryRow("SELECT COUNT(*) FROM delivery_receipts WHERE seq = 2").Scan(&receipts); err != nil || receipts > 0 {
					t.Errorf("%d receipts are left, %v", receipts, err)
				}
			})
		}
	})
}

// A mark whose conversation was locked by a deletion is not refused as one by a stranger, though the
// deletion has committed meanwhile and has taken the roster with it.
func TestABlockedMarkOfWhatIsDeletedMeanwhileIsOfNoMessage(t *testing.T) {
	db, cut := cutter.Open(t, mysqlEngine)
	store, other := stores.Open(t, mysqlEngine, db), cut.Database.Open(t)
	beside := stores.Open(t, mysqlEngine, other)
	sendTo(t.Context(), t, store, frozen("m", "c", "ann", "them", "bob"))
	tx := stores.Begin(t, other)
	if _, err := tx.Exec("SELECT conv FROM delivery_conversations FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	cut.Meanwhile("SKIP LOCKED", func() { // which finds the conversation locked
		cut.Meanwhile("", func() {
			tx.Rollback()
			if deleted, _, err := beside.Delete(t.Context(), deletionsOf("m"), delivery.Lease{}); err != nil || !deleted[0].Changed {
				t.Errorf("%+v, %v", deleted, err)
			}
		})
	})
	marked, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m")}, delivery.Lease{})
	if err != nil || marked[0] != (delivery.Marked{}) || cut.Pending() {
		t.Errorf("%+v, %v", marked, err)
	}
}

// eachLocked runs test on the engines where calls lock conversations before they write.
func eachLocked(t *testing.T, test func(t *testing.T, e engines.Engine)) {
	for _, e := range []engines.Engine{mysqlEngine, engines.First(engines.SQLite)} {
		t.Run(e.Name, func(t *testing.T) { test(t, e) })
	}
}

// A deletion leaves nothing of a message but the tombstone, whoever holds its event.
func TestDeletionsLeaveNoReceiptsAndNoBodies(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		for _, id := range []string{"marked", "held", "released"} {
			message := delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "c", Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}, Body: "secret", EventBody: true}
			_, claimed, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{Token: 1, For: time.Hour})
			if err == nil && id != "held" {
				_, err = store.Settle(t.Context(), []delivery.Settlement{{ID: claimed[0].Event.ID, Lease: 1, Outcome: delivery.SettleRelease}})
			}
			if err == nil {
				_, _, err = store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", id)}, delivery.Lease{})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := store.Delete(t.Context(), deletionsOf("marked", "held", "released"), delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		for what, want := range map[string]int{
			"delivery_receipts": 0, "delivery_messages WHERE body <> '' OR sender IS NOT NULL": 0, "delivery_outbox WHERE payload LIKE '%secret%'": 0, "delivery_outbox": 7,
		} {
			if n := countRows(t, db, what); n != want {
				t.Errorf("%s: %d rows, want %d", what, n, want)
			}
		}
	})
}

func countRows(t *testing.T, db *sql.DB, from string) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT COUNT(*) FROM " + from).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A page of changes is read in several statements if it is long. If nothing is on it yet when the
// conversation changes, since all messages so far were deleted, it is of the moment of the last
// one.
func TestAPageOfChangesMayBeginWithManyDeletions(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, cut := cutter.Open(t, e)
		store := stores.Open(t, e, db)
		beside := stores.Open(t, e, cut.Database.Open(t))
		var ids []string
		for i := range 120 {
			ids = append(ids, fmt.Sprint("m", i))
			openMessage(t, beside, "c", ids[i])
		}
		if _, _, err := beside.Delete(t.Context(), deletionsOf(ids[:60]...), delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids[60:] {
			if _, _, err := beside.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", id)}, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
		}
		const statement = "delivery_epoch"
		cut.Meanwhile(statement, func() {
			cut.Meanwhile(statement, func() { openMessage(t, beside, "c", "late") })
		})
		page, err := store.List(t.Context(), delivery.List{Conversation: "c", Changes: true, Limit: 200, Bytes: delivery.MaxPage})
		if err != nil || len(page.Messages) != 61 || page.Version != 241 || page.More || cut.Pending() {
			t.Errorf("%d messages at version %d, more: %t, %v", len(page.Messages), page.Version, page.More, err)
		}
	})
}
