package deliverytest

import (
	"fmt"
	"strings"

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
			p.same("the event", []any{e.Kind, e.Conversation, e.Except, e.From, e.To, len(e.Updates)},
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
	{"up-to marks of many users and conversations are applied in one call, with a result each in order", func(p *probe) {
		p.people()
		marks := []delivery.UpTo{by("dave", "", "c3"), by("bob", "", "d2"), by("mallory", "", "d2"), by("bob", "", "c2"), by("carol", "", "missing"), by("alice", "", "c3"), by("carol", "", "d1")}
		for i, m := range p.markAllUpTo(plenty, marks...) {
			want := delivery.MarkedUpTo{}
			if id := marks[i].Message; id != "missing" {
				want.Header = p.message(id).Header
				want.Reached = want.Header.Seq
			}
			want.Changed = []int{3, 2, 0, 2, 0, 0, 1}[i]
			want.From, want.To = m.From, m.To // which are contiguous
			for _, r := range p.receipts(marks[i].Message) {
				if r.Recipient == marks[i].User {
					want.Receipt = r
				}
			}
			p.same(fmt.Sprintf("the result of %s's mark up to %s", marks[i].User, marks[i].Message), m, want)
		}
		p.same("the versions", []int64{p.version("c"), p.version("d")}, []int64{3 + 5, 2 + 3})
		for id, readers := range map[string]int{"c1": 2, "c2": 2, "c3": 1, "d1": 2, "d2": 1} {
			p.same("the readers of "+id, p.message(id).Read, readers)
		}
	}},
	{"the up-to marks of a call share its limit, and those that it did not suffice for have more", func(p *probe) {
		p.people()
		marks := []delivery.UpTo{by("bob", "", "c3"), by("carol", "", "c3"), by("dave", "", "d2"), by("bob", "", "d2")}
		done, left := 0, len(marks)
		for calls := 1; left > 0; calls++ {
			if calls > 4 {
				p.Fatalf("after %d calls with a limit of 4, %d of 10 receipts have advanced", calls-1, done)
			}
			left = 0
			for i, m := range p.markAllUpTo(4, marks...) {
				p.same("the header", m.Header, p.message(marks[i].Message).Header)
				done += m.Changed
				if m.More {
					left++
				}
			}
			p.same(fmt.Sprint("what has advanced after call ", calls), done, min(4*calls, 10))
		}
		p.same("the versions", []int64{p.version("c"), p.version("d")}, []int64{3 + 6, 2 + 4})
	}},
	{"up-to marks of one conversation and one socket make one event, and different sockets never share one", func(p *probe) {
		p.people()
		p.drain()
		marks := []delivery.UpTo{by("bob", "1.1", "c3"), by("carol", "2.2", "c3"), by("dave", "1.1", "c3"), by("bob", "1.1", "d2"), by("carol", "", "d2"), by("dave", "", "d2")}
		marked := p.markAllUpTo(plenty, marks...)
		sockets := map[string]string{} // by conversation and user
		for i, m := range marks {
			sockets[m.Conversation+m.User] = m.Socket
			p.same("what changed", marked[i].Changed, int(marked[i].Header.Seq))
		}
		events := p.drain()
		p.same("the number of events", len(events), 4)
		for _, e := range events {
			for _, u := range e.Updates {
				if want := sockets[e.Conversation+u.Receipt.Recipient]; e.Except != want {
					p.Errorf("the mark by %s from socket %q is in an event that excepts %q", u.Receipt.Recipient, want, e.Except)
				}
			}
		}
	}},
	{"an up-to mark looks at no message that it looked at before", func(p *probe) {
		p.five()
		mark := upTo("m5", delivery.Read)
		mark.After = 3
		p.same("Changed", p.markUpTo(mark).Changed, 2)
		p.bobHas(map[string]int64{"m4": 6, "m5": 7})
		mark.After = 5
		p.same("Changed after the last", p.markUpTo(mark).Changed, 0)
		mark.After = 0
		p.same("Changed from the start", p.markUpTo(mark).Changed, 3)
	}},
	{"a look that goes on where one before it left out messages moves no place past them", func(p *probe) {
		p.create(open("c", "m1", "alice"), frozen("c", "m2", "alice", "bob"), frozen("c", "m3", "alice", "bob"))
		first := p.markUpTo(upTo("m1", delivery.Read))
		p.same("what the first call left out", []any{first.LeftOut, first.Reached}, []any{1, int64(1)})
		mark := upTo("m3", delivery.Read)
		mark.After = first.Reached
		p.same("what the second call changed", p.markUpTo(mark).Changed, 2)
		mark.After, mark.Admitted = 0, true
		p.same("what is marked in the end", p.markUpTo(mark).Changed, 1)
		p.same("the readers of what was left out", p.message("m1").Read, 1)
	}},
	{"a long history is looked at call by call, and nothing in it is passed over", func(p *probe) {
		const strangers = 5200 // messages that are not carol's
		for first := 0; first < strangers; first += delivery.MaxBatch {
			var messages []delivery.NewMessage
			for i := first; i < min(first+delivery.MaxBatch, strangers); i++ {
				if i%1000 == 0 {
					messages = append(messages, open("c", fmt.Sprint("m", i), "alice"))
				} else {
					messages = append(messages, frozen("c", fmt.Sprint("m", i), "alice", "bob"))
				}
			}
			p.create(messages...)
		}
		p.create(frozen("c", "last", "alice", "carol"))
		mark, sum := by("carol", "", "last"), delivery.MarkedUpTo{}
		for calls := 1; ; calls++ {
			m := p.markUpTo(mark)
			sum.Changed += m.Changed
			sum.LeftOut += m.LeftOut
			if !m.More {
				break
			}
			if m.Reached <= mark.After || calls > strangers/100 {
				p.Fatalf("call %d reached seq %d after %d", calls, m.Reached, mark.After)
			}
			mark.After = m.Reached
		}
		p.same("what was marked and left out", []int{sum.Changed, sum.LeftOut}, []int{1, 6})
		mark.After, mark.Admitted, mark.Covered, sum = 0, true, true, delivery.MarkedUpTo{}
		for more := true; more; {
			m := p.markUpTo(mark)
			sum.Changed, more, mark.After = sum.Changed+m.Changed, m.More, m.Reached
		}
		p.same("what was marked with admission", sum.Changed, 6)
		p.same("the readers of the first message", p.message("m0").Read, 1)
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
		p.mark(delivered("m1", "bob", minute(-2)), read("m2", "bob", minute(-1)))
		p.markUpTo(upTo("m3", delivery.Read))
		p.same("Receipts", p.receipts("m1", "m2", "m3"), []delivery.Receipt{
			{Message: "m1", Recipient: "bob", Status: delivery.Read, Version: 6, DeliveredAt: minute(-2), ReadAt: minute(1)},
			{Message: "m2", Recipient: "bob", Status: delivery.Read, Version: p.receiptOf("m2").Version, DeliveredAt: minute(-1), ReadAt: minute(-1)},
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
	{"1,200 messages are marked in one call, with events of at most 500 updates that follow each other", func(p *probe) {
		const n = 1200
		for batch := range n / 100 {
			var messages []delivery.NewMessage
			for i := range 100 {
				messages = append(messages, frozen("c", fmt.Sprint("m", 100*batch+i), "alice", "bob"))
			}
			p.create(messages...)
		}
		p.drain()
		mark, versions := upTo(fmt.Sprint("m", n-1), delivery.Read), int64(n)
		for more := true; more; { // a store may look at fewer messages in a call
			marked := p.markUpTo(mark)
			if marked.Changed == 0 || marked.From != versions+1 {
				p.Fatalf("after version %d, AdvanceUpTo took the versions %d to %d", versions, marked.From, marked.To)
			}
			versions, more, mark.After = marked.To, marked.More, marked.Reached
		}
		p.same("the version", versions, int64(2*n))
		next := int64(n + 1)
		for _, e := range byVersion(p.drain()) {
			if e.From != next || len(e.Updates) > delivery.MaxBatch || int64(len(e.Updates)) != e.To-e.From+1 {
				p.Errorf("after version %d an event with %d updates covers the versions %d to %d", next-1, len(e.Updates), e.From, e.To)
			}
			next = e.To + 1
		}
		p.same("the version after the last event", next, versions+1)
	}},
}

// people creates c1 to c3 and d1 and d2, from alice to bob, carol and dave.
func (p *probe) people() {
	p.Helper()
	for _, id := range []string{"c1", "c2", "c3", "d1", "d2"} {
		p.create(frozen(id[:1], id, "alice", "bob", "carol", "dave"))
	}
}

// by is a user's read mark in the conversation that is the message's first letter, or in c.
func by(user, socket, message string) delivery.UpTo {
	u := upTo(message, delivery.Read)
	u.User, u.Socket = user, socket
	if strings.HasPrefix(message, "d") {
		u.Conversation = "d"
	}
	return u
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
				p.Errorf("bob's receipt of %q has not advanced", m.ID)
			}
		case !advanced:
			p.Errorf("bob's receipt of %q has advanced: %+v", m.ID, *m.Own)
		case m.Own.Version != version:
			p.Errorf("bob's receipt of %q has version %d, want %d", m.ID, m.Own.Version, version)
		}
	}
}
