package contention

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// An app that forgets to end its transactions loses the conversations that they have locked, and
// nothing else: whatever waits for these has no connection in hand.
func TestLeakedTransactionsTakeNoConnectionsOfTheStores(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // an open transaction locks the whole database
		}
		const leaks, pool = 20, 6
		database := stores.Database(t, e)
		appDB, db := database.Open(t), database.Open(t) // the leaks have connections of their own
		db.SetMaxOpenConns(pool)
		store := &turnedAway{Store: stores.Open(t, e, db)}
		app, tracker := stores.Tracker(t, stores.Open(t, e, appDB)), stores.Tracker(t, store)
		send := func(ctx context.Context, id, conversation string) error {
			_, err := tracker.Send(ctx, delivery.Draft{ID: id, Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Open: true}})
			return err
		}
		ids := []string{"free"}
		var transactions []*sql.Tx
		for i := range leaks {
			ids = append(ids, fmt.Sprint("leaked", i))
		}
		for _, id := range ids {
			if err := send(t.Context(), id, id); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range ids[1:] {
			tx, err := appDB.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if _, err := app.SendTx(t.Context(), tx, delivery.Draft{Conversation: id, Sender: "carol", Audience: delivery.Audience{Open: true}}); err != nil {
				t.Fatal(err)
			}
			transactions = append(transactions, tx)
		}

		ctx := patient(t)
		var waiting sync.WaitGroup
		for i, id := range ids[1:] {
			for n := range 5 {
				waiting.Go(func() {
					reader := delivery.Actor{User: fmt.Sprint("u", n)}
					if r, err := tracker.MarkUpTo(ctx, reader, delivery.Read, delivery.MessageRef{Conversation: id, ID: id}); err != nil || r.Changed != 1 {
						t.Errorf("an up-to mark in a released room: %+v, %v", r, err)
					}
				})
			}
			waiting.Go(func() {
				if err := send(ctx, fmt.Sprint("late", i), id); err != nil {
					t.Errorf("a send to a released room: %v", err)
				}
			})
			waiting.Go(func() {
				if _, err := tracker.MarkRead(ctx, delivery.Actor{User: "dave"}, id); err != nil {
					t.Errorf("a mark in a released room: %v", err)
				}
			})
		}
		for met := 0; met < 3*leaks; { // a send, a mark and an up-to mark in each room
			if met = store.count(); ctx.Err() != nil {
				t.Fatalf("%d of %d rooms and kinds of calls have met a lock", met, 3*leaks)
			}
			time.Sleep(time.Millisecond)
		}
		for i := range 10 {
			if _, err := tracker.Unread(ctx, delivery.Actor{User: "bob"}, "free"); err != nil {
				t.Errorf("a badge: %v", err)
			}
			if err := send(ctx, fmt.Sprint("elsewhere", i), "free"); err != nil {
				t.Errorf("a send elsewhere: %v", err)
			}
			if _, err := tracker.MarkRead(ctx, delivery.Actor{User: "bob"}, fmt.Sprint("elsewhere", i)); err != nil {
				t.Errorf("a mark elsewhere: %v", err)
			}
		}
		if n := db.Stats().WaitCount; n > 0 {
			t.Errorf("%d times a call waited for a connection", n)
		}
		for _, tx := range transactions {
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
		}
		waiting.Wait()
	})
}

// turnedAway is a store that notes which calls came back blocked, and where.
type turnedAway struct {
	*sqlstore.Store
	mu  sync.Mutex
	met map[string]bool // the calls and conversations
}

func (s *turnedAway) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.met)
}

func (s *turnedAway) note(call, conversation string, blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if blocked {
		if s.met == nil {
			s.met = map[string]bool{}
		}
		s.met[call+" "+conversation] = true
	}
}

func (s *turnedAway) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created, claimed, err := s.Store.Create(ctx, messages, lease)
	for i := range created {
		s.note("send", messages[i].Conversation, created[i].Blocked)
	}
	return created, claimed, err
}

func (s *turnedAway) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.Advance(ctx, marks, lease)
	for i := range marked {
		s.note("mark", marks[i].Message, marked[i].Blocked)
	}
	return marked, claimed, err
}

func (s *turnedAway) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.AdvanceUpTo(ctx, upTo, limit, lease)
	for i := range marked {
		s.note("up to", upTo[i].Conversation, marked[i].Blocked)
	}
	return marked, claimed, err
}
