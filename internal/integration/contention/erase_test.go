package contention

import (
	"errors"
	"fmt"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Three processes know a user in many conversations. One erases the user, and no answer of the
// others rests on what they knew; no table has the name.
func TestNoProcessKnowsAnErasedUser(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		database := stores.Database(t, e)
		db := database.Open(t)
		var trackers [3]*delivery.Tracker
		for i := range trackers {
			tracker, err := delivery.New(stores.Open(t, e, database.Open(t)), new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
			if err != nil {
				t.Fatal(err)
			}
			trackers[i] = tracker
		}
		ctx := patient(t)
		bob := delivery.Actor{User: "bob"}
		audience := delivery.Audience{Recipients: []string{"ann", "bob", "cem"}}
		const conversations = 25
		for i := range conversations {
			tracker := trackers[i%3]
			conversation := fmt.Sprint("c", i)
			for _, sender := range []string{"ann", "bob"} {
				if _, err := tracker.Send(ctx, delivery.Draft{ID: fmt.Sprint(sender, i), Conversation: conversation, Sender: sender, Audience: audience}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := tracker.MarkRead(ctx, bob, fmt.Sprint("ann", i)); err != nil {
				t.Fatal(err)
			}
		}
		holders := func() (n int) {
			t.Helper()
			for _, from := range []string{
				"delivery_readers WHERE name = 'bob'", "delivery_outbox WHERE payload LIKE '%\"bob\"%'", "delivery_dead WHERE payload LIKE '%\"bob\"%'",
			} {
				n += countRows(t, db, from)
			}
			return n
		}
		tx := stores.Begin(t, db)
		if err := trackers[1].EraseTx(ctx, tx, "bob"); err != nil {
			t.Fatal(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if n := countRows(t, db, "delivery_readers WHERE name = 'bob'"); n != conversations {
			t.Errorf("after a rollback, %d conversations have the name", n)
		}
		if err := trackers[0].Erase(ctx, "bob"); err != nil {
			t.Fatal(err)
		}
		if n := holders(); n != 0 {
			t.Errorf("%d rows have the name", n)
		}
		for i, tracker := range trackers {
			for j := range conversations {
				if _, err := tracker.MarkRead(ctx, bob, fmt.Sprint("ann", j)); !errors.Is(err, delivery.ErrNotRecipient) {
					t.Fatalf("process %d: a mark: %v", i, err)
				}
				if _, err := tracker.MarkRead(ctx, delivery.Actor{User: "cem"}, fmt.Sprint("bob", j)); err != nil {
					t.Fatalf("process %d: a mark of the erased user's message: %v", i, err)
				}
			}
			page, err := tracker.Receipts(ctx, delivery.ReceiptQuery{Message: "ann1"})
			if err != nil || len(page.Receipts) != 2 || page.Receipts[1].Recipient != "" || page.Receipts[1].Status != delivery.Read {
				t.Errorf("process %d: %+v, %v", i, page, err)
			}
		}
		// A message that names the user again makes a new one. A transaction erases that one too.
		m, err := trackers[2].Send(ctx, delivery.Draft{ID: "new", Conversation: "c1", Sender: "ann", Audience: audience})
		if err != nil || m.Total != 2 {
			t.Fatalf("%+v, %v", m, err)
		}
		if _, err := trackers[1].MarkRead(ctx, bob, "new"); err != nil {
			t.Error(err)
		}
		tx = stores.Begin(t, db)
		if err := trackers[1].EraseTx(ctx, tx, "bob"); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if n := holders(); n != 0 {
			t.Errorf("after the transaction, %d rows have the name", n)
		}
		if _, err := trackers[0].MarkRead(ctx, bob, "new"); !errors.Is(err, delivery.ErrNotRecipient) {
			t.Errorf("a mark by the second of that name: %v", err)
		}
	})
}

// An erasure passes over a conversation that somebody has locked, or in which a private mark of the
// user is under way, and says so.
func TestAnErasureWaitsForNobody(t *testing.T) {
	marks := map[string]func(store delivery.Store) error{
		"a mark": func(store delivery.Store) error {
			_, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "in c")}, delivery.Lease{})
			return err
		},
		"a private mark": func(store delivery.Store) error {
			_, _, err := store.AdvanceOwn(t.Context(), []delivery.OwnMark{{Act: delivery.OwnFlagged, Message: "in c", User: "bob"}}, delivery.Lease{})
			return err
		},
	}
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL} {
		e := engines.First(kind)
		for what, mark := range marks {
			t.Run(e.Name+", "+what, func(t *testing.T) {
				db, store := stores.Migrated(t, e)
				for _, c := range []string{"c", "d"} {
					sendTo(t.Context(), t, store, frozen("in "+c, c, "ann", "them", "bob"))
				}
				tx := stores.Begin(t, db)
				if err := mark(store.InTx(tx)); err != nil {
					t.Fatal(err)
				}
				ctx := patient(t)
				if r, err := store.Erase(ctx, "bob", 10); err != nil || r != (delivery.ErasureResult{Erased: 1, Blocked: true}) {
					t.Errorf("%+v, %v", r, err)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				if r, err := store.Erase(t.Context(), "bob", 10); err != nil || r != (delivery.ErasureResult{Erased: 1}) {
					t.Errorf("%+v, %v", r, err)
				}
				if n := countRows(t, db, "delivery_outbox WHERE payload LIKE '%\"bob\"%'"); n != 0 {
					t.Errorf("%d events have the name", n)
				}
			})
		}
	}
}

// An up-to mark looks for what it has to do before it locks the conversation. If its user is erased
// in between, it does nothing.
func TestAnUpToMarkByAUserWhoIsErasedMeanwhileChangesNothing(t *testing.T) {
	lock := map[engines.Kind]string{engines.MySQL: "FOR UPDATE", engines.SQLite: "BEGIN IMMEDIATE"}
	eachLocked(t, func(t *testing.T, e engines.Engine) {
		db, cut := cutter.Open(t, e)
		store, beside := stores.Open(t, e, db), stores.Open(t, e, cut.Database.Open(t))
		sendTo(t.Context(), t, store, frozen("m", "c", "ann", "them", "bob"))
		cut.Meanwhile(lock[e.Kind], func() {
			if r, err := beside.Erase(t.Context(), "bob", 10); err != nil || r.Erased != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		})
		marked, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("bob", "c", "m")}, 10, delivery.Lease{})
		if err != nil || marked[0].Changed != 0 || cut.Pending() {
			t.Errorf("%+v, %v", marked, err)
		}
		wantVersions(t, store, "c", 1)
		if n := countRows(t, db, "delivery_readers WHERE name = 'bob'") + countRows(t, db, "delivery_outbox WHERE payload LIKE '%\"bob\"%'"); n != 0 {
			t.Errorf("%d rows have the name", n)
		}
	})
}

// A row that no conversation belongs to holds up no erasure.
func TestAReaderOfNoConversationIsErased(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		if _, err := db.Exec("INSERT INTO delivery_readers (conv, name, delivered_seq, read_seq) VALUES (1000, 'bob', 0, 0)"); err != nil {
			t.Fatal(err)
		}
		if r, err := store.Erase(t.Context(), "bob", 10); err != nil || r != (delivery.ErasureResult{Erased: 1}) {
			t.Errorf("%+v, %v", r, err)
		}
		if n := countRows(t, db, "delivery_readers WHERE name = 'bob'"); n != 0 {
			t.Error("the name is still there")
		}
	})
}
