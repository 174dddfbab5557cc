package natsadapter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// sender hands messages to the server.
type sender interface {
	// send returns nil once the server has accepted all messages. It may go on after ctx has ended.
	send(ctx context.Context, messages []*nats.Msg) error
	conn() *nats.Conn
}

// patience is how long a call waits for the server if its ctx has no deadline.
const patience = 10 * time.Second

// overhead is what the headers of a message take of the server's limit, at most.
const overhead = 256

var errAway = errors.New("the server is away")

// deliver has messages sent within ctx.
func deliver(ctx context.Context, s sender, messages []*nats.Msg) error {
	if len(messages) == 0 {
		return ctx.Err()
	}
	ctx, cancel := withDeadline(ctx)
	defer cancel()
	return within(ctx, func() error {
		if !s.conn().IsConnected() {
			return errAway // it would be kept in the client's buffer, where nobody knows of it
		}
		return s.send(ctx, messages)
	})
}

// within makes a call that may outlast ctx: the client writes to the socket without looking at it.
func within(ctx context.Context, call func() error) error {
	_, err := answer(ctx, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// answer is within for a call that returns something.
func answer[T any](ctx context.Context, call func() (T, error)) (none T, err error) {
	if err := ctx.Err(); err != nil {
		return none, err
	}
	type answer struct {
		is  T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		is, err := call()
		done <- answer{is, err}
	}()
	select {
	case a := <-done:
		return a.is, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func withDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, limited := ctx.Deadline(); limited {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, patience)
}

// room returns how many bytes of data a message may have, up to most.
func room(conn *nats.Conn, most int) int {
	limit := int(conn.MaxPayload())
	if limit == 0 { // it was never connected
		return most
	}
	return min(limit-overhead, most)
}

// core sends by core NATS.
type core struct{ c *nats.Conn }

func (c core) conn() *nats.Conn { return c.c }

func (c core) send(ctx context.Context, messages []*nats.Msg) error {
	before := c.c.LastError()
	err := c.sure(ctx, func() error {
		for _, m := range messages {
			if err := c.c.PublishMsg(m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := forbidden(c.c, before, "Publish to", m.Subject); err != nil {
			return err
		}
	}
	return nil
}

// sure calls publish and has the server answer a ping: it reads what a connection brings in order.
// The answer says nothing if the ping went out on another connection than what was published.
func (c core) sure(ctx context.Context, publish func() error) error {
	before := c.c.Stats().Reconnects
	if err := publish(); err != nil {
		return err
	}
	if err := c.c.FlushWithContext(ctx); err != nil {
		return err
	}
	if c.c.Stats().Reconnects != before {
		return errBroke
	}
	return nil
}

// forbidden returns the error of a server that does not permit to publish or to subscribe. It says
// so beside the protocol: a publish that it drops looks to the client like any other. The
// connection keeps an error after the server's permissions were changed, so the one that it had
// before says nothing.
func forbidden(conn *nats.Conn, before error, what, subject string) error {
	err := conn.LastError()
	if err != before && errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(fmt.Sprintf("%s %q", what, subject))) {
		return err
	}
	return nil
}

// stream sends by JetStream.
type stream struct {
	js    jetstream.JetStream
	dedup bool // have the stream keep a message once that is sent again
}

func (s stream) conn() *nats.Conn { return s.js.Conn() }

// send waits for no answer that a broken connection will not bring.
func (s stream) send(ctx context.Context, messages []*nats.Msg) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer whenBroken(s.conn(), func() { cancel(errBroke) }, nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)()
	for _, m := range messages {
		if err := s.publish(ctx, m); err != nil {
			return cmp.Or(context.Cause(ctx), err)
		}
	}
	return nil
}

// publish returns nil once the stream has the message.
func (s stream) publish(ctx context.Context, m *nats.Msg) error {
	if !s.dedup {
		_, err := s.js.PublishMsg(ctx, m)
		return err
	}
	ack, err := s.js.PublishMsg(ctx, m, jetstream.WithMsgID(messageID(m)))
	if err != nil || !ack.Duplicate {
		return err
	}
	gone, err := s.purged(ctx, ack)
	if err != nil || !gone {
		return err
	}
	m.Header.Del(jetstream.MsgIDHeader)
	_, err = s.js.PublishMsg(ctx, m)
	return err
}

// messageID returns the id by which a stream knows a message that is sent again. An id counts for
// the whole stream, so it is made from the subject too; and from the data, because an event may
// come again with other events beside it, or after a replay, and then says something else.
func messageID(m *nats.Msg) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%d %s ", len(m.Subject), m.Subject)
	sum.Write(m.Data)
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}

// purged reports whether the stream no longer has the message that a repeated one was taken for. An
// id outlives its message. In a stream that drops what its consumers have acknowledged, a message
// that is gone was delivered.
func (s stream) purged(ctx context.Context, ack *jetstream.PubAck) (bool, error) {
	of, err := s.js.Stream(ctx, ack.Stream)
	if err != nil || of.CachedInfo().Config.Retention != jetstream.LimitsPolicy {
		return false, err
	}
	_, err = of.GetMsg(ctx, ack.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil
	}
	return false, err
}
