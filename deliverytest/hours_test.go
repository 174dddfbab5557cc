package deliverytest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// sloppy is a store whose hours are spoiled.
type sloppy struct {
	*memstore.Store
	ask   func(*time.Time, *int)
	spoil func(*delivery.Hour)
}

func (m *sloppy) Hours(ctx context.Context, from time.Time, limit int) ([]delivery.Hour, error) {
	if m.ask != nil {
		m.ask(&from, &limit)
	}
	hours, err := m.Store.Hours(ctx, from, limit)
	for i := range hours {
		apply(m.spoil, &hours[i])
	}
	return hours, err
}

func TestStoresThatMiscountHoursFailByName(t *testing.T) {
	all := slices.Concat(hourCases, hourKeeperCases)
	for _, l := range []struct {
		name, rule string
		store      sloppy
	}{
		{"recipients of open messages count", "an hour counts", sloppy{spoil: func(h *delivery.Hour) { h.Recipients.Delivered++ }}},
		{"a message is missing", "an hour counts", sloppy{spoil: func(h *delivery.Hour) { h.Messages.Sent-- }}},
		{"it begins late", "an hour counts", sloppy{spoil: func(h *delivery.Hour) { h.Start = h.Start.Add(time.Minute) }}},
		{"it was counted before it began", "an hour counts", sloppy{spoil: func(h *delivery.Hour) { h.AsOf = h.Start.Add(-1) }}},
		{"a bound is exceeded", "times are counted", sloppy{spoil: func(h *delivery.Hour) { h.ToDelivered[4]++; h.ToDelivered[5]-- }}},
		{"times until read are those until delivered", "times are counted", sloppy{spoil: func(h *delivery.Hour) { h.ToRead = h.ToDelivered }}},
		{"it has no limit", "hours are returned", sloppy{ask: func(_ *time.Time, limit *int) { *limit = 10 }}},
		{"it returns all hours", "hours are returned", sloppy{ask: func(from *time.Time, _ *int) { *from = time.Time{} }}},
		{"deleted messages count", "a deleted message", sloppy{spoil: func(h *delivery.Hour) { h.Messages.Sent += h.Deleted }}},
		{"deleted messages are forgotten", "a deleted message", sloppy{spoil: func(h *delivery.Hour) { h.Deleted = 0 }}},
	} {
		t.Run(l.name, func(t *testing.T) {
			i := slices.IndexFunc(all, func(c storeCase) bool { return strings.HasPrefix(c.rule, l.rule) })
			synctest.Test(t, func(t *testing.T) {
				l.store.Store = memstore.New()
				try(t, func(tb testing.TB) { all[i].run(tb, &l.store, nil) }).mustFail(t, all[i].rule)
			})
		})
	}
}
