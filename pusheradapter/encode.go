package pusheradapter

import (
	"context"
	"encoding/json"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
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

	// Except is the socket id of the connection that is not told. If it does not have the form of a
	// socket id, every connection is told.
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
	Reason string // completes a sentence that begins with Field: "is not JSON"
}

func (e *TriggerError) Error() string { return "pusheradapter: " + e.Field + " " + e.Reason }

// EncodePrivate is the default of [Options.Encode]. Its triggers are on the conversation's
// [PrivateChannel], have the name "message", "status", "deleted" or "pruned" by the kind of the
// event, and have a [deliverywire.Payload] as data. An event that is too large for one trigger
// becomes several. Each covers a part of the event's versions, and together they cover all of them.
//
// An event for one user's devices, of the kind [delivery.OwnChanged], goes to the [UserChannel] of
// that user under the name "own". There is no trigger for a user whose id does not fit into a
// channel's name.
//
// It fails if the conversation's id does not fit into a channel's name, and if the event exceeds
// the limits of package delivery. These errors are marked [delivery.Permanent], because no retry
// can succeed.
func EncodePrivate(_ context.Context, event delivery.Event) ([]Trigger, error) {
	if event.Kind == delivery.OwnChanged {
		channel, err := UserChannel(event.User)
		if err != nil {
			return nil, nil
		}
		return encode(channel, event)
	}
	channel, err := PrivateChannel(event.Conversation)
	if err != nil {
		return nil, delivery.Permanent(err)
	}
	return encode(channel, event)
}

// encode returns the triggers that publish an event on a channel.
func encode(channel string, event delivery.Event) ([]Trigger, error) {
	payloads, err := deliverywire.Split(event, MaxData)
	if err != nil {
		return nil, delivery.Permanent(err)
	}
	triggers := make([]Trigger, len(payloads))
	for i, data := range payloads {
		triggers[i] = Trigger{Channel: channel, Name: event.Kind.String(), Data: data, Except: event.Except}
	}
	return triggers, nil
}
