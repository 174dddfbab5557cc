package redisadapter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/redis/go-redis/v9"
)

// DefaultChannel is the Redis channel of a [Bus] unless its options say otherwise.
const DefaultChannel = "delivery:events"

// BusOptions adjust a [Bus]. The zero value of each field means its default.
type BusOptions struct {
	// Channel is the Redis channel that carries the events. All processes of an app use the same
	// channel. Another app on the same Redis needs another channel, even with another database
	// number. Defaults to [DefaultChannel].
	Channel string

	// Ping is the time between two pings of a subscription. A connection on which nothing has
	// arrived for three times as long counts as broken, except while the function hear that was
	// passed to Subscribe is running. Defaults to 5 s.
	Ping time.Duration
}

// Bus is a [delivery.Bus] over Redis. It is safe for concurrent use, and need not be closed.
type Bus struct {
	client redis.UniversalClient
	opts   BusOptions
}

var _ delivery.Bus = (*Bus)(nil)

// NewBus returns a [Bus] that uses the client. A nil opts means all defaults. It does not contact
// Redis.
func NewBus(client redis.UniversalClient, opts *BusOptions) *Bus {
	b := &Bus{client: client}
	if opts != nil {
		b.opts = *opts
	}
	b.opts.Channel = cmp.Or(b.opts.Channel, DefaultChannel)
	b.opts.Ping = cmp.Or(max(b.opts.Ping, 0), 5*time.Second)
	return b
}

// Publish implements [delivery.Bus]. It sends all events in a single PUBLISH. It returns nil once
// Redis has answered, whether or not anybody subscribes. Events with an invalid kind or status have
// no JSON form, and are refused for good.
func (b *Bus) Publish(ctx context.Context, events []delivery.Event) error {
	refused := make(map[int]error)
	var message strings.Builder
	for i := range events {
		data, err := json.Marshal(&events[i])
		if err != nil {
			refused[i] = delivery.Permanent(fmt.Errorf("redisadapter: encoding an event: %w", err))
			continue
		}
		message.WriteByte("[,"[min(message.Len(), 1)])
		message.Write(data)
	}
	if message.Len() == 0 {
		return delivery.Refused(refused)
	}
	message.WriteByte(']')
	err := within(ctx, func() error { return b.client.Publish(ctx, b.opts.Channel, message.String()).Err() })
	if err != nil {
		return fmt.Errorf("redisadapter: publishing events: %w", err)
	}
	return delivery.Refused(refused)
}

// within makes a call that may outlast ctx. go-redis heeds the deadline of a context only if the
// client's options say so, and its end never.
func within(ctx context.Context, call func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	// errSilent says that a subscription's connection broke without a word.
	errSilent = errors.New("redisadapter: the connection gives no answer")

	// errReplaced says that go-redis has subscribed again on another connection, which it does
	// when a ping finds the connection broken, and says nothing.
	errReplaced = errors.New("redisadapter: the connection was replaced")
)

// Subscribe implements [delivery.Bus]. It returns an error when its connection breaks: events are
// lost until the next Subscribe. If hear takes too long, Redis breaks the connection once its limit
// for unsent messages is reached (client-output-buffer-limit).
func (b *Bus) Subscribe(ctx context.Context, hear func(delivery.Event)) error {
	err := b.subscribe(ctx, hear)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("redisadapter: subscribing: %w", err)
}

func (b *Bus) subscribe(ctx context.Context, hear func(delivery.Event)) error {
	// A connection of its own, of which every message is read here. PubSub.Channel would drop
	// single messages when hear is slow, and say nothing.
	subscription := b.client.Subscribe(ctx, b.opts.Channel)
	defer subscription.Close()
	defer context.AfterFunc(ctx, func() { subscription.Close() })()
	answer, err := subscription.ReceiveTimeout(ctx, 3*b.opts.Ping)
	if err != nil {
		return err
	}
	if _, ok := answer.(*redis.Subscription); !ok {
		return fmt.Errorf("the answer to SUBSCRIBE is a %T", answer)
	}
	hear(delivery.Event{})

	var heard, hearing atomic.Bool // something since the last look; and now
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go b.watch(ctx, subscription, func() bool { return heard.Swap(false) || hearing.Load() }, cancel)
	for {
		hearing.Store(false)
		received, err := subscription.Receive(ctx)
		if err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
		hearing.Store(true)
		heard.Store(true)
		switch received := received.(type) {
		case *redis.Pong:
		case *redis.Message:
			if err := tell(ctx, received.Payload, hear); err != nil {
				return err // its events are lost
			}
		default: // a *redis.Subscription
			return errReplaced
		}
	}
}

// tell passes the events of a message on.
func tell(ctx context.Context, payload string, hear func(delivery.Event)) error {
	var events []delivery.Event
	if err := json.Unmarshal([]byte(payload), &events); err != nil {
		return fmt.Errorf("decoding events: %w", err)
	}
	for _, event := range events {
		if event.Kind.Valid() && ctx.Err() == nil {
			hear(event)
		}
	}
	return nil
}

// watch pings a subscription, and closes it if it is not alive at any of four looks in a row.
func (b *Bus) watch(ctx context.Context, subscription *redis.PubSub, alive func() bool, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(b.opts.Ping)
	defer ticker.Stop()
	for silent := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if alive() {
			silent = 0
		} else if silent++; silent > 3 {
			cancel(errSilent)
			subscription.Close()
			return
		}
		_ = subscription.Ping(ctx) // the reader meets what is wrong with the connection
	}
}
