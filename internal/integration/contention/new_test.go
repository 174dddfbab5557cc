package contention

import (
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A conversation that a transaction has just made, and that nobody else sees yet, keeps no
// connection waiting, whoever sends to it next.
func TestASendToAConversationThatIsBeingMadeComesBackBlocked(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // its one writer locks the whole database
		}
		db, store := stores.Migrated(t, e)
		draft := func(conversation, id string) delivery.NewMessage {
			return delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: conversation, Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}}
		}
		quickest := time.Hour
		for round := range 4 {
			commit := round%2 == 0
			made := fmt.Sprint("made ", round)
			tx := stores.Begin(t, db)
			if _, _, err := store.InTx(tx).Create(t.Context(), []delivery.NewMessage{draft(made, made)}, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			created, _, err := store.Create(t.Context(), []delivery.NewMessage{
				draft(made, made+" 1"), draft("another beside "+made, made+" 2"), draft("zz beside "+made, made+" 3"),
			}, delivery.Lease{})
			if err != nil {
				t.Fatal(err)
			}
			if created[0] != (delivery.Created{Blocked: true}) || created[1].Message.Seq != 1 || created[2].Message.Seq != 1 {
				t.Errorf("while it is being made: %+v", created)
			}
			quickest = min(quickest, time.Since(began))
			want := int64(1)
			if commit {
				want = 2
				err = tx.Commit()
			} else {
				err = tx.Rollback()
			}
			if err != nil {
				t.Fatal(err)
			}
			created, _, err = store.Create(t.Context(), []delivery.NewMessage{draft(made, made+" 1")}, delivery.Lease{})
			if err != nil || created[0].Message.Seq != want {
				t.Errorf("afterwards: %+v, %v", created, err)
			}
		}
		if quickest > 900*time.Millisecond {
			t.Errorf("each call took %v or longer", quickest)
		}
	})
}
