package contention

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// received sends m1 and m2 to bob and cem. m1 came to bob in private, and then both for all to see.
func received(t *testing.T, store *sqlstore.Store) {
	t.Helper()
	for _, id := range []string{"m1", "m2"} {
		sendTo(t.Context(), t, store, frozen(id, "c", "ann", "them", "bob", "cem"))
	}
	alone(t, store, delivery.Delivered)
	marked, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("bob", "c", "m2")}, 10, delivery.Lease{})
	if err != nil || marked[0].Changed != 2 {
		t.Fatalf("%+v, %v", marked, err)
	}
}

// alone is a private mark of m1 by bob.
func alone(t *testing.T, store delivery.Store, status delivery.Status) {
	t.Helper()
	marked, _, err := store.AdvanceOwn(t.Context(), []delivery.OwnMark{{Act: delivery.OwnMarked, Message: "m1", User: "bob", Status: status}}, delivery.Lease{})
	if err != nil || !marked[0].Changed {
		t.Errorf("%+v, %v", marked, err)
	}
}

var everything = delivery.Compaction{Conversation: "c", Before: time.Now().Add(time.Hour), Limit: 10}

func TestAMessageThatIsReadInPrivateDuringACompactionStaysRead(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		db, cut := cutter.Open(t, e)
		store, other := stores.Open(t, e, db), stores.Open(t, e, cut.Database.Open(t))
		received(t, store)
		statement := "DELETE FROM delivery_own"
		if e.Kind == engines.SQLite {
			statement = "BEGIN IMMEDIATE" // within which nobody else writes
		}
		cut.Meanwhile(statement, func() { alone(t, other, delivery.Read) })
		if r, err := store.Compact(t.Context(), everything); err != nil || r.Compacted != 2 {
			t.Errorf("%+v, %v", r, err)
		}
		if cut.Pending() {
			t.Error("no private mark was dropped")
		}
		page, err := store.List(t.Context(), delivery.List{Conversation: "c", Viewer: "bob", Limit: 10})
		if err != nil || len(page.Messages) != 2 || page.Messages[0].Own.Status != delivery.Read {
			t.Errorf("%+v, %v", page, err)
		}
		if unread, err := store.Unread(t.Context(), "bob", []string{"c"}, 10); err != nil || unread[0].Count != 1 {
			t.Errorf("%+v, %v", unread, err)
		}
	})
}

// A compaction that waits for a private mark keeps nobody else waiting, which would tell of it.
func TestACompactionWaitsForPrivateMarksWithoutTheConversation(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // it has one writer at a time
		}
		db, cut := cutter.Open(t, e)
		store, others := stores.Open(t, e, db), cut.Database.Open(t)
		other := stores.Open(t, e, others)
		received(t, store)
		tx := stores.Begin(t, others)
		alone(t, other.InTx(tx), delivery.Read)
		reached, done := make(chan bool), make(chan error)
		cut.Meanwhile("DELETE FROM delivery_own", func() { close(reached) })
		go func() {
			_, err := store.Compact(t.Context(), everything)
			done <- err
		}()
		<-reached
		marked, _, err := other.Advance(t.Context(), []delivery.Mark{stores.MarkBy("cem", "m1")}, delivery.Lease{})
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

// Private marks write rows that only their users write, and a compaction locks none of these with
// the conversation.
func TestACompactionDoesNotWaitForPrivateMarks(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // it has one writer at a time
		}
		db, store := stores.Migrated(t, e)
		readM(t, store)
		tx := stores.Begin(t, db)
		own := delivery.OwnMark{Act: delivery.OwnMarkedUpTo, Message: "m2", User: "cem", Status: delivery.Read}
		if marked, _, err := store.InTx(tx).AdvanceOwn(t.Context(), []delivery.OwnMark{own}, delivery.Lease{}); err != nil || !marked[0].Changed {
			t.Fatalf("%+v, %v", marked, err)
		}
		ctx := patient(t)
		r, err := store.Compact(ctx, everything)
		if n := countRows(t, db, "delivery_receipts"); err != nil || r.Compacted != 2 || n != 0 {
			t.Errorf("%+v, %v, %d rows", r, err, n)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
		checkM(t, store)
	})
}

// A conversation in which no message is to be compacted costs no look at what its readers keep.
func TestACompactionDropsPrivateMarksInPartsBeforeTheLastMessages(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		db, cut := cutter.Open(t, e)
		store := stores.Open(t, e, db)
		received(t, store)
		for first := range 2 { // more than one part, of seqs that the place has reached
			var rows []string
			for i := range 300 {
				rows = append(rows, fmt.Sprintf("SELECT reader, %d, %d FROM delivery_readers WHERE name = 'bob'", -300*first-i, 2+i%2))
			}
			if _, err := db.Exec("INSERT INTO delivery_own (reader, seq, status) " + strings.Join(rows, " UNION ALL ")); err != nil {
				t.Fatal(err)
			}
		}
		var parts []int
		for more := true; more; {
			r, err := store.Compact(t.Context(), everything)
			if err != nil {
				t.Fatal(err)
			}
			more, parts = r.More, append(parts, r.Compacted)
		}
		if n := countRows(t, db, "delivery_own"); n != 0 || !slices.Equal(parts, []int{0, 2}) {
			t.Errorf("%d private marks are left, parts of %v messages", n, parts)
		}
		cut.Meanwhile("delivery_own", func() { t.Error("a look at private marks") })
		if r, err := store.Compact(t.Context(), everything); err != nil || r != (delivery.CompactionResult{}) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
