package pusheradapter

import (
	"context"
	"encoding/json"

	"github.com/msgdelivery/delivery"
)

// MaxData is how many bytes of data Pusher allows in one event.
const MaxData = 10_240

// Trigger is one event for Pusher to publish on one channel.
type Trigger struct {
	Channel string // up to [MaxChannel] letters, digits and "-_=@,.;", with a prefix that says its kind
	Name    string // of the event, up to 200 bytes; not beginning with "pusher:"

	// Data is valid JSON of up to [MaxData] bytes. It should be an object: pusher-js parses what
	// it gets, and so turns a bare "123" into a number.
	Data []byte

	// Except, if it has the form of a socket id, is the connection that is not told. Anything
	// else means that everyone is.
	Except string
}

// socketID returns Except as pusher-http-go wants it: it refuses the whole batch for a malformed
// one.
func (t *Trigger) socketID() *string {
	if !validSocketID(t.Except) {
		return nil
	}
	return &t.Except
}

// validate returns what makes the trigger unfit to be sent, as a [*TriggerError], or nil.
func (t *Trigger) validate() error {
	switch {
	case !validChannel(t.Channel):
		return &TriggerError{"Channel", "is not a name that Pusher allows"}
	case isEncrypted(t.Channel):
		return &TriggerError{"Channel", "is an encrypted channel, which needs a key that the adapter has not"}
	case !validName(t.Name):
		return &TriggerError{"Name", "is not a name that Pusher allows"}
	case len(t.Data) > MaxData:
		return &TriggerError{"Data", "is longer than 10240 bytes"}
	case !json.Valid(t.Data):
		return &TriggerError{"Data", "is not JSON"}
	}
	return nil
}

// TriggerError says which field of a [Trigger] is not acceptable, and why. It never quotes the
// value.
type TriggerError struct {
	Field  string // as it is called in Go
	Reason string // reads on from the field: "is not JSON"
}

func (e *TriggerError) Error() string { return "pusheradapter: " + e.Field + " " + e.Reason }

// EncodePrivate is how a [Notifier] encodes events unless [Options] say otherwise: on the
// conversation's [PrivateChannel], under the name of the event's kind, "message" or "status", with
// a [Payload] as data. An event too large for one trigger becomes several; each covers a part of
// the event's versions, and together they cover them all.
//
// What it cannot encode it never will, so its errors are marked [delivery.Permanent]: a
// conversation whose id does not fit in a channel name, or an event that breaks the limits of
// package delivery.
func EncodePrivate(_ context.Context, event delivery.Event) ([]Trigger, error) {
	channel, err := PrivateChannel(event.Conversation)
	if err != nil {
		return nil, delivery.Permanent(err)
	}
	return encode(channel, event)
}

// encode tells of an event on a channel.
func encode(channel string, event delivery.Event) ([]Trigger, error) {
	if !event.Kind.Valid() {
		return nil, delivery.Permanent(&delivery.InvalidError{Field: "kind", Reason: "is not message or status"})
	}
	payloads, err := split(event)
	if err != nil {
		return nil, delivery.Permanent(err)
	}
	triggers := make([]Trigger, len(payloads))
	for i, data := range payloads {
		triggers[i] = Trigger{Channel: channel, Name: event.Kind.String(), Data: data, Except: event.Except}
	}
	return triggers, nil
}
