package integration

import (
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// A transaction of the app's own that has locked a conversation keeps no connection waiting.
func TestAMarkInALockedConversationComesBackBlocked(t *testing.T) {
	each(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // its one writer locks the whole database, so there is nothing to pass by
		}
		db, store := migrated(t, e)
		message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice", Open: true, Quorum: 1, SentAt: time.Now()}}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{}); err != nil {
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
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		marked, _, err = store.Advance(t.Context(), mark("carol"), delivery.Lease{})
		if err != nil || marked[0].Blocked || !marked[0].Changed {
			t.Errorf("afterwards: %+v, %v", marked, err)
		}
	})
}
