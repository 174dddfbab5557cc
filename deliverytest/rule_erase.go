package deliverytest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

var eraseCases = []storeCase{
	{"an erased user's receipts and messages stay, without the name", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "alice", "bob", "carol"), frozen("c", "m2", "bob", "alice", "bob", "carol"), open("c", "m3", "bob"))
		p.mark(read("m1", "bob", minute(1)), delivered("m1", "carol", minute(2)), delivered("m2", "carol", minute(2)))
		before := p.load("m1", "m2", "m3")
		p.drain()
		p.same("Erase", p.erase("bob", 10), delivery.ErasureResult{Erased: 1})
		after := slices.Clone(before)
		for i := range after {
			after[i].Sender = strings.Replace(after[i].Sender, "bob", "", 1)
		}
		p.same("Load", byMessage(p.load("m1", "m2", "m3")), byMessage(after))
		p.same("the recipients of m1", p.recipients("m1"), []string{"carol", ""})
		p.same("the recipients of m2", p.recipients("m2"), []string{"alice", "carol"})
		page, err := p.store.Receipts(p.ctx, delivery.ReceiptList{Message: "m1", Limit: 1})
		p.must("Receipts", err)
		p.same("the first page", len(page.Receipts) == 1 && page.More, true)
		page, err = p.store.Receipts(p.ctx, delivery.ReceiptList{Message: "m1", Limit: 1, After: page.Next})
		p.must("Receipts", err)
		p.same("the last page", page.Receipts, []delivery.Receipt{{Message: "m1", Status: delivery.Read, Version: 4, DeliveredAt: minute(1), ReadAt: minute(1)}})
		receipts, err := p.store.ReceiptsOf(p.ctx, []delivery.ReceiptKey{{Message: "m1", Recipient: "bob"}})
		p.must("ReceiptsOf", err)
		p.same("ReceiptsOf", len(receipts), 0)
		for _, m := range p.list(delivery.List{Conversation: "c", Limit: 10, Viewer: "bob"}).Messages {
			p.same("a message of the page", m.Sender == "bob" || m.Own != nil && !m.Open, false)
		}
		p.same("the version", p.version("c"), int64(6))
		p.same("the events", len(p.drain()), 0)
		p.mark(delivered("m2", "alice", minute(3)))
		for _, e := range p.drain() {
			p.same("the sender in an event", e.Updates[0].Sender, "")
		}
		p.same("Erase again", p.erase("bob", 10), delivery.ErasureResult{})
		p.unaudited()
	}},
	{"an erased user is nobody to marks and lists", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), open("c", "m2", "alice"))
		p.ownMark(private("m1", "bob", delivery.Read))
		p.ownMark(letIn(dismiss("m2", "bob")))
		p.ownMark(flag("m1", "bob"))
		p.erase("bob", 10)
		p.same("what bob alone knows", p.placeOf("bob"), delivery.Place{})
		for _, mark := range []delivery.OwnMark{private("m1", "bob", delivery.Read), flag("m1", "bob"), dismiss("m1", "bob"), privateUpTo("m1", "bob", delivery.Read)} {
			p.same("whether bob may mark in private", p.ownMark(mark).May, false)
		}
		p.same("Advance", p.mark(read("m1", "bob", noon))[0].Changed, false)
		mark := upTo("m1", delivery.Read)
		mark.User = "bob"
		p.same("AdvanceUpTo", p.markUpTo(mark).Changed, 0)
		p.same("the receipts", p.recipients("m1"), []string{"carol", ""})
		p.pending("bob", badge{Unread: 1, First: place("m2", 2), Newest: place("m2", 2), Version: 2})
		p.unaudited()
	}},
	{"a user of an erased name is a new one", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), open("c", "m2", "bob"))
		p.erase("bob", 10)
		p.create(frozen("c", "m3", "alice", "bob", "dan"))
		p.same("a mark of an old message", p.mark(read("m1", "bob", noon))[0].Changed, false)
		p.same("a mark of a new message", p.mark(read("m3", "bob", noon))[0].Changed, true)
		p.same("a mark of the message of the user before", p.mark(admitted(read("m2", "bob", noon)))[0].Changed, true)
		p.same("the recipients", p.recipients("m3"), []string{"bob", "dan"})
		p.same("Erase", p.erase("bob", 10), delivery.ErasureResult{Erased: 1})
		p.same("the recipients then", p.recipients("m3"), []string{"dan", ""})
		p.unaudited()
	}},
	{"messages of an erased author are no deleted ones: they are marked for the user alone, and shown, as before", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), open("c", "m2", "alice"), frozen("c", "m3", "alice", "bob"))
		p.erase("alice", 10)
		both := p.ownMarks(private("m1", "bob", delivery.Read), flag("m3", "bob"))
		p.fields("bob's marks", "mark.May mark.Changed mark.Status flag.May flag.Place.Flag", []any{both[0].May, both[0].Changed, both[0].Status, both[1].May, both[1].Place.Flag}, []any{true, true, delivery.Read, true, int64(3)})
		for _, c := range []struct {
			name     string
			mark     delivery.OwnMark
			admitted bool
			may      bool
		}{
			{"who is not admitted", private("m2", "bob", delivery.Read), false, false},
			{"who is admitted", private("m2", "bob", delivery.Read), true, true},
			{"a stranger whom the rule admits", dismiss("m1", "mallory"), true, false},
			{"a reader whom the message is not for", flag("m3", "carol"), true, false},
		} {
			c.mark.Admitted = c.admitted
			p.same(c.name, p.ownMark(c.mark).May, c.may)
		}
		var own []delivery.Status
		for _, m := range p.list(delivery.List{Conversation: "c", Limit: 10, Viewer: "bob"}).Messages {
			if m.Own != nil {
				own = append(own, m.Own.Status)
			}
		}
		p.same("what bob sees", own, []delivery.Status{delivery.Read, delivery.Read, delivery.Sent})
		u := p.unreadOf("bob")
		p.fields("what is unread", "Flagged Count First", []any{u.Flagged, u.Count, u.First}, []any{true, 1, place("m3", 3)})
		p.unaudited()
	}},
	{"no roster that an erased user is in is found by its key", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "alice", "dan"))
		p.erase("bob", 10)
		without := func(m delivery.NewMessage) delivery.NewMessage { m.Members = nil; return m }
		created := p.create(without(frozen("c", "m3", "alice", "bob", "carol")), without(frozen("c", "m4", "alice", "dan")))
		p.same("to the set with the user", created[0], delivery.Created{NoRoster: true})
		p.same("to another set", created[1].Message.Total, 1)
		p.unaudited()
	}},
	{"waiting events and dead letters lose the name of an erased user", func(p *probe) {
		p.create(frozen("c", "m1", "bob%_!", "alice"), open("c", "m2", "alice"), open("d", "m3", "bob%_! too"))
		p.ownMark(telling(letIn(dismiss("m2", "bob%_!"))))
		for _, c := range p.claim(10) {
			outcome := delivery.SettleRelease
			if c.Event.Kind == delivery.OwnChanged {
				outcome = delivery.SettleBury
			}
			p.settle(settlement(c, outcome))
		}
		p.ownMark(telling(letIn(flag("m2", "bob%_!"))))
		p.bury("no")
		p.mark(admitted(read("m2", "bob%_!", noon)), admitted(read("m3", "alice", noon)))
		p.erase("bob%_!", 1)
		p.erase("bob%_!", 1)
		var told []string
		tell := func(e delivery.Event) {
			if e.User != "" {
				told = append(told, "something for "+e.User+" alone")
			}
			for _, u := range e.Updates {
				recipient := ""
				if u.Receipt != nil {
					recipient = u.Receipt.Recipient
				}
				told = append(told, fmt.Sprintf("%s by %q to %q", u.Message, u.Sender, recipient))
			}
		}
		claimed, err := p.store.Claim(p.ctx, 10, lease(long))
		p.must("Claim", err)
		for _, c := range claimed {
			tell(c.Event)
			p.settle(settlement(c, delivery.SettleDone))
		}
		for _, letter := range p.dead(0, 10) {
			tell(letter.Event)
		}
		slices.Sort(told)
		p.same("what is told", told, []string{
			`m1 by "" to ""`, `m2 by "alice" to ""`, `m2 by "alice" to ""`, `m3 by "bob%_! too" to ""`, `m3 by "bob%_! too" to "alice"`,
		})
		p.unaudited()
	}},
	{"a user of many conversations is erased in steps", func(p *probe) {
		for i := range 5 {
			p.create(frozen(fmt.Sprint("c", i), fmt.Sprint("m", i), "alice", "bob"))
		}
		for i, want := range []delivery.ErasureResult{{Erased: 2, More: true}, {Erased: 2, More: true}, {Erased: 1}} {
			p.same(fmt.Sprint("Erase ", i), p.erase("bob", 2), want)
		}
		for i := range 5 {
			p.same("the recipients", p.recipients(fmt.Sprint("m", i)), []string{""})
		}
		p.unaudited()
	}},
	{"whatever races with erasures, the counts are those of the receipts, and no name comes back", func(p *probe) {
		const rounds = 20
		user := func(round int) string { return fmt.Sprint("user", round) }
		for round := range rounds {
			p.create(frozen("c", fmt.Sprint("m", round), "alice", user(round)))
		}
		p.together(3, func(worker int) error {
			for round := range rounds {
				err := patiently(func() (bool, error) {
					switch id := fmt.Sprint("m", round); worker {
					case 0:
						r, err := p.keeper().Erase(p.ctx, user(round), 10)
						return r.Blocked, err
					case 1:
						marked, _, err := p.store.Advance(p.ctx, []delivery.Mark{delivered(id, user(round), noon)}, delivery.Lease{})
						return err == nil && marked[0].Blocked, err
					default:
						mark := upTo(id, delivery.Read)
						mark.User = user(round)
						marked, _, err := p.store.AdvanceUpTo(p.ctx, []delivery.UpTo{mark}, plenty, delivery.Lease{})
						return err == nil && marked[0].Blocked, err
					}
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		counted, err := p.keeper().Verify(p.ctx, "c", 0, rounds)
		p.must("Verify", err)
		p.same("what is counted wrong", counted.Drifts, []delivery.Drift(nil))
		for round := range rounds {
			p.same("Erase again", p.erase(user(round), 10), delivery.ErasureResult{})
			p.same("the recipients", p.recipients(fmt.Sprint("m", round)), []string{""})
		}
		p.unaudited()
	}},
}

// erase erases when nobody else is there.
func (p *probe) erase(user string, limit int) delivery.ErasureResult {
	p.Helper()
	r, err := p.keeper().Erase(p.ctx, user, limit)
	p.must("Erase", err)
	if r.Blocked {
		p.Fatalf("Erase says that it was blocked, when nobody else was there")
	}
	return r
}

// unaudited leaves out the audit, which what was told before an erasure does not pass.
func (p *probe) unaudited() {
	p.drain()
	clear(p.seen)
	clear(p.conversations)
}

func byMessage(messages []delivery.Message) []delivery.Message {
	slices.SortFunc(messages, func(a, b delivery.Message) int { return strings.Compare(a.ID, b.ID) })
	return messages
}
