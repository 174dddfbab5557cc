package deliverywire

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// ErrTooLarge says that an event has an update which takes more than the limit, even without the
// message's body.
var ErrTooLarge = errors.New("deliverywire: one update of a message takes more than the limit")

// Split returns the JSON of an event: one or more payloads of at most limit bytes each, in order.
// Each covers a part of the event's versions, and together they cover all of them. A body that does
// not fit into a payload is left out ([Update.BodyOmitted]). The event's kind is not in the JSON:
// it is the name under which the carrier sends it ([delivery.Kind.String]).
//
// The error wraps [ErrTooLarge] if an update is too large for the limit. If the event has no
// updates, or if its kind, a status or a time has no text form, the error is a
// [*delivery.InvalidError]. No retry of the same event can succeed, except with a higher limit.
func Split(event delivery.Event, limit int) ([][]byte, error) {
	if !event.Kind.Valid() {
		return nil, &delivery.InvalidError{Field: "kind", Reason: "is not message, status, deleted, own or pruned"}
	}
	if len(event.Updates) == 0 {
		return nil, &delivery.InvalidError{Field: "updates", Reason: "are none"}
	}
	for _, u := range event.Updates {
		if err := encodable(u); err != nil {
			return nil, err
		}
	}
	p := Payload{Conversation: event.Conversation, From: event.From, To: event.To}
	if own := event.Updates[len(event.Updates)-1].Own; own != nil {
		p.Conversation, p.Place = own.Conversation, &own.Place
	}
	p.Shared, p.Updates = hoist(event.Updates)
	return p.split(limit)
}

// Split returns the JSON of a payload that turned out to be too large for its carrier: two or more
// payloads of at most limit bytes each that together tell the same, or one if the limit allows it.
// The error is that of the function [Split].
func (p Payload) Split(limit int) ([][]byte, error) {
	for _, u := range p.Expand() {
		if err := encodable(u); err != nil {
			return nil, err
		}
	}
	if len(p.Updates) == 0 {
		return nil, &delivery.InvalidError{Field: "updates", Reason: "are none"}
	}
	p.Updates = slices.Clone(p.Updates)
	return p.split(limit)
}

// split splits a payload that is encodable. It may change the updates.
func (p *Payload) split(limit int) ([][]byte, error) {
	from, last := p.From, p.To
	p.From, p.To = math.MinInt64, math.MinInt64 // the longest
	scratch := make([]byte, 0, 512)
	room := limit - len(p.appendJSON(scratch, nil)) // for the updates of a payload, at worst

	var payloads [][]byte
	list := make([]byte, 0, 512) // the updates of the next payload, each with a comma after it
	p.From = from
	finish := func(to int64) {
		p.To = to
		payload := make([]byte, 0, limit-room+len(list))
		payloads = append(payloads, p.appendJSON(payload, list[:len(list)-len(",")]))
		p.From, list = min(to+1, last), list[:0]
	}
	for i := range p.Updates {
		u := &p.Updates[i]
		data := u.appendJSON(scratch)
		if len(data) > room && u.Body != "" {
			u.Body, u.BodyOmitted = "", true
			data = u.appendJSON(scratch)
		}
		if len(data) > room {
			return nil, fmt.Errorf("%w of %d bytes", ErrTooLarge, limit)
		}
		if len(list)+len(data) > room {
			finish(max(p.From, min(p.Updates[i-1].Version, last)))
		}
		list = append(append(list, data...), ',')
	}
	finish(last)
	return payloads, nil
}

// encodable returns an error if the update has what no JSON is for: a status that is none, or a
// time that is not within the years 0 to 9999.
func encodable(u delivery.Update) error {
	r := cmp.Or(u.Receipt, &delivery.Receipt{})
	own := cmp.Or(u.Own, &delivery.OwnUpdate{})
	for _, status := range []delivery.Status{u.Status, r.Status, own.Status} {
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
func hoist(updates []delivery.Update) (Update, []Update) {
	rest := make([]Update, len(updates))
	for i, u := range updates {
		rest[i] = Update{
			Message: u.Message, Version: u.Version, Sender: u.Sender, Status: u.Status,
			Delivered: u.Delivered, Read: u.Read, Total: u.Total, Hiding: u.Total - u.Readers, Failed: u.Failed, Body: u.Body, Floor: u.Floor,
		}
		if u.Own != nil {
			rest[i].Own = u.Own.Status
		}
		if r := u.Receipt; r != nil {
			rest[i].Recipient, rest[i].RecipientStatus = r.Recipient, r.Status
			rest[i].DeliveredAt, rest[i].ReadAt, rest[i].Failure = r.DeliveredAt.UTC(), r.ReadAt.UTC(), r.Failure
		}
	}
	if len(rest) == 1 {
		return Update{}, rest
	}
	var shared Update
	move(&shared, rest, func(u *Update) *string { return &u.Message })
	move(&shared, rest, func(u *Update) *string { return &u.Sender })
	move(&shared, rest, func(u *Update) *delivery.Status { return &u.Status })
	move(&shared, rest, func(u *Update) *int { return &u.Delivered })
	move(&shared, rest, func(u *Update) *int { return &u.Read })
	move(&shared, rest, func(u *Update) *int { return &u.Total })
	move(&shared, rest, func(u *Update) *int { return &u.Hiding })
	move(&shared, rest, func(u *Update) *int { return &u.Failed })
	move(&shared, rest, func(u *Update) *string { return &u.Recipient })
	move(&shared, rest, func(u *Update) *delivery.Status { return &u.RecipientStatus })
	move(&shared, rest, func(u *Update) *time.Time { return &u.DeliveredAt })
	move(&shared, rest, func(u *Update) *time.Time { return &u.ReadAt })
	move(&shared, rest, func(u *Update) *string { return &u.Failure })
	move(&shared, rest, func(u *Update) *delivery.Status { return &u.Own })
	return shared, rest
}

// move takes a field out of all updates and into shared, if it has the same value in all of them.
func move[T comparable](shared *Update, updates []Update, field func(*Update) *T) {
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
