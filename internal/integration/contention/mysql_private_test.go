package contention

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A private mark that is a user's first mark in a conversation makes the user a reader. Until it is
// committed, calls that need that reader come back blocked, and those beside them do not.
func TestMySQLCallsThatNeedAReaderWhoIsBeingMadeComeBackBlocked(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	openMessage(t, store, "c", "m")
	openMessage(t, store, "d", "n")
	tx := stores.Begin(t, db)
	private := delivery.OwnMark{Message: "m", User: "bob", Status: delivery.Read, Admitted: true}
	if marked, _, err := store.InTx(tx).AdvanceOwn(t.Context(), []delivery.OwnMark{private}, delivery.Lease{}); err != nil || !marked[0].Changed {
		t.Fatalf("%+v, %v", marked, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	t.Run("marks", func(t *testing.T) {
		marks := []delivery.Mark{stores.MarkBy("bob", "m"), stores.MarkBy("cem", "m"), stores.MarkBy("dan", "n")}
		marked, _, err := store.Advance(ctx, marks, delivery.Lease{})
		if err != nil || !marked[0].Blocked || !marked[1].Changed || !marked[2].Changed {
			t.Errorf("%+v, %v", marked, err)
		}
	})
	t.Run("up-to marks", func(t *testing.T) {
		marks := []delivery.UpTo{upToBy("bob", "c", "m"), upToBy("eve", "c", "m"), upToBy("eve", "d", "n")}
		marked, _, err := store.AdvanceUpTo(ctx, marks, 10, delivery.Lease{})
		if err != nil || !marked[0].Blocked || marked[1].Changed != 1 || marked[2].Changed != 1 {
			t.Errorf("%+v, %v", marked, err)
		}
	})
	t.Run("sends", func(t *testing.T) {
		sends := slices.Concat(
			frozen("to bob", "c", "ann", "bob", "bob"), frozen("to cem", "c", "ann", "cem", "cem"),
			frozen("by bob", "c", "bob", "fay", "fay"), frozen("elsewhere", "d", "ann", "bob", "bob"),
		)
		created, _, err := store.Create(ctx, sends, delivery.Lease{})
		for i, c := range created {
			if involved := i%2 == 0; c.Blocked != involved || (c.Message.ID == "") != involved {
				t.Errorf("the send %q: %+v", sends[i].ID, c)
			}
		}
		if err != nil || len(created) != len(sends) {
			t.Errorf("%d of %d results, %v", len(created), len(sends), err)
		}
	})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", "m")}, delivery.Lease{})
	if err != nil || !marked[0].Changed {
		t.Errorf("afterwards: %+v, %v", marked, err)
	}
}

// An up-to mark moves its user's place, in a row that a private mark of the user may have locked.
func TestMySQLUpToMarksPassAPlaceThatAPrivateMarkHasLocked(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	for _, conversation := range []string{"c", "d"} {
		sendTo(t.Context(), t, store, frozen(conversation+"1", conversation, "ann", "them", "bob", "cem"))
		sendTo(t.Context(), t, store, frozen(conversation+"2", conversation, "ann", "them", "bob", "cem"))
	}
	tx := stores.Begin(t, db)
	private := delivery.OwnMark{Message: "c1", User: "bob", Status: delivery.Read}
	if marked, _, err := store.InTx(tx).AdvanceOwn(t.Context(), []delivery.OwnMark{private}, delivery.Lease{}); err != nil || !marked[0].Changed {
		t.Fatalf("%+v, %v", marked, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	marks := []delivery.UpTo{upToBy("bob", "c", "c2"), upToBy("cem", "c", "c2"), upToBy("bob", "d", "d2")}
	marked, _, err := store.AdvanceUpTo(ctx, marks, 10, delivery.Lease{})
	if err != nil || !marked[0].Blocked || marked[1].Changed != 2 || marked[2].Changed != 2 {
		t.Errorf("%+v, %v", marked, err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	marked, _, err = store.AdvanceUpTo(ctx, marks[:1], 10, delivery.Lease{})
	if err != nil || marked[0].Changed != 2 {
		t.Errorf("afterwards: %+v, %v", marked, err)
	}
}
