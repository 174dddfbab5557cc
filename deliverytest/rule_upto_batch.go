package deliverytest

import (
	"fmt"
	"strings"

	"github.com/msgdelivery/delivery"
)

// upToBatchCases are the rules of calls with several up-to marks, and of marks that take several
// calls.
var upToBatchCases = []storeCase{
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
		p.fields("what the first call left out", "LeftOut Reached", []any{first.LeftOut, first.Reached}, []any{1, int64(1)})
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

// plenty is a limit that up-to marks don't reach.
const plenty = 10_000

// markUpTo applies an up-to mark whose events are due at once.
func (p *probe) markUpTo(upTo delivery.UpTo) delivery.MarkedUpTo {
	p.Helper()
	return p.markAllUpTo(plenty, upTo)[0]
}

// markAllUpTo applies up-to marks whose events are due at once.
func (p *probe) markAllUpTo(limit int, upTo ...delivery.UpTo) []delivery.MarkedUpTo {
	p.Helper()
	marked, claimed, err := p.store.AdvanceUpTo(p.ctx, upTo, limit, delivery.Lease{})
	p.must("AdvanceUpTo", err)
	if len(marked) != len(upTo) || len(claimed) != 0 {
		p.Fatalf("AdvanceUpTo returned %d results and %d claims for %d up-to marks and no lease", len(marked), len(claimed), len(upTo))
	}
	changed := 0
	for i, u := range upTo {
		m := marked[i]
		changed += m.Changed
		switch seq := m.Header.Seq; {
		case m.Blocked:
			p.Fatalf("AdvanceUpTo says that up-to mark %d was blocked, when nobody else was there", i)
		case m.Changed > 0 && m.To-m.From+1 != int64(m.Changed) || m.Changed == 0 && (m.From != 0 || m.To != 0):
			p.Fatalf("AdvanceUpTo says that the %d advances of up-to mark %d took the versions %d to %d", m.Changed, i, m.From, m.To)
		case m.More != (m.Reached < seq) || m.Reached > seq || m.Reached < min(u.After, seq):
			p.Fatalf("AdvanceUpTo says that up-to mark %d, from seq %d to %d, reached %d, and that there is more: %t", i, u.After, seq, m.Reached, m.More)
		}
	}
	if changed > limit {
		p.Fatalf("AdvanceUpTo advanced %d receipts for a limit of %d", changed, limit)
	}
	return marked
}
