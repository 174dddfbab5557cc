package deliverytest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

const (
	long  = time.Hour             // a lease that outlasts the test
	short = 50 * time.Millisecond // a lease whose end the test waits for
	grain = 5 * time.Millisecond  // how coarse a store's clock may be
)

func lease(d time.Duration) delivery.Lease {
	return delivery.Lease{Token: 1 + rand.Int64N(1<<62), For: d} // #nosec G404 -- tells the tests apart, and keeps nobody out
}

func settlement(c delivery.Claimed, outcome delivery.Outcome) delivery.Settlement {
	return delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: outcome}
}

// noon is when the tests' messages are sent; minute n is when they are marked.
var noon = time.Date(2024, time.May, 6, 12, 0, 0, 123456000, time.UTC)

func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

// frozen is a message to frozen recipients, who must all reach a status. Its roster is known by the
// names in it.
func frozen(conversation, id, sender string, recipients ...string) delivery.NewMessage {
	slices.Sort(recipients)
	return delivery.NewMessage{
		Header:  delivery.Header{ID: id, Conversation: conversation, Sender: sender, SentAt: noon},
		Body:    "the body of " + id,
		Roster:  rosterOf(recipients),
		Members: append([]string{}, recipients...), // nil would leave them out
	}
}

func rosterOf(members []string) string {
	hash := fnv.New128()
	for _, m := range members {
		fmt.Fprintf(hash, "%q", m)
	}
	return fmt.Sprintf("of %x", hash.Sum(nil))
}

// open is a message to an open audience, one of whom must reach a status.
func open(conversation, id, sender string) delivery.NewMessage {
	return delivery.NewMessage{
		Header: delivery.Header{ID: id, Conversation: conversation, Sender: sender, Open: true, Quorum: 1, SentAt: noon},
		Body:   "the body of " + id,
	}
}

// asSent is what is stored of a message that was just sent.
func asSent(m delivery.NewMessage, seq int64) delivery.Message {
	var sender delivery.Status
	if i := slices.Index(m.Members, m.Sender); i >= 0 {
		sender = m.CapOf(i)
	}
	tracked, readers := m.Sizes()
	stored := delivery.Message{Header: m.SizedFrom(tracked, readers, sender), Body: m.Body}
	stored.Seq, stored.Version, stored.Status = seq, seq, delivery.Sent
	return stored
}

// asCreated is what Create answers for a message that it stored.
func asCreated(m delivery.NewMessage, seq int64) delivery.Created {
	return delivery.Created{Message: asSent(m, seq), Roster: m.Roster}
}

// existing is what Create answers for a message whose id is taken by that one.
func existing(m delivery.NewMessage, seq int64) delivery.Created {
	c := asCreated(m, seq)
	c.Existed = true
	return c
}

func delivered(message, user string, at time.Time) delivery.Mark {
	return delivery.Mark{Message: message, User: user, Status: delivery.Delivered, At: at}
}

func read(message, user string, at time.Time) delivery.Mark {
	return delivery.Mark{Message: message, User: user, Status: delivery.Read, At: at}
}

// admitted is the mark after the app's rule said yes.
func admitted(m delivery.Mark) delivery.Mark {
	m.Admitted = true
	return m
}

// from is the mark from a socket.
func from(socket string, m delivery.Mark) delivery.Mark {
	m.Socket = socket
	return m
}
