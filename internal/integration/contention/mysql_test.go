package contention

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// The caller's transaction reads as of its first look at the database, at the server's default
// isolation. What the store decides by must be newer.
func TestMySQLDoesNotDecideByAStaleSnapshot(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	openMessage(t, store, "c", "m1")
	tx := stores.Begin(t, db)
	var n int
	if err := tx.QueryRow("SELECT COUNT(*) FROM delivery_receipts").Scan(&n); err != nil || n != 0 {
		t.Fatalf("the snapshot has %d receipts, %v", n, err)
	}
	if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m1")}, delivery.Lease{}); err != nil {
		t.Fatal(err)
	}
	openMessage(t, store, "d", "m2")

	inside := store.InTx(tx)
	marked, _, err := inside.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m1"), stores.MarkBy("carol", "m1")}, delivery.Lease{})
	if err != nil {
		t.Fatal(err)
	}
	if marked[0].Changed || marked[0].Receipt.Version != 2 || !marked[1].Changed || marked[1].Receipt.Version != 3 {
		t.Errorf("bob's repeated mark is %+v,\ncarol's first one is %+v", marked[0], marked[1])
	}
	created, _, err := inside.Create(t.Context(), []delivery.NewMessage{
		{Header: delivery.Header{ID: "m3", Conversation: "d", Sender: "ann", Open: true, Quorum: 1}},
	}, delivery.Lease{})
	if err != nil {
		t.Fatal(err)
	}
	if created[0].Existed || created[0].Message.Seq != 2 {
		t.Errorf("the second message of a conversation that the snapshot lacks is %+v", created[0])
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wantTally(t, store, "m1", 2)
	wantVersions(t, store, "c", 3)
	wantVersions(t, store, "d", 2)
}

// An id that was taken after the snapshot began cannot be compared with what took it.
func TestMySQLReportsAConflictForAnIDTakenAfterTheSnapshot(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	tx := stores.Begin(t, db)
	inside := store.InTx(tx)
	if _, err := inside.Load(t.Context(), []string{"m"}); err != nil { // begins the snapshot
		t.Fatal(err)
	}
	openMessage(t, store, "c", "m")
	send := func(id string) error {
		_, _, err := inside.Create(t.Context(), []delivery.NewMessage{
			{Header: delivery.Header{ID: id, Conversation: "d", Sender: "ann", Open: true, Quorum: 1}},
		}, delivery.Lease{})
		return err
	}
	if err := send("m"); !errors.Is(err, delivery.ErrTxConflict) {
		t.Errorf("a send with the id: %v, want ErrTxConflict", err)
	}
	if err := send("n"); err == nil {
		t.Error("a send after that succeeded in the same transaction")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	wantVersions(t, store, "d", 0)
}

// A caller's transaction locks its conversations, and no gaps between them.
func TestMySQLTransactionsHoldTheirConversationsOnly(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	openMessage(t, store, "old", "m0")
	tx := stores.Begin(t, db)
	inside := store.InTx(tx)
	for i, conversation := range []string{"new-m", "old"} {
		id := fmt.Sprint("m5-", i)
		if _, _, err := inside.Create(t.Context(), []delivery.NewMessage{{Header: delivery.Header{
			ID: id, Conversation: conversation, Sender: "ann", Open: true, Quorum: 1,
		}}}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := inside.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", id)}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := inside.AdvanceUpTo(t.Context(), []delivery.UpTo{{
			Conversation: conversation, Message: id, User: "carol", Status: delivery.Read, At: time.Now(), Admitted: true,
		}}, 10, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
	}

	ctx := patient(t)
	lease := delivery.Lease{Token: 1, For: time.Hour}
	for i, conversation := range []string{"new-a", "new-z", "zz", "a"} {
		for _, id := range []string{"m4-", "m6-", "a-", "z-"} {
			id += fmt.Sprint(i)
			if _, _, err := store.Create(ctx, []delivery.NewMessage{{Header: delivery.Header{
				ID: id, Conversation: conversation, Sender: "ann", Open: true, Quorum: 1,
			}}}, delivery.Lease{}); err != nil {
				t.Fatalf("sending %s in %s: %v", id, conversation, err)
			}
			if _, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", id)}, lease); err != nil {
				t.Fatalf("marking %s: %v", id, err)
			}
			if _, _, err := store.AdvanceUpTo(ctx, []delivery.UpTo{{
				Conversation: conversation, Message: id, User: "carol", Status: delivery.Read, At: time.Now(), Admitted: true,
			}}, 10, lease); err != nil {
				t.Fatalf("marking up to %s: %v", id, err)
			}
		}
	}
	claimed, err := store.Claim(ctx, 100, delivery.Lease{Token: 2, For: time.Hour})
	if err != nil || len(claimed) != 17 {
		t.Fatalf("%d events of 17 could be claimed, %v", len(claimed), err)
	}
	var settlements []delivery.Settlement
	for _, c := range claimed {
		settlements = append(settlements, delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.SettleDone})
	}
	if held, err := store.Settle(ctx, settlements); err != nil || held != len(settlements) {
		t.Fatalf("%d events of %d could be settled, %v", held, len(settlements), err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// An up-to mark reads messages from one that is there, also after a prune has removed those before.
// Otherwise it would lock the gap in their place, and with it the end of the conversation before.
func TestMySQLUpToMarksInPrunedConversationsLockNoGap(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	for _, conversation := range []string{"before", "pruned"} {
		for i := range 3 {
			openMessage(t, store, conversation, fmt.Sprint(conversation, i))
		}
	}
	p := delivery.Pruning{Conversation: "pruned", Before: time.Now().Add(time.Hour), Limit: 1}
	if r, err := store.Prune(t.Context(), p); err != nil || r.Removed != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := db.Exec("SET GLOBAL innodb_max_purge_lag_wait = 0"); err != nil { // until the row is gone from the index
		t.Fatal(err)
	}
	inside := func(t *testing.T, before func()) (delivery.MarkedUpTo, error) {
		tx := stores.Begin(t, db)
		store := store.InTx(tx)
		if _, err := store.Load(t.Context(), []string{"pruned2"}); err != nil { // takes the snapshot
			t.Fatal(err)
		}
		before()
		marked, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("carol", "pruned", "pruned2")}, 10, delivery.Lease{})
		if err != nil {
			return delivery.MarkedUpTo{}, err
		}
		return marked[0], nil
	}
	t.Run("sends to the conversation before", func(t *testing.T) {
		if m, err := inside(t, func() {}); err != nil || m.Changed != 2 {
			t.Fatalf("%+v, %v", m, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		message := delivery.NewMessage{Header: delivery.Header{ID: "new", Conversation: "before", Sender: "ann", Open: true, Quorum: 1}}
		if _, _, err := store.Create(ctx, []delivery.NewMessage{message}, delivery.Lease{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a prune since the snapshot is a conflict", func(t *testing.T) {
		_, err := inside(t, func() {
			if r, err := store.Prune(t.Context(), p); err != nil || r.Removed != 1 {
				t.Errorf("%+v, %v", r, err)
			}
		})
		if !errors.Is(err, delivery.ErrTxConflict) {
			t.Errorf("%v, want ErrTxConflict", err)
		}
	})
}

// A call in a transaction that waits for a conversation ends with its context, and leaves no lock
// behind.
func TestMySQLWaitsInATransactionNoLongerThanTheContext(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	openMessage(t, store, "c", "m1")
	openMessage(t, store, "b", "m2")
	tx := stores.Begin(t, db)
	if _, _, err := store.InTx(tx).Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m1")}, delivery.Lease{}); err != nil {
		t.Fatal(err)
	}
	waiting := stores.Begin(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := store.InTx(waiting).Advance(ctx, []delivery.Mark{stores.MarkBy("carol", "m1")}, delivery.Lease{}); err == nil || ctx.Err() == nil {
		t.Errorf("a mark of a locked conversation says %v", err)
	}
	waiting.Rollback()
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("carol", "m1")}, delivery.Lease{}); err != nil {
		t.Error(err)
	}
	wantTally(t, store, "m1", 2)
}
