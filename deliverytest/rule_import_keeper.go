package deliverytest

import (
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

// importKeeperCases are the rules for a store that is a [delivery.Keeper] too.
var importKeeperCases = []storeCase{
	{"Verify finds that imported receipts are counted, and Compact keeps all but their times", func(p *probe) {
		h := newHistory(p, 100)
		n := len(p.list(delivery.List{Conversation: h.conversation, Limit: 100}).Messages)
		verified := delivery.Verification{Messages: n, Last: int64(n)}
		p.same("Verify", p.verify(h.conversation, 0, 100), verified)
		before := h.seen(p.store, timeless)
		for more := true; more; {
			r, err := p.keeper().Compact(p.ctx, delivery.Compaction{Conversation: h.conversation, Before: minute(1000), Limit: 3})
			p.must("Compact", err)
			more = r.More
		}
		p.same("what there is to see", h.seen(p.store, timeless), before)
		p.same("Verify after Compact", p.verify(h.conversation, 0, 100), verified)
		p.unaudited()
	}},
	{"receipts without times are counted and kept as others are", func(p *probe) {
		var items []delivery.NewImport
		for i := range 6 {
			m := past(frozen("c", fmt.Sprint("m", i), "alice", "bob", "carol", "dan"), unknown("bob", delivery.Read))
			switch i {
			case 2:
				m = past(open("c", "m2", "alice"), unknown("bob", delivery.Delivered))
			case 4:
				m.Receipts = append(m.Receipts, was("dan", delivery.Read, minute(1), minute(2)))
			default:
				m.Receipts = append(m.Receipts, unknown("carol", delivery.Delivered))
			}
			items = append(items, m)
		}
		p.imports(delivery.ImportStored, items[:3]...)
		p.imports(delivery.ImportStored, items[3:]...)
		p.same("Verify", p.verify("c", 0, 100), delivery.Verification{Messages: 6, Last: 6})
		for i, m := range items {
			shown := map[string]delivery.Status{}
			for _, r := range p.receipts(m.ID) {
				if r.Status > delivery.Sent {
					shown[r.Recipient] = r.Status
				}
			}
			want := map[string]delivery.Status{}
			for _, r := range m.Receipts {
				want[r.Recipient] = r.Status
			}
			p.same(fmt.Sprint("the receipts of message ", i), fmt.Sprint(shown), fmt.Sprint(want)) // in order
		}
		p.mark(read("m0", "carol", minute(3)), delivered("m3", "dan", minute(3)))
		p.markUpTo(upTo("m5", delivery.Read))
		p.same("Verify after marks", p.verify("c", 0, 100), delivery.Verification{Messages: 6, Last: 6})
		p.compact(minute(1))
		for _, r := range p.receipts("m4") {
			p.same("the times of "+r.Recipient+" after Compact", []time.Time{r.DeliveredAt, r.ReadAt}, make([]time.Time, 2))
		}
	}},
	{"a tombstone's id is gone, and the tombstone of what was sent keeps imports out", func(p *probe) {
		p.imports(delivery.ImportStored, past(open("c", "m1", "alice")), past(open("c", "m2", "alice")))
		p.remember("m2")
		p.delete("m2")
		p.importsEach([]delivery.ImportOutcome{delivery.ImportGone, delivery.ImportStored}, past(open("c", "m2", "alice")), past(open("c", "m3", "alice")))
		p.create(open("c", "m4", "alice"))
		p.remember("m4")
		p.delete("m4")
		p.imports(delivery.ImportConflict, past(open("c", "m5", "alice")))
	}},
	{"what an erased user has sent is known, and stays without the name", func(p *probe) {
		m1 := past(open("c", "m1", "alice"))
		p.imports(delivery.ImportStored, m1)
		p.erase("alice", 10)
		p.imports(delivery.ImportKnown, m1)
		p.same("the sender", p.message("m1").Sender, "")
	}},
	{"where no message is left there can be an import", func(p *probe) {
		p.imports(delivery.ImportStored, past(open("c", "m1", "alice")))
		p.create(open("c", "m2", "alice"))
		p.pruneAll(delivery.Pruning{Conversation: "c", All: true, Limit: 10})
		p.imports(delivery.ImportStored, past(frozen("c", "m1", "alice", "bob"), unknown("bob", delivery.Read)))
		p.same("its place", p.message("m1").Seq, int64(4))
		p.same("what is unread", p.unreadOf("bob").Count, 0)
		p.unaudited()
	}},
	{"a prune goes by when imported messages were sent", func(p *probe) {
		late := past(open("c", "m2", "alice"))
		late.SentAt = minute(5)
		p.imports(delivery.ImportStored, past(open("c", "m1", "alice")), late, past(open("c", "m3", "alice")))
		p.same("a prune", p.prune(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 10}), delivery.PruningResult{Removed: 1, Floor: 1})
		p.unaudited()
	}},
}

// importOverdueCases are the rules for a store that is a [delivery.OverdueStore] too, and
// importHourCases those for a [delivery.HourStore].
var (
	importOverdueCases = []storeCase{
		{"nobody is overdue with an imported message", func(p *probe) {
			p.begin(unread)
			p.imports(delivery.ImportStored, past(frozen("c", "m1", "alice", "bob", "carol")), past(frozen("c", "m2", "alice", "bob", "carol"), was("carol", delivery.Delivered, noon, time.Time{})))
			p.create(frozen("c", "m3", "alice", "bob"))
			p.overdue(unread, "bob m3 sent 1")
			p.imports(delivery.ImportStored, past(frozen("d", "n", "alice", "bob")))
			p.overdue(unread)
		}},
	}
	importHourCases = []storeCase{
		{"no hour counts an imported message", func(p *probe) {
			p.imports(delivery.ImportStored, past(frozen("c", "m1", "alice", "bob", "carol"), was("bob", delivery.Read, noon, noon)))
			now := past(open("c", "m2", "alice"), was("bob", delivery.Read, time.Now(), time.Now()))
			now.SentAt = time.Now()
			p.imports(delivery.ImportStored, now)
			p.create(open("d", "n", "alice"))
			hour := p.hour()
			p.same("messages", hour.Messages, delivery.Funnel{Sent: 1})
			hours, err := p.store.(delivery.HourStore).Hours(p.ctx, time.Time{}, delivery.MaxBatch)
			p.must("Hours", err)
			for _, h := range hours {
				p.same("those read", h.Messages.Read, 0)
			}
		}},
	}
)
