package contention

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/sqlstore"
)

// A wait for a conversation, of a private mark or for one, would tell others when a user reads.
func TestPrivateMarksAndConversationsDoNotWaitForEachOther(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue // it has one writer at a time
		}
		t.Run(e.Name, func(t *testing.T) {
			db, store := stores.Migrated(t, e)
			tracker := stores.Tracker(t, store)
			for _, id := range []string{"m1", "m2", "m3"} {
				send(t, tracker, delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}})
			}
			bob, through := delivery.Actor{User: "bob", Hide: delivery.HideAll}, delivery.MessageRef{Conversation: "c", ID: "m2"}
			private := func(ctx context.Context) (err error) {
				calls := []func() error{
					func() error { _, err := tracker.MarkRead(ctx, bob, "m1"); return err },
					func() error { _, err := tracker.MarkUpTo(ctx, bob, delivery.Read, through); return err },
					func() error { _, err := tracker.MarkUnread(ctx, bob, "m2"); return err },
					func() error { _, err := tracker.Dismiss(ctx, bob, through); return err },
				}
				for i := 0; i < len(calls) && err == nil; i++ {
					err = calls[i]()
				}
				return err
			}
			within := func(what string, call func(ctx context.Context) error) {
				t.Helper()
				ctx := patient(t)
				if err := call(ctx); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			t.Run("private marks while a transaction has the conversation", func(t *testing.T) {
				tx := stores.Begin(t, db)
				if _, err := tracker.MarkTx(t.Context(), tx, delivery.Actor{User: "carol"}, delivery.Delivered, "m1"); err != nil {
					t.Fatal(err)
				}
				within("private marks", private)
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
			})
			t.Run("others' calls while a private mark is not committed", func(t *testing.T) {
				tx := stores.Begin(t, db)
				if _, err := tracker.MarkTx(t.Context(), tx, bob, delivery.Read, "m3"); err != nil {
					t.Fatal(err)
				}
				within("a mark", func(ctx context.Context) error {
					_, err := tracker.MarkRead(ctx, delivery.Actor{User: "carol"}, "m3")
					return err
				})
				within("an up-to mark", func(ctx context.Context) error {
					_, err := tracker.MarkUpTo(ctx, delivery.Actor{User: "carol"}, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m3"})
					return err
				})
				within("a send", func(ctx context.Context) error {
					_, err := tracker.Send(ctx, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol", "dave"}}})
					return err
				})
				within("a deletion", func(ctx context.Context) error {
					_, err := tracker.Delete(ctx, delivery.Actor{User: "alice"}, "m1")
					return err
				})
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
			})
			t.Run("private marks while a send to a new set of members is not committed", func(t *testing.T) {
				tx := stores.Begin(t, db)
				_, err := tracker.SendTx(t.Context(), tx, delivery.Draft{ID: "new", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "erin"}}})
				if err != nil {
					t.Fatal(err)
				}
				within("private marks", func(ctx context.Context) error {
					_, err := tracker.MarkUnread(ctx, bob, "m3")
					if err == nil {
						_, err = tracker.Dismiss(ctx, bob, delivery.MessageRef{Conversation: "c", ID: "m3"})
					}
					return err
				})
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				if r, err := tracker.MarkRead(t.Context(), bob, "new"); err != nil || r.Status != delivery.Read {
					t.Errorf("bob has %+v, %v", r, err)
				}
			})
			t.Run("others' calls while a user's first mark, a private one, is not committed", func(t *testing.T) {
				for _, id := range []string{"o1", "o2"} {
					send(t, tracker, delivery.Draft{ID: id, Conversation: "open", Sender: "alice", Audience: delivery.Audience{Open: true}})
				}
				tx := stores.Begin(t, db)
				if _, err := tracker.MarkTx(t.Context(), tx, bob, delivery.Read, "o1"); err != nil {
					t.Fatal(err)
				}
				var calls sync.WaitGroup
				calls.Go(func() {
					within("a send to that user", func(ctx context.Context) error {
						_, err := tracker.Send(ctx, delivery.Draft{Conversation: "open", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
						return err
					})
				})
				calls.Go(func() {
					within("a mark of that user's that others may see", func(ctx context.Context) error {
						_, err := tracker.MarkDelivered(ctx, delivery.Actor{User: "bob"}, "o2")
						return err
					})
				})
				if e.Kind == engines.Postgres {
					waiting(t, db, 1)
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				calls.Wait()
			})
			unread, err := tracker.Unread(t.Context(), bob, "c")
			if err != nil || unread[0].Count != 1 {
				t.Errorf("bob has unread %+v, %v", unread, err)
			}
		})
	}
}

func send(t *testing.T, tracker *delivery.Tracker, draft delivery.Draft) {
	t.Helper()
	if _, err := tracker.Send(t.Context(), draft); err != nil {
		t.Fatal(err)
	}
}

// Marks of a user who is untracked change nothing that others see, and a wait would show them.
func TestMarksOfUntrackedUsersDoNotWaitForAConversation(t *testing.T) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue // it has one writer at a time
		}
		t.Run(e.Name, func(t *testing.T) {
			db, store := stores.Migrated(t, e)
			tracker := stores.Tracker(t, store)
			for _, id := range []string{"m1", "m2", "m3"} {
				audience := delivery.Audience{Recipients: []string{"bob", "carol"}, Untracked: []string{"bob"}}
				send(t, tracker, delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: audience})
			}
			tx := stores.Begin(t, db)
			if _, err := tracker.MarkTx(t.Context(), tx, delivery.Actor{User: "carol"}, delivery.Delivered, "m1", "m2"); err != nil {
				t.Fatal(err)
			}
			ctx := patient(t)
			bob := delivery.Actor{User: "bob"}
			if own, err := tracker.MarkRead(ctx, bob, "m1"); err != nil || own.Status != delivery.Read {
				t.Errorf("a mark: %+v, %v", own, err)
			}
			results, err := tracker.Mark(ctx, bob, delivery.Read, "m1", "m2")
			if err != nil || results[1].Err != nil || results[1].Own.Status != delivery.Read {
				t.Errorf("marks: %+v, %v", results, err)
			}
			if _, err := tracker.MarkUpTo(ctx, bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m3"}); err != nil {
				t.Errorf("an up-to mark: %v", err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			unread, err := tracker.Unread(t.Context(), bob, "c")
			if err != nil || unread[0].Count != 0 {
				t.Errorf("unread: %+v, %v", unread, err)
			}
		})
	}
}

// The statement that moves a user's place has the conversations of its whole batch locked.
func TestPostgresUpToMarksPassAPlaceThatAPrivateMarkHasLocked(t *testing.T) {
	stores.EachPostgres(t, func(t *testing.T, db *sql.DB, store *sqlstore.Store) {
		for _, id := range []string{"c1", "c2", "d1", "d2"} {
			sendTo(t.Context(), t, store, frozen(id, id[:1], "ann", "them", "bob", "cem"))
		}
		private := []delivery.OwnMark{{Message: "c1", User: "bob", Status: delivery.Read}}
		tx := stores.Begin(t, db)
		if marked, _, err := store.InTx(tx).AdvanceOwn(t.Context(), private, delivery.Lease{}); err != nil || !marked[0].Changed {
			t.Fatalf("%+v, %v", marked, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		place := func(conversation string) (seq int64) {
			const text = "select delivered_seq from delivery_readers join delivery_conversations c using (conv) where c.id = $1 and name = 'bob'"
			if err := db.QueryRowContext(ctx, text, conversation).Scan(&seq); err != nil {
				t.Fatal(err)
			}
			return seq
		}
		mark := func(store delivery.Store, marks ...delivery.UpTo) {
			t.Helper()
			marked, _, err := store.AdvanceUpTo(ctx, marks, 10, delivery.Lease{})
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range marked {
				if m.Changed != 2 || m.Receipt.Status != marks[i].Status || m.Reached != 2 {
					t.Errorf("the mark of %s by %s: %+v", marks[i].Message, marks[i].User, m)
				}
			}
		}
		read := upToBy("bob", "c", "c2")
		read.Status = delivery.Read
		mark(store, upToBy("bob", "c", "c2"), upToBy("cem", "c", "c2"), upToBy("bob", "d", "d2"))
		other := stores.Begin(t, db)
		mark(store.InTx(other), read)
		if err := other.Commit(); err != nil {
			t.Fatal(err)
		}
		if c, d := place("c"), place("d"); c != 0 || d != 2 {
			t.Errorf("the places are %d and %d, want 0, where the row was locked, and 2", c, d)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		marked, _, err := store.AdvanceUpTo(ctx, []delivery.UpTo{read}, 10, delivery.Lease{})
		if err != nil || marked[0].Changed != 0 || place("c") != 2 {
			t.Errorf("afterwards: %+v, %v, the place is %d", marked, err, place("c"))
		}
		unread, err := store.Unread(ctx, "bob", []string{"c"}, 10)
		if err != nil || unread[0].Count != 0 {
			t.Errorf("bob has unread %+v, %v", unread, err)
		}
	})
}
