package contention

import (
	"context"

	"github.com/msgdelivery/delivery"
)

// createUntilTried stores a message, again and again while its conversation is blocked.
func createUntilTried(ctx context.Context, store delivery.Store, m delivery.NewMessage, lease ...delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	for {
		created, claimed, err := store.Create(ctx, []delivery.NewMessage{m}, append(lease, delivery.Lease{})[0])
		if err != nil || !created[0].Blocked {
			return created, claimed, err
		}
	}
}
