package contention

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// Two operators replay dead letters at the same moment, or one discards what another replays: each
// is back in the outbox or gone, once, and none of the calls fails.
func TestDeadLettersMayBeSettledByTwoAtOnce(t *testing.T) {
	const rounds = 10
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		db.SetMaxIdleConns(4)
		tracker := stores.Tracker(t, store)
		settle := func(settlements []delivery.Settlement) (held int) {
			held, err := store.Settle(t.Context(), settlements)
			if err != nil {
				t.Errorf("Settle returned %v", err)
			}
			return held
		}
		for round := range rounds {
			for i := range 3 {
				send(t, tracker, delivery.Draft{Conversation: fmt.Sprint(round, " ", i), Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
			}
			claimed, err := store.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: time.Minute})
			if err != nil || len(claimed) != 3 {
				t.Fatalf("claimed %d, %v", len(claimed), err)
			}
			var bury, requeue []delivery.Settlement
			for _, c := range claimed {
				bury = append(bury, delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.SettleBury})
				requeue = append(requeue, delivery.Settlement{ID: c.Event.ID, Outcome: delivery.SettleRequeue, Event: c.Event})
			}
			settle(bury)
			others := slices.Clone(requeue[1:])
			if round%2 == 1 {
				for i := range others {
					others[i] = delivery.Settlement{ID: others[i].ID, Outcome: delivery.SettleDiscard}
				}
			}
			var wg sync.WaitGroup
			var held [2]int
			for i, settlements := range [][]delivery.Settlement{requeue[:2], others} {
				wg.Go(func() { held[i] = settle(settlements) })
			}
			wg.Wait()
			claimed, err = store.Claim(t.Context(), 10, delivery.Lease{Token: 2, For: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			dead, err := store.Dead(t.Context(), 0, 10)
			if err != nil || len(dead) > 0 {
				t.Fatalf("dead letters: %+v, %v", dead, err)
			}
			want := 3
			if round%2 == 1 {
				want = held[0]
			}
			if held[0]+held[1] != 3 || len(claimed) != want {
				t.Errorf("round %d: %v were settled, and %d are in the outbox, want %d", round, held, len(claimed), want)
			}
			for i := range claimed {
				settle([]delivery.Settlement{{ID: claimed[i].Event.ID, Lease: claimed[i].Lease, Outcome: delivery.SettleDone}})
			}
		}
	})
}
