package contention

import (
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A transaction of the app's own that has locked a conversation keeps no connection waiting.
func TestAMarkInALockedConversationComesBackBlocked(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // its one writer locks the whole database, so there is nothing to pass by
		}
		db, store := stores.Migrated(t, e)
		message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice", Open: true, Quorum: 1, SentAt: time.Now()}}
		frozen, elsewhere := message, message
		frozen.ID, frozen.Open, frozen.Roster, frozen.Members = "frozen", false, "bob", []string{"bob"}
		elsewhere.ID, elsewhere.Conversation = "elsewhere", "d"
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{message, frozen, elsewhere}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		mark := func(user string) []delivery.Mark {
			return []delivery.Mark{{Message: "m", User: user, Status: delivery.Read, At: time.Now(), Admitted: true}}
		}
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if _, _, err := store.InTx(tx).Advance(t.Context(), mark("bob"), delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		marked, _, err := store.Advance(t.Context(), mark("carol"), delivery.Lease{})
		if err != nil || !marked[0].Blocked || marked[0].Changed || marked[0].Header.Conversation != "c" {
			t.Errorf("while it is locked: %+v, %v", marked, err)
		}
		strangers := append(mark("eve"), mark("mallory")...)
		strangers[0].Admitted, strangers[1].Message = false, "frozen"
		beside := mark("carol")[0]
		beside.Message = "elsewhere"
		for _, marks := range [][]delivery.Mark{strangers[:1], strangers[1:], append(strangers, beside)} {
			marked, _, err := store.Advance(t.Context(), marks, delivery.Lease{})
			for i, m := range marked {
				if m.Blocked || m.Header.ID != marks[i].Message || m.Changed != (marks[i] == beside) {
					t.Errorf("a mark by %s, of which only carol's can change anything: %+v", marks[i].User, m)
				}
			}
			if err != nil || len(marked) != len(marks) {
				t.Errorf("%d results, %v", len(marked), err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		marked, _, err = store.Advance(t.Context(), mark("carol"), delivery.Lease{})
		if err != nil || marked[0].Blocked || !marked[0].Changed {
			t.Errorf("afterwards: %+v, %v", marked, err)
		}
	})
}

// A user who has nothing to advance, or has seen all of it, needs no lock to find that out: the
// user's up-to mark is answered while a transaction has the conversation, and on SQLite the whole
// database, locked.
func TestAnUpToMarkFindsOutWithoutALockThatThereIsNothingToDo(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite && e.Name != engines.First(engines.SQLite).Name {
			return // readers wait for writers unless the journal is a WAL
		}
		db, store := stores.Migrated(t, e)
		if e.Kind == engines.SQLite {
			if _, err := db.Exec("PRAGMA journal_mode = WAL"); err != nil {
				t.Fatal(err)
			}
		}
		frozen := delivery.NewMessage{Roster: "bob", Members: []string{"bob"}, Header: delivery.Header{ID: "m", Conversation: "c", Sender: "ann", Total: 1, Quorum: 1, SentAt: time.Now()}}
		last := delivery.NewMessage{Header: delivery.Header{ID: "n", Conversation: "c", Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{frozen, last}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		upTo := func(user string, admitted bool) delivery.UpTo {
			return delivery.UpTo{Conversation: "c", Message: "n", User: user, Status: delivery.Read, At: time.Now(), Admitted: admitted}
		}
		if marked, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upTo("bob", true), upTo("ann", true)}, 10, delivery.Lease{}); err != nil || marked[0].Changed != 2 {
			t.Fatalf("%+v, %v", marked, err)
		}
		tx := stores.Begin(t, db)
		if _, _, err := store.InTx(tx).Advance(t.Context(), []delivery.Mark{stores.MarkBy("cem", "n")}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		ctx := patient(t)
		marked, _, err := store.AdvanceUpTo(ctx, []delivery.UpTo{upTo("bob", false), upTo("ann", true), upTo("stranger", false)}, 10, delivery.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range marked {
			if m.Blocked || m.Header.ID != "n" || m.Changed != 0 || m.More || m.LeftOut != []int{0, 0, 1}[i] {
				t.Errorf("up-to mark %d is %+v", i, m)
			}
		}
		if e.Kind == engines.SQLite {
			return // it has no Blocked: a reader with something to advance waits
		}
		marked, _, err = store.AdvanceUpTo(ctx, []delivery.UpTo{upTo("dan", true), upTo("stranger", false)}, 10, delivery.Lease{})
		if err != nil || marked[0] != (delivery.MarkedUpTo{Header: marked[1].Header, Blocked: true}) || marked[1].Blocked {
			t.Errorf("beside someone with nothing to do: %+v, %v", marked, err)
		}
	})
}
