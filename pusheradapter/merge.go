package pusheradapter

import (
	"slices"

	"github.com/msgdelivery/delivery"
)

// parcel is what is published as one: an event, or several that were joined.
type parcel struct {
	delivery.Event
	of []int // the events of the Notify that are in it, by index
}

// merge joins changes of status of one conversation where two may be joined, so that they take one
// trigger and not several. The events given stay as they are.
func merge(events []delivery.Event, may func(a, b delivery.Event) bool) []parcel {
	parcels := make([]parcel, 0, len(events))
	for i, e := range events {
		j := -1
		if e.Kind == delivery.StatusChanged {
			j = slices.IndexFunc(parcels, func(p parcel) bool {
				return p.Kind == e.Kind && p.Conversation == e.Conversation && may(p.Event, e)
			})
		}
		if j < 0 {
			e.Updates = slices.Clip(e.Updates) // so that joining copies them
			parcels = append(parcels, parcel{e, []int{i}})
			continue
		}
		p := &parcels[j]
		p.To, p.Updates, p.of = e.To, append(p.Updates, e.Updates...), append(p.of, i)
	}
	return parcels
}

// never is for events that must come as they were committed.
func never(_, _ delivery.Event) bool { return false }

// consecutive reports whether an event on its conversation's channel can make one event with the
// one before it, as if they had been committed together: both exclude the same socket, and the
// versions go on. After a replayed event, whose updates have later versions, they do not: updates
// stand in order.
func consecutive(a, b delivery.Event) bool {
	return a.Except == b.Except && b.From == a.To+1 &&
		len(a.Updates) > 0 && a.Updates[len(a.Updates)-1].Version < b.From
}

// named is for events on the channels of authors, where no socket is excluded and no range of
// versions promised. One with an author who has no channel stays by itself, to be judged by itself.
func named(a, b delivery.Event) bool {
	nameless := func(u delivery.Update) bool { _, err := UserChannel(u.Sender); return err != nil }
	return !slices.ContainsFunc(a.Updates, nameless) && !slices.ContainsFunc(b.Updates, nameless)
}
