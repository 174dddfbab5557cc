package deliverytest

import (
	"fmt"

	"github.com/msgdelivery/delivery"
)

var createCases = []storeCase{
	{"new messages come back in the order of the argument, each at the next version of its conversation", func(p *probe) {
		a, b, c, d := frozen("c1", "a", "alice", "bob"), open("c2", "b", "bob"), frozen("c1", "c", "bob", "alice"), open("c1", "d", "alice")
		created := p.create(d, b, a)
		created = append(created, p.create(c)...)
		want := []delivery.Created{asCreated(d, 1), asCreated(b, 1), asCreated(a, 2), asCreated(c, 3)}
		p.same("Create's results", created, want)
		for _, w := range want {
			p.same("message "+w.Message.ID, p.message(w.Message.ID), w.Message)
		}
	}},
	{"a frozen message begins with a receipt at sent for each recipient", func(p *probe) {
		p.create(frozen("c", "before", "alice", "bob"), frozen("c", "m", "alice", "carol", "bob", "dave"))
		p.same("Receipts", p.receipts("m"), []delivery.Receipt{
			{Message: "m", Recipient: "bob", Status: delivery.Sent, Version: 2},
			{Message: "m", Recipient: "carol", Status: delivery.Sent, Version: 2},
			{Message: "m", Recipient: "dave", Status: delivery.Sent, Version: 2},
		})
	}},
	{"an open message begins without receipts", func(p *probe) {
		p.create(open("c", "m", "alice"))
		p.same("Receipts", p.receipts("m"), []delivery.Receipt{})
		p.same("Load", p.message("m"), asSent(open("c", "m", "alice"), 1))
	}},
	{"a message frozen to nobody is not open", func(p *probe) {
		p.create(frozen("c", "m", "alice"))
		p.same("Load", p.message("m"), asSent(frozen("c", "m", "alice"), 1))
		marked := p.mark(admitted(read("m", "bob", noon)))
		p.same("Advance by a stranger", marked, []delivery.Marked{{Header: p.message("m").Header}})
	}},
	{"each new message has an event of its own, which says what it was made with", func(p *probe) {
		plain, full := frozen("c", "plain", "alice", "bob", "carol"), open("c", "full", "bob")
		full.EventBody, full.Socket = true, "123.456"
		p.create(plain, full)
		want := []delivery.Event{
			{Kind: delivery.MessageSent, Conversation: "c", From: 1, To: 1, Updates: []delivery.Update{
				{Message: "plain", Sender: "alice", Version: 1, Status: delivery.Sent, Total: 2, Readers: 2},
			}},
			{Kind: delivery.MessageSent, Conversation: "c", From: 2, To: 2, Except: "123.456", Updates: []delivery.Update{
				{Message: "full", Sender: "bob", Version: 2, Status: delivery.Sent, Body: full.Body},
			}},
		}
		p.same("the events", withoutIDs(byVersion(p.drain())), want)
	}},
	{"a message whose id is taken is not stored, takes no version and has no event", func(p *probe) {
		m := frozen("c", "m", "alice", "bob")
		p.create(m)
		p.mark(delivered("m", "bob", minute(1)))
		there := p.message("m")
		p.drain()

		other := frozen("c", "m", "bob", "carol")
		other.Body, other.Socket, other.EventBody = "something else", "1.1", true
		for _, again := range []delivery.NewMessage{m, other} {
			p.same("Create with the taken id", p.create(again), []delivery.Created{{Message: there, Roster: m.Roster, Existed: true}})
		}
		p.same("the message", p.message("m"), there)
		p.same("its receipts", len(p.receipts("m")), 1)
		p.same("the version", p.version("c"), int64(2))
		p.same("the events", p.drain(), []delivery.Event{})
	}},
	{"a taken id does not hinder the new messages beside it", func(p *probe) {
		p.create(frozen("c", "b", "alice", "bob"))
		created := p.create(frozen("c", "a", "alice", "bob"), frozen("c", "b", "alice", "bob"), frozen("c", "c", "alice", "bob"))
		p.same("Create", created, []delivery.Created{
			asCreated(frozen("c", "a", "alice", "bob"), 2),
			existing(frozen("c", "b", "alice", "bob"), 1),
			asCreated(frozen("c", "c", "alice", "bob"), 3),
		})
	}},
	{"an id that is taken in one conversation is taken in all", func(p *probe) {
		p.create(open("c1", "m", "alice"))
		created := p.create(open("c2", "m", "alice"))
		p.same("Create", created, []delivery.Created{existing(open("c1", "m", "alice"), 1)})
		p.same("the page of the other conversation", p.list(delivery.List{Conversation: "c2", Limit: 10}), p.nothing(0))
	}},
	{"500 messages are created in one call", func(p *probe) {
		var messages []delivery.NewMessage
		var want []delivery.Created
		for i := range delivery.MaxBatch {
			messages = append(messages, frozen("c", fmt.Sprint("m", i), "alice", "bob"))
			want = append(want, asCreated(messages[i], int64(i+1)))
		}
		p.same("Create", p.create(messages...), want)
	}},
	{"a message may have 10,000 frozen recipients", func(p *probe) {
		users := make([]string, 10_000)
		for i := range users {
			users[i] = fmt.Sprintf("user %06d", i)
		}
		p.create(frozen("c", "m", "alice", users...))
		receipts := p.receipts("m")
		if len(receipts) != len(users) {
			p.Fatalf("the message has %d receipts, want %d", len(receipts), len(users))
		}
		for i, user := range users {
			if receipts[i].Recipient != user {
				p.Fatalf("receipt %d is of %q, want %q", i, receipts[i].Recipient, user)
			}
		}
		p.same("Advance by the last", p.mark(read("m", users[len(users)-1], noon))[0].Changed, true)
	}},
}

// withoutIDs returns the events with no ids, which no rule foretells.
func withoutIDs(events []delivery.Event) []delivery.Event {
	for i := range events {
		events[i].ID = 0
	}
	return events
}
