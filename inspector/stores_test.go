package inspector_test

import (
	"context"
	"fmt"

	"github.com/msgdelivery/delivery"
)

// takesOwn is a notifier of another process, which takes events for one user's devices, and refuses
// them for a reason that names the user.
type takesOwn struct{}

func (takesOwn) TakesOwn() bool { return true }
func (takesOwn) Notify(_ context.Context, events []delivery.Event) error {
	refused := map[int]error{}
	for i, e := range events {
		refused[i] = delivery.Permanent(fmt.Errorf("%s has no channel", e.User))
	}
	return delivery.Refused(refused)
}

// unreadable is a store whose dead letters cannot be decoded.
type unreadable struct{ delivery.Store }

func (u unreadable) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	dead, err := u.Store.Dead(ctx, after, limit)
	for i := range dead {
		dead[i].Event = delivery.Event{ID: dead[i].Event.ID}
	}
	return dead, err
}

// away is a store that can be away.
type away struct {
	delivery.Store
	err error
}

func (a *away) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.Store.Dead(ctx, after, limit)
}

func (a *away) Settle(ctx context.Context, s []delivery.Settlement) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	return a.Store.Settle(ctx, s)
}

func (a *away) Backlog(ctx context.Context) (delivery.Backlog, error) {
	if a.err != nil {
		return delivery.Backlog{}, a.err
	}
	return a.Store.Backlog(ctx)
}

func (a *away) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	if a.err != nil {
		return nil, a.err
	}
	return a.Store.Load(ctx, ids)
}
