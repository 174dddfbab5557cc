package contract

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// sendCapped sends a message to bob, cem and dan, of whom dan is untracked.
func sendCapped(t *testing.T, tracker *delivery.Tracker, id string) {
	t.Helper()
	audience := delivery.Audience{Recipients: []string{"bob", "cem", "dan"}, Untracked: []string{"dan"}}
	if _, err := tracker.Send(t.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "ann", Audience: audience}); err != nil {
		t.Fatal(err)
	}
}

func fail(t *testing.T, tracker *delivery.Tracker, message, recipient, code string) {
	t.Helper()
	if err := tracker.Fail(t.Context(), delivery.Failure{Message: message, Recipient: recipient, Code: code}); err != nil {
		t.Fatal(err)
	}
}

// Of a message that is gone no failure is left, whether others saw it or not.
func TestFailuresAreGoneWithTheirMessages(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		tracker := stores.Tracker(t, store)
		for i := range 5 {
			id := fmt.Sprint("m", i)
			sendCapped(t, tracker, id)
			for _, user := range []string{"bob", "cem", "dan"} {
				fail(t, tracker, id, user, "lost")
			}
			if _, err := tracker.MarkRead(t.Context(), delivery.Actor{User: "cem"}, id); err != nil {
				t.Fatal(err)
			}
		}
		left := func(want int) {
			t.Helper()
			var n int
			if err := db.QueryRow("SELECT COUNT(*) FROM delivery_failures").Scan(&n); err != nil || n != want {
				t.Errorf("%d failures are left, %v; want %d", n, err, want)
			}
		}
		left(15)
		ann := delivery.Actor{User: "ann"}
		if _, err := tracker.Delete(t.Context(), ann, "m1", "m3"); err != nil {
			t.Fatal(err)
		}
		left(9)
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, err := tracker.DeleteTx(t.Context(), tx, ann, "m4"); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		left(6)
		if _, err := store.Prune(t.Context(), delivery.Pruning{Conversation: "c", All: true, Limit: 1}); err != nil {
			t.Fatal(err)
		}
		left(3)
		if err := tracker.DeleteConversation(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		left(0)
	})
}

// A mark in a caller's transaction takes away a failure that its snapshot does not show.
func TestMarksInTransactionsSeeTheNewestFailures(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // where nobody else can write once the transaction has begun to
		}
		db, store := stores.Migrated(t, e)
		tracker := stores.Tracker(t, store)
		for i, level := range stores.Isolations[e.Kind] {
			one, two := fmt.Sprint("one", i), fmt.Sprint("two", i)
			sendCapped(t, tracker, one)
			sendCapped(t, tracker, two)
			mark := func(before func()) error {
				tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				var n int
				if err := tx.QueryRow("SELECT COUNT(*) FROM delivery_epoch").Scan(&n); err != nil {
					t.Fatal(err)
				}
				before()
				if _, err := tracker.MarkTx(t.Context(), tx, delivery.Actor{User: "bob"}, delivery.Read, one); err != nil {
					return err
				}
				if _, err := tracker.MarkUpToTx(t.Context(), tx, delivery.Actor{User: "bob"}, delivery.Delivered, delivery.MessageRef{Conversation: "c", ID: two}); err != nil {
					return err
				}
				return tx.Commit()
			}
			err := mark(func() {
				for _, id := range []string{one, two} {
					fail(t, tracker, id, "bob", "lost")
					fail(t, tracker, id, "cem", "lost")
				}
			})
			for errors.Is(err, delivery.ErrTxConflict) || sqlstore.IsConflict(err) {
				err = mark(func() {})
			}
			if err != nil {
				t.Fatalf("at %v: %v", level, err)
			}
			for _, id := range []string{one, two} {
				if m, err := tracker.Message(t.Context(), id); err != nil || m.Failed != 1 || m.Delivered != 1 {
					t.Errorf("at %v: %s is %+v, %v", level, id, m.Tally, err)
				}
			}
		}
		noDrift(t, tracker)
	})
}

func noDrift(t *testing.T, tracker *delivery.Tracker) {
	t.Helper()
	for d, err := range tracker.Verify(context.Background()) {
		t.Errorf("Verify has found %+v, %v", d, err)
	}
}
