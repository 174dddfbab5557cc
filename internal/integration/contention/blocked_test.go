package contention

import (
	"context"
	"testing"
	"time"

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

// patient returns a context for calls that no lock may hold up. One that waits for a lock ends with
// an error after a time that no call needs on a busy machine.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	return ctx
}
