package deliverytest

import (
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

var upToCases = []storeCase{
	{"an up-to mark advances what stands at or before the named message, in order of seq", func(p *probe) {
		p.five()
		p.create(frozen("d", "elsewhere", "alice", "bob"))
		marked := p.markUpTo(upTo("m3", delivery.Delivered))
		want := delivery.Receipt{Message: "m3", Recipient: "bob", Status: delivery.Delivered, Version: 8, DeliveredAt: minute(1)}
		p.same("AdvanceUpTo", marked, delivery.MarkedUpTo{Header: p.message("m3").Header, Receipt: want, Changed: 3, From: 6, To: 8, Reached: 3})
		p.bobHas(map[string]int64{"m1": 6, "m2": 7, "m3": 8})
		p.same("the receipts of another user", p.message("m1").Delivered, 1)
		p.same("a message in another conversation", p.message("elsewhere").Delivered, 0)
	}},
	{"an up-to mark makes one event", func(p *probe) {
		p.five()
		p.drain()
		mark := upTo("m4", delivery.Read)
		mark.Socket = "1.1"
		p.markUpTo(mark)
		events := p.drain()
		p.same("the number of events", len(events), 1)
		for _, e := range events {
			p.fields("the event", "Kind Conversation Except From To Updates", []any{e.Kind, e.Conversation, e.Except, e.From, e.To, len(e.Updates)},
				[]any{delivery.StatusChanged, "c", "1.1", int64(6), int64(9), 4})
		}
	}},
	{"an up-to mark passes over the user's own messages and those frozen without the user", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), frozen("c", "own", "bob", "alice"), frozen("c", "secret", "alice", "carol"),
			open("c", "own too", "bob"), frozen("c", "m2", "alice", "bob"), frozen("c", "secret too", "alice", "carol"))
		mark := upTo("secret too", delivery.Delivered)
		mark.Admitted = true
		p.same("AdvanceUpTo", p.markUpTo(mark), delivery.MarkedUpTo{Header: p.message("secret too").Header, Changed: 2, From: 7, To: 8, Reached: 6})
		p.bobHas(map[string]int64{"m1": 7, "m2": 8})
		for _, id := range []string{"own", "secret", "own too", "secret too"} {
			p.same("the deliveries of "+id, p.message(id).Delivered, 0)
		}
	}},
	{"an up-to mark to one's own message, or to one frozen without the user, marks what is before it", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), frozen("c", "own", "bob", "alice"), frozen("c", "m2", "alice", "bob"), frozen("c", "secret", "alice", "carol"))
		p.same("AdvanceUpTo the own one", p.markUpTo(upTo("own", delivery.Read)), delivery.MarkedUpTo{Header: p.message("own").Header, Changed: 1, From: 5, To: 5, Reached: 2})
		p.same("AdvanceUpTo the secret one", p.markUpTo(upTo("secret", delivery.Read)), delivery.MarkedUpTo{Header: p.message("secret").Header, Changed: 1, From: 6, To: 6, Reached: 4})
	}},
	{"messages that only lack admission are left out, counted every time, and marked once there is admission", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), open("c", "open", "alice"), open("c", "own", "bob"), frozen("c", "m2", "alice", "bob"), open("c", "open too", "carol"))
		mark := upTo("open too", delivery.Delivered)
		header := p.message("open too").Header
		p.same("AdvanceUpTo without admission", p.markUpTo(mark), delivery.MarkedUpTo{Header: header, Changed: 2, From: 6, To: 7, LeftOut: 2, Reached: 5})
		p.same("AdvanceUpTo without admission, again", p.markUpTo(mark), delivery.MarkedUpTo{Header: header, LeftOut: 2, Reached: 5})
		mark.Admitted = true
		receipt := delivery.Receipt{Message: "open too", Recipient: "bob", Status: delivery.Delivered, Version: 9, DeliveredAt: minute(1)}
		p.same("AdvanceUpTo with admission", p.markUpTo(mark), delivery.MarkedUpTo{Header: header, Receipt: receipt, Changed: 2, From: 8, To: 9, Reached: 5})
		mark.Admitted = false
		p.same("AdvanceUpTo without admission, when nothing is left", p.markUpTo(mark), delivery.MarkedUpTo{Header: header, Receipt: receipt, Reached: 5})
		p.bobHas(map[string]int64{"m1": 6, "m2": 7, "open": 8, "open too": 9})
	}},
	{"an up-to mark stops at the limit, oldest first, and says that there is more", func(p *probe) {
		p.five()
		mark, header := upTo("m5", delivery.Read), p.message("m5").Header
		markTwo := func() delivery.MarkedUpTo { return p.markAllUpTo(2, mark)[0] }
		p.same("the first AdvanceUpTo", markTwo(), delivery.MarkedUpTo{Header: header, Receipt: p.receiptOf("m5"), Changed: 2, From: 6, To: 7, Reached: 2, More: true})
		p.bobHas(map[string]int64{"m1": 6, "m2": 7})
		p.same("the second AdvanceUpTo", markTwo(), delivery.MarkedUpTo{Header: header, Receipt: p.receiptOf("m5"), Changed: 2, From: 8, To: 9, Reached: 4, More: true})
		third := markTwo()
		p.same("the third AdvanceUpTo", third, delivery.MarkedUpTo{Header: header, Receipt: p.receiptOf("m5"), Changed: 1, From: 10, To: 10, Reached: 5})
		p.same("one more", markTwo(), delivery.MarkedUpTo{Header: header, Receipt: third.Receipt, Reached: 5})
	}},
	{"an up-to mark whose limit just suffices has no more", func(p *probe) {
		p.five()
		marked := p.markAllUpTo(5, upTo("m5", delivery.Read))[0]
		p.same("Changed", marked.Changed, 5)
		p.same("More", marked.More, false)
	}},
	{"an up-to mark finds what came after the last one, and what that one did not cover", func(p *probe) {
		p.five()
		p.same("delivered up to m4", p.markUpTo(upTo("m4", delivery.Delivered)).Changed, 4)
		p.same("read up to m2", p.markUpTo(upTo("m2", delivery.Read)).Changed, 2)
		p.mark(read("m4", "bob", minute(2)))
		p.same("read up to m5", p.markUpTo(upTo("m5", delivery.Read)).Changed, 2)
		p.same("delivered up to m5", p.markUpTo(upTo("m5", delivery.Delivered)).Changed, 0)
		p.create(frozen("c", "m6", "alice", "bob"), frozen("c", "m7", "alice", "bob"))
		p.same("delivered up to m6", p.markUpTo(upTo("m6", delivery.Delivered)).Changed, 1)
		p.same("read up to m7", p.markUpTo(upTo("m7", delivery.Read)).Changed, 2)
		for _, m := range p.load("m1", "m2", "m3", "m4", "m5", "m6", "m7") {
			p.same("readers of "+m.ID, m.Read, 1)
		}
	}},
	{"an up-to mark to an earlier message than the last one's changes nothing", func(p *probe) {
		p.five()
		p.markUpTo(upTo("m4", delivery.Delivered))
		p.same("AdvanceUpTo", p.markUpTo(upTo("m2", delivery.Delivered)), delivery.MarkedUpTo{Header: p.message("m2").Header, Receipt: p.receiptOf("m2"), Reached: 2})
		p.same("the version", p.version("c"), int64(9))
	}},
	{"each reader has a place of their own", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "alice", "bob", "carol"))
		p.same("bob's AdvanceUpTo", p.markUpTo(upTo("m2", delivery.Read)).Changed, 2)
		mark := upTo("m2", delivery.Read)
		mark.User = "carol"
		p.same("carol's AdvanceUpTo", p.markUpTo(mark).Changed, 2)
	}},
	{"read up to a message keeps the times of delivery there are, and fills in the others", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), frozen("c", "m2", "alice", "bob"), frozen("c", "m3", "alice", "bob"))
		p.mark(delivered("m1", "bob", noon.Add(time.Second)), read("m2", "bob", noon.Add(2*time.Second)))
		p.markUpTo(upTo("m3", delivery.Read))
		p.same("Receipts", p.receipts("m1", "m2", "m3"), []delivery.Receipt{
			{Message: "m1", Recipient: "bob", Status: delivery.Read, Version: 6, DeliveredAt: noon.Add(time.Second), ReadAt: minute(1)},
			{Message: "m2", Recipient: "bob", Status: delivery.Read, Version: p.receiptOf("m2").Version, DeliveredAt: noon.Add(2 * time.Second), ReadAt: noon.Add(2 * time.Second)},
			{Message: "m3", Recipient: "bob", Status: delivery.Read, Version: 7, DeliveredAt: minute(1), ReadAt: minute(1)},
		})
	}},
	{"an up-to mark to a message that is not in the conversation is a zero result", func(p *probe) {
		p.five()
		p.create(frozen("d", "elsewhere", "alice", "bob"))
		for _, id := range []string{"missing", "elsewhere"} {
			p.same("AdvanceUpTo "+id, p.markUpTo(upTo(id, delivery.Read)), delivery.MarkedUpTo{})
		}
		mark := upTo("m1", delivery.Read)
		mark.Conversation = "nowhere"
		p.same("AdvanceUpTo in no conversation", p.markUpTo(mark), delivery.MarkedUpTo{})
		p.same("the version", p.version("c"), int64(5))
	}},
}

// five creates m1 to m5 from alice to bob in conversation c.
func (p *probe) five() {
	p.Helper()
	for i := range 5 {
		p.create(frozen("c", fmt.Sprint("m", i+1), "alice", "bob"))
	}
}

// upTo is bob's mark in conversation c, made at minute 1.
func upTo(message string, status delivery.Status) delivery.UpTo {
	return delivery.UpTo{Conversation: "c", Message: message, User: "bob", Status: status, At: minute(1)}
}

// receiptOf is bob's receipt of a message.
func (p *probe) receiptOf(message string) delivery.Receipt {
	p.Helper()
	for _, receipt := range p.receipts(message) {
		if receipt.Recipient == "bob" {
			return receipt
		}
	}
	p.Fatalf("bob has no receipt of %q", message)
	return delivery.Receipt{}
}

// bobHas checks which messages of conversation c bob has advanced, and at which versions.
func (p *probe) bobHas(want map[string]int64) {
	p.Helper()
	page := p.list(delivery.List{Conversation: "c", Limit: 100, Viewer: "bob"})
	for _, m := range page.Messages {
		version, advanced := want[m.ID]
		switch {
		case m.Own == nil || m.Own.Status == delivery.Sent:
			if advanced {
				p.Errorf("the Own of %q, listed for bob, has not advanced", m.ID)
			}
		case !advanced:
			p.Errorf("the Own of %q, listed for bob, has advanced: %+v", m.ID, *m.Own)
		case m.Own.Version != version:
			p.Errorf("the Own of %q, listed for bob, has version %d, want %d", m.ID, m.Own.Version, version)
		}
	}
}
