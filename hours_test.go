package delivery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// dueHours is a store in which some hours are due.
type dueHours struct {
	delivery.Store
	due   int
	err   error // once none is due
	from  time.Time
	limit int
}

func (d *dueHours) CountHour(context.Context) (bool, error) {
	d.due--
	return d.due >= 0, d.err
}

func (d *dueHours) Hours(_ context.Context, from time.Time, limit int) ([]delivery.Hour, error) {
	d.from, d.limit = from, limit
	return []delivery.Hour{{Deleted: 1}}, d.err
}

func TestCountHours(t *testing.T) {
	over := func(store delivery.Store) *delivery.Tracker {
		tracker, err := delivery.New(store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil }), &delivery.Options{OpenConversations: true})
		if err != nil {
			t.Fatal(err)
		}
		return tracker
	}
	t.Run("counts every hour that is due", func(t *testing.T) {
		if n, err := over(&dueHours{Store: memstore.New(), due: 3}).CountHours(t.Context()); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
	t.Run("ends at an error", func(t *testing.T) {
		store := &dueHours{Store: memstore.New(), due: 3, err: delivery.ErrUnavailable}
		if n, err := over(store).CountHours(t.Context()); n != 0 || !errors.Is(err, delivery.ErrUnavailable) || store.due != 2 {
			t.Errorf("%d, %v, after which %d are due", n, err, store.due)
		}
	})
	t.Run("hours come as the store has them", func(t *testing.T) {
		store := &dueHours{Store: memstore.New()}
		hours, err := over(store).Hours(t.Context(), time.Unix(1, 0))
		if len(hours) != 1 || err != nil || !store.from.Equal(time.Unix(1, 0)) || store.limit != delivery.MaxBatch {
			t.Errorf("%v, %v of %+v", hours, err, store)
		}
	})
	t.Run("other stores cannot count", func(t *testing.T) {
		tracker := over(struct{ delivery.Store }{memstore.New()})
		_, err := tracker.Hours(t.Context(), time.Time{})
		if n, counting := tracker.CountHours(t.Context()); n != 0 || !errors.Is(counting, errors.ErrUnsupported) || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%d, %v, %v", n, counting, err)
		}
	})
}
