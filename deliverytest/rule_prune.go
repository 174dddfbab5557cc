package deliverytest

import (
	"fmt"

	"github.com/msgdelivery/delivery"
)

var pruneCases = []storeCase{
	{"the first messages are pruned, up to one that is younger, and nothing is left of them", func(p *probe) {
		p.aged(0, 1, 2, 0, 3)
		p.mark(admitted(read("m1", "bob", minute(9))), admitted(read("m4", "bob", minute(9))))
		p.same("Prune", p.prune(delivery.Pruning{Conversation: "c", Before: minute(2), Limit: 10}), delivery.PruningResult{Removed: 2, Floor: 2})
		p.same("Load", len(p.load("m1", "m2")), 0)
		p.same("the receipts", len(p.receipts("m1")), 0)
		p.same("Advance", p.mark(admitted(read("m1", "bob", noon)), admitted(read("m2", "alice", noon))), make([]delivery.Marked, 2))
		p.same("AdvanceUpTo", p.markUpTo(upTo("m2", delivery.Read)), delivery.MarkedUpTo{})
		deleted, _, err := p.keeper().Delete(p.ctx, []delivery.Deletion{{Message: "m1"}}, delivery.Lease{})
		p.must("Delete", err)
		p.same("Delete", deleted, make([]delivery.Deleted, 1))
		p.same("the version", p.version("c"), int64(8))
		for _, list := range []delivery.List{{}, {Before: delivery.Latest}, {Changes: true, After: 1}, {After: 8}} {
			list.Conversation, list.Limit = "c", 10
			p.same("the floor of a page", p.list(list).Floor, int64(2))
		}
		unread, err := p.store.Unread(p.ctx, "bob", []string{"c"}, 10)
		p.must("Unread", err)
		p.same("the floor of what is unread", unread[0].Floor, int64(2))
		p.page(delivery.List{Conversation: "c", Limit: 10}, "m3 m4 m5", false)
		p.changes(1, 10, "m3 m5 m4", 8, false)
		p.pending("bob", badge{Unread: 2, First: place("m3", 3), Newest: place("m5", 5), Version: 8})
		p.drain()
		clear(p.seen) // which an event of another m1 does not fit
		p.same("Create", p.create(open("c", "m1", "alice")), []delivery.Created{asCreated(open("c", "m1", "alice"), 9)})
		p.drain()
		clear(p.seen)
		clear(p.conversations)
	}},
	{"a prune takes one version, and is told by the floor alone", func(p *probe) {
		p.aged(0, 1, 2)
		p.drain()
		p.prune(delivery.Pruning{Conversation: "c", Before: minute(2), Limit: 10})
		p.same("the events", withoutIDs(p.drain()), []delivery.Event{
			{Kind: delivery.Pruned, Conversation: "c", From: 4, To: 4, Updates: []delivery.Update{{Version: 4, Floor: 2}}},
		})
	}},
	{"a prune removes no more than its limit, and a further one goes on", func(p *probe) {
		p.aged(0, 0, 0, 0, 0, 5)
		for i, want := range []delivery.PruningResult{{Removed: 2, Floor: 2, More: true}, {Removed: 2, Floor: 4, More: true}, {Removed: 1, Floor: 5}} {
			p.same(fmt.Sprint("Prune ", i), p.prune(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 2}), want)
		}
		p.page(delivery.List{Conversation: "c", Limit: 10}, "m6", false)
	}},
	{"where there is nothing to prune nothing changes", func(p *probe) {
		p.aged(1, 0)
		p.drain()
		p.same("Prune", p.prune(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 10}), delivery.PruningResult{})
		p.same("Prune of no conversation", p.prune(delivery.Pruning{Conversation: "d", Before: minute(1), Limit: 10}), delivery.PruningResult{})
		p.same("the version", p.version("c"), int64(2))
		p.same("the events", len(p.drain()), 0)
	}},
	{"what is left of a deleted message is pruned by the time of the message", func(p *probe) {
		p.aged(0, 0, 5)
		p.delete("m2", "m3")
		p.same("Prune", p.prune(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 10}), delivery.PruningResult{Removed: 2, Floor: 2})
		p.same("Create", p.create(open("c", "m3", "alice")), []delivery.Created{{Gone: true}})
		p.changes(4, 10, "m3", 6, false)
	}},
	{"a roster is pruned with its last message", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), frozen("c", "m2", "alice", "dan"), frozen("c", "m3", "alice", "bob"))
		p.remember("m1", "m2")
		p.prune(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 2})
		without := func(m delivery.NewMessage) delivery.NewMessage { m.Members = nil; return m }
		created := p.create(without(frozen("c", "m4", "alice", "dan")), without(frozen("c", "m5", "alice", "bob")))
		p.same("to the set of what is gone", created[0], delivery.Created{NoRoster: true})
		p.same("to the set of what stays", created[1].Message.Total, 1)
	}},
	{"a conversation is removed with all that is in it, and its versions go on", func(p *probe) {
		p.aged(0, 1, 2)
		p.create(frozen("c", "m4", "alice", "bob", "carol"), open("d", "n1", "alice"))
		p.remember("m4")
		p.mark(read("m4", "bob", noon))
		p.delete("m2")
		p.ownMark(letIn(dismiss("m3", "bob")))
		p.pruneAll(delivery.Pruning{Conversation: "c", All: true, Limit: 3})
		p.drain()
		nothing := p.nothing(8)
		nothing.Floor = 4
		p.same("the page", p.list(delivery.List{Conversation: "c", Limit: 10, Changes: true, After: 3}), nothing)
		p.same("what is unread", p.unreadOf("bob"), delivery.Unread{Conversation: "c", Version: 8, Floor: 4})
		p.same("the conversations", p.conversationsAfter("", 10), []string{"c", "d"})
		again := frozen("c", "m5", "alice", "bob", "carol")
		again.Members = nil
		p.same("to a set that was there", p.create(again), []delivery.Created{{NoRoster: true}})
		p.same("Create", p.create(frozen("c", "m5", "alice", "bob")), []delivery.Created{asCreated(frozen("c", "m5", "alice", "bob"), 9)})
		p.pending("bob", badge{Unread: 1, First: place("m5", 9), Newest: place("m5", 9), Version: 9})
		p.changes(7, 10, "m5", 9, false)
	}},
	{"an event of a pruned message has no body, though its id come back in another conversation", func(p *probe) {
		for _, conversation := range []string{"c", "d"} {
			m := open(conversation, "m1", "alice")
			m.EventBody = true
			p.create(m)
			if conversation == "c" {
				p.settle(settlement(p.claim(1)[0], delivery.SettleBury))
				p.pruneAll(delivery.Pruning{Conversation: "c", All: true, Limit: 3})
			}
		}
		clear(p.seen) // which an event of another m1 does not fit
		clear(p.conversations)
		bodies := map[string]string{}
		for _, letter := range p.dead(0, 10) {
			bodies[letter.Event.Conversation] = letter.Event.Updates[0].Body
		}
		claimed, err := p.store.Claim(p.ctx, 10, lease(long))
		p.must("Claim", err)
		for _, c := range claimed {
			if c.Event.Kind == delivery.MessageSent {
				bodies[c.Event.Conversation] = c.Event.Updates[0].Body
			}
			p.settle(settlement(c, delivery.SettleDone))
		}
		p.same("the bodies", fmt.Sprint(bodies), "map[c: d:the body of m1]")
	}},
	{"what a user has flagged is flagged no more when it is pruned", func(p *probe) {
		p.aged(0, 0, 5)
		p.ownMark(letIn(flag("m2", "bob")))
		p.pruneAll(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 2})
		p.same("the flag", p.placeOf("bob").Flag, int64(0))
		p.ownMark(letIn(flag("m3", "bob")))
		p.pruneAll(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 2})
		p.same("the flag of what stays", p.placeOf("bob").Flag, int64(3))
	}},
	{"conversations are listed in order, byte for byte", func(p *probe) {
		for _, c := range []string{"b", "a", "é", "B", "a "} {
			p.create(open(c, "in "+c, "alice"))
		}
		p.same("the conversations", p.conversationsAfter("", 10), []string{"B", "a", "a ", "b", "é"})
		p.same("the conversations after one", p.conversationsAfter("a", 2), []string{"a ", "b"})
		p.same("the conversations after the last", len(p.conversationsAfter("é", 2)), 0)
	}},
	{"whatever races with prunes, each version is told once", func(p *probe) {
		const rounds = 20
		for round := range rounds {
			p.create(frozen("c", fmt.Sprint("m", round), "alice", "user1", "user2"))
			p.remember(fmt.Sprint("m", round))
		}
		p.together(3, func(worker int) error {
			for round := range rounds {
				id := fmt.Sprint("m", round)
				err := patiently(func() (bool, error) {
					switch worker {
					case 0:
						r, err := p.keeper().Prune(p.ctx, delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 1})
						return r.Blocked, err
					case 1:
						marked, _, err := p.store.Advance(p.ctx, []delivery.Mark{read(id, "user1", noon)}, delivery.Lease{})
						return err == nil && marked[0].Blocked, err
					}
					mark := upTo(id, delivery.Read)
					mark.User = "user2"
					marked, _, err := p.store.AdvanceUpTo(p.ctx, []delivery.UpTo{mark}, plenty, delivery.Lease{})
					return err == nil && marked[0].Blocked, err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		p.same("what is left", p.list(delivery.List{Conversation: "c", Limit: 50}).Messages, []delivery.Message(nil))
	}},
}

// aged stores open messages m1, m2, … of these ages: sent that many minutes after noon.
func (p *probe) aged(minutes ...int) {
	p.Helper()
	for i, n := range minutes {
		m := open("c", fmt.Sprint("m", i+1), "alice")
		m.SentAt = minute(n)
		p.create(m)
		p.remember(m.ID)
	}
}

// prune prunes when nobody else is there.
func (p *probe) prune(pruning delivery.Pruning) delivery.PruningResult {
	p.Helper()
	r, err := p.keeper().Prune(p.ctx, pruning)
	p.must("Prune", err)
	if r.Blocked {
		p.Fatalf("Prune says that it was blocked, when nobody else was there")
	}
	return r
}

// pruneAll prunes until there is no more to do.
func (p *probe) pruneAll(pruning delivery.Pruning) {
	p.Helper()
	for range 10 {
		if r := p.prune(pruning); !r.More {
			return
		}
	}
	p.Fatalf("there is always more to prune")
}

func (p *probe) conversationsAfter(after string, limit int) []string {
	p.Helper()
	ids, err := p.keeper().Conversations(p.ctx, after, limit)
	p.must("Conversations", err)
	return ids
}

// letIn is the mark with the rule's yes.
func letIn(mark delivery.OwnMark) delivery.OwnMark {
	mark.Admitted = true
	return mark
}
