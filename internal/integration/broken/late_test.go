package broken

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// told is a notifier that passes on the messages it is told of.
type told chan string

func (n told) Notify(_ context.Context, events []delivery.Event) error {
	for _, e := range events {
		n <- e.Updates[0].Message
	}
	return nil
}

// within says whether the message is told of in time.
func (n told) within(d time.Duration, id string) bool {
	late := time.After(d)
	for {
		select {
		case got := <-n:
			if got == id {
				return true
			}
		case <-late:
			return false
		}
	}
}

// counted is a store that counts the claims that have returned.
type counted struct {
	*sqlstore.Store
	claims atomic.Int64
}

func (s *counted) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	defer s.claims.Add(1)
	return s.Store.Claim(ctx, limit, lease)
}

// ago moves what is written in a transaction back in time, so that no test has to wait for it.
var ago = map[engines.Kind]string{
	engines.Postgres: "UPDATE delivery_outbox SET ready_at = ready_at - INTERVAL '12 s', created_at = created_at - INTERVAL '12 s'",
	engines.MySQL:    "UPDATE delivery_outbox SET ready_at = ready_at - 12000000, created_at = created_at - 12000000",
	engines.SQLite:   "UPDATE delivery_outbox SET ready_at = ready_at - 12000000, created_at = created_at - 12000000",
}

func TestWhatCommitsLongAfterItWasSentIsPublishedAtOnce(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		n := make(told, 100)
		looks := &counted{Store: store}
		tracker, err := delivery.New(looks, n, &delivery.Options{OpenConversations: true})
		if err != nil {
			t.Fatal(err)
		}
		draft := func(id string) delivery.Draft {
			return delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
		}
		late := func(id string) {
			t.Helper()
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			if _, err := tracker.SendTx(t.Context(), tx, draft(id)); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(ago[e.Kind]); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		// A look at everything has left nothing.
		for range 2 {
			if err := tracker.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		late("flushed")
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !n.within(time.Second, "flushed") {
			t.Error("Flush returns nil, and leaves it")
		}

		running, stop := context.WithCancel(t.Context())
		var relay sync.WaitGroup
		relay.Go(func() { tracker.Run(running) })
		defer relay.Wait()
		defer stop()
		for before := looks.claims.Load(); looks.claims.Load() == before; { // the relay looks around
			time.Sleep(time.Millisecond)
		}
		for _, id := range []string{"woken", "woken again"} {
			late(id)
			tracker.Wake()
			if began := time.Now(); !n.within(5*time.Second, id) || time.Since(began) > time.Second {
				t.Errorf("%q: published %v after Wake", id, time.Since(began))
			}
		}
	})
}

// While the database's clock is behind, what a node that died had leased is due later than it
// should be: the backlog and the log say so.
func TestAClockThatWasSetBackIsSeen(t *testing.T) {
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL} { // the clock of SQLite is the machine's
		e := engines.First(kind)
		server := e.Server(t)
		set := server.Clock(t, time.Hour)
		db := server.Database(t).Open(t)
		stores.Migrate(t, e, db)
		store := stores.Open(t, e, db)
		message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "a", Open: true, Quorum: 1, SentAt: time.Now()}}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{Token: 1, For: 15 * time.Second}); err != nil {
			t.Fatal(err)
		}
		if b, err := store.Backlog(t.Context()); err != nil || b.Ahead != 0 {
			t.Errorf("before: %+v, %v", b, err)
		}
		set(0)
		for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
			b, err := store.Backlog(t.Context())
			if err != nil || b.Waiting != 1 {
				t.Fatalf("afterwards: %+v, %v", b, err)
			}
			if b.Ahead > 59*time.Minute && b.Ahead <= time.Hour {
				break
			}
			if time.Since(began) > 10*time.Second {
				t.Fatalf("afterwards: %+v", b)
			}
		}
	}
}
