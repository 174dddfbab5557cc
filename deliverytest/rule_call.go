package deliverytest

import (
	"context"
	"errors"
	"slices"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

var callCases = []storeCase{
	{"slices handed in are the caller's, and may change after the call", func(p *probe) {
		p.conversations["c"] = true
		messages := []delivery.NewMessage{frozen("c", "m", "alice", "bob", "carol")}
		p.create(messages...)
		messages[0].Members[0] = "mallory"
		messages[0].ID = "spoiled"
		marks := []delivery.Mark{from("1.1", delivered("m", "bob", minute(1)))}
		p.mark(marks...)
		marks[0] = from("9.9", read("spoiled", "mallory", minute(9)))
		upTos := []delivery.UpTo{upTo("m", delivery.Delivered)}
		p.markAllUpTo(plenty, upTos...)
		upTos[0] = delivery.UpTo{Conversation: "spoiled", Message: "spoiled", User: "mallory"}
		p.same("the recipients", []string{p.receipts("m")[0].Recipient, p.receipts("m")[1].Recipient}, []string{"bob", "carol"})

		wanted := []string{"m"}
		loaded := p.load(wanted...)
		wanted[0] = "spoiled"
		p.same("the message loaded", loaded[0].ID, "m")

		event := p.bury("too large")
		again := delivery.Settlement{ID: event.ID, Outcome: delivery.SettleRequeue, Event: event}
		again.Event.Updates = slices.Clone(event.Updates)
		settlements := []delivery.Settlement{again}
		p.settle(settlements...)
		again.Event.Updates[0].Message = "spoiled"
		settlements[0].Event.Conversation = "spoiled"
	}},
	{"slices handed out are the caller's, and what they do to them changes nothing", func(p *probe) {
		p.conversations["c"] = true
		created, born, err := p.store.Create(p.ctx, []delivery.NewMessage{frozen("c", "m", "alice", "bob")}, lease(long))
		p.must("Create", err)
		p.returned(born)
		created[0].Message.Body = "spoiled"
		marked, born, err := p.store.Advance(p.ctx, []delivery.Mark{delivered("m", "bob", minute(1))}, lease(long))
		p.must("Advance", err)
		p.returned(born)
		marked[0].Receipt.Status = delivery.Read
		markedUpTo, born, err := p.store.AdvanceUpTo(p.ctx, []delivery.UpTo{upTo("m", delivery.Read)}, plenty, lease(long))
		p.must("AdvanceUpTo", err)
		p.returned(born)
		markedUpTo[0].Receipt.Status = delivery.Sent

		message := p.message("m")
		p.load("m")[0].Body = "spoiled"
		for _, list := range []delivery.List{{}, {Changes: true}} {
			list.Conversation, list.Limit, list.Viewer = "c", 10, "bob"
			page := p.list(list)
			page.Messages[0].Own.Status = delivery.Sent
			page.Messages[0].Body = "spoiled"
			p.same("the page", p.list(list).Messages[0].Own.Status, delivery.Read)
		}
		p.receipts("m")[0].Status = delivery.Sent
		p.same("the receipt", p.receipts("m")[0].Status, delivery.Read)
		p.same("the message", p.message("m"), message)

		claimed := byID(p.claim(10))
		var wants []delivery.Event
		for _, c := range claimed {
			wants = append(wants, clone.Event(c.Event))
			spoil(c.Event)
			p.settle(settlement(c, delivery.SettleBury))
		}
		clear(p.seen) // they are spoiled
		for _, letter := range p.dead(0, 10) {
			spoil(letter.Event)
		}
		for i, letter := range p.dead(0, 10) {
			p.same("the dead letter", letter.Event, wants[i])
			p.seen[letter.Event.ID] = letter.Event
		}
	}},
	{"a call whose ctx has ended fails and changes nothing", func(p *probe) {
		p.create(open("c", "m", "alice"))
		claimed := p.claimOne()
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		_, _, create := p.store.Create(ctx, []delivery.NewMessage{open("c", "other", "alice")}, delivery.Lease{})
		_, _, advance := p.store.Advance(ctx, []delivery.Mark{admitted(read("m", "bob", noon))}, delivery.Lease{})
		mark := upTo("m", delivery.Read)
		mark.Admitted = true
		_, _, upTo := p.store.AdvanceUpTo(ctx, []delivery.UpTo{mark}, plenty, delivery.Lease{})
		_, load := p.store.Load(ctx, []string{"m"})
		_, list := p.store.List(ctx, delivery.List{Conversation: "c", Limit: 1})
		_, unread := p.store.Unread(ctx, "bob", []string{"c"}, 1)
		_, receipts := p.store.Receipts(ctx, delivery.ReceiptList{Message: "m", Limit: 1})
		_, receiptsOf := p.store.ReceiptsOf(ctx, []delivery.ReceiptKey{{Message: "m", Recipient: "bob"}})
		_, claim := p.store.Claim(ctx, 1, lease(long))
		_, settle := p.store.Settle(ctx, []delivery.Settlement{settlement(claimed, delivery.SettleDone)})
		_, dead := p.store.Dead(ctx, 0, 1)
		_, backlog := p.store.Backlog(ctx)
		for i, err := range []error{create, advance, upTo, load, list, unread, receipts, receiptsOf, claim, settle, dead, backlog} {
			if !errors.Is(err, context.Canceled) {
				method := []string{"Create", "Advance", "AdvanceUpTo", "Load", "List", "Unread", "Receipts", "ReceiptsOf", "Claim", "Settle", "Dead", "Backlog"}[i]
				p.Errorf("%s returned the error %v, want one that wraps %v", method, err, context.Canceled)
			}
		}
		p.same("the version", p.version("c"), int64(1))
		p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 1})
		p.same("Settle after all", p.settle(settlement(claimed, delivery.SettleDone)), 1)
	}},
	{"nothing to do is no error", func(p *probe) {
		p.same("Create", p.create(), []delivery.Created{})
		p.same("Advance", p.mark(), []delivery.Marked{})
		p.same("AdvanceUpTo", p.markAllUpTo(plenty), []delivery.MarkedUpTo{})
		p.same("Load", p.load(), []delivery.Message{})
		p.same("Receipts", p.receipts(), []delivery.Receipt{})
		p.same("Claim", p.claim(10), []delivery.Claimed{})
		p.same("Settle", p.settle(), 0)
		p.same("Dead", p.dead(0, 10), []delivery.DeadLetter{})
	}},
}

// returned gives back events that were born under a lease, after spoiling them.
func (p *probe) returned(born []delivery.Claimed) {
	p.Helper()
	if len(born) != 1 {
		p.Fatalf("%d events were born, want 1", len(born))
	}
	spoil(born[0].Event)
	p.settle(settlement(born[0], delivery.SettleRelease))
}

// spoil overwrites what an event shares.
func spoil(event delivery.Event) {
	for i := range event.Trace {
		event.Trace[i] = "spoiled"
	}
	for i := range event.Updates {
		if receipt := event.Updates[i].Receipt; receipt != nil {
			receipt.Recipient = "spoiled"
		}
		event.Updates[i].Message = "spoiled"
	}
}
