// Package hourly counts messages as [delivery.Hour] says, for every store alike.
package hourly

import (
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// Add counts a message in an hour. Of its fields it needs Deleted, Open, Total, SentAt and those of
// its tally but the version.
func Add(h *delivery.Hour, m delivery.Message) {
	if m.Deleted {
		h.Deleted++
		return
	}
	h.Messages.Sent++
	if !m.Open {
		h.Recipients.Sent += m.Total
		h.Recipients.Delivered += m.Delivered
		h.Recipients.Read += m.Read
	}
	if m.Status >= delivery.Delivered {
		h.Messages.Delivered++
		count(&h.ToDelivered, m.SentAt, m.DeliveredAt)
	}
	if m.Status >= delivery.Read {
		h.Messages.Read++
		count(&h.ToRead, m.SentAt, m.ReadAt)
	}
}

// count counts a time, unless its end is not known.
func count(l *delivery.Latencies, from, to time.Time) {
	if !to.IsZero() {
		at, _ := slices.BinarySearch(delivery.LatencyBounds[:], to.Sub(from))
		l[at]++
	}
}

// Stays reports whether an older count of an hour is better than a newer one: whether messages or
// times are gone that the older one still saw. A deletion takes one message, with one time of each.
func Stays(older, newer delivery.Hour) bool {
	deleted := newer.Deleted - older.Deleted
	return older.Messages.Sent-newer.Messages.Sent > deleted ||
		sum(older.ToDelivered)-sum(newer.ToDelivered) > deleted || sum(older.ToRead)-sum(newer.ToRead) > deleted
}

func sum(l delivery.Latencies) (n int) {
	for _, count := range l {
		n += count
	}
	return n
}
