package contention

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// frozen is a message to a roster.
func frozen(id, conversation, sender, roster string, members ...string) []delivery.NewMessage {
	return []delivery.NewMessage{{
		Header: delivery.Header{ID: id, Conversation: conversation, Sender: sender, SentAt: time.Now()},
		Roster: roster, Members: members,
	}}
}

// sendTo sends to a roster as a Tracker does, which keeps the members back until it is asked.
func sendTo(ctx context.Context, t *testing.T, store delivery.Store, m []delivery.NewMessage) delivery.Message {
	t.Helper()
	without := m[0]
	without.Members = nil
	created, _, err := store.Create(ctx, []delivery.NewMessage{without}, delivery.Lease{})
	if err == nil && created[0].NoRoster {
		created, _, err = store.Create(ctx, m, delivery.Lease{})
	}
	if err != nil || created[0].Message.ID == "" || created[0].Existed {
		t.Fatalf("sending %s: %+v, %v", m[0].ID, created, err)
	}
	return created[0].Message
}

// A transaction of the caller's makes a roster of 1,000 names that are new in its conversation, and
// stays open. The conversations beside it have some of the same names, and get names and rosters
// that go right before and behind those.
func TestMySQLTransactionsThatMakeRostersHoldTheirConversationsOnly(t *testing.T) {
	for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead} {
		for _, stale := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, stale snapshot: %v", level, stale), func(t *testing.T) {
				db, store := stores.Migrated(t, mysqlEngine)
				members := make([]string, 1000)
				for i := range members {
					members[i] = fmt.Sprintf("m%03d", i)
				}
				ctx := patient(t)
				for i, conversation := range []string{"before", "here", "behind"} {
					sendTo(ctx, t, store, frozen(fmt.Sprint("first-", i), conversation, "m000", "some", members[:500+i]...))
				}
				tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level})
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				inside := store.InTx(tx)
				if stale {
					if _, err := inside.Load(ctx, []string{"first-1"}); err != nil {
						t.Fatal(err)
					}
					sendTo(ctx, t, store, frozen("second", "here", "m001", "newer", "m000", "m001", "newer"))
				}
				if m := sendTo(ctx, t, inside, frozen("tx-1", "here", "m000", "all", members...)); m.Total != 999 {
					t.Errorf("to the new roster: %+v", m.Header)
				}
				if m := sendTo(ctx, t, inside, frozen("tx-2", "here", "else", "all", members...)); m.Total != 1000 {
					t.Errorf("by somebody else: %+v", m.Header)
				}
				if m := sendTo(ctx, t, inside, frozen("tx-3", "here", "m000", "newer", "m000", "m001", "newer")); m.Total != 2 {
					t.Errorf("to the roster that the snapshot may lack: %+v", m.Header)
				}
				if m := sendTo(ctx, t, inside, frozen("tx-4", "new", "m000", "all", members...)); m.Total != 999 {
					t.Errorf("in a new conversation: %+v", m.Header)
				}
				marks := []delivery.Mark{stores.MarkBy("m400", "first-1"), stores.MarkBy("m999", "first-1"), stores.MarkBy("m999", "tx-1"), stores.MarkBy("stranger", "tx-2")}
				marked, _, err := inside.Advance(ctx, marks, delivery.Lease{})
				if err != nil || !marked[0].Changed || marked[1].Changed || !marked[2].Changed || marked[3].Changed {
					t.Fatalf("marks: %+v, %v", marked, err)
				}
				if upTo, _, err := inside.AdvanceUpTo(ctx, []delivery.UpTo{upToBy("m001", "here", "tx-3")}, 10, delivery.Lease{}); err != nil || upTo[0].Changed < 4 {
					t.Fatalf("up-to mark: %+v, %v", upTo, err)
				}

				start := time.Now()
				for i, conversation := range []string{"before", "behind", "a", "z"} {
					for j, set := range [][]string{members, {"\x01", "m0005", "\U0010ffff"}, {"m000"}} {
						m := sendTo(ctx, t, store, frozen(fmt.Sprint("beside-", i, j), conversation, set[0], []string{"all", "\x01", "\U0010ffff"}[j], set...))
						marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy(set[len(set)/2], m.ID)}, delivery.Lease{})
						if err != nil || marked[0].Blocked || marked[0].Changed != (m.Total > 0) {
							t.Fatalf("marking %s: %+v, %v", m.ID, marked, err)
						}
					}
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("12 sends in other conversations took %v", took)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				receipts, err := stores.Receipts(ctx, store, "tx-1")
				if err != nil || len(receipts) != 999 || receipts[998].Recipient != "m999" || receipts[998].Status != delivery.Delivered {
					t.Errorf("%d receipts, %v", len(receipts), err)
				}
			})
		}
	}
}

// A roster that is newer than the transaction's snapshot is used all the same, or the transaction
// fails.
func TestMySQLSendsToRostersThatTheSnapshotLacks(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	openMessage(t, store, "c", "m1")
	tx := stores.Begin(t, db)
	inside := store.InTx(tx)
	if _, err := inside.Load(t.Context(), []string{"m1"}); err != nil { // begins the snapshot
		t.Fatal(err)
	}
	sendTo(t.Context(), t, store, frozen("m2", "c", "ann", "r", "ann", "bob", "cem"))
	for id, members := range map[string][]string{"m3": nil, "m4": {"cem", "dan"}} {
		created, _, err := inside.Create(t.Context(), frozen(id, "c", "cem", "r", members...), delivery.Lease{})
		if err != nil || created[0].Message.Total != 2 {
			t.Errorf("a send with the members %q: %+v, %v", members, created, err)
		}
	}
	marked, _, err := inside.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m2"), stores.MarkBy("dan", "m2"), stores.MarkBy("ann", "m3"), stores.MarkBy("cem", "m3")}, delivery.Lease{})
	if err != nil || !marked[0].Changed || marked[1].Changed || !marked[2].Changed || marked[3].Changed || marked[3].Header.Sender != "cem" {
		t.Errorf("marks by a recipient, a stranger, a recipient and the sender: %+v, %v", marked, err)
	}
	created, _, err := inside.Create(t.Context(), frozen("m5", "c", "cem", "unknown"), delivery.Lease{})
	if err != nil || !created[0].NoRoster {
		t.Errorf("a send to a roster that nobody knows: %+v, %v", created, err)
	}
	_, _, err = inside.Create(t.Context(), frozen("m6", "c", "stranger", "r"), delivery.Lease{})
	if !errors.Is(err, delivery.ErrTxConflict) || !sqlstore.IsConflict(err) {
		t.Errorf("a send by somebody who may be no member: %v, want a conflict", err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int{"delivery_rosters": 1, "delivery_members": 3, "delivery_readers": 3} {
		var n int
		if err := db.QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n); err != nil || n != want {
			t.Errorf("%s has %d rows of %d, %v", table, n, want, err)
		}
	}
	wantVersions(t, store, "c", 6)
}

// A send that finds out late that the id is taken leaves no roster, and no reader, behind.
func TestMySQLMakesNoRosterForAnIDThatIsTakenMeanwhile(t *testing.T) {
	for _, inTx := range []bool{false, true} {
		t.Run(fmt.Sprintf("in a transaction of the caller's: %v", inTx), func(t *testing.T) {
			db, store := stores.Migrated(t, mysqlEngine)
			other := stores.Begin(t, db)
			if _, _, err := store.InTx(other).Create(t.Context(), frozen("m", "c", "ann", "r", "bob"), delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
			var calls delivery.Store = store
			commit := func() error { return nil }
			if inTx {
				tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				calls, commit = store.InTx(tx), tx.Commit
			}
			done := make(chan error)
			go func() {
				messages := append(frozen("m", "d", "eve", "s", "fay", "gus"), frozen("n", "d", "hal", "t", "ida")...)
				created, _, err := calls.Create(t.Context(), messages, delivery.Lease{})
				if err == nil && (!created[0].Existed || created[0].Roster != "r" || created[1].Message.Seq != 1) {
					err = fmt.Errorf("the results are %+v", created)
				}
				done <- err
			}()
			waiting := func() (n int) {
				if err := db.QueryRow("SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'").Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			for waiting() == 0 {
				time.Sleep(150 * time.Millisecond) // it looks anew after 100 ms without a query
			}
			if err := errors.Join(other.Commit(), <-done, commit()); err != nil {
				t.Fatal(err)
			}
			var readers, rosters string
			if err := db.QueryRow("SELECT (SELECT GROUP_CONCAT(name ORDER BY name) FROM delivery_readers), (SELECT GROUP_CONCAT(name ORDER BY name) FROM delivery_rosters)").Scan(&readers, &rosters); err != nil {
				t.Fatal(err)
			}
			if readers != "ann,bob,hal,ida" || rosters != "r,t" {
				t.Errorf("the readers are %s, the rosters %s", readers, rosters)
			}
		})
	}
}
