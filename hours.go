package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Hour says what has become of the messages that were stored within one hour, as far as others may
// see it. A recipient who was untracked, or marked a message privately, is not in it.
type Hour struct {
	Start, AsOf time.Time // its beginning, and when it was counted: by the store's clock, in UTC
	Messages    Funnel    // without the deleted ones
	Deleted     int       // messages
	Recipients  Funnel    // of the messages that are not open

	ToDelivered, ToRead Latencies // of the messages, from their SentAt on
}

// Funnel counts what was sent, what of it was delivered or read, and what was read.
type Funnel struct{ Sent, Delivered, Read int }

// Latencies counts times: each of its numbers those up to the bound of the same index in
// [LatencyBounds], and above the bound before it. The last number counts those above all bounds.
type Latencies [10]int

// LatencyBounds are the bounds of [Latencies].
var LatencyBounds = [len(Latencies{}) - 1]time.Duration{
	time.Second, 5 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 8 * time.Hour, 24 * time.Hour,
}

// CountHours counts what has become of the messages of the last 7 days, the newest hours first, and
// returns the number of hours counted. An app that shows [Tracker.Hours], or the funnel of
// package inspector, calls it about once a minute, in any number of processes. Hours that began
// less than 2 hours ago are counted each minute, or less often if that takes long, and older ones
// when their age has doubled. No send or mark waits for it: it reads a few thousand messages at a
// time, and pauses in between. If it returns an error, a further call goes on from there.
//
// It needs an [HourStore]; with any other store it returns [errors.ErrUnsupported].
func (t *Tracker) CountHours(ctx context.Context) (counted int, err error) {
	store, err := hourStoreOf(t.store)
	for more := true; more && err == nil; {
		if more, err = store.CountHour(ctx); more && err == nil {
			counted++
		}
	}
	return counted, err
}

// Hours returns the hours that began at from or later and have been counted, in order, and at most
// [MaxBatch] of them. It needs an [HourStore] as [Tracker.CountHours] does.
func (t *Tracker) Hours(ctx context.Context, from time.Time) ([]Hour, error) {
	store, err := hourStoreOf(t.store)
	if err != nil {
		return nil, err
	}
	return store.Hours(ctx, from, MaxBatch)
}

// HourStore is a [Store] that can count messages by the hour in which they were stored.
type HourStore interface {
	Store

	// CountHour counts the newest hour that is due, keeps the result for Hours, and reports whether
	// there was one. This hour is due at once, and so are those of the last 7 days that have
	// messages. They are due again as CountHours says. No two calls count the same hour at the same
	// time. If messages are gone without a tombstone, or their times are, an older result stays. A
	// store that counts in Hours has nothing to do here.
	CountHour(ctx context.Context) (counted bool, err error)

	// Hours returns up to limit hours that began at from or later and were counted, in order.
	Hours(ctx context.Context, from time.Time, limit int) ([]Hour, error)
}

func hourStoreOf(store Store) (HourStore, error) {
	if s, ok := store.(HourStore); ok {
		return s, nil
	}
	return nil, fmt.Errorf("delivery: %T is no HourStore: %w", store, errors.ErrUnsupported)
}
