package broken

import (
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A connection that breaks at the commit leaves open what became of it. The store says so, and the
// same call again tells.
func TestSQLStoreSaysWhenAnOutcomeIsUnknown(t *testing.T) {
	message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice", Open: true, Quorum: 1, SentAt: time.Now()}}
	lease := delivery.Lease{Token: 1, For: time.Hour}
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		for _, test := range []struct {
			name      string
			at        cutter.Moment
			committed bool
		}{
			{"lost on its way to the database", cutter.Before, false},
			{"done, but the answer lost", cutter.After, true},
		} {
			t.Run(test.name, func(t *testing.T) {
				db, cut := cutter.Open(t, e)
				store := stores.Open(t, e, db)
				first := message // so that the conversation knows the users, and each call is one statement
				first.ID = "first"
				if _, _, err := store.Create(t.Context(), []delivery.NewMessage{first}, lease); err != nil {
					t.Fatal(err)
				}
				if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "first")}, lease); err != nil {
					t.Fatal(err)
				}
				cut.Next(commits[e.Kind], test.at)
				_, _, err := store.Create(t.Context(), []delivery.NewMessage{message}, lease)
				if !errors.Is(err, delivery.ErrOutcomeUnknown) || !errors.Is(err, cutter.ErrCut) {
					t.Fatalf("Create says %v", err)
				}
				created, claimed, err := store.Create(t.Context(), []delivery.NewMessage{message}, lease)
				if err != nil {
					t.Fatal(err)
				}
				if created[0].Existed != test.committed || created[0].Message.Seq != 3 || len(claimed) == 1 == test.committed {
					t.Errorf("the next Create finds %+v and has %d events", created[0], len(claimed))
				}
				backlog, err := store.Backlog(t.Context())
				if err != nil || backlog.Waiting != 3 {
					t.Errorf("%d events wait, %v", backlog.Waiting, err)
				}

				mark := []delivery.Mark{{Message: "m", User: "bob", Status: delivery.Read, At: time.Now(), Admitted: true}}
				cut.Next(commits[e.Kind], test.at)
				_, _, err = store.Advance(t.Context(), mark, lease)
				if !errors.Is(err, delivery.ErrOutcomeUnknown) {
					t.Fatalf("Advance says %v", err)
				}
				marked, _, err := store.Advance(t.Context(), mark, lease)
				if err != nil {
					t.Fatal(err)
				}
				if marked[0].Changed == test.committed || marked[0].Receipt.Status != delivery.Read || marked[0].Receipt.Version != 4 {
					t.Errorf("the next Advance finds %+v", marked[0])
				}
			})
		}
	})
}

// A connection that breaks before the commit has changed nothing, and the store does not leave that
// open.
func TestSQLStoreKnowsThatNothingWasCommitted(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.Postgres {
			continue // where one statement is all there is
		}
		t.Run(e.Name, func(t *testing.T) {
			db, cut := cutter.Open(t, e)
			store := stores.Open(t, e, db)
			cut.Next("INSERT INTO delivery_outbox", cutter.Before)
			message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice", Open: true, Quorum: 1}}
			_, _, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{})
			if !errors.Is(err, cutter.ErrCut) || errors.Is(err, delivery.ErrOutcomeUnknown) {
				t.Fatalf("Create says %v", err)
			}
			page, err := store.List(t.Context(), delivery.List{Conversation: "c", Limit: 1})
			if err != nil || page.Version != 0 || len(page.Messages) != 0 {
				t.Errorf("afterwards there is %+v, %v", page, err)
			}
		})
	}
}

// commits says which statement commits.
var commits = map[engines.Kind]string{engines.SQLite: "^COMMIT", engines.MySQL: "^COMMIT", engines.Postgres: "INSERT INTO delivery_outbox"}
