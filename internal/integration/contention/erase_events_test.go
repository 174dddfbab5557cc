package contention

import (
	"context"
	"database/sql"
	"errors"
	"strings"
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

// blind is a transaction in which nobody can look for events.
type blind struct{ *sql.Tx }

var errBlind = errors.New("no look at events")

func (b blind) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if strings.Contains(text, "payload LIKE") {
		return nil, errBlind
	}
	return b.Tx.QueryContext(ctx, text, args...)
}

func TestNothingFollowsAnErasureThatFailedInATransaction(t *testing.T) {
	stores.Each(t, func(t *testing.T, e engines.Engine) {
		db, store := stores.Migrated(t, e)
		sendTo(t.Context(), t, store, frozen("m", "c", "ann", "them", "bob"))
		tx := stores.Begin(t, db)
		within := store.InTx(blind{tx})
		if _, err := within.(delivery.Keeper).Erase(t.Context(), "bob", 10); !errors.Is(err, errBlind) {
			t.Fatalf("the erasure: %v", err)
		}
		if _, _, err := within.Create(t.Context(), frozen("m2", "c", "ann", "them", "bob"), delivery.Lease{}); err == nil {
			t.Error("a send after it is stored")
		}
	})
}
