package deliverytest

import (
	"time"

	"github.com/msgdelivery/delivery"
)

var rosterCases = []storeCase{
	{"a roster that the conversation has had needs no members", func(p *probe) {
		first, again := frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "alice", "bob", "carol")
		p.create(first)
		want := asCreated(again, 2)
		again.Members = nil
		p.same("Create", p.create(again), []delivery.Created{want})
		p.same("the recipients", p.recipients("m2"), []string{"bob", "carol"})
	}},
	{"a message to a roster that is not known is not stored without members, and hinders none beside it", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"))
		unknown := frozen("c", "m2", "alice", "carol")
		unknown.Members = nil
		created := p.create(frozen("c", "m3", "alice", "bob"), unknown, open("c", "m4", "alice"))
		p.same("Create", created, []delivery.Created{
			asCreated(frozen("c", "m3", "alice", "bob"), 2), {NoRoster: true}, asCreated(open("c", "m4", "alice"), 3),
		})
		p.same("the message that is not stored", len(p.load("m2")), 0)
		p.same("the version", p.version("c"), int64(3))
		p.same("Create with members", p.create(frozen("c", "m2", "alice", "carol")), []delivery.Created{asCreated(frozen("c", "m2", "alice", "carol"), 4)})
	}},
	{"a message with a taken id says which roster it is for, and makes none", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		p.same("Create of another", p.create(frozen("c", "m", "alice", "carol")), []delivery.Created{existing(frozen("c", "m", "alice", "bob"), 1)})
		unknown := frozen("c", "n", "alice", "carol")
		unknown.Members = nil
		p.same("Create for the roster of the other", p.create(unknown), []delivery.Created{{NoRoster: true}})
	}},
	{"the first use of a roster's key decides who is in it", func(p *probe) {
		first, second := frozen("c", "m1", "alice", "bob"), frozen("c", "m2", "alice", "carol", "dave")
		first.Roster, second.Roster = "v1", "v1"
		p.create(first)
		p.create(second)
		p.same("the recipients", p.recipients("m2"), []string{"bob"})
		p.same("how many they are", p.message("m2").Total, 1)
		p.unmarked(read("m2", "carol", noon))
	}},
	{"messages of one call may share a new roster", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "dave", "bob", "carol"), frozen("d", "m3", "alice", "bob", "carol"))
		for _, id := range []string{"m1", "m2", "m3"} {
			p.same("the recipients of "+id, p.recipients(id), []string{"bob", "carol"})
		}
	}},
	{"a roster belongs to its conversation", func(p *probe) {
		one, other := frozen("c1", "m1", "alice", "bob"), frozen("c2", "m2", "alice", "carol")
		one.Roster, other.Roster = "v1", "v1"
		p.create(one)
		unknown := other
		unknown.Members = nil
		p.same("Create in another conversation", p.create(unknown), []delivery.Created{{NoRoster: true}})
		p.create(other)
		p.same("the recipients here", p.recipients("m1"), []string{"bob"})
		p.same("the recipients there", p.recipients("m2"), []string{"carol"})
	}},
	{"the recipients of a message are its roster without its sender", func(p *probe) {
		for _, c := range []struct {
			id, sender string
			recipients []string
		}{{"m1", "alice", []string{"bob", "carol"}}, {"m2", "bob", []string{"alice", "carol"}}, {"m3", "dave", []string{"alice", "bob", "carol"}}} {
			p.create(frozen("c", c.id, c.sender, "alice", "bob", "carol"))
			p.same("the recipients of "+c.id, p.recipients(c.id), c.recipients)
			p.same("how many they are", p.message(c.id).Total, len(c.recipients))
		}
		p.unmarked(read("m1", "alice", noon), read("m2", "bob", noon), read("m2", "dave", noon))
		p.pending("alice", badge{Unread: 2, First: place("m2", 2), Newest: place("m3", 3), Version: 3})
		p.pending("dave", badge{Newest: place("m3", 3), Version: 3})
		mark := upTo("m3", delivery.Read)
		mark.User = "alice"
		p.same("AdvanceUpTo", p.markUpTo(mark).Changed, 2)
		p.pending("alice", badge{Newest: place("m3", 3), Version: 5})
	}},
	{"a frozen message's quorum is the one asked for, up to the number of recipients", func(p *probe) {
		for _, c := range []struct {
			id          string
			asked, want int
		}{{"m1", 0, 2}, {"m2", 1, 1}, {"m3", 2, 2}, {"m4", 10_000, 2}} {
			m := frozen("c", c.id, "alice", "alice", "bob", "carol")
			m.Quorum = c.asked
			p.same("the quorum of "+c.id, p.create(m)[0].Message.Quorum, c.want)
			p.same("the stored quorum of "+c.id, p.message(c.id).Quorum, c.want)
		}
		p.mark(read("m2", "bob", noon), read("m4", "bob", noon))
		p.same("the status of m2", p.message("m2").Status, delivery.Read)
		p.same("the status of m4", p.message("m4").Status, delivery.Sent)
	}},
	{"no time is before the message was sent, nor before that of the status below it", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		p.mark(delivered("m", "bob", noon.Add(-time.Hour)))
		p.mark(delivered("m", "carol", minute(2)))
		p.mark(read("m", "carol", minute(1)))
		p.markUpTo(delivery.UpTo{Conversation: "c", Message: "m", User: "bob", Status: delivery.Read, At: noon.Add(-time.Hour)})
		p.same("Receipts", p.receipts("m"), []delivery.Receipt{
			{Message: "m", Recipient: "bob", Status: delivery.Read, Version: 5, DeliveredAt: noon, ReadAt: noon},
			{Message: "m", Recipient: "carol", Status: delivery.Read, Version: 4, DeliveredAt: minute(2), ReadAt: minute(2)},
		})
		p.same("the message", p.message("m").Tally, delivery.Tally{
			Version: 5, Status: delivery.Read, Delivered: 2, Read: 2, DeliveredAt: minute(2), ReadAt: minute(2),
		})
		p.create(frozen("d", "n", "alice", "bob", "carol"))
		p.mark(delivered("n", "bob", minute(3)))
		p.mark(read("n", "carol", minute(1)))
		p.mark(read("n", "bob", minute(2)))
		p.same("the message whose quorum was reached by an early time", p.message("n").Tally, delivery.Tally{
			Version: 4, Status: delivery.Read, Delivered: 2, Read: 2, DeliveredAt: minute(1), ReadAt: minute(3),
		})
	}},
}

// recipients returns the users who have a receipt of the message, in order.
func (p *probe) recipients(message string) (users []string) {
	p.Helper()
	for _, r := range p.receipts(message) {
		users = append(users, r.Recipient)
	}
	return users
}
