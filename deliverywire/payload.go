package deliverywire

import (
	"cmp"
	"time"

	"github.com/msgdelivery/delivery"
)

// Payload is the wire form of an event, or of a part of one. An absent field in JSON is an empty
// string, a zero, false or no time. Fields that are the same in all updates are in Shared only, so
// that the 1,000 receipts of a reader who catches up with one up-to mark take less than 70 KB. A
// browser gets whole updates by
//
//	const updates = data.updates.map(u => ({delivered: 0, read: 0, total: 0, hiding: 0, failed: 0, ...data.shared, ...u}))
//
// and a Go program by [Payload.Expand]. The package comment says what to do with them.
type Payload struct {
	Conversation string `json:"conversation"`

	// From and To are the range of versions that the payload covers, both inclusive. Both are 0 if
	// it covers none, as on the channel of an author (pusheradapter.Options.AuthorsOnly).
	From int64 `json:"from"`
	To   int64 `json:"to"`

	// Place is where the user stands after an "own" event, which is for that user's devices alone;
	// nil in all others. A device that knows a higher rev of the conversation ignores it.
	Place *delivery.Place `json:"place,omitempty"`

	// Shared holds the fields that are the same in all updates. The updates leave them out.
	Shared Update `json:"shared,omitzero"`

	// Updates are ordered by version. There is at least one.
	Updates []Update `json:"updates"`
}

// Update is the form that a [delivery.Update] has in a [Payload].
type Update struct {
	Message   string          `json:"message,omitempty"`
	Version   int64           `json:"version,omitempty"`
	Sender    string          `json:"sender,omitempty"`
	Status    delivery.Status `json:"status,omitempty"`    // of the message: "sent", "delivered" or "read"
	Delivered int             `json:"delivered,omitempty"` // recipients whom it reached, readers included
	Read      int             `json:"read,omitempty"`
	Total     int             `json:"total,omitempty"`  // frozen recipients that are tracked; 0 for an open audience
	Hiding    int             `json:"hiding,omitempty"` // those of them who hide reads
	Failed    int             `json:"failed,omitempty"` // recipients with a recorded failure whom the message has not reached

	// These five are the receipt that advanced or failed, at Version. In a catch-up they are the
	// receipt of the client's own user. They are absent in the "message" event of a new message.
	Recipient       string          `json:"recipient,omitempty"`
	RecipientStatus delivery.Status `json:"recipient_status,omitempty"`
	DeliveredAt     time.Time       `json:"delivered_at,omitzero"` // RFC 3339, UTC, up to microseconds
	ReadAt          time.Time       `json:"read_at,omitzero"`
	Failure         string          `json:"failure,omitempty"` // the code, if the app has recorded a failure of the recipient

	// Own is the user's own status of the message, hidden marks included, in an "own" event. It may
	// be absent there, and is absent in all other events.
	Own delivery.Status `json:"own,omitempty"`

	// Body is the body of a new message, if events carry bodies. If the body is too long for a
	// payload, BodyOmitted is true instead, and the client has to fetch the message.
	Body        string `json:"body,omitempty"`
	BodyOmitted bool   `json:"body_omitted,omitempty"`

	// Floor is the seq up to which the messages were removed, in a "pruned" event.
	Floor int64 `json:"floor,omitempty"`
}

// Expand returns the updates as they were before they were encoded, except for bodies that were
// omitted. Each receipt has the version of its update.
func (p Payload) Expand() []delivery.Update {
	updates := make([]delivery.Update, len(p.Updates))
	for i, u := range p.Updates {
		updates[i] = delivery.Update{
			Message:   cmp.Or(u.Message, p.Shared.Message),
			Sender:    cmp.Or(u.Sender, p.Shared.Sender),
			Version:   u.Version,
			Status:    cmp.Or(u.Status, p.Shared.Status),
			Delivered: cmp.Or(u.Delivered, p.Shared.Delivered),
			Read:      cmp.Or(u.Read, p.Shared.Read),
			Total:     cmp.Or(u.Total, p.Shared.Total),
			Readers:   cmp.Or(u.Total, p.Shared.Total) - cmp.Or(u.Hiding, p.Shared.Hiding),
			Failed:    cmp.Or(u.Failed, p.Shared.Failed),
			Body:      u.Body,
			Floor:     cmp.Or(u.Floor, p.Shared.Floor),
		}
		if p.Place != nil {
			updates[i].Own = &delivery.OwnUpdate{Conversation: p.Conversation, Status: cmp.Or(u.Own, p.Shared.Own), Place: *p.Place}
		}
		recipient := cmp.Or(u.Recipient, p.Shared.Recipient)
		if recipient == "" {
			continue
		}
		updates[i].Receipt = &delivery.Receipt{
			Message:     updates[i].Message,
			Recipient:   recipient,
			Status:      cmp.Or(u.RecipientStatus, p.Shared.RecipientStatus),
			Version:     u.Version,
			DeliveredAt: cmp.Or(u.DeliveredAt, p.Shared.DeliveredAt),
			ReadAt:      cmp.Or(u.ReadAt, p.Shared.ReadAt),
			Failure:     cmp.Or(u.Failure, p.Shared.Failure),
		}
	}
	return updates
}
