package deliverywire

import "github.com/msgdelivery/delivery"

// CatchUp returns the events that bring a client to the version of a page, in order. The page is
// what [delivery.Tracker.Changes] returned for a cursor whose version is the parameter from. The
// page must not be a Reset, and must have the client's epoch. The events cover the versions after
// the cursor's, up to that of the page. There are none if nothing changed.
//
// The parameter held is the version that the client had before it began to catch up, and is the
// same for all pages. For the first page it equals the parameter from, and for later ones it is
// lower. A message that was sent after held is in an event of the kind message, with its body, and
// one that was deleted in an event of the kind deleted. All others are in events of the kind
// status. If messages of the conversation were ever pruned, the last event is of the kind pruned.
// The updates have the present state of each message, and not who changed it. If the page comes
// from [delivery.Tracker.ChangesFor], the updates also have the receipts of the client's own user,
// so that a device learns what the user's other devices have marked. They have no other receipts.
func CatchUp(conversation string, held, from int64, page delivery.Page) []delivery.Event {
	var events []delivery.Event
	since := from
	for _, m := range page.Messages {
		kind, body := delivery.StatusChanged, ""
		switch {
		case m.Deleted:
			kind = delivery.MessageDeleted
		case m.Seq > held:
			kind, body = delivery.MessageSent, m.Body
		}
		if n := len(events); n == 0 || events[n-1].Kind != kind {
			events = append(events, delivery.Event{Kind: kind, Conversation: conversation, From: from + 1})
		}
		last := &events[len(events)-1]
		last.To, from = m.Version, m.Version
		last.Updates = append(last.Updates, delivery.Update{
			Message: m.ID, Sender: m.Sender, Version: m.Version,
			Status: m.Status, Delivered: m.Delivered, Read: m.Read, Failed: m.Failed, Total: m.Total, Readers: m.Readers, Body: body,
			Receipt: (*delivery.Receipt)(m.Own),
		})
	}
	if n := len(events); n > 0 {
		events[n-1].To = page.Version
	}
	if page.Floor > 0 && page.Version > since && !page.More {
		events = append(events, delivery.Event{
			Kind: delivery.Pruned, Conversation: conversation, From: min(from+1, page.Version), To: page.Version,
			Updates: []delivery.Update{{Version: page.Version, Floor: page.Floor}},
		})
	}
	return events
}
