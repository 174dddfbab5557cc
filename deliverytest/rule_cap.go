package deliverytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

// In conversation c of these rules, bob is untracked, carol hides reads, and dan does neither.
var capCases = []storeCase{
	{"recipients who are untracked count for nothing, and those who hide reads as delivered alone", func(p *probe) {
		for _, c := range []struct {
			id, sender             string
			total, readers, quorum int
		}{{"m1", "alice", 2, 1, 2}, {"m2", "bob", 3, 2, 3}, {"m3", "carol", 2, 2, 2}, {"m4", "dan", 2, 1, 2}, {"m5", "erin", 3, 2, 3}} {
			created := p.create(capped("c", c.id, c.sender))[0].Message.Header
			p.same("Create of "+c.id, []int{created.Total, created.Readers, created.Quorum}, []int{c.total, c.readers, c.quorum})
			p.same("the stored message "+c.id, p.message(c.id).Header, created)
		}
		events := p.drain()
		p.same("what events tell of m1", []int{events[0].Updates[0].Total, events[0].Updates[0].Readers}, []int{2, 1})
	}},
	{"others see no mark of who is untracked, and of who hides reads no more than the delivery", func(p *probe) {
		p.create(capped("c", "m1", "alice"), capped("c", "m2", "alice"))
		one := p.mark(read("m1", "carol", minute(1)))[0]
		p.same("the mark of who hides reads", []any{one.Receipt, one.Changed}, []any{
			delivery.Receipt{Message: "m1", Recipient: "carol", Status: delivery.Delivered, Version: 3, DeliveredAt: minute(1)}, true,
		})
		p.sameForOthers(func() {
			for _, m := range slices.Concat(p.mark(read("m1", "carol", noon)), p.mark(delivered("m1", "bob", noon)), p.mark(read("m1", "bob", noon), read("m1", "carol", noon), read("m2", "bob", noon))) {
				p.same("a mark beyond what is shown", []any{m.Header.ID != "", m.Changed, m.Receipt.Status <= delivery.Delivered}, []any{true, false, true})
			}
		})
		p.same("who is untracked", p.mark(read("m2", "bob", noon))[0].Receipt, delivery.Receipt{Message: "m2", Recipient: "bob", Status: delivery.Sent, Version: 2})
		many := p.mark(read("m2", "bob", minute(2)), read("m2", "carol", minute(2)), read("m2", "dan", minute(2)))
		p.same("marks together", []bool{many[0].Changed, many[1].Changed, many[2].Changed}, []bool{false, true, true})
		p.same("the counts", p.message("m2").Tally, delivery.Tally{
			Version: 5, Status: delivery.Read, Delivered: 2, Read: 1, DeliveredAt: minute(2), ReadAt: minute(2),
		})
	}},
	{"a message that all have read who neither are untracked nor hide reads is delivered at that time, too", func(p *probe) {
		p.create(capped("c", "m1", "alice"), capped("c", "m2", "alice"))
		dan := upTo("m2", delivery.Read)
		dan.User = "dan"
		p.markUpTo(dan)
		want := delivery.Tally{Version: 3, Status: delivery.Read, Delivered: 1, Read: 1, DeliveredAt: minute(1), ReadAt: minute(1)}
		p.same("after the up-to mark", p.message("m1").Tally, want)
		p.mark(delivered("m1", "carol", minute(2)))
		want.Version, want.Delivered = 5, 2
		p.same("after a later delivery", p.message("m1").Tally, want)
		p.create(capped("d", "n1", "alice"), capped("d", "n2", "alice"), capped("d", "n3", "alice"))
		want.Version, want.Delivered = 4, 1
		p.mark(read("n1", "dan", minute(1)))
		p.same("after a mark", p.message("n1").Tally, want)
		p.mark(delivered("n1", "carol", minute(2)))
		p.mark(read("n2", "dan", minute(1)), read("n2", "carol", minute(2)), delivered("n3", "carol", minute(1)), read("n3", "dan", minute(2)))
		for id, times := range map[string][2]int{"n1": {1, 1}, "n2": {1, 1}, "n3": {2, 2}} {
			m := p.message(id)
			p.same("the counts of "+id, []any{m.Status, m.Delivered, m.Read, m.DeliveredAt, m.ReadAt}, []any{delivery.Read, 2, 1, minute(times[0]), minute(times[1])})
		}
	}},
	{"a quorum of a status is no more than the recipients who neither are untracked nor hide it", func(p *probe) {
		everyone := func(id string) {
			for _, user := range []string{"alice", "bob", "carol", "dan"} {
				p.mark(delivered(id, user, minute(1)))
				p.mark(read(id, user, minute(2)))
			}
		}
		for id, asked := range map[string]int{"all": 0, "too many": 10, "two": 2} {
			m := capped(id, id, "erin")
			m.Quorum = asked
			p.create(m)
			p.mark(read(id, "dan", noon), delivered(id, "carol", noon))
			p.same("the status of "+id, p.message(id).Status, map[bool]delivery.Status{true: delivery.Delivered, false: delivery.Sent}[asked == 2])
			everyone(id)
			m2 := p.message(id)
			p.same("the counts of "+id, []any{m2.Status, m2.Delivered, m2.Read}, []any{delivery.Read, 3, 2})
		}
		hiding := frozen("d", "hiding", "erin", "bob", "carol")
		hiding.Roster, hiding.Caps = "hiding", []delivery.Status{delivery.Delivered, delivery.Delivered}
		nobody := frozen("d", "nobody", "erin", "bob", "carol")
		nobody.Roster, nobody.Caps = "nobody", []delivery.Status{delivery.Sent, delivery.Sent}
		p.create(hiding, nobody)
		everyone("hiding")
		everyone("nobody")
		p.same("a message that nobody may be seen to read", []any{p.message("hiding").Status, p.message("hiding").Delivered}, []any{delivery.Delivered, 2})
		p.same("a message that nobody may be seen to receive", p.message("nobody").Tally, delivery.Tally{Version: 2, Status: delivery.Sent})
	}},
	{"a list of receipts says who is untracked or hides reads, and one of a status leaves them out", func(p *probe) {
		p.create(capped("c", "m", "alice"))
		who := func(want map[delivery.Status]string) {
			for status, want := range want {
				for _, limit := range []int{1, 10} {
					var got []string
					list := delivery.ReceiptList{Message: "m", Limit: limit, Status: status}
					for more := true; more; {
						page, err := p.store.Receipts(p.ctx, list)
						p.must("Receipts", err)
						for _, r := range page.Receipts {
							got = append(got, strings.TrimSpace(fmt.Sprint(r.Recipient, " ", r.Status, " ", r.Reason)))
						}
						list.After, more = page.Next, page.More
					}
					p.same(fmt.Sprintf("the receipts at %v, %d at a time", status, limit), strings.Join(got, ", "), want)
				}
			}
		}
		who(map[delivery.Status]string{
			0: "bob sent untracked, carol sent, dan sent", delivery.Sent: "carol sent, dan sent", delivery.Delivered: "", delivery.Read: "",
		})
		p.mark(read("m", "bob", noon), read("m", "carol", noon), delivered("m", "dan", noon))
		who(map[delivery.Status]string{
			0: "bob sent untracked, carol delivered capped, dan delivered", delivery.Sent: "", delivery.Delivered: "dan delivered", delivery.Read: "",
		})
		got, err := p.store.ReceiptsOf(p.ctx, []delivery.ReceiptKey{{Message: "m", Recipient: "carol"}})
		p.must("ReceiptsOf", err)
		p.same("a receipt by its name", got, []delivery.Receipt{{Message: "m", Recipient: "carol", Status: delivery.Delivered, Version: 2, DeliveredAt: noon}})
	}},
	{"a long list of receipts says who is untracked, too", func(p *probe) {
		m := frozen("c", "m", "alice")
		for i := range 2100 {
			m.Members, m.Caps = append(m.Members, fmt.Sprintf("u%04d", i)), append(m.Caps, delivery.Sent)
		}
		m.Caps[2050] = delivery.Delivered
		p.create(m)
		p.mark(read("m", "u2050", noon))
		page, err := p.store.Receipts(p.ctx, delivery.ReceiptList{Message: "m", Limit: 2, After: "u2048"})
		p.must("Receipts", err)
		p.same("some of the receipts", page.Receipts, []delivery.Receipt{
			{Message: "m", Recipient: "u2049", Status: delivery.Sent, Version: 1, Reason: delivery.Untracked},
			{Message: "m", Recipient: "u2050", Status: delivery.Delivered, Version: 2, DeliveredAt: noon, Reason: delivery.Capped},
		})
		for _, status := range []delivery.Status{delivery.Sent, delivery.Delivered} {
			p.pages(delivery.ReceiptList{Message: "m", Limit: 10, Status: status}, "")
		}
	}},
	{"a roster says for good who is untracked or hides reads", func(p *probe) {
		p.create(capped("c", "m1", "alice"))
		again, other := capped("c", "m2", "bob"), capped("c", "m3", "alice")
		again.Members, again.Caps, other.Caps = nil, nil, nil
		p.create(again, other)
		for id, want := range map[string][2]int{"m2": {3, 2}, "m3": {2, 1}} {
			m := p.message(id)
			p.same("the recipients of "+id, [2]int{m.Total, m.Readers}, want)
		}
		p.same("the mark of who is untracked", p.mark(read("m3", "bob", noon))[0].Changed, false)
	}},
	{"an up-to mark shows of messages in which the user is untracked or hides reads what it may, and stays before them", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), capped("c", "m2", "alice"), capped("c", "m3", "bob"), capped("c", "m4", "alice"))
		mark := upTo("m4", delivery.Read)
		first := p.markUpTo(mark)
		p.same("the mark of who is untracked", []any{first.Changed, first.Capped, first.Reached, first.More, first.Receipt.Status}, []any{1, true, int64(4), false, delivery.Sent})
		p.same("the same again", []any{p.markUpTo(mark).Changed, p.markUpTo(mark).Capped}, []any{0, true})
		mark.User = "carol"
		hidden := p.markUpTo(mark)
		p.same("the mark of who hides reads", []any{hidden.Changed, hidden.Capped, hidden.Receipt.Status}, []any{4, true, delivery.Delivered})
		mark.User = "dan"
		p.same("the mark of who does neither", []any{p.markUpTo(mark).Changed, p.markUpTo(mark).Capped}, []any{3, false})
		for id, want := range map[string][2]int{"m1": {2, 2}, "m2": {2, 1}, "m3": {2, 1}, "m4": {2, 1}} {
			m := p.message(id)
			p.same("the counts of "+id, [2]int{m.Delivered, m.Read}, want)
		}
		some := p.markAllUpTo(1, delivery.UpTo{Conversation: "c", Message: "m4", User: "alice", Status: delivery.Delivered, At: noon})[0]
		p.same("the mark of somebody else", []any{some.Changed, some.Capped}, []any{1, false})
	}},
	{"a private up-to mark moves the place of public ones past what is shown no more of who is untracked or hides reads", func(p *probe) {
		p.create(capped("c", "m1", "alice"), capped("c", "m2", "alice"))
		for user, rev := range map[string]int64{"bob": 1, "carol": 1} {
			mark := upTo("m2", delivery.Read)
			mark.User = user
			p.markUpTo(mark)
			p.same("what is unread for "+user+", as far as others may see", p.unread(user, "c", 100).Unread, 2)
			own := privateUpTo("m2", user, delivery.Read)
			own.Reach = delivery.Read
			p.sameForOthers(func() {
				out := p.ownMark(own)
				p.same("AdvanceOwn", []any{out.Changed, out.Status, out.Place}, []any{true, delivery.Read, delivery.Place{Rev: rev, Delivered: 2, Badge: 2}})
				p.same("AdvanceOwn again", p.ownMark(own).Changed, false)
			})
			p.same("what is unread for "+user, p.unread(user, "c", 100).Unread, 0)
			page := p.list(delivery.List{Conversation: "c", Limit: 10, Viewer: user})
			p.same("what "+user+" sees", []delivery.Status{page.Messages[0].Own.Status, page.Messages[1].Own.Status}, []delivery.Status{delivery.Read, delivery.Read})
			again := p.markUpTo(mark)
			p.same("the public mark again", []any{again.Changed, again.Capped}, []any{0, false})
		}
		p.create(capped("c", "m3", "alice"))
		mark := upTo("m3", delivery.Delivered)
		p.same("a mark of what is new", []any{p.markUpTo(mark).Changed, p.markUpTo(mark).Capped}, []any{0, true})
		own := privateUpTo("m3", "bob", delivery.Delivered)
		own.Reach = delivery.Delivered
		p.ownMark(own)
		p.same("a mark of no more", p.markUpTo(mark).Capped, false)
		p.same("a mark as read", p.markUpTo(upTo("m3", delivery.Read)).Capped, true)
		p.same("what is unread for bob", p.unread("bob", "c", 100).Unread, 1)
	}},
	{"a private mark of who is untracked or hides reads is the user's own status", func(p *probe) {
		p.create(capped("c", "m", "alice"))
		p.mark(read("m", "carol", noon))
		p.sameForOthers(func() {
			for _, user := range []string{"bob", "carol"} {
				out := p.ownMark(private("m", user, delivery.Read))
				p.same("AdvanceOwn", []any{out.May, out.Changed, out.Status}, []any{true, true, delivery.Read})
				p.same("what is unread for "+user, p.unread(user, "c", 100).Unread, 0)
			}
		})
	}},
}

var capKeeperCases = []storeCase{
	{"counters of messages with untracked recipients have no drift, and no receipt counts for more than is shown", func(p *probe) {
		p.create(capped("c", "m1", "alice"), capped("c", "m2", "bob"), open("c", "m3", "alice"))
		for _, user := range []string{"alice", "bob", "carol", "dan"} {
			p.mark(read("m1", user, noon), read("m2", user, noon), admitted(read("m3", user, noon)))
			mark := upTo("m3", delivery.Read)
			mark.User = user
			p.markUpTo(mark)
		}
		p.same("Verify", p.verify("c", 0, 100), delivery.Verification{Messages: 3, Last: 3})
		p.delete("m1")
		p.same("Verify after a deletion", p.verify("c", 0, 100), delivery.Verification{Messages: 3, Last: 3})
	}},
	{"who is untracked or hides reads stays so after the user was erased", func(p *probe) {
		p.unaudited()
		p.create(capped("c", "m1", "alice"), capped("c", "m2", "bob"))
		p.mark(read("m1", "carol", noon))
		for _, user := range []string{"bob", "carol"} {
			p.erase(user, 10)
		}
		page, err := p.store.Receipts(p.ctx, delivery.ReceiptList{Message: "m1", Limit: 10})
		p.must("Receipts", err)
		var reasons []string
		for _, r := range page.Receipts {
			reasons = append(reasons, fmt.Sprint(r.Recipient, "=", r.Reason))
		}
		slices.Sort(reasons) // the erased come in any order
		p.same("the receipts", strings.Join(reasons, " "), "=capped =untracked dan=")
		p.same("how many recipients m1 has", []int{p.message("m1").Total, p.message("m1").Readers}, []int{2, 1})
		p.same("the counts", p.message("m1").Delivered, 1)
		p.same("Verify", p.verify("c", 0, 100), delivery.Verification{Messages: 2, Last: 2})
	}},
}

var capOverdueCases = []storeCase{
	{"who is untracked or hides reads is reminded, and the sender is told of nobody who may never be seen to come that far", func(p *probe) {
		others, arrival := unread, unread
		others.Name, others.For = "for the sender", delivery.ForSender
		arrival.Name, arrival.For, arrival.Status = "not delivered, for the sender", delivery.ForSender, delivery.Delivered
		p.begin(unread, others, arrival)
		p.create(capped("c", "m", "alice"), capped("c", "n", "alice"))
		p.mark(read("n", "carol", noon), read("n", "dan", noon))
		p.ownMark(private("n", "bob", delivery.Read))
		p.overdue(unread, "bob m sent 1", "carol m sent 1", "carol n delivered 1", "dan m sent 1")
		p.overdue(others, "dan m sent 1")
		p.overdue(arrival, "carol m sent 1", "dan m sent 1")
		for _, rule := range []delivery.OverdueRule{unread, others, arrival} {
			p.overdue(rule)
		}
	}},
}

// capped is a message to all but its sender of alice, bob, who is untracked, carol, who hides
// reads, and dan, who must all reach a status.
func capped(conversation, id, sender string) delivery.NewMessage {
	m := frozen(conversation, id, sender, "alice", "bob", "carol", "dan")
	m.Roster, m.Caps = "capped", []delivery.Status{delivery.Read, delivery.Sent, delivery.Delivered, delivery.Read}
	return m
}
