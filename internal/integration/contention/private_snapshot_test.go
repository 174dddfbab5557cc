package contention

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Changes that others made since a transaction first read stay, whatever the transaction's snapshot
// shows.
func TestPrivateMarksWithOldSnapshots(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue // its transactions do not write with an old snapshot
		}
		t.Run(e.Name, func(t *testing.T) {
			db, store := stores.Migrated(t, e)
			tracker := stores.Tracker(t, store)
			bob := delivery.Actor{User: "bob", Hide: delivery.HideAll}
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			// behind makes a private mark in a transaction that has read before the change of
			// others, and reports whether it was committed.
			behind := func(t *testing.T, message string, change func()) bool {
				t.Helper()
				tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
				must(err)
				defer tx.Rollback()
				var n int
				must(tx.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM delivery_readers").Scan(&n))
				change()
				results, err := tracker.MarkTx(t.Context(), tx, bob, delivery.Read, message)
				if err == nil && results[0].Err == nil {
					must(tx.Commit())
					return true
				}
				if err != nil && !errors.Is(err, delivery.ErrTxConflict) {
					t.Errorf("the mark failed with %v", err)
				}
				return false
			}
			three := func(conversation string, audience delivery.Audience) {
				for _, id := range []string{"1", "2", "3"} {
					send(t, tracker, delivery.Draft{ID: conversation + id, Conversation: conversation, Sender: "alice", Audience: audience})
				}
			}
			frozen := delivery.Audience{Recipients: []string{"bob", "carol"}}
			flag := func(conversation string) int64 {
				all, err := tracker.Unread(t.Context(), bob, conversation)
				must(err)
				return all[0].Place.Flag
			}
			t.Run("a flag that another device cleared stays cleared", func(t *testing.T) {
				three("a", frozen)
				_, err := tracker.MarkUnread(t.Context(), bob, "a2")
				must(err)
				behind(t, "a1", func() {
					_, err := tracker.Dismiss(t.Context(), bob, delivery.MessageRef{Conversation: "a", ID: "a3"})
					must(err)
				})
				if got := flag("a"); got != 0 {
					t.Errorf("the flag is %d", got)
				}
			})
			t.Run("a flag that another device set stays set, unless the mark has reached it", func(t *testing.T) {
				for message, want := range map[string]int64{"1": 2, "3": 0} {
					conversation := "b" + message
					three(conversation, frozen)
					_, err := tracker.MarkUnread(t.Context(), bob, conversation+"1")
					must(err)
					if !behind(t, conversation+message, func() {
						_, err := tracker.MarkUnread(t.Context(), bob, conversation+"2")
						must(err)
					}) {
						want = 2
					}
					if got := flag(conversation); got != want {
						t.Errorf("the flag is %d after a mark of %s, want %d", got, message, want)
					}
				}
			})
			t.Run("a user who was erased is not made again", func(t *testing.T) {
				three("c", frozen)
				if behind(t, "c1", func() { must(tracker.Erase(t.Context(), "bob")) }) {
					t.Errorf("the mark was committed")
				}
				none(t, store)
			})
			t.Run("a conversation that is gone has no reader", func(t *testing.T) {
				three("d", delivery.Audience{Open: true})
				if behind(t, "d1", func() { must(tracker.DeleteConversation(t.Context(), "d")) }) {
					t.Errorf("the mark was committed")
				}
				none(t, store)
			})
		})
	}
}

// none checks that no conversation knows of bob.
func none(t *testing.T, store delivery.Keeper) {
	t.Helper()
	if r, err := store.Erase(t.Context(), "bob", 10); err != nil || r.Erased != 0 {
		t.Errorf("bob is a reader: %+v, %v", r, err)
	}
}
