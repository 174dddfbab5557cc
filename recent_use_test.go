package delivery_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// A process remembers headers of messages, which saves a round trip: for a mark of an open message
// the app's rule is asked before the first try.
func TestStrangersPushNoHeadersOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 20 * delivery.MaxBatch
		store := &tallyStore{Store: memstore.New()}
		tracker := newTracker(t, store, new(endpoint), &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) { return true, nil }})
		if _, err := tracker.Send(t.Context(), delivery.Draft{ID: "own", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for i := range many {
			ids = append(ids, fmt.Sprint("m", i))
			message := delivery.NewMessage{Header: delivery.Header{ID: ids[i], Conversation: "c", Sender: "alice"}, Roster: "nobody", Members: []string{}}
			if _, _, err := store.Store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
		}
		for some := range slices.Chunk(ids, delivery.MaxBatch) {
			if found, err := tracker.Load(t.Context(), some...); err != nil || len(found) != len(some) {
				t.Fatalf("%d found, %v", len(found), err)
			}
			results, err := tracker.Mark(t.Context(), mal, delivery.Read, some...)
			if err != nil || results[0].Err != delivery.ErrNotRecipient {
				t.Fatalf("%+v, %v", results[0], err)
			}
		}
		store.writes = 0
		if results, err := tracker.Mark(t.Context(), bob, delivery.Read, "own"); err != nil || !results[0].Changed || store.writes > 1 {
			t.Errorf("%+v, %v, after %d writes", results, err, store.writes)
		}
	})
}
