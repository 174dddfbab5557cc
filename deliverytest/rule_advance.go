package deliverytest

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/msgdelivery/delivery"
)

var advanceCases = []storeCase{
	{"a mark that is admitted to another conversation is not admitted", func(p *probe) {
		p.create(open("c", "m1", "alice"), open("c", "m2", "alice"), frozen("c", "m3", "alice", "bob"))
		in := func(conversation string, m delivery.Mark) delivery.Mark {
			m.Admitted, m.Conversation = true, conversation
			return m
		}
		for _, marks := range [][]delivery.Mark{
			{in("d", read("m1", "bob", noon))},
			{in("d", read("m1", "bob", noon)), in("d", read("m1", "carol", noon))},
		} {
			for _, marked := range p.mark(marks...) {
				p.same("what changed", marked.Changed, false)
			}
		}
		p.same("admitted to its own", p.mark(in("c", read("m1", "bob", noon)), in("c", read("m2", "bob", noon)))[1].Changed, true)
		p.same("alone", p.mark(in("c", read("m2", "carol", noon)))[0].Changed, true)
		p.same("of a recipient", p.mark(in("d", read("m3", "bob", noon)))[0].Changed, true)
	}},
	{"a sender's own mark changes nothing and tells nobody", func(p *probe) {
		p.create(frozen("c", "frozen", "alice", "bob"), open("c", "open", "alice"))
		p.unmarked(admitted(delivered("frozen", "alice", noon)), admitted(read("open", "alice", noon)))
	}},
	{"a stranger's mark of a frozen message changes nothing and tells nobody, admitted or not", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		p.unmarked(admitted(delivered("m", "carol", noon)), read("m", "dave", noon))
	}},
	{"a recipient of a frozen message needs no admission", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		p.same("Advance", p.mark(delivered("m", "bob", minute(1))), []delivery.Marked{{
			Header:  p.message("m").Header,
			Receipt: delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Delivered, Version: 2, DeliveredAt: minute(1)},
			Changed: true,
		}})
	}},
	{"an open message is marked only with admission", func(p *probe) {
		p.create(open("c", "m", "alice"))
		p.unmarked(delivered("m", "bob", minute(1)))
		receipt := delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Delivered, Version: 2, DeliveredAt: minute(2)}
		header := p.message("m").Header
		p.same("Advance with admission", p.mark(admitted(delivered("m", "bob", minute(2)))), []delivery.Marked{{Header: header, Receipt: receipt, Changed: true}})
		p.same("Advance of the same receipt without", p.mark(read("m", "bob", minute(3))), []delivery.Marked{{Header: header, Receipt: receipt}})
		p.same("Receipts", p.receipts("m"), []delivery.Receipt{receipt})
	}},
	{"a status only moves forward, and a mark that moves nothing tells nobody", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		p.mark(read("m", "bob", minute(1)))
		receipt, version := p.receipts("m")[0], p.version("c")
		p.drain()
		for _, mark := range []delivery.Mark{delivered("m", "bob", minute(2)), read("m", "bob", minute(3)), delivered("m", "bob", noon)} {
			p.same("Advance", p.mark(mark), []delivery.Marked{{Header: p.message("m").Header, Receipt: receipt}})
		}
		p.same("Receipts", p.receipts("m"), []delivery.Receipt{receipt})
		p.same("the version", p.version("c"), version)
		p.same("the events", p.drain(), []delivery.Event{})
	}},
	{"each status is stamped the first time it is reached, and never again", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		for _, mark := range []delivery.Mark{delivered("m", "bob", minute(1)), delivered("m", "bob", minute(2)), read("m", "bob", minute(3)), read("m", "bob", minute(4)), delivered("m", "bob", minute(5))} {
			p.mark(mark)
		}
		p.same("Receipts", p.receipts("m"), []delivery.Receipt{
			{Message: "m", Recipient: "bob", Status: delivery.Read, Version: 3, DeliveredAt: minute(1), ReadAt: minute(3)},
		})
		p.same("the message's times", p.message("m").Tally, delivery.Tally{
			Version: 3, Status: delivery.Read, Delivered: 1, Read: 1, DeliveredAt: minute(1), ReadAt: minute(3),
		})
	}},
	{"who reads has received: the time of delivery is filled in", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		p.mark(read("m", "bob", minute(1)))
		p.same("Receipts", p.receipts("m"), []delivery.Receipt{
			{Message: "m", Recipient: "bob", Status: delivery.Read, Version: 2, DeliveredAt: minute(1), ReadAt: minute(1)},
		})
		p.same("the message's tally", p.message("m").Tally, delivery.Tally{
			Version: 2, Status: delivery.Read, Delivered: 1, Read: 1, DeliveredAt: minute(1), ReadAt: minute(1),
		})
	}},
	{"a message has a status when as many recipients as its quorum have reached it", func(p *probe) {
		for quorum := 1; quorum <= 3; quorum++ {
			id := fmt.Sprint("frozen ", quorum)
			m := frozen("c", id, "alice", "bob", "carol", "dave")
			m.Quorum = quorum
			p.quorum(m)
			m = open("c", fmt.Sprint("open ", quorum), "alice")
			m.Quorum = quorum
			p.quorum(m)
		}
	}},
	{"each advance of a batch takes a version of its own", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "bob", "alice", "carol"), open("d", "m3", "alice"))
		marks := []delivery.Mark{
			delivered("m1", "bob", minute(1)), read("m1", "carol", minute(2)), read("m2", "carol", minute(3)),
			delivered("m2", "alice", minute(4)), admitted(read("m3", "bob", minute(5))),
		}
		versions := map[string][]int64{}
		for i, m := range p.mark(marks...) {
			if !m.Changed || m.Receipt.Message != marks[i].Message || m.Receipt.Recipient != marks[i].User || m.Receipt.Status != marks[i].Status || m.Header != p.message(marks[i].Message).Header {
				p.Errorf("the result of mark %d is %+v", i, m)
			}
			versions[m.Header.Conversation] = append(versions[m.Header.Conversation], m.Receipt.Version)
		}
		slices.Sort(versions["c"])
		p.same("the versions of the marks in c", versions["c"], []int64{3, 4, 5, 6})
		p.same("the versions of the marks in d", versions["d"], []int64{2})
		for _, id := range []string{"m1", "m2"} {
			last := slices.MaxFunc(p.receipts(id), func(a, b delivery.Receipt) int { return cmp.Compare(a.Version, b.Version) })
			p.same("the version of "+id, p.message(id).Version, last.Version)
		}
	}},
	{"advances of one conversation and one socket make one event", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "bob", "alice", "carol"))
		p.drain()
		p.mark(from("1.1", delivered("m1", "bob", noon)), from("1.1", read("m1", "carol", noon)), from("1.1", read("m2", "carol", noon)))
		events := p.drain()
		if len(events) != 1 {
			p.Fatalf("three marks made %d events", len(events))
		}
		p.same("the event but for its updates", delivery.Event{ID: events[0].ID, Kind: delivery.StatusChanged, Conversation: "c", From: 3, To: 5, Except: "1.1"},
			delivery.Event{ID: events[0].ID, Kind: events[0].Kind, Conversation: events[0].Conversation, From: events[0].From, To: events[0].To, Except: events[0].Except})
		for i, u := range events[0].Updates {
			p.same("the version of an update", u.Version, events[0].From+int64(i))
		}
	}},
	{"different sockets never share an event, nor does a socket with none", func(p *probe) {
		p.create(open("c", "m1", "alice"), open("c", "m2", "alice"), open("d", "m3", "alice"))
		p.drain()
		sockets := map[string]string{} // by message and user
		var marks []delivery.Mark
		for i, id := range []string{"m1", "m2", "m3", "m1", "m2", "m3", "m1", "m2", "m3"} {
			user, socket := fmt.Sprint("user ", i), []string{"1.1", "2.2", ""}[(i+i/3)%3]
			marks = append(marks, admitted(from(socket, delivered(id, user, noon))))
			sockets[id+user] = socket
		}
		p.mark(marks...)
		events := p.drain()
		if len(events) != 6 {
			p.Errorf("marks from three sockets in two conversations made %d events", len(events))
		}
		for _, e := range events {
			for _, u := range e.Updates {
				if want := sockets[u.Message+u.Receipt.Recipient]; e.Except != want {
					p.Errorf("the mark by %s from socket %q is in an event that excepts %q", u.Receipt.Recipient, want, e.Except)
				}
			}
		}
	}},
	{"every update tells where the message stands after it", func(p *probe) {
		m := frozen("c", "m", "alice", "bob", "carol", "dave")
		m.Quorum = 2
		p.create(m)
		p.drain()
		p.mark(read("m", "bob", minute(1)))
		p.mark(delivered("m", "carol", minute(2)))
		p.mark(read("m", "dave", minute(3)))
		receipts := p.receipts("m")
		p.same("the updates", updates(p.drain()), []delivery.Update{
			{Message: "m", Sender: "alice", Version: 2, Status: delivery.Sent, Delivered: 1, Read: 1, Total: 3, Readers: 3, Receipt: &receipts[0]},
			{Message: "m", Sender: "alice", Version: 3, Status: delivery.Delivered, Delivered: 2, Read: 1, Total: 3, Readers: 3, Receipt: &receipts[1]},
			{Message: "m", Sender: "alice", Version: 4, Status: delivery.Read, Delivered: 3, Read: 2, Total: 3, Readers: 3, Receipt: &receipts[2]},
		})
	}},
	{"marks that are refused do not hinder those beside them", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), open("c", "m2", "alice"))
		p.mark(delivered("m1", "bob", minute(1)))
		there := p.receipts("m1")[0]
		m1, m2 := p.message("m1").Header, p.message("m2").Header
		marked := p.mark(
			read("missing", "bob", minute(2)),
			delivered("m1", "bob", minute(3)),
			read("m1", "alice", minute(4)),
			admitted(read("m2", "bob", minute(5))),
			read("m1", "carol", minute(6)),
			read("m2", "carol", minute(7)),
		)
		p.same("Advance", marked, []delivery.Marked{
			{},
			{Header: m1, Receipt: there},
			{Header: m1},
			{Header: m2, Changed: true, Receipt: delivery.Receipt{Message: "m2", Recipient: "bob", Status: delivery.Read, Version: 4, DeliveredAt: minute(5), ReadAt: minute(5)}},
			{Header: m1},
			{Header: m2},
		})
	}},
	{"a mark of a message that does not exist is a zero result", func(p *probe) {
		p.same("Advance", p.mark(admitted(read("missing", "bob", noon))), []delivery.Marked{{}})
		p.same("the outbox", p.backlog().Waiting, 0)
	}},
	{"500 marks of one conversation and one socket are one event", func(p *probe) {
		var messages []delivery.NewMessage
		var marks []delivery.Mark
		for i := range delivery.MaxBatch {
			id := fmt.Sprint("m", i)
			messages = append(messages, frozen("c", id, "alice", "bob"))
			marks = append(marks, delivered(id, "bob", noon))
		}
		p.create(messages...)
		p.drain()
		for i, m := range p.mark(marks...) {
			if !m.Changed || m.Header.ID != marks[i].Message {
				p.Fatalf("the result of mark %d, of message %q, is %+v", i, marks[i].Message, m)
			}
		}
		p.same("the number of events", len(p.drain()), 1)
	}},
}

// unmarked applies marks that are to change nothing, of users who have no receipts.
func (p *probe) unmarked(marks ...delivery.Mark) {
	p.Helper()
	var want []delivery.Marked
	var before []delivery.Message
	versions := map[string]int64{}
	for _, m := range marks {
		message := p.message(m.Message)
		want = append(want, delivery.Marked{Header: message.Header})
		before = append(before, message)
		versions[message.Conversation] = p.version(message.Conversation)
	}
	p.drain()
	p.same("Advance", p.mark(marks...), want)
	for i, m := range marks {
		p.same("the message", p.message(m.Message), before[i])
		for _, receipt := range p.receipts(m.Message) {
			if receipt.Recipient == m.User {
				p.Errorf("the mark made a receipt: %+v", receipt)
			}
		}
	}
	for conversation, version := range versions {
		p.same("the version", p.version(conversation), version)
	}
	p.same("the events", p.drain(), []delivery.Event{})
}

// quorum creates a message and marks it by three users, and follows its tally.
func (p *probe) quorum(m delivery.NewMessage) {
	p.Helper()
	p.create(m)
	want := delivery.Tally{Status: delivery.Sent}
	for i, user := range []string{"bob", "carol", "dave"} {
		p.mark(admitted(delivered(m.ID, user, minute(i))))
		if want.Delivered++; want.Delivered == m.Quorum {
			want.Status, want.DeliveredAt = delivery.Delivered, minute(i)
		}
		p.tally(m, want)
	}
	for i, user := range []string{"dave", "bob", "carol"} {
		p.mark(admitted(read(m.ID, user, minute(10+i))))
		if want.Read++; want.Read == m.Quorum {
			want.Status, want.ReadAt = delivery.Read, minute(10+i)
		}
		p.tally(m, want)
	}
}

func (p *probe) tally(m delivery.NewMessage, want delivery.Tally) {
	p.Helper()
	want.Version = p.version(m.Conversation)
	p.same(fmt.Sprintf("the tally of %s, with a quorum of %d,", m.ID, m.Quorum), p.message(m.ID).Tally, want)
}

func byVersion(events []delivery.Event) []delivery.Event {
	slices.SortFunc(events, func(a, b delivery.Event) int { return cmp.Compare(a.From, b.From) })
	return events
}

// updates returns the updates of events of one conversation, by version.
func updates(events []delivery.Event) []delivery.Update {
	var all []delivery.Update
	for _, event := range byVersion(events) {
		all = append(all, event.Updates...)
	}
	return all
}
