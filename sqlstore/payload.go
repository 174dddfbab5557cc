package sqlstore

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

// payload is an event as a row of the outbox keeps it: in JSON, with keys of one letter, kinds and
// statuses as numbers, times in microseconds since 1970. Postgres makes the same JSON in SQL. Rows
// outlive the program that wrote them, so a key never changes its meaning.
//
// The event's id is the row's. A body is not in the payload: the row names the message that has it,
// see [bodyOf], so that a body is gone from all events with its message.
type payload struct {
	Kind         uint8           `json:"k"`
	Conversation string          `json:"c"`
	From         int64           `json:"f"`
	To           int64           `json:"t"`
	Except       string          `json:"x,omitempty"`
	User         string          `json:"w,omitempty"`
	Trace        []string        `json:"a,omitempty"`
	Updates      []payloadUpdate `json:"u"`
}

type payloadUpdate struct {
	Message   string          `json:"i"`
	Sender    string          `json:"s,omitempty"`
	Version   int64           `json:"v"`
	Status    uint8           `json:"m,omitempty"`
	Delivered int             `json:"d,omitempty"`
	Read      int             `json:"r,omitempty"`
	Total     int             `json:"n,omitempty"`
	Hiding    int             `json:"h,omitempty"` // those of Total who hide reads
	Failed    int             `json:"f,omitempty"`
	Receipt   *payloadReceipt `json:"p,omitempty"`
	Own       *payloadOwn     `json:"o,omitempty"`
	Floor     int64           `json:"l,omitempty"`
}

// payloadOwn is what an event for one user's devices tells.
type payloadOwn struct {
	Conversation string `json:"c"`
	Status       uint8  `json:"s,omitempty"`
	Rev          int64  `json:"v"`
	Delivered    int64  `json:"d,omitempty"`
	Badge        int64  `json:"b,omitempty"`
	Flag         int64  `json:"f,omitempty"`
}

// payloadReceipt is a receipt of the update's message. Its version is left out where it is the
// update's; it differs in a dead letter that was brought up to date. Times may be absent or null.
type payloadReceipt struct {
	Recipient   string `json:"u"`
	Status      uint8  `json:"s"`
	Version     *int64 `json:"v,omitempty"`
	DeliveredAt *int64 `json:"d,omitempty"`
	ReadAt      *int64 `json:"r,omitempty"`
	Failure     string `json:"f,omitempty"`
}

// encodeEvent returns the payload of an event.
func encodeEvent(e delivery.Event) (string, error) {
	p := payload{
		Kind: uint8(e.Kind), Conversation: e.Conversation, From: e.From, To: e.To, Except: e.Except, User: e.User, Trace: e.Trace,
		Updates: make([]payloadUpdate, len(e.Updates)),
	}
	for i, u := range e.Updates {
		p.Updates[i] = payloadUpdate{
			Message: u.Message, Sender: u.Sender, Version: u.Version, Status: uint8(u.Status),
			Delivered: u.Delivered, Read: u.Read, Total: u.Total, Hiding: u.Total - u.Readers, Failed: u.Failed, Floor: u.Floor,
		}
		if o := u.Own; o != nil {
			p.Updates[i].Own = &payloadOwn{o.Conversation, uint8(o.Status), o.Place.Rev, o.Place.Delivered, o.Place.Badge, o.Place.Flag}
		}
		r := u.Receipt
		if r == nil {
			continue
		}
		p.Updates[i].Receipt = &payloadReceipt{
			Recipient: r.Recipient, Status: uint8(r.Status), DeliveredAt: micros(r.DeliveredAt), ReadAt: micros(r.ReadAt), Failure: r.Failure,
		}
		if r.Version != u.Version {
			p.Updates[i].Receipt.Version = &r.Version
		}
	}
	text, err := json.Marshal(p)
	return string(text), err
}

// bodyOf returns the id of the message whose body the event has, nil if it has none. Only the event
// of a new message has a body, in its one update.
func bodyOf(e delivery.Event) *string {
	if e.Kind != delivery.MessageSent || len(e.Updates) == 0 || e.Updates[0].Body == "" {
		return nil
	}
	return &e.Updates[0].Message
}

// source is the message that an event names for its body. It may be another than at first: once a
// message was pruned, its id may come back in another conversation.
type source struct{ body, conversation string }

// readEvent returns the event with that id and payload, and its body from the source; of one that
// cannot be read, the id alone, as [delivery.Store] says, so that it stands in nobody's way.
func readEvent(id int64, text []byte, from source) delivery.Event {
	e, err := decodeEvent(id, text)
	if err != nil {
		return delivery.Event{ID: id}
	}
	if from.conversation == e.Conversation && len(e.Updates) > 0 {
		e.Updates[0].Body = from.body
	}
	return e
}

// decodeEvent returns the event with that id and payload.
func decodeEvent(id int64, text []byte) (delivery.Event, error) {
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return delivery.Event{}, fmt.Errorf("payload of event %d: %w", id, err)
	}
	e := delivery.Event{
		ID: id, Kind: delivery.Kind(p.Kind), Conversation: p.Conversation, From: p.From, To: p.To, Except: p.Except, User: p.User, Trace: p.Trace,
		Updates: make([]delivery.Update, len(p.Updates)),
	}
	for i, u := range p.Updates {
		e.Updates[i] = delivery.Update{
			Message: u.Message, Sender: u.Sender, Version: u.Version, Status: delivery.Status(u.Status),
			Delivered: u.Delivered, Read: u.Read, Total: u.Total, Readers: u.Total - u.Hiding, Failed: u.Failed, Floor: u.Floor,
		}
		if o := u.Own; o != nil {
			place := delivery.Place{Rev: o.Rev, Delivered: o.Delivered, Badge: o.Badge, Flag: o.Flag}
			e.Updates[i].Own = &delivery.OwnUpdate{Conversation: o.Conversation, Status: delivery.Status(o.Status), Place: place}
		}
		r := u.Receipt
		if r == nil {
			continue
		}
		receipt := &delivery.Receipt{
			Message: u.Message, Recipient: r.Recipient, Status: delivery.Status(r.Status), Version: u.Version,
			DeliveredAt: fromMicros(r.DeliveredAt), ReadAt: fromMicros(r.ReadAt), Failure: r.Failure,
		}
		if r.Version != nil {
			receipt.Version = *r.Version
		}
		e.Updates[i].Receipt = receipt
	}
	return e, nil
}

// micros returns a time as the store keeps it, nil for the zero time.
func micros(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	us := t.UnixMicro()
	return &us
}

// fromMicros is the inverse of micros.
func fromMicros(us *int64) time.Time {
	if us == nil {
		return time.Time{}
	}
	return time.UnixMicro(*us).UTC()
}
