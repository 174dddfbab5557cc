package deliverytest

import "github.com/msgdelivery/delivery"

// overdueKeeperCases are the rules for a store that is a [delivery.Keeper] too.
var overdueKeeperCases = []storeCase{
	{"a message whose recipients need many calls may go meanwhile", func(p *probe) {
		p.begin(unread)
		for _, end := range []func(){
			func() { p.delete("m1") },
			func() { p.prune(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 1}) },
		} {
			p.create(frozen("c", "m1", "alice", "r1", "r2", "r3"))
			p.until("one was returned", func() bool { return len(p.look(unread, 1)) == 1 })
			p.create(frozen("c", "m2", "alice", "r1", "r2", "r3"))
			end()
			p.overdue(unread, "r1 m2 sent 1", "r2 m2 sent 1", "r3 m2 sent 1")
			p.prune(delivery.Pruning{Conversation: "c", All: true, Limit: 10})
			p.unaudited()
		}
	}},
	{"whose receipts were compacted is overdue as before", func(p *probe) {
		others := unread
		others.Name, others.For = "for the sender", delivery.ForSender
		p.begin(unread, others)
		p.create(frozen("c", "m1", "alice", "bob", "carol", "dan"), frozen("c", "m2", "alice", "bob", "carol", "dan"))
		carol, dan := upTo("m2", delivery.Delivered), upTo("m2", delivery.Read)
		carol.User, dan.User = "carol", "dan"
		p.markAllUpTo(plenty, upTo("m1", delivery.Read), carol, dan)
		p.compact(minute(1))
		for _, rule := range []delivery.OverdueRule{unread, others} {
			p.overdue(rule, "bob m2 sent 1", "carol m1 delivered 1", "carol m2 delivered 1")
		}
	}},
	{"what was deleted, pruned or erased is not returned again", func(p *probe) {
		brief := unread
		brief.Lease = 4 * short
		p.begin(brief)
		p.create(frozen("c", "m1", "alice", "bob", "dan"), frozen("c", "m2", "alice", "bob", "carol", "erin"), frozen("c", "m3", "alice", "bob"), frozen("d", "n1", "alice", "bob"))
		p.erase("dan", 10)
		p.wait(brief, 6)
		p.mark(read("m2", "bob", noon))
		p.delete("m3")
		p.prune(delivery.Pruning{Conversation: "d", All: true, Limit: 10})
		p.erase("erin", 10)
		p.overdue(brief, "bob m1 sent 2", "carol m2 sent 2")
		p.unaudited()
	}},
}
