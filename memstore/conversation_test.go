package memstore

import (
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

func TestReadersLeavePlacesAndStrangersDoNot(t *testing.T) {
	store := New()
	for _, id := range []string{"1", "2", "3", "4", "5"} { // named by their seqs
		m := delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "c", Sender: "alice"}, Roster: "bob", Members: []string{"bob"}}
		if _, _, err := store.Create(t.Context(), []delivery.NewMessage{m}, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"bob", "alice", "mallory"} {
		upTo := delivery.UpTo{Conversation: "c", Message: "4", User: user, Status: delivery.Read, At: time.Now(), Admitted: true}
		if _, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upTo}, 100, delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
	}
	places := store.conversations["c"].places
	for _, user := range []string{"bob", "alice"} {
		if want := (place{delivery.Delivered: 4, delivery.Read: 4}); places[user] != want {
			t.Errorf("%s's place is %v, want %v", user, places[user], want)
		}
	}
	if len(places) != 2 {
		t.Errorf("there are places of %d users, want 2", len(places))
	}
}
