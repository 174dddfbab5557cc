// Package clone copies what crosses the border of a store or a notifier, so that neither side
// sees the other's later changes.
package clone

import (
	"slices"

	"github.com/msgdelivery/delivery"
)

// Event returns a copy of the event that shares no memory with it.
func Event(event delivery.Event) delivery.Event {
	event.Trace = slices.Clone(event.Trace)
	event.Updates = slices.Clone(event.Updates)
	var receipts []delivery.Receipt // one allocation for all
	for i := range event.Updates {
		if own := event.Updates[i].Own; own != nil {
			copied := *own
			event.Updates[i].Own = &copied
		}
		receipt := event.Updates[i].Receipt
		if receipt == nil {
			continue
		}
		if receipts == nil {
			receipts = make([]delivery.Receipt, 0, len(event.Updates)-i)
		}
		receipts = append(receipts, *receipt)
		event.Updates[i].Receipt = &receipts[len(receipts)-1]
	}
	return event
}

// Events returns copies of the events that share no memory with them.
func Events(events []delivery.Event) []delivery.Event {
	copies := make([]delivery.Event, len(events))
	for i, event := range events {
		copies[i] = Event(event)
	}
	return copies
}
