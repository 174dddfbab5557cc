package contract

import (
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// compact compacts all that there is.
func (g *group) compact() {
	g.Helper()
	for more := true; more; {
		r, err := g.store.Compact(g.Context(), delivery.Compaction{Conversation: "c", Before: time.Now().Add(time.Hour), Limit: 2})
		g.must(err)
		more = r.More
	}
}

// A compaction removes the rows that say no more than the reach, and keeps the others without
// times.
func TestACompactionRemovesTheRowsThatTheReachSays(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		g := newGroup(t, e)
		g.must2(g.tracker.MarkRead(t.Context(), delivery.Actor{User: "cem"}, "m2")) // beyond what his up-to mark said
		eve := delivery.Actor{User: "eve", Hide: delivery.HideAll}
		g.must2(g.tracker.Dismiss(t.Context(), eve, delivery.MessageRef{Conversation: "c", ID: "m1"}))
		g.send("n1", delivery.Audience{Recipients: []string{"bob", "dan", "eve"}})
		for _, user := range []string{"dan", "eve"} {
			g.must2(g.tracker.MarkDelivered(t.Context(), delivery.Actor{User: user}, "n1"))
		}
		g.must2(g.tracker.MarkRead(t.Context(), eve, "n1"))
		before, open := g.see(), g.rows("delivery_receipts WHERE seq = 3")
		if n := g.rows("delivery_own"); n != 1 || open != 5 {
			t.Fatalf("%d private marks, %d receipts of the open message", n, open)
		}
		g.must2(g.db.Exec("INSERT INTO delivery_own (reader, seq, status) SELECT reader, 1, 3 FROM delivery_readers WHERE name = 'eve'"))
		g.compact()
		g.same("after the compaction", before)
		if n := g.rows("delivery_receipts WHERE seq = 3"); n != open {
			t.Errorf("%d receipts of the open message, want %d", n, open)
		}
		if n := g.rows("delivery_receipts"); n != open+3 {
			t.Errorf("%d rows, want those of m2 by cem and of n1 by dan and eve beside %d", n, open)
		}
		for _, table := range []string{"delivery_receipts", "delivery_states"} {
			if n := g.rows(table + " WHERE delivered_at IS NOT NULL OR read_at IS NOT NULL"); n != 0 {
				t.Errorf("%d times in %s", n, table)
			}
		}
		if n := g.rows("delivery_own"); n != 1 {
			t.Errorf("%d private marks, want that of n1", n)
		}
		g.markAgain()
		g.same("after marks that were there", before)

		// What the reach says later goes with the next change.
		for user, status := range map[string]delivery.Status{"bob": delivery.Read, "dan": delivery.Read, "eve": delivery.Delivered} {
			g.must2(g.tracker.MarkUpTo(t.Context(), delivery.Actor{User: user}, status, delivery.MessageRef{Conversation: "c", ID: "n1"}))
		}
		before = g.see()
		g.compact()
		g.same("after another compaction", before)
		if n := g.rows("delivery_receipts WHERE seq > 9"); n != 0 {
			t.Errorf("%d receipts of n1", n)
		}
	})
}

func TestACompactionPassesOverWhatSomebodyHasLocked(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		if e.Kind == engines.SQLite {
			return // where whoever writes has it all, and others wait
		}
		g := newGroup(t, e)
		tx := stores.Begin(t, g.db)
		if _, _, err := g.store.InTx(tx).Advance(t.Context(), []delivery.Mark{{Message: "m6", User: "cem", Status: delivery.Read, At: time.Now()}}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		c := delivery.Compaction{Conversation: "c", Before: time.Now().Add(time.Hour), Limit: 10}
		if r, err := g.store.Compact(t.Context(), c); err != nil || r != (delivery.CompactionResult{Blocked: true}) {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := g.store.InTx(tx).(delivery.Keeper).Compact(t.Context(), c); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("in a transaction: %v", err)
		}
		g.must(tx.Rollback())
		if r, err := g.store.Compact(t.Context(), c); err != nil || r.Compacted == 0 {
			t.Errorf("when it is free: %+v, %v", r, err)
		}
	})
}
