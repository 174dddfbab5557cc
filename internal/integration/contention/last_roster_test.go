//go:build !race

package contention

import (
	"fmt"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// One process deletes the last message to a set of recipients while another sends the next one to
// it, by its key where that is known. Whoever comes first, each message has its roster, and no
// roster is left without a message.
func TestARosterIsGoneWithItsLastMessageAndNeverBefore(t *testing.T) {
	const rounds = 1000
	eachKind(t, func(t *testing.T, e engines.Engine) {
		database := stores.Database(t, e)
		first, second := database.Open(t), database.Open(t)
		deleter, sender := stores.Open(t, e, first), stores.Open(t, e, second)
		ctx := patient(t)
		send := func(id string) error {
			for known := true; ; known = false { // guesses first that the roster is known
				m := frozen(id, "c", "ann", "them", "ann", "bob", "cem")
				if known {
					m[0].Members = nil
				}
				created, _, err := createUntilTried(ctx, sender, m[0])
				if err != nil || !created[0].NoRoster {
					return err
				}
			}
		}
		if err := send("m0"); err != nil {
			t.Fatal(err)
		}
		remade := 0
		for round := range rounds {
			done := make(chan error)
			go func() { done <- send(fmt.Sprint("m", round+1)) }()
			for blocked := true; blocked; {
				deleted, _, err := deleter.Delete(ctx, deletionsOf(fmt.Sprint("m", round)), delivery.Lease{})
				if err != nil {
					t.Fatal(err)
				}
				blocked = deleted[0].Blocked
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			id := fmt.Sprint("m", round+1)
			if receipts, err := stores.Receipts(ctx, sender, id); err != nil || len(receipts) != 2 {
				t.Fatalf("%s has %d recipients, %v", id, len(receipts), err)
			}
			if n := countRows(t, first, "delivery_rosters"); n != 1 {
				t.Fatalf("there are %d rosters after %s", n, id)
			}
			remade = countRows(t, first, "delivery_conversations WHERE drops > 0")
		}
		if _, _, err := deleter.Delete(ctx, deletionsOf(fmt.Sprint("m", rounds)), delivery.Lease{}); err != nil {
			t.Fatal(err)
		}
		if n := countRows(t, first, "delivery_rosters") + countRows(t, first, "delivery_members"); n != 0 || remade == 0 {
			t.Errorf("%d rosters and members are left; any was dropped before: %t", n, remade > 0)
		}
	})
}
