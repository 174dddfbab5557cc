package deliverytest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

var compactCases = []storeCase{
	{"the times of old receipts are gone, and all else is as it was", func(p *probe) {
		p.crowd()
		before := p.visible()
		p.compact(minute(1))
		p.same("what there is to see", p.visible(), before)
		for _, m := range p.list(delivery.List{Conversation: "c", Limit: 100}).Messages {
			p.same("the times of "+m.ID, []time.Time{m.DeliveredAt, m.ReadAt}, make([]time.Time, 2))
			for _, r := range p.receipts(m.ID) {
				p.same("when a receipt of "+m.ID+" changed", []any{r.DeliveredAt, r.ReadAt, r.Version}, []any{time.Time{}, time.Time{}, m.Seq})
			}
		}
	}},
	{"a compaction takes no version and is told to nobody", func(p *probe) {
		p.crowd()
		p.drain()
		version := p.version("c")
		p.compact(minute(1))
		p.same("the version", p.version("c"), version)
		p.same("the events", len(p.drain()), 0)
	}},
	{"a mark of what was compacted does not count again, in whatever way it is made", func(p *probe) {
		p.crowd()
		p.compact(minute(1))
		before, version := p.visible(), p.version("c")
		for user, status := range map[string]delivery.Status{"bob": delivery.Read, "carol": delivery.Delivered, "dan": delivery.Read, "erin": delivery.Delivered} {
			var marks []delivery.Mark
			for _, id := range []string{"m1", "m2", "m3", "m4", "m6", "m7"} {
				mark := admitted(read(id, user, noon))
				mark.Status = status
				p.same("the mark of "+id+" by "+user, p.mark(mark)[0].Changed, false)
				marks = append(marks, mark)
			}
			for i, m := range p.mark(marks...) {
				p.same("the mark of "+marks[i].Message+" by "+user+" beside others", m.Changed, false)
			}
			if user == "dan" { // whose place it would move
				continue
			}
			again := upTo("m7", status)
			again.User, again.Admitted = user, true
			p.same("the up-to mark by "+user, p.markUpTo(again).Changed, 0)
		}
		p.same("the version", p.version("c"), version)
		p.same("what there is to see", p.visible(), before)
	}},
	{"a mark that goes on from what was compacted stamps the time of its own step alone", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "alice", "bob", "carol"), frozen("c", "m3", "alice", "bob", "carol"))
		p.markUpTo(upTo("m3", delivery.Delivered))
		carol := upTo("m3", delivery.Read)
		carol.User = "carol"
		p.markUpTo(carol)
		p.compact(minute(1))
		marked := p.mark(read("m1", "bob", minute(7)))[0]
		p.same("a mark", marked.Receipt, delivery.Receipt{Message: "m1", Recipient: "bob", Status: delivery.Read, Version: 10, ReadAt: minute(7)})
		many := p.mark(read("m2", "bob", minute(8)), read("m2", "carol", minute(8)))
		p.same("a mark beside others", many[0].Receipt, delivery.Receipt{Message: "m2", Recipient: "bob", Status: delivery.Read, Version: 11, ReadAt: minute(8)})
		p.same("the mark beside it", []any{many[1].Changed, many[1].Receipt.Status}, []any{false, delivery.Read})
		all := upTo("m3", delivery.Read)
		all.At = minute(9)
		up := p.markUpTo(all)
		p.same("an up-to mark", []any{up.Changed, up.Receipt.Version, up.Receipt.DeliveredAt, up.Receipt.ReadAt}, []any{1, int64(12), time.Time{}, minute(9)})
		for i, id := range []string{"m1", "m2", "m3"} {
			p.same("the counts of "+id, p.message(id).Tally, delivery.Tally{
				Version: int64(10 + i), Status: delivery.Read, Delivered: 2, Read: 2, ReadAt: minute(7 + i),
			})
		}
		p.same("Verify", p.verify("c", 0, 100), delivery.Verification{Messages: 3, Last: 3})
	}},
	{"a compaction goes through messages in order of their last changes, up to one that was sent too late, and a further one goes on", func(p *probe) {
		p.aged(0, 0, 0, 5, 0)
		for i, id := range []string{"m2", "m3", "m4", "m5", "m1"} {
			p.mark(admitted(read(id, "bob", minute(6+i))))
		}
		p.compacted = true
		timed := func(want string) {
			p.Helper()
			var ids []string
			for _, m := range p.load("m1", "m2", "m3", "m4", "m5") {
				r := p.receiptOf(m.ID)
				if p.same("the time of "+m.ID, m.ReadAt, r.ReadAt); !m.ReadAt.IsZero() {
					ids = append(ids, m.ID)
				}
			}
			slices.Sort(ids)
			p.same("what has times", strings.Join(ids, " "), want)
		}
		timed("m1 m2 m3 m4 m5")
		once := func(limit int, before time.Time, compacted int, want string) {
			p.Helper()
			r, err := p.keeper().Compact(p.ctx, delivery.Compaction{Conversation: "c", Before: before, Limit: limit})
			p.must("Compact", err)
			p.same("Compact", []any{r.Compacted, r.Blocked}, []any{compacted, false})
			if limit == 1 && !r.More {
				p.Errorf("Compact says that there is no more")
			}
			timed(want)
		}
		once(1, minute(1), 1, "m1 m3 m4 m5")
		once(10, minute(1), 1, "m1 m4 m5")
		once(10, minute(1), 0, "m1 m4 m5")
		once(10, minute(6), 3, "")
		p.mark(admitted(delivered("m2", "carol", minute(11))))
		p.same("the mark of somebody else", p.receipts("m2")[1].DeliveredAt, minute(11))
		p.compact(minute(1))
		p.same("its time", p.receipts("m2")[1].DeliveredAt, time.Time{})
	}},
	{"where there is nothing to compact nothing changes", func(p *probe) {
		p.aged(1, 0)
		p.mark(admitted(read("m1", "bob", minute(3))), admitted(read("m2", "bob", minute(4))))
		before := p.load("m1", "m2")
		for _, conversation := range []string{"c", "d"} {
			r, err := p.keeper().Compact(p.ctx, delivery.Compaction{Conversation: conversation, Before: minute(1), Limit: 10})
			p.must("Compact", err)
			p.same("Compact of "+conversation, r, delivery.CompactionResult{})
		}
		p.same("the messages", p.load("m1", "m2"), before)
	}},
	{"a receipt without its time says so, and is in the list of its status", func(p *probe) {
		p.crowd()
		p.compact(minute(1))
		for status, want := range map[delivery.Status]string{
			0:                  "bob read expired, carol delivered capped, dan read expired, erin delivered expired, fay sent",
			delivery.Sent:      "fay sent",
			delivery.Read:      "bob read expired, dan read expired",
			delivery.Delivered: "erin delivered expired",
		} {
			var got []string
			list := delivery.ReceiptList{Message: "m2", Limit: 2, Status: status}
			for more := true; more; {
				page, err := p.store.Receipts(p.ctx, list)
				p.must("Receipts", err)
				for _, r := range page.Receipts {
					got = append(got, strings.TrimSpace(fmt.Sprint(r.Recipient, " ", r.Status, " ", r.Reason)))
				}
				list.After, more = page.Next, page.More
			}
			p.same(fmt.Sprintf("the receipts at %v", status), strings.Join(got, ", "), want)
		}
	}},
	{"a long list of receipts is as it was when they were compacted", func(p *probe) {
		var users []string
		for i := range 2100 {
			users = append(users, fmt.Sprintf("u%04d", i))
		}
		p.create(frozen("c", "m", "alice", users...))
		var marks []delivery.UpTo
		for i := range 40 {
			mark := upTo("m", delivery.Delivered+delivery.Status(i%2))
			mark.User = users[i*50]
			marks = append(marks, mark)
		}
		p.markAllUpTo(plenty, marks...)
		pages := func() (all [][]string) {
			for status := range delivery.Read + 1 {
				all = append(all, p.receiptPages(delivery.ReceiptList{Message: "m", Limit: 500, Status: status})...)
			}
			return all
		}
		before := pages()
		p.compact(minute(1))
		p.same("the pages", pages(), before)
		p.same("Verify", p.verify("c", 0, 100), delivery.Verification{Messages: 1, Last: 1})
	}},
	{"what was compacted can be deleted, pruned and erased", func(p *probe) {
		p.crowd()
		p.compact(minute(1))
		p.erase("dan", 10)
		p.delete("m1", "m3")
		p.same("Verify", p.verify("c", 0, 100), delivery.Verification{Messages: 7, Last: 7})
		p.compact(minute(1))
		p.pruneAll(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 4})
		p.same("what is left", len(p.list(delivery.List{Conversation: "c", Limit: 10}).Messages), 0)
		p.create(frozen("c", "m8", "alice", "bob", "dan"))
		p.same("the mark of a new message", p.mark(read("m8", "bob", noon))[0].Changed, true)
		p.unaudited()
	}},
	{"whatever races with compactions, each version is told once and no mark counts twice", func(p *probe) {
		const rounds = 20
		for round := range rounds {
			p.create(frozen("c", fmt.Sprint("m", round), "alice", "user1", "user2"))
		}
		p.compacted = true
		p.together(4, func(worker int) error {
			for round := range rounds {
				for _, status := range []delivery.Status{delivery.Delivered, delivery.Read} {
					id := fmt.Sprint("m", round)
					err := patiently(func() (bool, error) {
						if worker == 0 {
							r, err := p.keeper().Compact(p.ctx, delivery.Compaction{Conversation: "c", Before: minute(1), Limit: 3})
							return r.Blocked, err
						}
						if worker == 1 {
							mark := read(id, "user1", noon)
							mark.Status = status
							marked, _, err := p.store.Advance(p.ctx, []delivery.Mark{mark}, delivery.Lease{})
							return err == nil && marked[0].Blocked, err
						}
						mark := upTo(id, status)
						mark.User = fmt.Sprint("user", worker-1)
						marked, _, err := p.store.AdvanceUpTo(p.ctx, []delivery.UpTo{mark}, plenty, delivery.Lease{})
						return err == nil && marked[0].Blocked, err
					})
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		p.compact(minute(1))
		for _, m := range p.list(delivery.List{Conversation: "c", Limit: 50}).Messages {
			p.same("the counts of "+m.ID, m.Tally, delivery.Tally{Version: m.Version, Status: delivery.Read, Delivered: 2, Read: 2})
		}
		p.same("Verify", p.verify("c", 0, 100), delivery.Verification{Messages: rounds, Last: rounds})
	}},
}

// crowd is a conversation of many audiences. bob has read all of it. carol has, too, but others may
// not see that she read m2, nor anything of her in m4. dan has marked one message after the other.
// All have come to erin, who read most of them in private, and fay has dismissed all in the eyes of
// nobody else.
func (p *probe) crowd() {
	p.Helper()
	all := []string{"alice", "bob", "carol", "dan", "erin", "fay"}
	hiding, untracked := frozen("c", "m2", "alice", all...), frozen("c", "m4", "alice", all...)
	hiding.Roster, hiding.Caps = "hiding", []delivery.Status{delivery.Read, delivery.Read, delivery.Delivered, delivery.Read, delivery.Read, delivery.Read}
	untracked.Roster, untracked.Caps = "untracked", []delivery.Status{delivery.Read, delivery.Read, delivery.Sent, delivery.Read, delivery.Read, delivery.Read}
	last := frozen("c", "m7", "alice", all...)
	last.Quorum = 2
	p.create(frozen("c", "m1", "alice", all...), hiding, open("c", "m3", "alice"), untracked, frozen("c", "m5", "alice", all...), frozen("c", "m6", "bob", "alice", "erin"), last)
	for _, id := range []string{"m1", "m2", "m3", "m4", "m5", "m7"} {
		p.mark(admitted(delivered(id, "dan", minute(1))))
		p.mark(admitted(read(id, "dan", minute(2))))
	}
	for user, status := range map[string]delivery.Status{"bob": delivery.Read, "carol": delivery.Read, "erin": delivery.Delivered} {
		mark := upTo("m7", status)
		mark.User, mark.Admitted = user, true
		p.markUpTo(mark)
		if user == "carol" {
			own := letIn(privateUpTo("m7", user, status))
			own.Reach = status
			p.ownMark(own)
		}
	}
	p.ownMark(letIn(privateUpTo("m3", "erin", delivery.Read)))
	p.ownMark(private("m4", "erin", delivery.Read))
	p.ownMark(dismiss("m7", "fay"))
	p.delete("m5")
}

// visible is all that there is to see of the crowd, but for what a compaction takes away.
func (p *probe) visible() (all []string) {
	p.Helper()
	users := []string{"alice", "bob", "carol", "dan", "erin", "fay", "mallory"}
	say := func(what string, values ...any) {
		all = append(all, strings.TrimSpace(what+" "+fmt.Sprintln(values...)))
	}
	for _, viewer := range users {
		for _, list := range []delivery.List{{}, {Before: delivery.Latest}, {Changes: true}, {Changes: true, After: 3}, {Bytes: delivery.MaxPage}} {
			list.Conversation, list.Viewer, list.Limit = "c", viewer, 50
			page := p.list(list)
			for _, m := range page.Messages {
				m, own := timeless(m), delivery.Receipt{}
				if m.Own != nil {
					own, m.Own = allTimeless([]delivery.Receipt{delivery.Receipt(*m.Own)})[0], nil
				}
				say(fmt.Sprintf("%+v", list), m, own)
			}
			say(fmt.Sprintf("%+v", list), page.Cursor, page.More, page.Floor)
		}
		u := p.unreadOf(viewer)
		newest := timeless(*u.Newest)
		u.Newest, newest.Own = nil, nil
		say("unread for "+viewer, u, newest)
	}
	for _, m := range p.list(delivery.List{Conversation: "c", Limit: 50}).Messages {
		for status := range delivery.Read + 1 {
			for _, limit := range []int{1, 10} {
				say(fmt.Sprint("the receipts of ", m.ID, " at ", status), p.receiptPages(delivery.ReceiptList{Message: m.ID, Limit: limit, Status: status}))
			}
		}
		var keys []delivery.ReceiptKey
		for _, user := range users {
			keys = append(keys, delivery.ReceiptKey{Message: m.ID, Recipient: user})
		}
		say("the receipts of "+m.ID, allTimeless(p.receipts(m.ID)), allTimeless(p.receiptsOf(p.store, keys)))
	}
	say("Verify", p.verify("c", 0, 100))
	return all
}

// compact compacts conversation c until there is no more to do, when nobody else is there.
func (p *probe) compact(before time.Time) {
	p.Helper()
	p.compacted = true
	for range 100 {
		r, err := p.keeper().Compact(p.ctx, delivery.Compaction{Conversation: "c", Before: before, Limit: 3})
		p.must("Compact", err)
		if r.Blocked {
			p.Fatalf("Compact says that it was blocked, when nobody else was there")
		}
		if !r.More {
			return
		}
	}
	p.Fatalf("there is always more to compact")
}

// timeless is a message without the times of its receipts.
func timeless(m delivery.Message) delivery.Message {
	m.DeliveredAt, m.ReadAt = time.Time{}, time.Time{}
	return m
}

// allTimeless returns receipts without their times, versions, and the reason for that.
func allTimeless(receipts []delivery.Receipt) []delivery.Receipt {
	receipts = slices.Clone(receipts)
	for i := range receipts {
		r := &receipts[i]
		r.Version, r.DeliveredAt, r.ReadAt = 0, time.Time{}, time.Time{}
		if r.Reason == delivery.Expired {
			r.Reason = ""
		}
	}
	return receipts
}
