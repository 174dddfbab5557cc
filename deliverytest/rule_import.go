package deliverytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

var importCases = []storeCase{
	{"an imported message has its own time, takes one version with all its receipts, and is told to nobody", func(p *probe) {
		bob := was("bob", delivery.Read, minute(1), minute(3))
		m1, m2 := past(frozen("c", "m1", "alice", "bob", "carol"), was("carol", delivery.Read, minute(2), minute(2)), bob), past(open("c", "m2", "bob"))
		m2.SentAt = minute(-5)
		p.imports(delivery.ImportStored, m1, m2)
		first, second := asSent(m1.NewMessage, 1), asSent(m2.NewMessage, 2)
		first.Tally = delivery.Tally{Version: 1, Status: delivery.Read, Delivered: 2, Read: 2, DeliveredAt: minute(2), ReadAt: minute(3)}
		p.same("the messages", p.list(delivery.List{Conversation: "c", Limit: 10}).Messages, []delivery.Message{first, second})
		p.same("what has changed", p.list(delivery.List{Conversation: "c", Changes: true, Limit: 10}).Messages, []delivery.Message{first, second})
		p.same("the version", p.version("c"), int64(2))
		p.same("the receipts", p.receipts("m1", "m2"), []delivery.Receipt{
			{Message: "m1", Recipient: "bob", Status: delivery.Read, Version: 1, DeliveredAt: minute(1), ReadAt: minute(3)},
			{Message: "m1", Recipient: "carol", Status: delivery.Read, Version: 1, DeliveredAt: minute(2), ReadAt: minute(2)},
		})
		p.same("the events", len(p.drain()), 0)
		p.imports(delivery.ImportStored, past(frozen("c", "m3", "carol", "bob", "dan")))
		p.same("a later one", p.message("m3").Seq, int64(3))
	}},
	{"all is as if the recipients had made their marks one by one", func(p *probe) {
		for seed := range uint64(8) {
			h := newHistory(p, seed)
			h.compare("after the import")
			h.markUpTo()
			h.compare("after up-to marks")
		}
	}},
	{"a time that is not known is missing, and nothing else", func(p *probe) {
		m1 := past(frozen("c", "m1", "alice", "bob", "carol", "dan"), was("bob", delivery.Read, minute(1), time.Time{}), was("carol", delivery.Read, time.Time{}, time.Time{}),
			was("dan", delivery.Read, time.Time{}, minute(5)))
		m1.Quorum = 2
		m2 := past(frozen("c", "m2", "alice", "bob", "carol"), unknown("carol", delivery.Delivered), unknown("bob", delivery.Read))
		m3 := past(open("c", "m3", "alice"), unknown("bob", delivery.Read))
		p.imports(delivery.ImportStored, m1, m2, m3)
		at := func(message, user string, status delivery.Status, delivered, read time.Time, reason delivery.Reason) delivery.Receipt {
			return delivery.Receipt{Message: message, Recipient: user, Status: status, Version: p.message(message).Seq, DeliveredAt: delivered, ReadAt: read, Reason: reason}
		}
		none := time.Time{}
		p.same("the receipts", p.receipts("m1", "m2", "m3"), []delivery.Receipt{
			at("m1", "bob", delivery.Read, minute(1), none, delivery.Expired), at("m1", "carol", delivery.Read, none, none, delivery.Expired),
			at("m1", "dan", delivery.Read, minute(5), minute(5), ""), at("m2", "bob", delivery.Read, none, none, delivery.Expired),
			at("m2", "carol", delivery.Delivered, none, none, delivery.Expired), at("m3", "bob", delivery.Read, none, none, delivery.Expired),
		})
		p.same("m1", p.message("m1").Tally, delivery.Tally{Version: 1, Status: delivery.Read, Delivered: 3, Read: 3, DeliveredAt: minute(1)})
		p.same("m2", p.message("m2").Tally, delivery.Tally{Version: 2, Status: delivery.Delivered, Delivered: 2, Read: 1})
		p.same("m3", p.message("m3").Tally, delivery.Tally{Version: 3, Status: delivery.Read, Delivered: 1, Read: 1})
	}},
	{"what others do not see of a recipient, the recipient knows alone", func(p *probe) {
		p.imports(delivery.ImportStored, past(capped("c", "m1", "alice")))
		p.imports(delivery.ImportStored, past(capped("c", "m2", "alice"), was("bob", delivery.Read, noon, noon), was("carol", delivery.Read, noon, noon)), past(capped("c", "m3", "alice")))
		p.same("what others see", p.receipts("m2")[:2], []delivery.Receipt{
			{Message: "m2", Recipient: "bob", Status: delivery.Sent, Version: 2, Reason: delivery.Untracked},
			{Message: "m2", Recipient: "carol", Status: delivery.Delivered, Version: 2, DeliveredAt: noon, Reason: delivery.Capped},
		})
		p.same("the counts", []int{p.message("m2").Delivered, p.message("m2").Read}, []int{1, 0})
		for _, user := range []string{"bob", "carol"} {
			p.same(user+"'s own", p.ownStatuses("c", user), "m1 sent, m2 read, m3 sent")
			p.same("whether "+user+"'s revision has risen", p.placeOf(user).Rev > 0, true)
			p.same(user+"'s badge", p.unreadOf(user).Count, 2)
		}
		p.imports(delivery.ImportStored, past(capped("c", "m4", "alice"), was("carol", delivery.Read, time.Time{}, noon)))
		p.same("what others see of a read whose time alone is known", p.receipts("m4")[1],
			delivery.Receipt{Message: "m4", Recipient: "carol", Status: delivery.Delivered, Version: 4, Reason: delivery.Capped})
		p.same("the message", p.message("m4").DeliveredAt.IsZero(), true)
	}},
	{"who has read all that there is has nothing unread, and nothing is left for a mark", func(p *probe) {
		for _, known := range []bool{false, true} {
			c := fmt.Sprint("c ", known)
			var items []delivery.NewImport
			for i := range 9 {
				message := frozen(c, fmt.Sprint(c, i), []string{"alice", "bob"}[i%2], "alice", "bob", "carol")
				if i == 5 {
					message = open(c, message.ID, message.Sender)
				}
				m := past(message)
				for _, user := range []string{"alice", "bob", "carol"} {
					switch at := minute(i); {
					case user == message.Sender:
					case known:
						m.Receipts = append(m.Receipts, was(user, delivery.Read, at, at))
					default:
						m.Receipts = append(m.Receipts, unknown(user, delivery.Read))
					}
				}
				items = append(items, m)
			}
			p.imports(delivery.ImportStored, items[:4]...)
			p.imports(delivery.ImportStored, items[4:]...)
			for _, user := range []string{"alice", "bob", "carol"} {
				p.same("what is unread for "+user, p.unread(user, c, 100).Unread, 0)
				p.same("the marks of "+user, p.mark(admitted(read(items[2].ID, user, noon)))[0].Changed, false)
				mark := delivery.UpTo{Conversation: c, Message: items[7].ID, User: user, Status: delivery.Read, At: minute(20), Admitted: true, Covered: true}
				p.same("what is left for "+user, p.markUpTo(mark).Changed, 0)
			}
			p.same("the counts", p.message(items[8].ID).Read, 2)
		}
	}},
	{"sends and marks go on from an import", func(p *probe) {
		p.imports(delivery.ImportStored, past(frozen("c", "m1", "alice", "bob", "carol"), unknown("bob", delivery.Read), unknown("carol", delivery.Delivered)),
			past(frozen("c", "m2", "alice", "bob", "carol"), unknown("bob", delivery.Delivered)), past(open("c", "m3", "carol")))
		p.create(frozen("c", "m4", "alice", "bob", "carol"))
		p.same("the place of what is sent", p.message("m4").Seq, int64(4))
		p.mark(read("m1", "carol", minute(9)), read("m1", "bob", minute(9)), delivered("m2", "carol", minute(9)))
		p.same("an up-to mark", p.markUpTo(upTo("m4", delivery.Read)).Changed, 2)
		p.same("m1", p.message("m1").Tally, delivery.Tally{Version: 5, Status: delivery.Read, Delivered: 2, Read: 2, ReadAt: minute(9)})
		p.same("m2", []int{p.message("m2").Delivered, p.message("m2").Read}, []int{2, 1})
		p.pending("carol", badge{Unread: 2, First: place("m2", 2), Newest: place("m4", 4), Version: 8})
	}},
	{"a message that is there is known, and an import that is repeated goes on", func(p *probe) {
		m1, m2, m3 := past(frozen("c", "m1", "alice", "bob"), was("bob", delivery.Delivered, noon, time.Time{})), past(open("c", "m2", "alice")), past(open("c", "m3", "alice"))
		p.imports(delivery.ImportStored, m1)
		changed := past(open("c", "m1", "alice"), was("bob", delivery.Read, noon, noon))
		p.importsEach([]delivery.ImportOutcome{delivery.ImportKnown, delivery.ImportStored, delivery.ImportKnown}, m1, m2, changed)
		p.same("what was there", []any{p.message("m1").Read, p.message("m1").Open, p.version("c")}, []any{0, false, int64(2)})
		p.mark(read("m1", "bob", minute(1)))
		p.imports(delivery.ImportStored, m3)
		p.same("the next one's place", p.message("m3").Seq, int64(4))
	}},
	{"nothing is imported beside messages that were sent", func(p *probe) {
		p.imports(delivery.ImportStored, past(open("c", "m1", "alice")))
		p.create(open("c", "m2", "alice"))
		p.mark(admitted(read("m1", "bob", noon)))
		p.importsEach([]delivery.ImportOutcome{delivery.ImportKnown, delivery.ImportConflict, delivery.ImportKnown},
			past(open("c", "m1", "alice")), past(open("c", "m3", "alice")), past(open("c", "m2", "alice")))
		p.same("the version", p.version("c"), int64(3))
		p.same("m3", len(p.load("m3")), 0)
	}},
	{"an id that another message has is a conflict, and the others are stored", func(p *probe) {
		p.create(open("d", "n", "alice"))
		p.imports(delivery.ImportStored, past(open("c", "m1", "alice")))
		p.importsEach([]delivery.ImportOutcome{delivery.ImportConflict, delivery.ImportStored, delivery.ImportConflict},
			past(open("c", "n", "alice")), past(open("c", "m2", "alice")), past(open("c", "m1", "bob")))
		p.same("n", p.message("n").Conversation, "d")
		p.same("m1", p.message("m1").Sender, "alice")
	}},
	{"only recipients have receipts, of a roster that is known or comes with its members", func(p *probe) {
		p.imports(delivery.ImportStored, past(frozen("c", "m1", "alice", "bob", "carol")))
		known, lacking := frozen("c", "m2", "bob", "bob", "carol"), frozen("c", "m3", "alice", "dan")
		known.Members, lacking.Members = nil, nil
		p.importsEach([]delivery.ImportOutcome{delivery.ImportStranger, delivery.ImportStored, delivery.ImportNoRoster, delivery.ImportStranger},
			past(frozen("c", "m4", "alice", "bob", "carol"), was("bob", delivery.Read, noon, noon), was("Bob", delivery.Read, noon, noon)),
			past(known, was("carol", delivery.Read, noon, noon)), past(lacking),
			past(frozen("c", "m5", "alice", "erin"), was("carol", delivery.Delivered, noon, time.Time{})))
		p.same("the version", p.version("c"), int64(2))
		p.same("m2", []int{p.message("m2").Total, p.message("m2").Read}, []int{1, 1})
		p.same("those who are no recipients", p.unread("dan", "c", 10).Unread, 0)
		p.same("the others", len(p.load("m3", "m4", "m5")), 0)

		// A refused message makes no roster. The first message with members makes one.
		roster := func(id string, members ...string) delivery.NewMessage {
			m := frozen("c", id, "alice", members...)
			if m.Roster = "v7"; members == nil {
				m.Members = nil
			}
			return m
		}
		carol := was("carol", delivery.Read, noon, noon)
		p.importsEach([]delivery.ImportOutcome{delivery.ImportStranger}, past(roster("m6", "bob"), carol))
		p.importsEach([]delivery.ImportOutcome{delivery.ImportStranger, delivery.ImportNoRoster, delivery.ImportStored, delivery.ImportStored, delivery.ImportStranger},
			past(roster("m6", "bob"), carol), past(roster("m7")), past(roster("m8", "bob", "carol"), carol), past(roster("m9"), carol),
			past(roster("m10", "dan"), was("dan", delivery.Read, noon, noon)))
	}},
	{"an import and sends at the same time make one order, with what was sent last", func(p *probe) {
		outcomes := make([]delivery.ImportOutcome, 20)
		p.together(2, func(worker int) error {
			if worker == 1 {
				for i := 0; i < 3; {
					created, _, err := p.store.Create(p.ctx, []delivery.NewMessage{frozen("c", fmt.Sprint("sent", i), "alice", "bob", "carol")}, delivery.Lease{})
					if err != nil {
						return err
					}
					if !created[0].Blocked {
						i++
					}
				}
				return nil
			}
			for i := range outcomes {
				outcome, err := p.importing(past(frozen("c", fmt.Sprint("m", i), "alice", "bob", "carol"), was("bob", delivery.Read, noon, noon)))
				if err != nil {
					return err
				}
				outcomes[i] = outcome[0]
			}
			return nil
		})
		n := 0
		for n < len(outcomes) && outcomes[n] == delivery.ImportStored {
			n++
		}
		p.same("the outcomes after the first that was not stored", slices.ContainsFunc(outcomes[n:], func(o delivery.ImportOutcome) bool { return o != delivery.ImportConflict }), false)
		messages, version := p.all("c")
		p.same("the version", version, int64(n+3))
		for i, m := range messages {
			p.same("whether "+m.ID+" was imported", m.Read == 1, i < n)
		}
		p.unaudited()
	}},
}
