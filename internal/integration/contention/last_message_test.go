package contention

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// eachKind runs test on one engine of each kind.
func eachKind(t *testing.T, test func(t *testing.T, e engines.Engine)) {
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL, engines.SQLite} {
		e := engines.First(kind)
		t.Run(e.Name, func(t *testing.T) { test(t, e) })
	}
}

// A claim of an event whose message somebody is deleting waits for nobody.
func TestAClaimDoesNotWaitForADeletion(t *testing.T) {
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL} {
		e := engines.First(kind)
		t.Run(e.Name, func(t *testing.T) {
			db, store := stores.Migrated(t, e)
			for _, id := range []string{"gone", "stays"} {
				message := delivery.NewMessage{Header: delivery.Header{ID: id, Conversation: "c", Sender: "ann", Open: true, Quorum: 1, SentAt: time.Now()}, Body: "secret", EventBody: true}
				if _, _, err := store.Create(t.Context(), []delivery.NewMessage{message}, delivery.Lease{}); err != nil {
					t.Fatal(err)
				}
			}
			tx := stores.Begin(t, db)
			if _, _, err := store.InTx(tx).(delivery.Keeper).Delete(t.Context(), deletionsOf("gone"), delivery.Lease{}); err != nil {
				t.Fatal(err)
			}
			ctx := patient(t)
			claim := func(token int64) string {
				t.Helper()
				var bodies []string
				claimed, err := store.Claim(ctx, 10, delivery.Lease{Token: token, For: time.Hour})
				for _, c := range claimed {
					bodies = append(bodies, fmt.Sprintf("%s %q", c.Event.Updates[0].Message, c.Event.Updates[0].Body))
					_, err2 := store.Settle(ctx, []delivery.Settlement{{ID: c.Event.ID, Lease: token, Outcome: delivery.SettleRelease}})
					if err == nil {
						err = err2
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(bodies)
				return strings.Join(bodies, ", ")
			}
			if got, want := claim(1), `gone "secret", stays "secret"`; got != want {
				t.Errorf("before the commit: %s, want %s", got, want)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if got, want := claim(2), `gone "", gone "", stays "secret"`; got != want {
				t.Errorf("after it: %s, want %s", got, want)
			}
		})
	}
}
