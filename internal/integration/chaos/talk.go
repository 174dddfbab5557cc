package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/sqlstore"
)

// txStep is a call of a Tx form, and what the journal says of it.
type txStep struct {
	Entry
	recipients []string                                                    // of a reply
	do         func(ctx context.Context, tx delivery.DBTX, e *Entry) error // fills in what changed
}

// talk is what an app does in a transaction at its database's default isolation: it reads
// something, and then replies, marks and marks up to a message, in one to three calls. After a
// conflict it runs the transaction again.
func (m *marker) talk(ctx context.Context) {
	actor, u := m.actor()
	c := m.random.IntN(m.World.Conversations)
	last := messageID(c, m.random.IntN(m.World.Messages))
	var steps []txStep
	for range 1 + m.random.IntN(3) {
		switch m.random.IntN(3) {
		case 0:
			last = m.newID(c, actor.User)
			steps = append(steps, m.reply(actor, c, last))
		case 1:
			if id := m.replies.to(actor.User, m.random); id != "" && m.random.IntN(2) == 0 {
				steps = append(steps, m.markInTx(actor, id)) // perhaps of another conversation
			} else if k := m.random.IntN(m.World.Messages); k%m.World.Users != u {
				steps = append(steps, m.markInTx(actor, messageID(c, k)))
			}
		case 2:
			steps = append(steps, m.upToInTx(actor, c, last))
		}
	}
	for _, s := range steps {
		m.journal.write(s.Entry)
	}
	err := m.call(ctx, func(ctx context.Context) error { return m.runAgain(ctx, steps) })
	if err == nil {
		m.tracker.Wake()
		m.journal.write(Entry{At: now(), What: commits})
		for _, s := range steps {
			if s.What != acked { // it was refused
				continue
			}
			if s.Send {
				m.replies.add(s.Messages[0], s.recipients)
			}
			s.At = now()
			m.journal.write(s.Entry)
			if !s.Send {
				m.marks.Add(1)
			}
		}
	}
	m.note(err)
}

// runAgain runs a transaction until it meets no conflict, with pauses between.
func (m *marker) runAgain(ctx context.Context, steps []txStep) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := m.inOneTx(ctx, steps)
		if err == nil || !sqlstore.IsConflict(err) {
			return err
		}
		m.journal.write(Entry{At: now(), What: conflicts})
		select {
		case <-time.After(rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (m *marker) inOneTx(ctx context.Context, steps []txStep) error {
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM chaos_backwards`).Scan(&n); err != nil {
		return err
	}
	time.Sleep(rand.N(2 * time.Millisecond)) // for others to commit
	for i := range steps {
		e := &steps[i].Entry
		e.What, e.Changed = acked, nil
		if err := steps[i].do(ctx, tx, e); errors.Is(err, delivery.ErrNotRecipient) {
			e.What = asks // all up to the message are the user's own, or not for the user
		} else if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// reply sends a message to a few others.
func (m *marker) reply(actor delivery.Actor, c int, id string) txStep {
	recipients := make([]string, 5)
	for i := range recipients {
		recipients[i] = userID(m.random.IntN(m.World.Users))
	}
	draft := delivery.Draft{ID: id, Conversation: conversationID(c), Sender: actor.User, Body: "new", Audience: delivery.Audience{Recipients: recipients}, Socket: actor.Socket}
	return txStep{Entry{At: now(), What: asks, Messages: []string{id}, Send: true}, recipients, func(ctx context.Context, tx delivery.DBTX, _ *Entry) error {
		_, err := m.inTx.SendTx(ctx, tx, draft)
		return err
	}}
}

func (m *marker) markInTx(actor delivery.Actor, id string) txStep {
	e := Entry{At: now(), What: asks, User: actor.User, Socket: actor.Socket, Status: m.status(), Messages: []string{id}}
	return txStep{e, nil, func(ctx context.Context, tx delivery.DBTX, e *Entry) error {
		results, err := m.inTx.MarkTx(ctx, tx, actor, e.Status, id)
		if err != nil {
			return err
		}
		e.Changed = []bool{results[0].Changed}
		return results[0].Err
	}}
}

func (m *marker) upToInTx(actor delivery.Actor, c int, id string) txStep {
	e := Entry{At: now(), What: asks, User: actor.User, Socket: actor.Socket, Status: m.status(), Messages: []string{id}, UpTo: true}
	return txStep{e, nil, func(ctx context.Context, tx delivery.DBTX, e *Entry) error {
		_, err := m.inTx.MarkUpToTx(ctx, tx, actor, e.Status, delivery.MessageRef{Conversation: conversationID(c), ID: id})
		return err
	}}
}

// markReply marks one of the latest replies, if there is one to the user. Others are soon marked by
// all.
func (m *marker) markReply(ctx context.Context) bool {
	actor, _ := m.actor()
	id := m.replies.to(actor.User, m.random)
	if id != "" {
		m.markThese(ctx, actor, m.status(), []string{id})
	}
	return id != ""
}

// replies are the latest ones that a node has committed.
type replies struct {
	mu  sync.Mutex
	all []reply
}

type reply struct {
	id         string
	recipients []string
}

func (r *replies) add(id string, recipients []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, reply{id, recipients})
	r.all = r.all[max(0, len(r.all)-100):]
}

// to is one at random to a user, if there is one.
func (r *replies) to(user string, random *rand.Rand) (id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range random.Perm(len(r.all)) {
		if slices.Contains(r.all[i].recipients, user) && !strings.HasSuffix(r.all[i].id, "@"+user) {
			return r.all[i].id
		}
	}
	return ""
}
