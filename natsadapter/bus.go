package natsadapter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/msgdelivery/delivery"
)

// DefaultSubject is the subject of a bus unless its options say otherwise.
const DefaultSubject = "delivery.events"

// BusOptions adjust a [Bus] or a [StreamBus]. The zero value of each field means its default.
type BusOptions struct {
	// Subject carries the events. All processes of an app use the same subject. Another app in the
	// same account of the server needs another subject. Defaults to [DefaultSubject].
	Subject string

	// Ping is the time between two pings of the server. A connection that gave no answer for three
	// times as long is broken off, and the client connects again. Defaults to 5 s.
	Ping time.Duration
}

func (o *BusOptions) whole() (BusOptions, error) {
	var whole BusOptions
	if o != nil {
		whole = *o
	}
	whole.Subject = cmp.Or(whole.Subject, DefaultSubject)
	whole.Ping = cmp.Or(max(whole.Ping, 0), 5*time.Second)
	return whole, checkSubject("subject", whole.Subject)
}

// Bus is a [delivery.Bus] over core NATS. It is safe for concurrent use, and need not be closed.
type Bus struct {
	conn *nats.Conn
	opts BusOptions
}

var _ delivery.Bus = (*Bus)(nil)

// NewBus returns a [Bus] that uses the connection. A nil opts means all defaults. It does not
// contact the server. The error is a [*delivery.InvalidError] if the subject is not one to publish
// on, for example because it has a wildcard.
func NewBus(conn *nats.Conn, opts *BusOptions) (*Bus, error) {
	whole, err := opts.whole()
	if err != nil {
		return nil, err
	}
	return &Bus{conn, whole}, nil
}

// Publish implements [delivery.Bus]. It returns nil once the server has taken the events, whether
// or not anybody subscribes. An event whose body exceeds the server's limit for messages
// (max_payload, 1 MB by default) is published without the body. An event that is still too large,
// or that has an invalid kind or status and so no JSON form, is refused for good.
func (b *Bus) Publish(ctx context.Context, events []delivery.Event) error {
	return publish(ctx, core{b.conn}, b.opts.Subject, events)
}

// publish sends events as JSON arrays.
func publish(ctx context.Context, by sender, subject string, events []delivery.Event) error {
	refused := make(map[int]error)
	limit := room(by.conn(), 1<<20)
	var items [][]byte
	for i, event := range events {
		data, err := encode(event, limit-len("[]"))
		if err != nil {
			refused[i] = delivery.Permanent(fmt.Errorf("natsadapter: %w", err))
			continue
		}
		items = append(items, data...)
	}
	var messages []*nats.Msg
	for _, array := range pack(items, limit) {
		messages = append(messages, &nats.Msg{Subject: subject, Data: array})
	}
	if err := deliver(ctx, by, messages); err != nil {
		return fmt.Errorf("natsadapter: publishing events: %w", err)
	}
	return delivery.Refused(refused)
}

var (
	errSilent = errors.New("the server gives no answer")
	errBroke  = errors.New("the connection broke")
)

// Subscribe implements [delivery.Bus]. It returns an error when its connection breaks, or when hear
// takes so long that messages were dropped: events are lost until the next Subscribe. The client
// drops messages once 500,000 of them or 64 MB wait, and the server breaks off a connection that
// takes nothing for 10 s.
func (b *Bus) Subscribe(ctx context.Context, hear func(delivery.Event)) error {
	err := b.subscribe(ctx, hear)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("natsadapter: subscribing: %w", err)
}

func (b *Bus) subscribe(ctx context.Context, hear func(delivery.Event)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer whenBroken(b.conn, func() { cancel(errBroke) }, nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)()
	before := b.conn.LastError()
	subscription, err := b.conn.SubscribeSync(b.opts.Subject)
	if err != nil {
		return err
	}
	defer func() { go func() { _ = subscription.Unsubscribe() }() }() // it may wait for the socket
	if err := b.ping(ctx); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	if err := forbidden(b.conn, before, "Subscription to", b.opts.Subject); err != nil {
		return err
	}
	hear(delivery.Event{})
	go b.watch(ctx, cancel)
	for {
		message, err := subscription.NextMsgWithContext(ctx)
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		if err := tell(ctx, message.Data, hear); err != nil {
			return err
		}
	}
}

// whenBroken calls f once the connection comes to one of the states. The function that it returns
// ends that.
func whenBroken(conn *nats.Conn, f func(), states ...nats.Status) (end func()) {
	changes, ended := conn.StatusChanged(states...), make(chan struct{})
	go func() {
		defer conn.RemoveStatusListener(changes)
		select {
		case <-changes:
			f()
		case <-ended:
		}
	}()
	return func() { close(ended) }
}

// ping has the server answer, within three times the pause between two pings.
func (b *Bus) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*b.opts.Ping, errSilent)
	defer cancel()
	if err := within(ctx, func() error { return b.conn.FlushWithContext(ctx) }); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	return nil
}

// watch pings the server, and breaks off the connection if it gives no answer.
func (b *Bus) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(b.opts.Ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := b.ping(ctx); errors.Is(err, errSilent) {
			cancel(err)
			_ = b.conn.ForceReconnect()
			return
		}
	}
}

// tell calls hear with the events of a message.
func tell(ctx context.Context, data []byte, hear func(delivery.Event)) error {
	var events []delivery.Event
	if err := json.Unmarshal(data, &events); err != nil {
		return fmt.Errorf("decoding events: %w", err) // its events are lost
	}
	for _, event := range events {
		if event.Kind.Valid() && ctx.Err() == nil {
			hear(event)
		}
	}
	return nil
}
