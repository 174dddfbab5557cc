package contention

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A privateScene is a conversation of alice, bob, carol and cem with three messages, of which bob
// has sent the first and read the second.
type privateScene struct {
	*testing.T
	db           *sql.DB
	store        delivery.Store
	tracker      *delivery.Tracker
	conversation string
}

var (
	hiddenBob = delivery.Actor{User: "bob", Hide: delivery.HideAll}
	members   = delivery.Audience{Recipients: []string{"alice", "bob", "carol", "cem"}}
)

// eachPrivateScene runs a subtest for each of the calls, with a scene of its own.
func eachPrivateScene[F any](t *testing.T, calls map[string]F, test func(s privateScene, call F)) {
	for _, e := range engines.All {
		if e.Kind == engines.SQLite {
			continue // it has one writer at a time
		}
		t.Run(e.Name, func(t *testing.T) {
			db, store := stores.Migrated(t, e)
			tracker := stores.Tracker(t, store)
			for name, call := range calls {
				t.Run(name, func(t *testing.T) {
					s := privateScene{t, db, store, tracker, name}
					for i, sender := range []string{"bob", "alice", "alice"} {
						id := s.id([]string{"1", "2", "3"}[i])
						send(t, tracker, delivery.Draft{ID: id, Conversation: name, Sender: sender, Audience: members})
					}
					send(t, tracker, delivery.Draft{ID: s.id("elsewhere"), Conversation: name + " elsewhere", Sender: "alice", Audience: members})
					s.must(s.mark(t.Context(), "bob", "2"))
					test(s, call)
				})
			}
		})
	}
}

func (s privateScene) id(n string) string { return s.conversation + " " + n }

func (s privateScene) ref(n string) delivery.MessageRef {
	return delivery.MessageRef{Conversation: s.conversation, ID: s.id(n)}
}

func (s privateScene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s privateScene) mark(ctx context.Context, user, n string) error {
	_, err := s.tracker.MarkRead(ctx, delivery.Actor{User: user}, s.id(n))
	return err
}

// within gives a call more time than any but one that waits for a transaction.
func (s privateScene) within(what string, call func(ctx context.Context) error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	if err := call(ctx); err != nil {
		s.Errorf("%s: %v", what, err)
	}
}

func TestPrivateMarksDoNotWaitForTransactionsOfOthers(t *testing.T) {
	type call = func(s privateScene, tx *sql.Tx) error
	eachPrivateScene(t, map[string]call{
		"a mark": func(s privateScene, tx *sql.Tx) error {
			_, err := s.tracker.MarkTx(s.Context(), tx, delivery.Actor{User: "carol"}, delivery.Read, s.id("1"), s.id("2"), s.id("3"))
			return err
		},
		"an up-to mark": func(s privateScene, tx *sql.Tx) error {
			_, err := s.tracker.MarkUpToTx(s.Context(), tx, delivery.Actor{User: "carol"}, delivery.Read, s.ref("3"))
			return err
		},
		"a deletion of what the user has read": func(s privateScene, tx *sql.Tx) error {
			_, err := s.tracker.DeleteTx(s.Context(), tx, delivery.Actor{User: "alice"}, s.id("2"))
			return err
		},
		"a deletion of what the user marks": func(s privateScene, tx *sql.Tx) error {
			_, err := s.tracker.DeleteTx(s.Context(), tx, delivery.Actor{User: "alice"}, s.id("3"))
			return err
		},
		"a send to a new set of members": func(s privateScene, tx *sql.Tx) error {
			_, err := s.tracker.SendTx(s.Context(), tx, delivery.Draft{
				ID: s.id("new"), Conversation: s.conversation, Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "erin"}},
			})
			return err
		},
		"a repeated send": func(s privateScene, tx *sql.Tx) error {
			_, err := s.tracker.SendTx(s.Context(), tx, delivery.Draft{ID: s.id("1"), Conversation: s.conversation, Sender: "bob", Audience: members})
			return err
		},
	}, func(s privateScene, call call) {
		tx := stores.Begin(s.T, s.db)
		s.must(call(s, tx))
		for what, mark := range map[string]func(ctx context.Context) error{
			"a mark": func(ctx context.Context) error { _, err := s.tracker.MarkRead(ctx, hiddenBob, s.id("3")); return err },
			"an up-to mark": func(ctx context.Context) error {
				_, err := s.tracker.MarkUpTo(ctx, hiddenBob, delivery.Read, s.ref("3"))
				return err
			},
			"a mark as unread": func(ctx context.Context) error { _, err := s.tracker.MarkUnread(ctx, hiddenBob, s.id("2")); return err },
			"a dismissal":      func(ctx context.Context) error { _, err := s.tracker.Dismiss(ctx, hiddenBob, s.ref("3")); return err },
		} {
			s.within(what, mark)
		}
		s.must(tx.Commit())
	})
}

func TestNobodyWaitsForAPrivateMarkInATransaction(t *testing.T) {
	type call = func(ctx context.Context, s privateScene) error
	inTx := func(call func(ctx context.Context, s privateScene, tx *sql.Tx) error) call {
		return func(ctx context.Context, s privateScene) error {
			tx, err := s.db.BeginTx(ctx, nil)
			s.must(err)
			defer tx.Rollback()
			return call(ctx, s, tx)
		}
	}
	eachPrivateScene(t, map[string]call{
		"a mark": func(ctx context.Context, s privateScene) error { return s.mark(ctx, "carol", "3") },
		"an up-to mark": func(ctx context.Context, s privateScene) error {
			_, err := s.tracker.MarkUpTo(ctx, delivery.Actor{User: "carol"}, delivery.Read, s.ref("3"))
			return err
		},
		"an up-to mark in a transaction": inTx(func(ctx context.Context, s privateScene, tx *sql.Tx) error {
			_, err := s.tracker.MarkUpToTx(ctx, tx, delivery.Actor{User: "carol"}, delivery.Read, s.ref("3"))
			return err
		}),
		"a deletion of what the user has read, in a transaction": inTx(func(ctx context.Context, s privateScene, tx *sql.Tx) error {
			_, err := s.tracker.DeleteTx(ctx, tx, delivery.Actor{User: "alice"}, s.id("2"))
			return err
		}),
		"a deletion of the marked message, for anybody": func(ctx context.Context, s privateScene) error {
			deleted, _, err := s.store.(delivery.Keeper).Delete(ctx, deletionsOf(s.id("3"), s.id("2")), delivery.Lease{})
			if err != nil || deleted[0].Blocked == deleted[0].Changed || !deleted[1].Changed {
				s.Errorf("%+v, %v", deleted, err)
			}
			return s.mark(ctx, "carol", "1")
		},
		"a send to a new set of members": func(ctx context.Context, s privateScene) error {
			_, err := s.tracker.Send(ctx, delivery.Draft{Conversation: s.conversation, Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "erin"}}})
			return err
		},
		"a prune of the marked message, for anybody": func(ctx context.Context, s privateScene) error {
			p := delivery.Pruning{Conversation: s.conversation, All: true, Limit: 10}
			if r, err := s.store.(delivery.Keeper).Prune(ctx, p); err != nil || r != (delivery.PruningResult{Blocked: true}) {
				s.Errorf("%+v, %v", r, err)
			}
			return s.mark(ctx, "carol", "3")
		},
		"a mark beside one of the user's": func(ctx context.Context, s privateScene) error {
			marks := []delivery.Mark{stores.MarkBy("bob", s.id("3")), stores.MarkBy("carol", s.id("elsewhere")), stores.MarkBy("cem", s.id("3"))}
			marked, _, err := s.store.Advance(ctx, marks, delivery.Lease{})
			if err == nil && (!marked[1].Changed || !marked[2].Changed) {
				s.Errorf("%+v", marked)
			}
			return err
		},
		"a mark beside one of the user's in the conversation": func(ctx context.Context, s privateScene) error {
			marked, _, err := s.store.Advance(ctx, []delivery.Mark{stores.MarkBy("bob", s.id("3")), stores.MarkBy("cem", s.id("3"))}, delivery.Lease{})
			if err == nil && !marked[1].Changed {
				s.Errorf("%+v", marked)
			}
			return err
		},
	}, func(s privateScene, call call) {
		tx := stores.Begin(s.T, s.db)
		_, err := s.tracker.MarkTx(s.Context(), tx, hiddenBob, delivery.Read, s.id("3"))
		s.must(err)
		s.within("the call", func(ctx context.Context) error { return call(ctx, s) })
		s.must(tx.Commit())
		if unread, err := s.tracker.Unread(s.Context(), hiddenBob, s.conversation); err != nil || unread[0].Count > 1 {
			s.Errorf("bob has unread %+v, %v", unread, err)
		}
	})
}
