package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Hour says what has become of the messages that were stored in one hour of the clock. It counts
// what others may see, and so no untracked recipients and no private marks.
type Hour struct {
	Start, AsOf time.Time // its beginning, and when it was counted: by the store's clock, in UTC
	Messages    Funnel    // without the deleted ones
	Deleted     int       // messages
	Recipients  Funnel    // of the messages that are not open

	ToDelivered, ToRead Latencies // of the messages, from their SentAt on
}

// Funnel counts messages or recipients: all of them, those that were at least delivered, and those
// that were read.
type Funnel struct{ Sent, Delivered, Read int }

// Latencies is a histogram. Latencies[i] counts the durations that are at most LatencyBounds[i] and
// more than LatencyBounds[i-1]. The last number counts the durations above all bounds.
type Latencies [10]int

// LatencyBounds are the bounds of [Latencies].
var LatencyBounds = [len(Latencies{}) - 1]time.Duration{
	time.Second, 5 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 8 * time.Hour, 24 * time.Hour,
}

// CountHours counts what has become of the messages of the last 7 days, the newest hours first, and
// returns the number of hours counted. An app that shows [Tracker.Hours], or the funnel of package
// inspector, calls it about once a minute, in any number of processes. An hour that began less than
// 2 hours ago is counted again each minute, or less often if counting takes long. An older hour is
// counted again when its age has doubled since the last count. No send or mark waits for
// CountHours: it reads a few thousand messages at a time, and pauses in between. If CountHours
// returns an error, a further call goes on from there.
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

// Hours returns counted hours in order: those whose Start is not before the parameter from, at most
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
	// there was one. An hour that was never counted is due at once if it is the current one, or if
	// it began in the last 7 days and has messages. Hours are due again as [Tracker.CountHours]
	// says. No two calls count the same hour at the same time. If messages of the hour were pruned
	// or compacted since, the older result is kept. A store whose Hours method counts on demand
	// needs to do nothing here.
	CountHour(ctx context.Context) (counted bool, err error)

	// Hours returns counted hours in order: those whose Start is not before the parameter from, at
	// most limit of them.
	Hours(ctx context.Context, from time.Time, limit int) ([]Hour, error)
}

func hourStoreOf(store Store) (HourStore, error) {
	if s, ok := store.(HourStore); ok {
		return s, nil
	}
	return nil, fmt.Errorf("delivery: %T is no HourStore: %w", store, errors.ErrUnsupported)
}
