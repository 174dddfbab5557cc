package pusheradapter

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/msgdelivery/delivery"
)

// Payload is the data of the events that [EncodePrivate] makes. An absent field in JSON is an empty
// string, a zero, false or no time. Fields that are the same in all updates are in Shared only, so
// that the 1,000 receipts of a catch-up fit into about seven events. A browser gets whole updates
// by
//
//	const updates = data.updates.map(u => ({delivered: 0, read: 0, total: 0, ...data.shared, ...u}))
//
// and a Go program by [Payload.Expand]. The package comment says what to do with them.
type Payload struct {
	Conversation string `json:"conversation"`

	// From and To are the range of versions that the payload covers, both inclusive. On an author's
	// channel ([Options.AuthorsOnly]) there is no range, and both are 0.
	From int64 `json:"from"`
	To   int64 `json:"to"`

	// Shared holds the fields that are the same in all updates. The updates leave them out.
	Shared PayloadUpdate `json:"shared,omitzero"`

	// Updates are ordered by version. There is at least one.
	Updates []PayloadUpdate `json:"updates"`
}

// PayloadUpdate is the form that a [delivery.Update] has in a [Payload].
type PayloadUpdate struct {
	Message   string          `json:"message,omitempty"`
	Version   int64           `json:"version,omitempty"`
	Sender    string          `json:"sender,omitempty"`
	Status    delivery.Status `json:"status,omitempty"`    // of the message: "sent", "delivered" or "read"
	Delivered int             `json:"delivered,omitempty"` // recipients whom it reached, readers included
	Read      int             `json:"read,omitempty"`
	Total     int             `json:"total,omitempty"` // frozen recipients; 0 for an open audience

	// These four are the receipt that advanced, as of Version. They are absent in a "message"
	// event.
	Recipient       string          `json:"recipient,omitempty"`
	RecipientStatus delivery.Status `json:"recipient_status,omitempty"`
	DeliveredAt     time.Time       `json:"delivered_at,omitzero"` // RFC 3339, UTC, up to microseconds
	ReadAt          time.Time       `json:"read_at,omitzero"`

	// Body is the body of a new message, if events carry bodies. If the body is too long for an
	// event, BodyOmitted is true instead, and the client has to fetch the message.
	Body        string `json:"body,omitempty"`
	BodyOmitted bool   `json:"body_omitted,omitempty"`
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
			Body:      u.Body,
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
		}
	}
	return updates
}

// split encodes an event as payloads of at most [MaxData] bytes each, in order.
func split(event delivery.Event) ([][]byte, error) {
	if len(event.Updates) == 0 {
		return nil, &delivery.InvalidError{Field: "updates", Reason: "are none"}
	}
	for _, u := range event.Updates {
		if err := encodable(u); err != nil {
			return nil, err
		}
	}
	p := Payload{Conversation: event.Conversation, From: math.MinInt64, To: math.MinInt64}
	p.Shared, p.Updates = hoist(event.Updates)
	scratch := make([]byte, 0, 512)
	room := MaxData - len(p.appendJSON(scratch, nil)) // for the updates of a payload, at worst

	var payloads [][]byte
	list := make([]byte, 0, 512) // the updates of the next payload, each with a comma after it
	p.From = event.From
	finish := func(to int64) {
		p.To = to
		payload := make([]byte, 0, MaxData-room+len(list))
		payloads = append(payloads, p.appendJSON(payload, list[:len(list)-len(",")]))
		p.From, list = min(to+1, event.To), list[:0]
	}
	for i := range p.Updates {
		u := &p.Updates[i]
		data := u.appendJSON(scratch)
		if len(data) > room && u.Body != "" {
			u.Body, u.BodyOmitted = "", true
			data = u.appendJSON(scratch)
		}
		if len(data) > room {
			return nil, fmt.Errorf("pusheradapter: one update of a message takes more than %d bytes", MaxData)
		}
		if len(list)+len(data) > room {
			finish(max(p.From, min(p.Updates[i-1].Version, event.To)))
		}
		list = append(append(list, data...), ',')
	}
	finish(event.To)
	return payloads, nil
}

// encodable returns an error if the update has what no JSON is for: a status that is none, or a
// time that is not within the years 0 to 9999.
func encodable(u delivery.Update) error {
	r := cmp.Or(u.Receipt, &delivery.Receipt{})
	for _, status := range []delivery.Status{u.Status, r.Status} {
		if _, err := status.MarshalText(); err != nil && status != 0 {
			return err
		}
	}
	for _, at := range []time.Time{r.DeliveredAt, r.ReadAt} {
		if year := at.UTC().Year(); year < 0 || year > 9999 {
			return &delivery.InvalidError{Field: "receipt", Reason: "has a time that is not within the years 0 to 9999"}
		}
	}
	return nil
}

// hoist turns updates into their payload form, what they share apart. A single one shares nothing.
func hoist(updates []delivery.Update) (PayloadUpdate, []PayloadUpdate) {
	rest := make([]PayloadUpdate, len(updates))
	for i, u := range updates {
		rest[i] = PayloadUpdate{
			Message: u.Message, Version: u.Version, Sender: u.Sender, Status: u.Status,
			Delivered: u.Delivered, Read: u.Read, Total: u.Total, Body: u.Body,
		}
		if r := u.Receipt; r != nil {
			rest[i].Recipient, rest[i].RecipientStatus = r.Recipient, r.Status
			rest[i].DeliveredAt, rest[i].ReadAt = r.DeliveredAt.UTC(), r.ReadAt.UTC()
		}
	}
	if len(rest) == 1 {
		return PayloadUpdate{}, rest
	}
	var shared PayloadUpdate
	move(&shared, rest, func(u *PayloadUpdate) *string { return &u.Message })
	move(&shared, rest, func(u *PayloadUpdate) *string { return &u.Sender })
	move(&shared, rest, func(u *PayloadUpdate) *delivery.Status { return &u.Status })
	move(&shared, rest, func(u *PayloadUpdate) *int { return &u.Delivered })
	move(&shared, rest, func(u *PayloadUpdate) *int { return &u.Read })
	move(&shared, rest, func(u *PayloadUpdate) *int { return &u.Total })
	move(&shared, rest, func(u *PayloadUpdate) *string { return &u.Recipient })
	move(&shared, rest, func(u *PayloadUpdate) *delivery.Status { return &u.RecipientStatus })
	move(&shared, rest, func(u *PayloadUpdate) *time.Time { return &u.DeliveredAt })
	move(&shared, rest, func(u *PayloadUpdate) *time.Time { return &u.ReadAt })
	return shared, rest
}

// move takes a field out of all updates and into shared, if it has the same value in all of them.
func move[T comparable](shared *PayloadUpdate, updates []PayloadUpdate, field func(*PayloadUpdate) *T) {
	common := *field(&updates[0])
	for i := range updates {
		if *field(&updates[i]) != common {
			return
		}
	}
	var zero T
	*field(shared) = common
	for i := range updates {
		*field(&updates[i]) = zero
	}
}
