package memstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

func TestLeasesRunOnFakeTimeInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		message := delivery.NewMessage{Header: delivery.Header{ID: "m", Conversation: "c", Sender: "alice", Total: 1, Quorum: 1}, Recipients: []string{"bob"}}
		if _, born, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{Token: 1, For: time.Hour}); err != nil || len(born) != 1 {
			t.Fatalf("Create returned %v, %v; want one event under the lease", born, err)
		}
		for _, step := range []struct {
			pass time.Duration
			want int
		}{{time.Hour - 1, 0}, {1, 1}, {0, 0}} {
			time.Sleep(step.pass)
			claimed, err := store.Claim(t.Context(), 10, delivery.Lease{Token: 2, For: time.Minute})
			if err != nil || len(claimed) != step.want {
				t.Errorf("%v later Claim returned %v, %v; want %d events", step.pass, claimed, err, step.want)
			}
		}
	})
}

func TestACursorOfAnotherProcessIsReset(t *testing.T) {
	var cursor delivery.Cursor
	for _, reset := range []bool{false, true} { // the same happens in two processes, one after the other
		tracker, err := delivery.New(memstore.New(), new(deliverytest.Recorder), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice"}); err != nil {
			t.Fatal(err)
		}
		page, err := tracker.Changes(t.Context(), "c", cursor, 0)
		if err != nil || page.Reset != reset {
			t.Errorf("after %+v: %+v, %v; want a reset: %t", cursor, page, err, reset)
		}
		cursor = page.Cursor
	}
}

func TestStoreKeepsTheContract(t *testing.T) {
	deliverytest.TestStore(t, func(*testing.T) delivery.Store { return memstore.New() })
}
