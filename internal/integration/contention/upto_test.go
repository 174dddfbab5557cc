package contention

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// A user's up-to mark looks for what there is to do while a single mark of the same user makes the
// receipt of the named message. Whichever comes first, the up-to mark's answer has that receipt:
// without one, the caller would be told that the user is no recipient.
func TestAnUpToMarkAnswersWithTheReceiptThatAMarkBesideItMakes(t *testing.T) {
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		_, store := stores.Migrated(t, e)
		for i := range 100 {
			conversation, id := fmt.Sprint("c", i), fmt.Sprint("m", i)
			openMessage(t, store, conversation, id)
			var callers sync.WaitGroup
			callers.Go(func() {
				if _, _, err := store.Advance(t.Context(), []delivery.Mark{stores.MarkBy("bob", id)}, delivery.Lease{}); err != nil {
					t.Error(err)
				}
			})
			callers.Go(func() {
				time.Sleep(time.Duration(i%30) * 50 * time.Microsecond)
				marked, _, err := store.AdvanceUpTo(t.Context(), []delivery.UpTo{upToBy("bob", conversation, id)}, 10, delivery.Lease{})
				if err != nil || !marked[0].Blocked && marked[0].Receipt.Status != delivery.Delivered {
					t.Errorf("%+v, %v", marked, err)
				}
			})
			callers.Wait()
		}
	})
}
