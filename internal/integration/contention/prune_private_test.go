package contention

import (
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

func TestAFlagThatIsSetDuringAPruneStays(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // it has one writer at a time
		}
		db, cut := cutter.Open(t, e)
		store, other := stores.Open(t, e, db), stores.Open(t, e, cut.Database.Open(t))
		for _, id := range []string{"m1", "m2"} {
			sendTo(t.Context(), t, store, frozen(id, "c", "ann", "them", "bob", "cem"))
		}
		flag := func(message string) {
			marks := []delivery.OwnMark{{Act: delivery.OwnFlagged, Message: message, User: "bob"}}
			if marked, _, err := other.AdvanceOwn(t.Context(), marks, delivery.Lease{}); err != nil || !marked[0].Changed {
				t.Errorf("%+v, %v", marked, err)
			}
		}
		flag("m1")
		cut.Meanwhile("SET flag = 0", func() { flag("m2") })
		p := delivery.Pruning{Conversation: "c", Before: time.Now().Add(time.Hour), Limit: 1}
		if r, err := store.Prune(t.Context(), p); err != nil || r.Removed != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		p.Before = time.Unix(0, 0) // the call that forgets
		if _, err := store.Prune(t.Context(), p); err != nil || cut.Pending() {
			t.Errorf("%v; no flag was cleared: %t", err, cut.Pending())
		}
		if unread, err := store.Unread(t.Context(), "bob", []string{"c"}, 10); err != nil || !unread[0].Flagged || unread[0].Place.Flag != 2 {
			t.Errorf("%+v, %v", unread, err)
		}
	})
}

// A prune that waits for a private mark keeps nobody else waiting, which would tell of it.
func TestAPruneWaitsForPrivateMarksWithoutTheConversation(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // it has one writer at a time
		}
		db, cut := cutter.Open(t, e)
		others := cut.Database.Open(t)
		store, other := stores.Open(t, e, db), stores.Open(t, e, others)
		for _, id := range []string{"m1", "m2"} {
			sendTo(t.Context(), t, store, frozen(id, "c", "ann", "them", "bob", "cem"))
		}
		flag := func(store delivery.Store, message string) {
			marks := []delivery.OwnMark{{Act: delivery.OwnFlagged, Message: message, User: "bob"}}
			if marked, _, err := store.AdvanceOwn(t.Context(), marks, delivery.Lease{}); err != nil || !marked[0].Changed {
				t.Errorf("%+v, %v", marked, err)
			}
		}
		flag(store, "m1")
		p := delivery.Pruning{Conversation: "c", Before: time.Now().Add(time.Hour), Limit: 1}
		if r, err := store.Prune(t.Context(), p); err != nil || r.Removed != 1 || !r.More {
			t.Fatalf("%+v, %v", r, err)
		}
		tx := stores.Begin(t, others)
		flag(other.InTx(tx), "m2")
		reached, done := make(chan bool), make(chan error)
		cut.Meanwhile("SET flag = 0", func() { close(reached) })
		go func() {
			p.Before = time.Unix(0, 0) // the call that forgets
			_, err := store.Prune(t.Context(), p)
			done <- err
		}()
		<-reached
		marked, _, err := other.Advance(t.Context(), []delivery.Mark{stores.MarkBy("cem", "m2")}, delivery.Lease{})
		if err != nil || !marked[0].Changed {
			t.Errorf("the mark of somebody else: %+v, %v", marked, err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
