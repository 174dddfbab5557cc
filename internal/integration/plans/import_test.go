//go:build !race && !sqlite2

package plans

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

// imports imports three messages with receipts of all kinds: with a time and without, and of
// readers who have read all that there is and others. The first is the first of its roster.
func (v visit) imports(ctx context.Context, conversation string) error {
	items := make([]delivery.NewImport, 3)
	for i := range items {
		items[i].NewMessage = v.draft(fmt.Sprint(conversation, " ", i, " "), conversation)
		items[i].SentAt = time.Now()
		if v.messages == 0 { // nobody marks either
			continue
		}
		items[i].Receipts = []delivery.ImportReceipt{{Recipient: "bob", Status: delivery.Read}}
		if i == 1 {
			items[i].Receipts = append(items[i].Receipts, delivery.ImportReceipt{Recipient: "cem", Status: delivery.Delivered, DeliveredAt: time.Now()})
		}
	}
	store := v.Store.(delivery.ImportStore)
	outcomes, err := store.Import(ctx, items[:1])
	if err == nil {
		outcomes, err = store.Import(ctx, items[1:])
	}
	if errors.Is(err, errors.ErrUnsupported) { // in a transaction
		return nil
	}
	want := delivery.ImportStored
	if conversation == v.conversation() {
		want = delivery.ImportConflict
	}
	if err == nil && outcomes[1] != want && !v.idle { // or else c0 may be empty
		err = fmt.Errorf("the outcomes are %v", outcomes)
	}
	return err
}
