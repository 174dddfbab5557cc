package contract

import (
	"errors"
	"fmt"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Messages may be deleted by hand while no process of the app runs.
func TestMessagesMayBeDeletedWhileNothingRuns(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		start := func() *delivery.Tracker {
			tracker, err := delivery.New(store, new(deliverytest.Recorder), &delivery.Options{OpenConversations: true})
			if err != nil {
				t.Fatal(err)
			}
			return tracker
		}
		send := func(tracker *delivery.Tracker, conversation, id string) delivery.Message {
			t.Helper()
			m, err := tracker.Send(t.Context(), delivery.Draft{
				ID: id, Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		markUpTo := func(tracker *delivery.Tracker, user, conversation, id string) (delivery.UpToResult, error) {
			return tracker.MarkUpTo(t.Context(), delivery.Actor{User: user}, delivery.Read, delivery.MessageRef{Conversation: conversation, ID: id})
		}

		before := start()
		for _, conversation := range []string{"some", "all"} { // of its messages will be deleted
			for i := range 4 {
				send(before, conversation, fmt.Sprint(conversation, i))
			}
			if _, err := markUpTo(before, "bob", conversation, conversation+"2"); err != nil {
				t.Fatal(err)
			}
		}
		if err := before.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}

		for _, where := range []string{
			"conv = (SELECT conv FROM delivery_conversations WHERE id = 'all')",
			"conv = (SELECT conv FROM delivery_conversations WHERE id = 'some') AND seq IN (2, 4)",
		} {
			for _, table := range []string{"delivery_receipts", "delivery_states", "delivery_messages"} {
				if _, err := db.Exec("DELETE FROM " + table + " WHERE " + where); err != nil {
					t.Fatal(err)
				}
			}
		}

		after := start()
		for conversation, left := range map[string]int{"some": 2, "all": 0} {
			page, err := after.Changes(t.Context(), conversation, delivery.Cursor{}, 0)
			if err != nil || len(page.Messages) != left || page.Version != 7 {
				t.Errorf("%s has %d messages at version %d, %v", conversation, len(page.Messages), page.Version, err)
			}
			if _, err := markUpTo(after, "carol", conversation, conversation+"3"); !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("an up-to mark of a message that was deleted: %v", err)
			}
			if _, err := after.MarkRead(t.Context(), delivery.Actor{User: "carol"}, conversation+"1"); !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("a mark of a message that was deleted: %v", err)
			}
			if m := send(after, conversation, conversation+" new"); m.Seq != 8 {
				t.Errorf("the next message of %s stands at %d", conversation, m.Seq)
			}
			pending, err := after.Unread(t.Context(), delivery.Actor{User: "carol"}, conversation)
			if err != nil || pending[0].Count != left+1 || pending[0].Newest.Seq != 8 {
				t.Errorf("carol has %+v pending in %s, %v", pending, conversation, err)
			}
			for _, unread := range []struct {
				user string
				want int
			}{{"bob", 1}, {"carol", left + 1}} {
				r, err := markUpTo(after, unread.user, conversation, conversation+" new")
				if err != nil || r.Changed != unread.want {
					t.Errorf("%s marks %+v in %s, %v; want %d", unread.user, r, conversation, err, unread.want)
				}
			}
			page, err = after.Changes(t.Context(), conversation, page.Cursor, 0)
			if err != nil || len(page.Messages) != left+1 || page.Messages[left].Status != delivery.Read {
				t.Errorf("the changes of %s are %+v, %v", conversation, page, err)
			}
		}
	})
}
