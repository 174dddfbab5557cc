package delivery

import "fmt"

// Status is how far a message has come: [Sent], [Delivered] or [Read], in that order.
// The zero Status is none of them and is never stored.
//
//	sent ──▶ delivered ──▶ read
//	  └────────────────────▲
//
// A status only moves forward. Read implies delivered: a receipt that goes from sent to read gets
// both times, and they are equal.
type Status uint8

const (
	// Sent is where every message and every receipt begins.
	Sent Status = iota + 1
	// Delivered means that the message reached the recipient.
	Delivered
	// Read means that the recipient saw the message.
	Read
)

// ladder is the one table of statuses: their order and their text form.
var ladder = [...]string{Sent: "sent", Delivered: "delivered", Read: "read"}

// Valid reports whether s is one of the three statuses.
func (s Status) Valid() bool { return Sent <= s && int(s) < len(ladder) }

// Reaches reports whether s is at or past the given status: Read reaches Delivered.
func (s Status) Reaches(rung Status) bool { return s.Valid() && rung.Valid() && s >= rung }

// String returns the lower-case text form, or "Status(n)" for an invalid status.
func (s Status) String() string {
	if !s.Valid() {
		return fmt.Sprintf("Status(%d)", uint8(s))
	}
	return ladder[s]
}

// ParseStatus is the inverse of [Status.String] for valid statuses.
// Any other text, upper case included, is an [*InvalidError].
func ParseStatus(text string) (Status, error) {
	for s := Sent; s.Valid(); s++ {
		if ladder[s] == text {
			return s, nil
		}
	}
	return 0, &InvalidError{Field: "status", Reason: "is not sent, delivered or read"}
}

// MarshalText implements [encoding.TextMarshaler]. An invalid status is an error.
func (s Status) MarshalText() ([]byte, error) {
	if !s.Valid() {
		return nil, &InvalidError{Field: "status", Reason: "is not sent, delivered or read"}
	}
	return []byte(ladder[s]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler] with [ParseStatus].
func (s *Status) UnmarshalText(text []byte) (err error) {
	*s, err = ParseStatus(string(text))
	return err
}
