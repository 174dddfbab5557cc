package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/msgdelivery/delivery"
)

// marker is a goroutine of a node that marks as fast as it can.
type marker struct {
	*node
	random *rand.Rand
	number int
	sent   int
}

func newMarker(n *node, number int) *marker {
	stream := uint64(n.Index)<<32 | uint64(n.Generation)<<16 | uint64(number)
	return &marker{node: n, random: rand.New(rand.NewPCG(n.Seed, stream)), number: number}
}

func (m *marker) run(ctx context.Context) {
	for ctx.Err() == nil {
		switch p := m.random.IntN(100) - m.Talk; {
		case p < 0:
			m.talk(ctx)
		case p >= 100-2*m.Talk && m.markReply(ctx):
		case p < 3:
			m.send(ctx)
		case p < 9:
			m.trespass(ctx)
		case p < 12:
			m.markUpTo(ctx)
		case p < 30:
			m.mark(ctx, 1)
		default:
			m.mark(ctx, 1+m.random.IntN(m.Batch))
		}
		if m.Pause > 0 {
			time.Sleep(time.Duration(m.random.Int64N(2 * int64(m.Pause))))
		}
	}
}

// call makes a call with the node's time limit, and notes by how much it exceeds that. The call
// goes on when the node is to be quiet, as calls of an app would.
func (m *marker) call(ctx context.Context, do func(ctx context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	began := time.Now()
	if m.Timeout > 0 {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, m.Timeout)
		defer cancel()
	}
	err := do(ctx)
	if late := (time.Since(began) - m.Timeout).Milliseconds(); m.Timeout > 0 && late > m.late.Load() {
		m.late.Store(late)
	}
	return err
}

// actor is a user at random, as she comes to this node.
func (m *marker) actor() (delivery.Actor, int) {
	u := m.random.IntN(m.World.Users)
	return delivery.Actor{User: userID(u), Socket: socketOf(m.Index, u)}, u
}

func (m *marker) status() delivery.Status {
	if m.random.IntN(2) == 0 {
		return delivery.Delivered
	}
	return delivery.Read
}

// mark marks some messages of other users.
func (m *marker) mark(ctx context.Context, count int) {
	actor, u := m.actor()
	conversations := make([]int, max(1, m.Spread))
	for i := range conversations {
		conversations[i] = m.random.IntN(m.World.Conversations)
	}
	var ids []string
	for range count {
		k := m.random.IntN(m.World.Messages)
		if k%m.World.Users != u {
			ids = append(ids, messageID(conversations[m.random.IntN(len(conversations))], k))
		}
	}
	m.markThese(ctx, actor, m.status(), ids)
}

func (m *marker) markThese(ctx context.Context, actor delivery.Actor, status delivery.Status, ids []string) {
	if len(ids) == 0 {
		return
	}
	entry := Entry{At: now(), What: asks, User: actor.User, Socket: actor.Socket, Status: status, Messages: ids}
	m.journal.write(entry)
	var results []delivery.MarkResult
	err := m.call(ctx, func(ctx context.Context) (err error) {
		results, err = m.tracker.Mark(ctx, actor, status, ids...)
		return err
	})
	entry.Took = now() - entry.At
	entry.At, entry.What, entry.Messages = now(), acked, nil
	for _, r := range results {
		if r.Err == nil && !r.Own.Status.Reaches(status) {
			r.Err = fmt.Errorf("acknowledged with a receipt at %v", r.Own.Status)
		}
		if r.Err != nil {
			err = r.Err
			continue
		}
		entry.Messages, entry.Changed = append(entry.Messages, r.Message), append(entry.Changed, r.Changed)
	}
	if len(entry.Messages) > 0 {
		m.journal.write(entry)
		m.marks.Add(int64(len(entry.Messages)))
	}
	m.note(err)
}

// note writes down a failure, and gives what failed a moment.
func (m *marker) note(err error) {
	if err == nil {
		return
	}
	reason := err.Error()
	if errors.Is(err, delivery.ErrOutcomeUnknown) {
		reason = "unknown: " + reason
	}
	m.journal.write(Entry{At: now(), What: failed, Reason: reason})
	time.Sleep(10 * time.Millisecond)
}

// trespass has a sender mark its own message, which is to be refused.
func (m *marker) trespass(ctx context.Context) {
	k := m.random.IntN(m.World.Messages)
	actor := delivery.Actor{User: m.World.sender(k)}
	err := m.call(ctx, func(ctx context.Context) error {
		_, err := m.tracker.MarkRead(ctx, actor, messageID(m.random.IntN(m.World.Conversations), k))
		return err
	})
	if err == nil {
		err = errors.New("a sender's own mark was taken")
	}
	if !errors.Is(err, delivery.ErrOwnMessage) {
		m.note(err)
	}
}

// markUpTo marks the beginning of a conversation: of one in ten, for there is soon nothing left to
// mark in these.
func (m *marker) markUpTo(ctx context.Context) {
	actor, _ := m.actor()
	c := m.random.IntN(m.World.Conversations) / 10 * 10
	id := messageID(c, m.random.IntN(max(1, m.World.Messages/4)))
	entry := Entry{At: now(), What: asks, User: actor.User, Socket: actor.Socket, Status: m.status(), Messages: []string{id}, UpTo: true}
	m.journal.write(entry)
	err := m.call(ctx, func(ctx context.Context) error {
		_, err := m.tracker.MarkUpTo(ctx, actor, entry.Status, delivery.MessageRef{Conversation: conversationID(c), ID: id})
		return err
	})
	if errors.Is(err, delivery.ErrNotRecipient) {
		return // all up to it are the user's own
	}
	if err == nil {
		entry.At, entry.What = now(), acked
		m.journal.write(entry)
		m.marks.Add(1)
	}
	m.note(err)
}

// newID is the id of a message that is sent during the run.
func (m *marker) newID(c int, sender string) string {
	m.sent++
	return fmt.Sprintf("c%d-new-%d-%d-%d-%d@%s", c, m.Index, m.Generation, m.number, m.sent, sender)
}

// send sends a message to everybody.
func (m *marker) send(ctx context.Context) {
	c := m.random.IntN(m.World.Conversations)
	id := m.newID(c, m.World.sender(0))
	entry := Entry{At: now(), What: asks, Messages: []string{id}, Send: true}
	m.journal.write(entry)
	err := m.call(ctx, func(ctx context.Context) error {
		_, err := m.tracker.Send(ctx, delivery.Draft{ID: id, Conversation: conversationID(c), Sender: m.World.sender(0), Body: "new", Audience: delivery.Audience{Open: true}})
		return err
	})
	if err == nil {
		entry.At, entry.What = now(), acked
		m.journal.write(entry)
	}
	m.note(err)
}
