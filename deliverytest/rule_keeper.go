package deliverytest

import (
	"fmt"

	"github.com/msgdelivery/delivery"
)

var keeperCases = []storeCase{
	{"a deleted message is as if it had never been, and those beside it stay", func(p *probe) {
		p.five()
		p.mark(read("m2", "bob", noon), delivered("m3", "bob", noon))
		others := p.load("m1", "m3", "m4", "m5")
		p.same("Delete", p.delete("m2"), []delivery.Deleted{{Header: delivery.Header{ID: "m2", Conversation: "c", Seq: 2}, Changed: true}})
		p.same("Load", len(p.load("m2")), 0)
		p.same("Receipts", p.receipts("m2"), []delivery.Receipt{})
		p.same("Advance", p.mark(admitted(read("m2", "bob", noon)), admitted(read("m2", "alice", noon)), admitted(read("m2", "mallory", noon))), make([]delivery.Marked, 3))
		p.page(delivery.List{Conversation: "c", Limit: 10}, "m1 m3 m4 m5", false)
		p.page(delivery.List{Conversation: "c", Limit: 10, Before: delivery.Latest}, "m1 m3 m4 m5", false)
		p.page(delivery.List{Conversation: "c", Limit: 1, After: 1}, "m3", true)
		p.page(delivery.List{Conversation: "c", Limit: 1, Before: 3}, "m1", false)
		p.same("the others", p.load("m1", "m3", "m4", "m5"), others)
		p.same("the version", p.version("c"), int64(8))
	}},
	{"each deletion takes a version, and those of one conversation and socket share an event", func(p *probe) {
		p.create(open("c", "m1", "alice"), open("c", "m2", "alice"), open("c", "m3", "alice"), open("d", "n1", "alice"))
		p.drain()
		p.remember("m1", "m2", "m3", "n1")
		_, _, err := p.keeper().Delete(p.ctx, []delivery.Deletion{{Message: "m3", Socket: "1.1"}, {Message: "m1"}, {Message: "n1", Socket: "1.1"}, {Message: "m2", Socket: "1.1"}}, delivery.Lease{})
		p.must("Delete", err)
		gone := func(message string, version int64) delivery.Update {
			return delivery.Update{Message: message, Version: version}
		}
		p.same("the events", withoutIDs(byVersion(p.drain())), byVersion([]delivery.Event{
			{Kind: delivery.MessageDeleted, Conversation: "c", From: 4, To: 4, Updates: []delivery.Update{gone("m1", 4)}},
			{Kind: delivery.MessageDeleted, Conversation: "c", From: 5, To: 6, Except: "1.1", Updates: []delivery.Update{gone("m3", 5), gone("m2", 6)}},
			{Kind: delivery.MessageDeleted, Conversation: "d", From: 2, To: 2, Except: "1.1", Updates: []delivery.Update{gone("n1", 2)}},
		}))
	}},
	{"what was deleted, or never was, is deleted no more", func(p *probe) {
		p.create(open("c", "m1", "alice"), open("c", "m2", "alice"))
		p.delete("m1")
		p.drain()
		header := delivery.Header{ID: "m1", Conversation: "c", Seq: 1}
		p.same("Delete", p.delete("m1", "nothing", "m2"), []delivery.Deleted{
			{Header: header}, {}, {Header: delivery.Header{ID: "m2", Conversation: "c", Seq: 2}, Changed: true},
		})
		p.same("the version", p.version("c"), int64(4))
		p.same("the events", len(p.drain()), 1)
	}},
	{"changes after a version tell of deletions, and changes from the beginning do not", func(p *probe) {
		p.create(open("c", "m1", "alice"), open("c", "m2", "alice"), open("c", "m3", "alice"))
		p.mark(admitted(read("m3", "bob", noon)))
		p.delete("m1")
		p.changes(0, 10, "m2 m3", 5, false)
		p.changes(1, 10, "m2 m3 m1", 5, false)
		p.changes(4, 10, "m1", 5, false)
		p.changes(2, 1, "m3", 4, true)
		page := p.list(delivery.List{Conversation: "c", Changes: true, After: 4, Limit: 10, Viewer: "bob"})
		p.same("the tombstone", page.Messages, []delivery.Message{{
			Header: delivery.Header{ID: "m1", Conversation: "c", Seq: 1}, Tally: delivery.Tally{Version: 5}, Deleted: true,
		}})
	}},
	{"a page of changes from the beginning is as long as if no message had been deleted", func(p *probe) {
		var all []delivery.NewMessage
		var deleted []string
		for i := range 130 {
			all = append(all, open("c", fmt.Sprint("m", i), "alice"))
			if i < 65 {
				deleted = append(deleted, all[i].ID)
			}
		}
		p.create(all...)
		p.delete(deleted...)
		var marks []delivery.Mark
		for _, m := range all[65:] {
			marks = append(marks, admitted(read(m.ID, "bob", noon)))
		}
		pages := func(tombstones string) {
			for _, c := range []struct {
				limit, messages int
				more            bool
			}{{50, 50, true}, {65, 65, false}, {100, 65, false}} {
				for _, bytes := range []int{0, delivery.MaxPage} {
					page := p.list(delivery.List{Conversation: "c", Changes: true, Limit: c.limit, Bytes: bytes})
					p.same("the page with tombstones "+tombstones, fmt.Sprint(len(page.Messages), page.Messages[0].ID, page.More), fmt.Sprint(c.messages, "m65", c.more))
				}
			}
		}
		pages("after it")
		p.mark(marks...)
		pages("before it")
	}},
	{"the id of a deleted message stays taken", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"))
		p.delete("m1")
		created := p.create(frozen("c", "m2", "alice", "bob"), frozen("c", "m1", "alice", "bob"), open("d", "m3", "alice"))
		p.same("Create", created, []delivery.Created{asCreated(frozen("c", "m2", "alice", "bob"), 3), {Gone: true}, asCreated(open("d", "m3", "alice"), 1)})
		p.same("Create in another conversation", p.create(open("d", "m1", "mallory")), []delivery.Created{{Gone: true}})
		p.same("the version", p.version("c"), int64(3))
	}},
	{"an up-to mark passes over deleted messages, and may name one", func(p *probe) {
		p.five()
		p.delete("m2", "m4")
		p.pending("bob", badge{Unread: 3, First: place("m1", 1), Newest: place("m5", 5), Version: 7})
		out := p.ownMark(dismiss("m4", "bob"))
		p.fields("to dismiss up to one", "May Changed Place", []any{out.May, out.Changed, out.Place}, []any{true, true, delivery.Place{Rev: 1, Delivered: 4, Badge: 4}})
		p.pending("bob", badge{Unread: 1, First: place("m5", 5), Newest: place("m5", 5), Version: 7})
		p.same("AdvanceUpTo", p.markUpTo(upTo("m4", delivery.Read)), delivery.MarkedUpTo{
			Header: delivery.Header{ID: "m4", Conversation: "c", Seq: 4}, Changed: 2, From: 8, To: 9, Reached: 4,
		})
		p.same("the statuses", []delivery.Status{p.receiptOf("m1").Status, p.receiptOf("m3").Status, p.receiptOf("m5").Status},
			[]delivery.Status{delivery.Read, delivery.Read, delivery.Sent})
		p.same("AdvanceUpTo again", p.markUpTo(upTo("m4", delivery.Read)).Changed, 0)
		out = p.ownMark(flag("m2", "bob"))
		p.fields("to flag one", "May Changed Flag", []any{out.May, out.Changed, out.Place.Flag}, []any{true, true, int64(2)})
		out = p.ownMark(privateUpTo("m4", "bob", delivery.Read))
		p.fields("a private mark up to one", "May Changed Place", []any{out.May, out.Changed, out.Place}, []any{true, true, delivery.Place{Rev: 3, Delivered: 4, Badge: 4}})
		p.same("whether bob may mark one alone", p.ownMark(private("m4", "bob", delivery.Read)).May, false)
		p.same("whether a stranger may dismiss up to one", p.ownMark(dismiss("m4", "mallory")).May, false)
	}},
	{"deleted messages are not pending, and none of them is the newest", func(p *probe) {
		p.five()
		p.delete("m1", "m5")
		p.pending("bob", badge{Unread: 3, First: place("m2", 2), Newest: place("m4", 4), Version: 7})
		p.delete("m2", "m3", "m4")
		p.pending("bob", badge{Version: 10})
	}},
	{"a conversation is marked as unread as long as a message at or after the flag is there", func(p *probe) {
		p.five()
		p.ownMark(dismiss("m5", "bob"))
		p.ownMark(flag("m3", "bob"))
		flagged := func(first delivery.Position) {
			p.Helper()
			u := p.unreadOf("bob")
			p.fields("what is unread", "Flagged Count First", []any{u.Flagged, u.Count, u.First}, []any{first.Seq > 0, 0, first})
		}
		flagged(place("m3", 3))
		p.delete("m3")
		flagged(place("m4", 4))
		p.delete("m5", "m4")
		flagged(delivery.Position{})
	}},
	{"a roster serves as long as one of its messages is there, and is gone with the last", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("d", "n1", "alice", "bob", "carol"))
		p.delete("m1", "n1")
		again := func(conversation, id string) delivery.NewMessage {
			m := frozen(conversation, id, "alice", "bob", "carol")
			m.Members = nil
			return m
		}
		p.same("a send after the last message", p.create(again("c", "m2")), []delivery.Created{{NoRoster: true}})
		other := frozen("c", "m3", "alice", "dan")
		other.Roster = again("c", "").Roster
		p.create(other)
		p.same("the recipients of the new set", p.recipients("m3"), []string{"dan"})
		p.create(again("c", "m4"))
		p.delete("m3")
		p.create(again("c", "m5"))
		p.same("the recipients of what follows", p.recipients("m5"), []string{"dan"})
		p.delete("m4", "m5")
		p.same("a send after all are deleted", p.create(again("c", "m6")), []delivery.Created{{NoRoster: true}})
	}},
	{"the events of deletions are born under the lease", func(p *probe) {
		p.create(open("c", "m1", "alice"), open("c", "m2", "alice"))
		p.drain()
		p.remember("m1", "m2")
		_, claimed, err := p.keeper().Delete(p.ctx, []delivery.Deletion{{Message: "m1"}, {Message: "m2"}}, lease(long))
		p.must("Delete", err)
		if p.saw(claimed); len(claimed) != 1 || claimed[0].Attempts != 1 {
			p.Fatalf("the claims are %+v, want one with one attempt", claimed)
		}
		p.same("what else is due", len(p.claim(10)), 0)
		p.same("the settlements", p.settle(settlement(claimed[0], delivery.SettleDone)), 1)
	}},
	{"a deleted message's body is in no event that is claimed later and in no dead letter", func(p *probe) {
		for _, id := range []string{"waits", "is dead", "is held", "dies later", "is replayed", "stays"} {
			m := open("c", id, "alice")
			m.EventBody = true
			p.create(m)
		}
		held := map[string]delivery.Claimed{}
		for _, c := range p.claim(10) {
			held[c.Event.Updates[0].Message] = c
		}
		p.settle(settlement(held["waits"], delivery.SettleRelease), settlement(held["stays"], delivery.SettleRelease),
			settlement(held["is dead"], delivery.SettleBury), settlement(held["is replayed"], delivery.SettleBury))
		p.delete("waits", "is dead", "is held", "dies later", "is replayed")
		p.settle(settlement(held["is held"], delivery.SettleRetry), settlement(held["dies later"], delivery.SettleBury))
		replay := settlement(held["is replayed"], delivery.SettleRequeue)
		replay.Event = held["is replayed"].Event // read before the deletion
		p.settle(replay)
		clear(p.seen) // their bodies have changed
		p.conversations = map[string]bool{}
		claimed, err := p.store.Claim(p.ctx, 10, lease(long))
		p.must("Claim", err)
		bodies := map[string]string{}
		for _, c := range claimed {
			if c.Event.Kind == delivery.MessageSent {
				bodies[c.Event.Updates[0].Message] = c.Event.Updates[0].Body
			}
			p.settle(settlement(c, delivery.SettleDone))
		}
		for _, letter := range p.dead(0, 10) {
			bodies[letter.Event.Updates[0].Message] = letter.Event.Updates[0].Body
		}
		p.same("the bodies", fmt.Sprint(bodies), "map[dies later: is dead: is held: is replayed: stays:the body of stays waits:]")
	}},
	{"whatever races with deletions, each version is told once", func(p *probe) {
		const rounds = 20
		for round := range rounds {
			m := open("c", fmt.Sprint("m", round), "alice")
			if round%2 == 1 {
				m = frozen("c", m.ID, "alice", "user1", "user2", "user3")
			}
			p.create(m)
			p.remember(m.ID)
		}
		p.together(4, func(worker int) error {
			for round := range rounds {
				id := fmt.Sprint("m", round)
				if worker == 0 {
					if err := patiently(func() (bool, error) {
						deleted, _, err := p.keeper().Delete(p.ctx, []delivery.Deletion{{Message: id}}, delivery.Lease{})
						return err == nil && deleted[0].Blocked, err
					}); err != nil {
						return err
					}
					continue
				}
				if worker == 1 {
					mark := upTo(id, delivery.Read)
					mark.User, mark.Admitted = "user1", true
					if err := patiently(func() (bool, error) {
						marked, _, err := p.store.AdvanceUpTo(p.ctx, []delivery.UpTo{mark}, plenty, delivery.Lease{})
						return err == nil && marked[0].Blocked, err
					}); err != nil {
						return err
					}
					continue
				}
				mark := admitted(read(id, fmt.Sprint("user", worker), noon))
				if err := patiently(func() (bool, error) {
					marked, _, err := p.store.Advance(p.ctx, []delivery.Mark{mark}, delivery.Lease{})
					return err == nil && marked[0].Blocked, err
				}); err != nil {
					return err
				}
			}
			return nil
		})
		ids := make([]string, rounds)
		for round := range ids {
			ids[round] = fmt.Sprint("m", round)
		}
		p.same("the receipts that are left", len(p.receipts(ids...)), 0)
		p.same("the messages that are left", len(p.list(delivery.List{Conversation: "c", Limit: 50}).Messages), 0)
	}},
}

// patiently calls until the call is not blocked.
func patiently(call func() (blocked bool, err error)) error {
	for {
		if blocked, err := call(); err != nil || !blocked {
			return err
		}
	}
}

func (p *probe) keeper() delivery.Keeper { return p.store.(delivery.Keeper) }

// remember keeps messages that are about to be deleted, for the audit.
func (p *probe) remember(messages ...string) {
	p.Helper()
	p.deleted = append(p.deleted, p.load(messages...)...)
}

// delete deletes messages. Their events are due at once.
func (p *probe) delete(messages ...string) []delivery.Deleted {
	p.Helper()
	p.remember(messages...)
	deletions := make([]delivery.Deletion, len(messages))
	for i, id := range messages {
		deletions[i].Message = id
	}
	deleted, claimed, err := p.keeper().Delete(p.ctx, deletions, delivery.Lease{})
	p.must("Delete", err)
	if len(deleted) != len(messages) || len(claimed) != 0 {
		p.Fatalf("Delete returned %d results and %d claims for %d messages and no lease", len(deleted), len(claimed), len(messages))
	}
	return deleted
}
