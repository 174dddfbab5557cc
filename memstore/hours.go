package memstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/hourly"
)

var _ delivery.HourStore = (*Store)(nil)

// CountHour does nothing: Hours counts the messages that are there when it is called.
func (s *Store) CountHour(ctx context.Context) (counted bool, err error) { return false, ctx.Err() }

// Hours counts the messages of each hour, as [delivery.HourStore] says. Hours without messages are
// left out.
func (s *Store) Hours(ctx context.Context, from time.Time, limit int) ([]delivery.Hour, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	byStart := map[time.Time]delivery.Hour{}
	for _, m := range s.messages {
		start := m.stored.UTC().Truncate(time.Hour)
		if m.imported() || start.Before(from) {
			continue
		}
		h := byStart[start]
		hourly.Add(&h, m.public())
		byStart[start] = h
	}
	var hours []delivery.Hour
	for start, h := range byStart {
		h.Start, h.AsOf = start, precise(time.Now())
		hours = append(hours, h)
	}
	slices.SortFunc(hours, func(a, b delivery.Hour) int { return cmp.Compare(a.Start.Unix(), b.Start.Unix()) })
	return hours[:min(limit, len(hours))], nil
}
