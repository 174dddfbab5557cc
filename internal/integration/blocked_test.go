package integration

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

// markUntilTried marks, again and again while the conversation is blocked, and counts how often it
// was.
func markUntilTried(ctx context.Context, store delivery.Store, m delivery.Mark) (marked delivery.Marked, blocked int, err error) {
	for {
		all, _, err := store.Advance(ctx, []delivery.Mark{m}, delivery.Lease{})
		if err != nil || !all[0].Blocked {
			return append(all, delivery.Marked{})[0], blocked, err
		}
		blocked++
	}
}
