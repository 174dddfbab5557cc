package deliverytest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/msgdelivery/delivery"
)

var traceCases = []storeCase{
	{"an event has the traces of the calls that made its changes, each once and in order", func(p *probe) {
		messages := []delivery.NewMessage{frozen("c", "m1", "alice", "bob", "cem"), frozen("c", "m2", "alice", "bob", "cem"), frozen("d", "n1", "alice", "bob")}
		for i := range messages {
			messages[i].Trace = "sent " + messages[i].ID
		}
		messages[1].Trace = ""
		p.create(messages...)
		p.traces("the sends", "[sent m1]", "[]", "[sent n1]")
		mark := func(message, user, trace string) delivery.Mark {
			m := delivered(message, user, minute(1))
			m.Trace = trace
			return m
		}
		p.mark(mark("m1", "bob", "t3"), mark("m2", "bob", "t1"), mark("m1", "cem", ""), mark("m2", "cem", "t3"), mark("n1", "bob", "t2"))
		p.traces("several marks", "[t1 t3]", "[t2]")
		p.mark(mark("n1", "bob", "nothing changes"))
		p.traces("a mark that changes nothing")
		alone := read("n1", "bob", minute(2))
		alone.Trace = "\"é\u2028\x01\\"
		p.mark(alone)
		p.traces("one mark", "[\"é\u2028\x01\\]")
		last := upTo("m2", delivery.Read)
		last.Trace = "up to"
		p.markUpTo(last)
		p.traces("an up-to mark", "[up to]")
		p.mark(read("m1", "cem", minute(3)))
		p.traces("a mark without a trace", "[]")
	}},
	{"an event has no more traces than it may, the first in order", func(p *probe) {
		var messages []delivery.NewMessage
		var marks []delivery.Mark
		for i := range delivery.MaxTraces + 5 {
			m := frozen("c", fmt.Sprint("m", i), "alice", "bob")
			messages = append(messages, m)
			mark := delivered(m.ID, "bob", minute(1))
			mark.Trace = fmt.Sprintf("t%02d", delivery.MaxTraces+4-i)
			marks = append(marks, mark)
		}
		p.create(messages...)
		p.drain()
		p.mark(marks...)
		var want delivery.Event
		for i := range delivery.MaxTraces {
			want.AddTrace(fmt.Sprintf("t%02d", i))
		}
		p.traces("many marks", fmt.Sprint(want.Trace))
	}},
}

// traces compares the traces of the events of the outbox, in order of conversation and version.
func (p *probe) traces(what string, want ...string) {
	p.Helper()
	got := []string{}
	for _, e := range slices.SortedFunc(slices.Values(p.drain()), func(a, b delivery.Event) int {
		return cmp.Or(cmp.Compare(a.Conversation, b.Conversation), cmp.Compare(a.From, b.From))
	}) {
		got = append(got, fmt.Sprint(e.Trace))
	}
	p.same("the traces of "+what, got, append([]string{}, want...))
}
