package contention

import (
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A relay settles the events of others while a caller's transaction erases a user, whatever the
// user's name. An event that has the name is settled too late, and keeps no other from being
// settled in time.
func TestAnErasureThatIsNotCommittedKeepsNoEventOfOthersFromBeingSettled(t *testing.T) {
	for _, test := range []struct {
		name    string
		user    string
		outcome delivery.Outcome
		settled int
	}{
		{"no event has the name", "иван", delivery.SettleDone, 2},
		{"one event has the name", "bob", delivery.SettleDone, 1},
		{"one event that fails has the name", "bob", delivery.SettleRetry, 1},
		{"one event that is refused has the name", "bob", delivery.SettleBury, 1},
	} {
		for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL} {
			e := engines.First(kind)
			t.Run(test.name+", "+e.Name, func(t *testing.T) {
				db, store := stores.Migrated(t, e)
				for _, sender := range []string{"ann", "bob"} {
					sendTo(t.Context(), t, store, frozen("by "+sender, "of "+sender, sender, "them", "cem"))
				}
				claimed, err := store.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: time.Hour})
				if err != nil || len(claimed) != 2 {
					t.Fatalf("%+v, %v", claimed, err)
				}
				tx := stores.Begin(t, db)
				if _, err := store.InTx(tx).(delivery.Keeper).Erase(t.Context(), test.user, 10); err != nil {
					t.Fatal(err)
				}
				ctx := patient(t)
				settlements := make([]delivery.Settlement, len(claimed))
				for i, c := range claimed {
					settlements[i] = delivery.Settlement{ID: c.Event.ID, Lease: 1, Outcome: test.outcome}
				}
				if settled, err := store.Settle(ctx, settlements); err != nil || settled != test.settled {
					t.Errorf("%d of 2 were settled, want %d: %v", settled, test.settled, err)
				}
			})
		}
	}
}
