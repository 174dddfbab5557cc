package pusheradapter

import (
	"cmp"
	"context"
	"slices"

	"github.com/msgdelivery/delivery"
)

// encodeForAuthors publishes a change of status on the channel of each author of its messages, and
// everything else as [EncodePrivate] does.
//
// Nobody is excluded: who marks a message is not its author, so no socket of theirs is on the
// channel, and an id that is another's could only hide the change from the author. Nor is a range
// of versions covered, since what lies between the updates of one author goes to others.
//
// An author whose id makes no channel's name is passed over, so as not to keep the event from the
// others; if it has no others, it is refused. An erased author has no devices to tell.
func encodeForAuthors(ctx context.Context, event delivery.Event) ([]Trigger, error) {
	if event.Kind != delivery.StatusChanged || len(event.Updates) == 0 {
		return EncodePrivate(ctx, event)
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
