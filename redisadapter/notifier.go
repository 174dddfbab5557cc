package redisadapter

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/redis/go-redis/v9"
)

// DefaultPrefix begins the Redis channels of a [Notifier] unless its options say otherwise.
const DefaultPrefix = "delivery:conversation:"

// MaxData is how many bytes of data a [Message] has at most.
const MaxData = 64 << 10

// NotifierOptions adjust a [Notifier]. The zero value of each field means its default.
type NotifierOptions struct {
	// The name of a conversation's Redis channel is Prefix, followed by the conversation's id.
	// Defaults to [DefaultPrefix].
	Prefix string
}

// Message is what a [Notifier] publishes, as JSON. It is for a gateway: a program of the app's own,
// in any language, to which clients connect. The gateway subscribes to the channels of its clients'
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

// Notifier is a [delivery.Notifier] that publishes each event on the Redis channel of its
// conversation, as one or more messages. It is safe for concurrent use, and need not be closed.
//
// Redis keeps nothing for subscribers that are away or too slow. An event counts as accepted once
// Redis has answered, whether or not anybody subscribes. Clients catch up as after any other loss.
type Notifier struct {
	client redis.UniversalClient
	prefix string
}

var _ delivery.Notifier = (*Notifier)(nil)

// NewNotifier returns a [Notifier] that uses the client. A nil opts means all defaults. It does not
// contact Redis.
func NewNotifier(client redis.UniversalClient, opts *NotifierOptions) *Notifier {
	if opts == nil {
		opts = &NotifierOptions{}
	}
	return &Notifier{client: client, prefix: cmp.Or(opts.Prefix, DefaultPrefix)}
}

// Notify implements [delivery.Notifier]. It sends the events as PUBLISH commands in a single
// pipeline. Events with an invalid kind or status have no JSON form, and are refused for good.
func (n *Notifier) Notify(ctx context.Context, events []delivery.Event) error {
	refused := make(map[int]error)
	pipeline := n.client.Pipeline()
	for i, event := range events {
		payloads, err := deliverywire.Split(event, MaxData)
		if err != nil {
			refused[i] = delivery.Permanent(err)
			continue
		}
		for _, data := range payloads {
			message, err := marshal(Message{Event: event.Kind.String(), Except: event.Except, Data: data})
			if err != nil {
				return err // the data is JSON
			}
			pipeline.Publish(ctx, n.prefix+event.Conversation, message)
		}
	}
	if pipeline.Len() > 0 {
		err := within(ctx, func() error {
			_, err := pipeline.Exec(ctx)
			return err
		})
		if err != nil {
			return fmt.Errorf("redisadapter: publishing events: %w", err)
		}
	}
	return delivery.Refused(refused)
}

// marshal is [json.Marshal], without making the data longer: that escapes what means something in
// HTML, once more than the data needs it.
func marshal(m Message) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(m)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
