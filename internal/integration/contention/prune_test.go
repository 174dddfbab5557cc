package contention

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/cutter"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Three processes know a conversation: its messages, its roster and its readers. One prunes it or
// removes it, and what the others do next is judged by what is there.
func TestNoProcessAnswersByWhatWasPruned(t *testing.T) {
	eachKind(t, func(t *testing.T, e engines.Engine) {
		database := stores.Database(t, e)
		var trackers [3]*delivery.Tracker
		for i := range trackers {
			tracker, err := delivery.New(stores.Open(t, e, database.Open(t)), new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
			if err != nil {
				t.Fatal(err)
			}
			trackers[i] = tracker
		}
		ctx := patient(t)
		send := func(tracker *delivery.Tracker, id string) delivery.Message {
			t.Helper()
			m, err := tracker.Send(ctx, delivery.Draft{ID: id, Conversation: "c", Sender: "ann", Audience: delivery.Audience{Recipients: []string{"ann", "bob", "cem"}}})
			if err != nil || m.Total != 2 {
				t.Fatalf("%+v, %v", m, err)
			}
			return m
		}
		bob := delivery.Actor{User: "bob"}
		for round := range 3 {
			before := int64(0)
			for i, tracker := range trackers { // all caches are warm
				id := fmt.Sprint("m", round, i)
				before = send(tracker, id).Seq
				for _, tracker := range trackers {
					if _, err := tracker.MarkDelivered(ctx, bob, id); err != nil {
						t.Fatal(err)
					}
				}
			}
			pruned := fmt.Sprint("m", round, 2)
			if err := trackers[0].DeleteConversation(ctx, "c"); err != nil {
				t.Fatal(err)
			}
			for i, tracker := range trackers {
				for _, user := range []string{"ann", "bob", "eve"} {
					if _, err := tracker.MarkRead(ctx, delivery.Actor{User: user}, pruned); !errors.Is(err, delivery.ErrNotFound) {
						t.Errorf("process %d: a mark by %s: %v", i, user, err)
					}
				}
				if _, err := tracker.MarkUpTo(ctx, bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: pruned}); !errors.Is(err, delivery.ErrNotFound) {
					t.Errorf("process %d: an up-to mark: %v", i, err)
				}
			}
			if m := send(trackers[1], pruned); m.Seq <= before {
				t.Errorf("the conversation goes on at %d", m.Seq)
			}
			if _, err := trackers[2].MarkRead(ctx, bob, pruned); err != nil {
				t.Errorf("a mark of the new message: %v", err)
			}
			if unread, err := trackers[0].Unread(ctx, delivery.Actor{User: "cem"}, "c"); err != nil || unread[0].Count != 1 {
				t.Errorf("%+v, %v", unread, err)
			}
		}
	})
}

// A call first looks where its messages are, and then locks their conversations: see
// [cutter.Cutter.Meanwhile]. What was pruned in between is so for the call.
func TestWhatIsPrunedWhileACallLooksIsNotThere(t *testing.T) {
	lock := map[engines.Kind]string{engines.MySQL: "FOR UPDATE", engines.SQLite: "BEGIN IMMEDIATE"}
	eachLocked(t, func(t *testing.T, e engines.Engine) {
		for name, call := range map[string]func(ctx context.Context, store delivery.Keeper) (got any, err error){
			"a mark": func(ctx context.Context, store delivery.Keeper) (any, error) {
				marked, _, err := store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", "m2")}, delivery.Lease{})
				return marked[0] == (delivery.Marked{}), err
			},
			"an up-to mark": func(ctx context.Context, store delivery.Keeper) (any, error) {
				marked, _, err := store.AdvanceUpTo(ctx, []delivery.UpTo{upToBy("bob", "c", "m2")}, 10, delivery.Lease{})
				return marked[0].Header.ID == "" && marked[0].Changed == 0, err
			},
			"a deletion": func(ctx context.Context, store delivery.Keeper) (any, error) {
				deleted, _, err := store.Delete(ctx, deletionsOf("m2"), delivery.Lease{})
				return deleted[0] == (delivery.Deleted{}), err
			},
		} {
			t.Run(name, func(t *testing.T) {
				db, cut := cutter.Open(t, e)
				store, beside := stores.Open(t, e, db), stores.Open(t, e, cut.Database.Open(t))
				for _, id := range []string{"m1", "m2"} {
					sendTo(t.Context(), t, store, frozen(id, "c", "ann", "them", "bob"))
				}
				cut.Meanwhile(lock[e.Kind], func() {
					p := delivery.Pruning{Conversation: "c", Before: time.Now().Add(time.Hour), Limit: 10}
					if r, err := beside.Prune(t.Context(), p); err != nil || r.Removed != 2 {
						t.Errorf("%+v, %v", r, err)
					}
				})
				if fits, err := call(t.Context(), store); err != nil || fits != true {
					t.Errorf("as if nothing had been pruned: %v", err)
				}
				if n := countRows(t, db, "delivery_receipts") + countRows(t, db, "delivery_states") + countRows(t, db, "delivery_rosters"); n != 0 {
					t.Errorf("%d rows are left", n)
				}
				wantVersions(t, store, "c", 3)
			})
		}
	})
}

// A prune passes over a conversation that somebody has locked.
func TestAPruneWaitsForNobody(t *testing.T) {
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL} {
		e := engines.First(kind)
		t.Run(e.Name, func(t *testing.T) {
			db, store := stores.Migrated(t, e)
			openMessage(t, store, "c", "m")
			tx := stores.Begin(t, db)
			if _, _, err := store.InTx(tx).Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", "m")}, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
			prune := func() delivery.PruningResult {
				t.Helper()
				r, err := store.Prune(t.Context(), delivery.Pruning{Conversation: "c", All: true, Limit: 10})
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			if r := prune(); r != (delivery.PruningResult{Blocked: true}) {
				t.Errorf("%+v", r)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if r := prune(); r.Removed != 1 || !r.More {
				t.Errorf("%+v", r)
			}
			if r := prune(); r.Removed != 0 || r.More || countRows(t, db, "delivery_readers") != 0 {
				t.Errorf("%+v", r)
			}
			if _, err := store.InTx(stores.Begin(t, db)).(delivery.Keeper).Prune(t.Context(), delivery.Pruning{Conversation: "c"}); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("in a transaction: %v", err)
			}
		})
	}
}
