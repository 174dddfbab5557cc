package natsadapter

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

// DefaultPrefix begins the subjects of a [Notifier] unless its options say otherwise.
const DefaultPrefix = "delivery.conversation."

// MaxData is how many bytes of data a [Message] has at most.
const MaxData = 64 << 10

// NotifierOptions adjust a [Notifier]. The zero value of each field means its default.
type NotifierOptions struct {
	// Prefix begins the subject of each conversation, and the [Token] of the conversation's id
	// follows. Prefix must end with a dot. Defaults to [DefaultPrefix].
	Prefix string
}

// Message is what a [Notifier] publishes, as JSON. It is for a gateway: a program of the app's own,
// in any language, to which clients connect. The gateway subscribes to the subjects of its clients'
// conversations. The gateway passes Event and Data on to each connection but the one named in
// Except.
type Message struct {
	Event string `json:"event"` // a [delivery.Kind], as text: "message", "status", "deleted" or "pruned"

	// Except, if set, is the socket that made the change. It is for the gateway, and not for
	// clients.
	Except string `json:"except,omitempty"`

	// Data is a [deliverywire.Payload], of up to [MaxData] bytes.
	Data json.RawMessage `json:"data"`
}

// Notifier is a [delivery.Notifier] that publishes each event on the subject of its conversation,
// as one or more messages. It is safe for concurrent use, and need not be closed.
type Notifier struct {
	by     sender
	prefix string
}

var _ delivery.Notifier = (*Notifier)(nil)

// NewNotifier returns a [Notifier] over core NATS. An event counts as accepted once the server has
// taken it, whether or not anybody subscribes; clients catch up as after any other loss. A nil opts
// means all defaults. NewNotifier does not contact the server. The error is a
// [*delivery.InvalidError] if no subject can begin with the prefix.
func NewNotifier(conn *nats.Conn, opts *NotifierOptions) (*Notifier, error) {
	return newNotifier(core{conn}, opts)
}

// NewStreamNotifier returns a [Notifier] over JetStream. An event counts as accepted once the
// stream has stored it. The app makes a stream with the subjects "delivery.conversation.*".
//
// If it is not known whether the stream has stored an event, the event is published again. The
// stream drops the copy if it comes within the stream's duplicate window (2 minutes by default).
// There is one exception: if the stream has the retention LimitsPolicy, and the first copy is no
// longer in it, for example after a purge, the event is stored again even within that window.
// NewStreamNotifier is otherwise like [NewNotifier].
func NewStreamNotifier(js jetstream.JetStream, opts *NotifierOptions) (*Notifier, error) {
	return newNotifier(stream{js: js, dedup: true}, opts)
}

func newNotifier(by sender, opts *NotifierOptions) (*Notifier, error) {
	if opts == nil {
		opts = &NotifierOptions{}
	}
	n := &Notifier{by: by, prefix: cmp.Or(opts.Prefix, DefaultPrefix)}
	parent, ok := strings.CutSuffix(n.prefix, ".")
	if !ok {
		return nil, &delivery.InvalidError{Field: "prefix", Reason: "does not end with a dot"}
	}
	return n, checkSubject("prefix", parent)
}

// Notify implements [delivery.Notifier]. Events that are too large for the server's limit
// (max_payload) even in parts, or that have an invalid kind or status and so no JSON form, are
// refused for good.
func (n *Notifier) Notify(ctx context.Context, events []delivery.Event) error {
	refused := make(map[int]error)
	var messages []*nats.Msg
	for i, event := range events {
		message := Message{Event: event.Kind.String(), Except: event.Except, Data: json.RawMessage("{}")}
		around, err := marshal(message)
		if err != nil {
			return err // the data is JSON
		}
		payloads, err := deliverywire.Split(event, room(n.by.conn(), MaxData+len(around))-len(around))
		if err != nil {
			refused[i] = delivery.Permanent(err)
			continue
		}
		for _, message.Data = range payloads {
			data, err := marshal(message)
			if err != nil {
				return err
			}
			messages = append(messages, &nats.Msg{Subject: n.prefix + Token(event.Conversation), Data: data, Header: nats.Header{}})
		}
	}
	if err := deliver(ctx, n.by, messages); err != nil {
		return fmt.Errorf("natsadapter: publishing events: %w", err)
	}
	return delivery.Refused(refused)
}

// marshal does not escape what only HTML needs escaped: it counts towards the limit.
func marshal(m Message) ([]byte, error) {
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(m)
	return data.Bytes(), err
}
