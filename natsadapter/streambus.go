package natsadapter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/msgdelivery/delivery"
)

// StreamBus is a [delivery.Bus] over a stream of JetStream. It is safe for concurrent use, and need
// not be closed.
//
// The app makes the stream. It should be for the bus alone, keep what subscribers may miss while a
// connection is broken, and be replicated as the app needs it:
//
//	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
//		Name: "DELIVERY", Subjects: []string{natsadapter.DefaultSubject}, MaxAge: 10 * time.Minute, Replicas: 3,
//	})
type StreamBus struct {
	js   jetstream.JetStream
	opts BusOptions
}

var _ delivery.Bus = (*StreamBus)(nil)

// NewStreamBus returns a [StreamBus] on the stream that has the subject. A nil opts means all
// defaults. It does not contact the server. The error is a [*delivery.InvalidError] if the subject
// is not one to publish on, for example because it has a wildcard.
func NewStreamBus(js jetstream.JetStream, opts *BusOptions) (*StreamBus, error) {
	whole, err := opts.whole()
	if err != nil {
		return nil, err
	}
	return &StreamBus{js, whole}, nil
}

// Publish implements [delivery.Bus]. It returns nil once the stream has stored the events. It is
// otherwise like [Bus.Publish].
func (b *StreamBus) Publish(ctx context.Context, events []delivery.Event) error {
	return publish(ctx, stream{js: b.js}, b.opts.Subject, events)
}

var (
	errLost     = errors.New("the stream has lost events that were not heard")
	errReplaced = errors.New("the stream is not the one that it was")
	errHole     = errors.New("messages are missing") // of this consumer, perhaps not of the stream
)

// Subscribe implements [delivery.Bus]. While the server is away it waits, and then continues with
// what was published meanwhile. It returns an error if the stream has lost events that hear has not
// got, if there is no such stream, or if the connection is closed.
func (b *StreamBus) Subscribe(ctx context.Context, hear func(delivery.Event)) error {
	err := b.subscribe(ctx, hear)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("natsadapter: subscribing: %w", err)
}

// pause is the time between two tries to continue.
const pause = 50 * time.Millisecond

func (b *StreamBus) subscribe(ctx context.Context, hear func(delivery.Event)) error {
	f := follower{StreamBus: b, hear: hear}
	if err := f.begin(ctx); err != nil {
		return err
	}
	hear(delivery.Event{})
	var failing time.Time // since when, though the connection stands
	for {
		began, err := f.follow(ctx)
		switch {
		case ctx.Err() != nil, b.js.Conn().IsClosed(), errors.Is(err, errLost), errors.Is(err, errReplaced), errors.As(err, new(*undecodable)):
			return err
		case began || !b.js.Conn().IsConnected():
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		case time.Since(failing) > 3*b.opts.Ping: // a server that has just started may need a while
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// follower is one Subscribe under way.
type follower struct {
	*StreamBus
	hear    func(delivery.Event)
	name    string // of the stream
	created time.Time
	heard   uint64 // the sequence of the last message
}

// begin finds the stream. Messages that the stream has by then are not heard.
func (f *follower) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*f.opts.Ping)
	defer cancel()
	s, err := answer(ctx, func() (jetstream.Stream, error) {
		name, err := f.js.StreamNameBySubject(ctx, f.opts.Subject)
		if err != nil {
			return nil, err
		}
		return f.js.Stream(ctx, name)
	})
	if err != nil {
		return err
	}
	info := s.CachedInfo()
	f.name, f.created, f.heard = info.Config.Name, info.Created, info.State.LastSeq
	return nil
}

// look asks for the stream's state, and reports how many messages were not heard yet.
func (f *follower) look(ctx context.Context) (s jetstream.Stream, behind uint64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*f.opts.Ping, errSilent)
	defer cancel()
	s, err = answer(ctx, func() (jetstream.Stream, error) { return f.js.Stream(ctx, f.name) })
	if err != nil {
		if err = cmp.Or(context.Cause(ctx), err); errors.Is(err, errSilent) && f.js.Conn().IsConnected() {
			_ = f.js.Conn().ForceReconnect()
		}
		return nil, 0, err
	}
	info := s.CachedInfo()
	switch state := info.State; {
	case !info.Created.Equal(f.created) || state.LastSeq < f.heard:
		return nil, 0, errReplaced
	case state.FirstSeq > f.heard+1:
		return nil, 0, errLost
	default:
		return s, state.LastSeq - f.heard, nil
	}
}

// follow hands on the messages after the last one that was heard, until something is wrong. It
// reports whether it could begin.
func (f *follower) follow(ctx context.Context) (began bool, err error) {
	whole := ctx // of Subscribe: a message is handed on as a whole, or not at all
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Events that were on their way on a connection that broke are not sent again to the same
	// consumer.
	defer whenBroken(f.js.Conn(), func() { cancel(errBroke) }, nats.CONNECTED, nats.CLOSED)()
	s, _, err := f.look(ctx)
	if err != nil {
		return false, err
	}
	consumer, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.heard + 1,
		InactiveThreshold: time.Minute, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return false, err
	}
	beat := min(max(f.opts.Ping, 500*time.Millisecond), 30*time.Second) // within the client's bounds
	messages, err := consumer.Messages(jetstream.PullHeartbeat(beat), jetstream.PullExpiry(3*beat))
	if err != nil {
		return false, err
	}
	defer func() {
		go func() { // it may wait for the socket
			messages.Stop()
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
			defer cancel()
			_ = s.DeleteConsumer(ctx, consumer.CachedInfo().Name) // the server would drop it too
		}()
	}()
	for first := true; ; first = false {
		message, err := f.next(ctx, messages)
		if err != nil {
			return true, err
		}
		meta, err := message.Metadata()
		if err != nil {
			return true, err
		}
		if seq := meta.Sequence.Stream; seq != f.heard+1 {
			if first {
				return true, errLost
			}
			return true, errHole
		}
		f.heard++
		if message.Subject() == f.opts.Subject {
			if err := tell(whole, message.Data(), f.hear); err != nil {
				return true, &undecodable{err}
			}
		}
	}
}

// next returns the next message. While none comes, it looks whether there should be one.
func (f *follower) next(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	for {
		wait, cancel := context.WithTimeout(ctx, f.opts.Ping)
		message, err := messages.Next(jetstream.NextContext(wait))
		over := wait.Err() != nil
		cancel()
		if err == nil || ctx.Err() != nil || !over {
			return message, cmp.Or(context.Cause(ctx), err)
		}
		if _, behind, err := f.look(ctx); err != nil || behind > 0 {
			return nil, cmp.Or(err, errHole)
		}
	}
}

// undecodable says that a message is no array of events.
type undecodable struct{ error }

func (u *undecodable) Unwrap() error { return u.error }
