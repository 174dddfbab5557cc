package pusheradapter

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/msgdelivery/delivery"
)

// readers returns, of each change of status, what the readers' own channels get, since nothing of
// it is on the conversation's. A reader's other devices so learn what the reader has read; the
// socket that made the mark is excluded. The events have the reader as [delivery.Event.User], and
// cover no range of versions.
func readers(events []delivery.Event) (parcels []parcel) {
	for i, event := range events {
		if event.Kind != delivery.StatusChanged {
			continue
		}
		of := make(map[string][]delivery.Update)
		for _, u := range event.Updates {
			if r := u.Receipt; r != nil && r.Recipient != "" && r.Failure == "" {
				of[r.Recipient] = append(of[r.Recipient], u)
			}
		}
		event.From, event.To = 0, 0
		for _, reader := range slices.Sorted(maps.Keys(of)) {
			event.User, event.Updates = reader, of[reader]
			parcels = append(parcels, parcel{event, []int{i}})
		}
	}
	return parcels
}

// encodeForAuthors publishes a change of status on the channel of each author of its messages, or
// on that of the event's User, and everything else as [EncodePrivate] does.
//
// On the authors' channels nobody is excluded: who marks a message is not its author, so no socket
// of theirs is on the channel, and an id that is another's could only hide the change from the
// author. Nor is a range of versions covered, since what lies between the updates of one author
// goes to others.
//
// An author whose id makes no channel's name is passed over, so as not to keep the event from the
// others; if it has no others, it is refused. An erased author has no devices to tell.
func encodeForAuthors(ctx context.Context, event delivery.Event) ([]Trigger, error) {
	if event.Kind != delivery.StatusChanged || len(event.Updates) == 0 {
		return EncodePrivate(ctx, event)
	}
	if event.User != "" {
		channel, err := UserChannel(event.User)
		if err != nil {
			return nil, nil // as in EncodePrivate
		}
		return encode(channel, event)
	}
	updates := slices.Clone(event.Updates)
	slices.SortStableFunc(updates, func(a, b delivery.Update) int {
		return cmp.Or(cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Version, b.Version))
	})
	event.Except, event.From, event.To = "", 0, 0
	var triggers []Trigger
	var nameless error
	for len(updates) > 0 {
		author, n := updates[0].Sender, len(updates)
		if i := slices.IndexFunc(updates, func(u delivery.Update) bool { return u.Sender != author }); i > 0 {
			n = i
		}
		event.Updates, updates = updates[:n], updates[n:]
		if author == "" {
			continue
		}
		channel, err := UserChannel(author)
		if err != nil {
			nameless = delivery.Permanent(err)
			continue
		}
		encoded, err := encode(channel, event)
		if err != nil {
			return nil, err
		}
		triggers = append(triggers, encoded...)
	}
	if len(triggers) == 0 {
		return nil, nameless
	}
	return triggers, nil
}
