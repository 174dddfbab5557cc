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
)

func TestMySQLDeletionsPassAHeldConversation(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	openMessage(t, store, "held", "h")
	openMessage(t, store, "held", "gone")
	openMessage(t, store, "free", "f")
	remove := func(ids ...string) []delivery.Deleted {
		t.Helper()
		deleted, _, err := store.Delete(t.Context(), deletionsOf(ids...), delivery.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		return deleted
	}
	remove("gone")
	tx := stores.Begin(t, db)
	if _, _, err := store.InTx(tx).Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "h")}, delivery.Lease{}); err != nil {
		t.Fatal(err)
	}
	header := func(id, conversation string, seq int64) delivery.Header {
		return delivery.Header{ID: id, Conversation: conversation, Seq: seq}
	}
	want := []delivery.Deleted{
		{Header: header("h", "held", 1), Blocked: true}, {Header: header("gone", "held", 2)}, {Header: header("f", "free", 1), Changed: true}, {},
	}
	for i, got := range remove("h", "gone", "f", "none") {
		if got != want[i] {
			t.Errorf("%+v, want %+v", got, want[i])
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := remove("h"); !got[0].Changed {
		t.Errorf("when it is free: %+v", got)
	}
}

// In a transaction that has read before, what was done since is seen by none of its plain reads.
func TestMySQLDeletesInATransactionWhatIsThereNowOrReportsAConflict(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	lease := delivery.Lease{Token: 7, For: time.Hour}
	settle := func(outcome delivery.Outcome) func(t *testing.T, id string, event int64) {
		return func(t *testing.T, _ string, event int64) {
			held, err := store.Settle(t.Context(), []delivery.Settlement{{ID: event, Lease: lease.Token, Outcome: outcome, After: time.Hour, Reason: "no"}})
			if held != 1 || err != nil {
				t.Errorf("%d settled, %v", held, err)
			}
		}
	}
	for since, c := range map[string]struct {
		do                 func(t *testing.T, id string, event int64)
		conflicts, deletes bool
	}{
		"nothing": {deletes: true},
		"a mark": {conflicts: true, deletes: true, do: func(t *testing.T, id string, _ int64) {
			if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", id)}, delivery.Lease{}); err != nil {
				t.Error(err)
			}
		}},
		"its deletion": {do: func(t *testing.T, id string, _ int64) {
			if _, _, err := store.Delete(t.Context(), deletionsOf(id), delivery.Lease{}); err != nil {
				t.Error(err)
			}
		}},
		"the event's burial":           {do: settle(delivery.SettleBury), deletes: true},
		"the end of the event's lease": {do: settle(delivery.SettleRelease), deletes: true},
		"the event's end":              {do: settle(delivery.SettleDone), deletes: true},
	} {
		for _, level := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead} {
			t.Run(fmt.Sprint(since, " at ", level), func(t *testing.T) {
				id := since + level.String()
				message := delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "c" + id, Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}, Body: "secret", EventBody: true}
				_, claimed, err := store.Create(t.Context(), []delivery.NewMessage{message}, lease)
				if err != nil {
					t.Fatal(err)
				}
				event := claimed[0].Event.ID
				tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				inside := store.InTx(tx).(delivery.Keeper)
				if _, err := inside.Load(t.Context(), []string{id}); err != nil { // takes the snapshot
					t.Fatal(err)
				}
				if c.do != nil {
					c.do(t, id, event)
				}
				deleted, _, err := inside.Delete(t.Context(), deletionsOf(id), delivery.Lease{})
				if c.conflicts && level == sql.LevelRepeatableRead {
					if !errors.Is(err, delivery.ErrTxConflict) {
						t.Errorf("%+v, %v; want a conflict", deleted, err)
					}
					return
				}
				if err != nil || deleted[0].Changed != c.deletes || deleted[0].Header.ID != id {
					t.Fatalf("%+v, %v", deleted, err)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				var secrets, receipts int
				if err := db.QueryRow(`
					SELECT (SELECT COUNT(*) FROM delivery_outbox WHERE id = ? AND payload LIKE '%secret%') + (SELECT COUNT(*) FROM delivery_dead WHERE id = ? AND payload LIKE '%secret%'),
						(SELECT COUNT(*) FROM delivery_receipts r JOIN delivery_messages m USING (conv, seq) WHERE m.id = ?)`, event, event, id).Scan(&secrets, &receipts); err != nil {
					t.Fatal(err)
				}
				if secrets > 0 || receipts > 0 {
					t.Errorf("%d payloads have the body, and %d receipts are left", secrets, receipts)
				}
			})
		}
	}
}

// A message that was deleted since the transaction's snapshot is so for all calls in it.
func TestMySQLWritesInATransactionPassOverWhatWasDeletedSince(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	ids := []string{"marked", "upto", "sent", "named"}
	for _, id := range ids {
		openMessage(t, store, "c", id)
	}
	sendTo(t.Context(), t, store, frozen("frozen", "c", "ann", "them", "bob"))
	if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "marked")}, delivery.Lease{}); err != nil {
		t.Fatal(err)
	}
	tx := stores.Begin(t, db)
	inside := store.InTx(tx)
	if _, err := inside.Load(t.Context(), ids); err != nil { // takes the snapshot
		t.Fatal(err)
	}
	if _, _, err := store.Delete(t.Context(), deletionsOf("marked", "upto", "sent", "named", "frozen"), delivery.Lease{}); err != nil {
		t.Fatal(err)
	}
	marks := []delivery.Mark{stores.MarkBy("bob", "marked"), stores.MarkBy("cem", "marked"), stores.MarkBy("bob", "frozen"), stores.MarkBy("stranger", "frozen")}
	marked, _, err := inside.Advance(t.Context(), marks, delivery.Lease{})
	for i, m := range marked {
		if m != (delivery.Marked{}) {
			t.Errorf("a mark by %s of %s: %+v", marks[i].User, marks[i].Message, m)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	upTo, _, err := inside.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("cem", "c", "named")}, 10, delivery.Lease{})
	if want := (delivery.MarkedUpTo{Header: delivery.Header{ID: "named", Conversation: "c", Seq: 4}, Reached: 4}); err != nil || upTo[0] != want {
		t.Errorf("an up-to mark: %+v, %v; want %+v", upTo, err, want)
	}
	again := delivery.NewMessage{Header: delivery.Header{ID: "sent", Conversation: "c", Sender: "ann", Open: true, Quorum: 1}}
	created, _, err := inside.Create(t.Context(), []delivery.NewMessage{again}, delivery.Lease{})
	if want := (delivery.Created{Gone: true}); err != nil || created[0] != want {
		t.Errorf("a send with the id: %+v, %v", created, err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	var receipts int
	if err := db.QueryRow("SELECT COUNT(*) FROM delivery_receipts").Scan(&receipts); err != nil || receipts != 0 {
		t.Errorf("%d receipts are left, %v", receipts, err)
	}
	wantVersions(t, store, "c", 11)
}

// A deletion in a caller's transaction locks its conversation, and none of the receipts, events and
// dead letters of others, even if its message is the last one of all. The same holds for a mark of
// a message that was deleted since.
func TestMySQLDeletionsInTransactionsHoldTheirConversationsOnly(t *testing.T) {
	db, store := stores.Migrated(t, mysqlEngine)
	message := func(id, conversation string) delivery.NewMessage {
		return delivery.NewMessage{
			Header: delivery.Header{ID: id, Conversation: conversation, Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()},
			Body:   "text", EventBody: true,
		}
	}
	lease := delivery.Lease{Token: 1, For: time.Hour}
	send := func(ctx context.Context, id, conversation string) []delivery.Claimed {
		t.Helper()
		created, claimed, err := store.Create(ctx, []delivery.NewMessage{message(id, conversation)}, lease)
		if err != nil || created[0].Blocked {
			t.Fatalf("sending %s: %+v, %v", id, created, err)
		}
		return claimed
	}
	mark := func(ctx context.Context, id string, users ...string) {
		t.Helper()
		for _, user := range users {
			marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy(user, id)}, lease)
			if err != nil || !marked[0].Changed {
				t.Fatalf("marking %s: %+v, %v", id, marked, err)
			}
		}
	}
	ctx := patient(t)
	send(ctx, "m2", "before")
	send(ctx, "m4", "beside")
	mark(ctx, "m2", "eve")
	send(ctx, "m3", "here")
	mark(ctx, "m3", "bob", "cem")
	events := send(ctx, "gone", "here")
	tx := stores.Begin(t, db)
	inside := store.InTx(tx).(delivery.Keeper)
	if _, err := inside.Load(ctx, []string{"m3"}); err != nil { // takes the snapshot
		t.Fatal(err)
	}
	done := func(claimed []delivery.Claimed, outcome delivery.Outcome) {
		t.Helper()
		for _, c := range claimed {
			if held, err := store.Settle(ctx, []delivery.Settlement{{ID: c.Event.ID, Lease: c.Lease, Outcome: outcome}}); held != 1 || err != nil {
				t.Fatalf("settling event %d: %d, %v", c.Event.ID, held, err)
			}
		}
	}
	if _, claimed, err := store.Delete(ctx, deletionsOf("gone"), lease); err != nil {
		t.Fatal(err)
	} else {
		done(append(events, claimed...), delivery.SettleDone)
	}
	deleted, _, err := inside.Delete(ctx, deletionsOf("m3", "gone"), delivery.Lease{})
	if err != nil || !deleted[0].Changed || deleted[1].Changed {
		t.Fatalf("%+v, %v", deleted, err)
	}
	if marked, _, err := inside.Advance(ctx, []delivery.Mark{stores.MarkBy("zz", "gone")}, delivery.Lease{}); err != nil || marked[0].Header.ID != "" {
		t.Fatalf("%+v, %v", marked, err)
	}
	mark(ctx, "m2", "dan", "fay")
	mark(ctx, "m4", "bob")
	for i, conversation := range []string{"a", "z", "before", "beside"} {
		for _, id := range []string{"a", "m2", "m31", "z"} {
			id += fmt.Sprint(" ", i)
			claimed := send(ctx, id, conversation)
			mark(ctx, id, "bob", "zoe")
			done(claimed, []delivery.Outcome{delivery.SettleDone, delivery.SettleBury}[i%2])
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
