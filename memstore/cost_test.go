package memstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

// filled returns a store with n messages from alice to bob in conversation c, named by their seqs.
func filled(t testing.TB, n int, open bool) *Store {
	t.Helper()
	store := New()
	for i := range n {
		m := delivery.NewMessage{Header: delivery.Header{ID: fmt.Sprint(i + 1), Conversation: "c", Sender: "alice", Quorum: 1, Open: open}}
		if !open {
			m.Recipients, m.Total = []string{"bob"}, 1
		}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{m}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

func TestARepeatedMarkAllocatesItsResultOnly(t *testing.T) {
	store := filled(t, 1, false)
	marks := []delivery.Mark{{Message: "1", User: "bob", Status: delivery.Read, At: time.Now()}}
	allocs := testing.AllocsPerRun(100, func() {
		if _, _, err := store.Advance(t.Context(), marks, delivery.Lease{Token: 1, For: time.Minute}); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 {
		t.Errorf("a repeated mark made %v allocations, want 1", allocs)
	}
}

func TestChangesStayInProportionToTheMessages(t *testing.T) {
	const messages, marks = 10, 5000
	store := filled(t, messages, true)
	for i := range marks {
		mark := delivery.Mark{Message: fmt.Sprint(i%messages + 1), User: fmt.Sprint("user ", i), Status: delivery.Read, At: time.Now(), Admitted: true}
		if _, _, err := store.Advance(t.Context(), []delivery.Mark{mark}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(store.shardOf("c").conversations["c"].changes); got > 2*messages+8 {
		t.Errorf("%d changes are kept for %d messages", got, messages)
	}
	page, err := store.List(t.Context(), delivery.List{Conversation: "c", Changes: true, Limit: 100})
	if err != nil || len(page.Messages) != messages || page.Version != messages+marks {
		t.Fatalf("List returned %d messages at version %d and %v", len(page.Messages), page.Version, err)
	}
	for i, m := range page.Messages {
		if want := int64(marks + i + 1); m.Version != want {
			t.Errorf("change %d has version %d, want %d", i, m.Version, want)
		}
	}
}

func TestReadersLeavePlacesAndStrangersDoNot(t *testing.T) {
	store := filled(t, 5, false)
	for _, user := range []string{"bob", "alice", "mallory"} {
		upTo := delivery.UpTo{Conversation: "c", Message: "4", User: user, Status: delivery.Read, At: time.Now(), Admitted: true, Limit: 100}
		if _, _, err := store.AdvanceUpTo(t.Context(), upTo, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	places := store.shardOf("c").conversations["c"].places
	for _, user := range []string{"bob", "alice"} {
		if want := (place{delivery.Delivered: 4, delivery.Read: 4}); places[user] != want {
			t.Errorf("%s's place is %v, want %v", user, places[user], want)
		}
	}
	if len(places) != 2 {
		t.Errorf("there are places of %d users, want 2", len(places))
	}
}
