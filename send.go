package delivery

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/msgdelivery/delivery/internal/packet"
)

// Send stores a message and announces it. It returns when the message and its event are committed.
//
// If the caller sets the id, sending the same content again has no effect and returns the stored
// message. Sending other content under the same id is [ErrConflict]. Without an id, every call is a
// new message, so a caller that retries should set one.
//
// When ctx ends while the write is under way the error wraps [ErrOutcomeUnknown].
func (t *Tracker) Send(ctx context.Context, draft Draft) (Message, error) {
	o, err := t.prepare(ctx, draft)
	if err != nil {
		return Message{}, err
	}
	msg, err := t.send(ctx, o, false, func(m NewMessage) (Created, error) {
		r := t.sends.do(ctx, m.Sender, []NewMessage{m}, func(m NewMessage) string { return m.Conversation })[0]
		return r.Out, r.Err
	})
	if err == nil {
		t.headers.put(msg.ID, msg.Header)
	}
	return msg, err
}

// SendTx is [Tracker.Send] inside the caller's transaction: the message, its receipts and its event
// exist if and only if the caller commits. It needs a [TxStore].
//
// The conversation's row stays locked until the caller commits, so call SendTx last. Transactions
// that write to several conversations must do so in the same order everywhere, or deadlocks end
// some transactions with [ErrTxConflict]. Within one [Tracker.MarkTx] the order is taken care of.
// The event is due at the commit: call [Tracker.Wake] then, or wait for the next poll. Without
// Wake, the event of a transaction that commits more than 10 s after the call can take up to 30 s
// to be published.
func (t *Tracker) SendTx(ctx context.Context, tx DBTX, draft Draft) (Message, error) {
	store, err := t.inTx(tx)
	if err != nil {
		return Message{}, err
	}
	o, err := t.prepare(ctx, draft)
	if err != nil {
		return Message{}, err
	}
	return t.send(ctx, o, true, func(m NewMessage) (Created, error) {
		outs, err := sendKind.inTx([]NewMessage{m}, func(m []NewMessage) ([]Created, []Claimed, error) { return store.Create(ctx, m, Lease{}) })
		if err != nil {
			return Created{}, err
		}
		return outs[0].Out, nil
	})
}

// prepare validates a draft and fills in what it leaves open.
func (t *Tracker) prepare(ctx context.Context, d Draft) (outgoing, error) {
	if d.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return outgoing{}, fmt.Errorf("delivery: making an id: %w", err)
		}
		d.ID = id.String()
	}
	for _, err := range []error{
		checkID("id", d.ID),
		checkID("conversation", d.Conversation),
		checkID("sender", d.Sender),
		checkText("body", d.Body),
		checkSocket(d.Socket),
	} {
		if err != nil {
			return outgoing{}, err
		}
	}
	if len(d.Body) > MaxBody {
		return outgoing{}, &InvalidError{Field: "body", Reason: fmt.Sprintf("is longer than %d bytes", MaxBody)}
	}
	if n, ok := t.relay.notifier.(CheckingNotifier); ok {
		if err := n.CheckConversation(d.Conversation); err != nil {
			return outgoing{}, err
		}
	}
	o := outgoing{NewMessage: NewMessage{
		Header:    Header{ID: d.ID, Conversation: d.Conversation, Sender: d.Sender, SentAt: now()},
		Body:      d.Body,
		Socket:    d.Socket,
		EventBody: t.opts.EventBodies,
		Trace:     t.trace(ctx),
	}}
	return o, o.address(d.Audience)
}

// weight is what a message counts in a batch, which weighs up to [MaxBatch]: so much that a full
// batch makes no statement that a database would refuse, whatever the texts.
func (m NewMessage) weight() int {
	const perItem = 16 // punctuation and numbers, which do not grow
	size := len(m.ID) + len(m.Conversation) + len(m.Sender) + len(m.Socket) + len(m.Roster) + len(m.Trace) + len(m.Body) + perItem
	for _, r := range m.Members {
		size += len(r) + perItem
	}
	size += len(m.Caps) * len("1,")
	return 1 + size*MaxBatch/packet.Text
}

// sendKind is what gather knows of sends. Of messages with the same id the first is stored, and is
// what was there for the others.
var sendKind = kind[NewMessage, string, Created]{
	what:    WroteSends,
	weigh:   NewMessage.weight,
	key:     func(m NewMessage) string { return m.ID },
	implies: func(NewMessage, NewMessage) bool { return true },
	repeat:  func(c Created) Created { c.Existed = c.Message.ID != ""; return c },
	blocked: func(c Created) (string, bool) { return c.Message.Conversation, c.Blocked },
}

// send writes a message, and judges what became of it. A store that has no such roster is told the
// members.
func (t *Tracker) send(ctx context.Context, o outgoing, inTx bool, write func(NewMessage) (Created, error)) (msg Message, err error) {
	try := func() (Created, error) {
		c, err := write(o.NewMessage)
		if err = cmp.Or(err, c.Err); err != nil {
			err = outcome("sending", err)
		}
		return c, err
	}
	c, err := try()
	if err == nil && c.NoRoster && o.ask != nil {
		var members set
		if members, err = o.ask(ctx); err == nil {
			o.Members, o.Caps = members.users, members.caps
			c, err = try()
		}
	}
	if err == nil {
		msg, err = o.stored(c)
	}
	t.opts.Observer.Sent(ctx, SentInfo{Conversation: o.Conversation, Message: o.ID, Sender: o.Sender, InTx: inTx, Err: err})
	return msg, err
}

// stored returns the message that is stored under the id. An id that existed is a repeat if all
// that was asked for is the same as what is there, and a conflict otherwise.
func (m NewMessage) stored(c Created) (Message, error) {
	if c.Gone {
		return Message{}, ErrGone
	}
	if c.Message.ID != m.ID {
		return Message{}, fmt.Errorf("delivery: sending: %w", errStray)
	}
	if !c.Existed {
		return c.Message, nil
	}
	is, want := c.Message.Header, m.Sized(c.Message.Total, c.Message.Readers)
	is.Seq, is.SentAt, want.SentAt = 0, time.Time{}, time.Time{}
	if is != want || c.Message.Body != m.Body || c.Roster != m.Roster {
		return Message{}, ErrConflict
	}
	return c.Message, nil
}

// now is the one clock of what is stored.
func now() time.Time { return stamp(time.Now()) }

// stamp is a time as every store keeps it: UTC, in microseconds.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
