package memstore

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

func TestTheEventThatIsDueLongestIsClaimed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var o outbox
	ready := map[int64]time.Duration{} // when each of those that wait is due
	var held []int64                   // those that were claimed, and not settled since
	lease := delivery.Lease{Token: 1, For: 50}
	whole := &delivery.Event{}
	for now := time.Duration(1); now < 20_000; now++ {
		switch id := int64(now); random.IntN(5) {
		case 0:
			o.add(id, news{whole: whole}, delivery.Lease{}, now)
			ready[id] = now
		case 1:
			o.add(id, news{whole: whole}, lease, now)
			ready[id], held = now+lease.For, append(held, id)
		case 2:
			want := int64(0)
			for id, at := range ready {
				if at <= now && (want == 0 || at < ready[want] || at == ready[want] && id < want) {
					want = id
				}
			}
			claimed, ok := o.claim(lease, now)
			if ok != (want != 0) || claimed.Event.ID != want {
				t.Fatalf("claimed %d, %v, want %d", claimed.Event.ID, ok, want)
			}
			if ok {
				ready[want] = now + lease.For
			}
			if ok && !slices.Contains(held, want) { // whose lease has not run out
				held = append(held, want)
			}
		default:
			if len(held) == 0 {
				continue
			}
			i := random.IntN(len(held))
			s := delivery.Settlement{ID: held[i], Lease: lease.Token, Outcome: delivery.Done}
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
			delete(ready, s.ID)
			switch random.IntN(4) {
			case 0:
				s.Outcome, s.After = delivery.Retry, time.Duration(random.IntN(20))
				ready[s.ID] = now + s.After
			case 1:
				s.Outcome = delivery.Bury
			}
			if !o.settle(&s, now) {
				t.Fatalf("event %d was not there to settle", s.ID)
			}
			if s.Outcome == delivery.Bury {
				s.Outcome = delivery.Requeue
				o.settle(&s, now)
				ready[s.ID] = now
			}
		}
		if got := len(o.waiting) - o.gone; got != len(ready) {
			t.Fatalf("%d events wait, want %d", got, len(ready))
		}
	}
}

func TestAnEventTellsOfItsOwnStep(t *testing.T) {
	store := filled(t, 1, false)
	claimAll(t, store)
	var marks [2]delivery.Receipt
	for i, status := range []delivery.Status{delivery.Delivered, delivery.Read} {
		mark := delivery.Mark{Message: "1", User: "bob", Status: status, At: time.Now().Add(time.Duration(i) * time.Second)}
		marked, _, err := store.AdvanceOne(t.Context(), mark, delivery.Lease{})
		if err != nil {
			t.Fatal(err)
		}
		marks[i] = marked.Receipt
	}
	for i, c := range claimAll(t, store) {
		if got := *c.Event.Updates[0].Receipt; got != marks[i] {
			t.Errorf("event %d tells of %+v, want %+v", i, got, marks[i])
		}
	}
}
