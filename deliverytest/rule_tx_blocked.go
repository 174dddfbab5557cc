package deliverytest

import (
	"context"
	"fmt"

	"github.com/msgdelivery/delivery"
)

// blockedCases are the rules of calls beside a transaction that has their conversation locked.
var blockedCases = []txCase{
	{"a mark in a conversation that a transaction has locked waits or comes back blocked, and hinders none beside it", func(p *txProbe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("d", "m2", "alice", "carol"))
		for i, marks := range [][]delivery.Mark{
			{delivered("m1", "carol", minute(2))},
			{read("m1", "carol", minute(3)), delivered("m2", "carol", minute(3))},
		} {
			before := p.version("c")
			tx, inside := p.begin()
			inside.create(open("c", fmt.Sprint("of transaction ", i), "alice"))
			var marked []delivery.Marked
			early := p.duringAndAfter(tx, func() (err error) {
				marked, _, err = p.store.Advance(p.ctx, marks, delivery.Lease{})
				return err
			})
			if len(marked) != len(marks) {
				p.Fatalf("Advance returned %d results for %d marks", len(marked), len(marks))
			}
			p.blocked(early, marked[0].Blocked, "c", before+1)
			if blocked := marked[0]; blocked.Blocked {
				p.same("the blocked mark", blocked, delivery.Marked{Header: blocked.Header, Blocked: true})
			}
			if len(marks) > 1 {
				p.fields("the mark beside it", "Changed Blocked", []any{marked[1].Changed, marked[1].Blocked}, []any{true, false})
			}
			again, err := advance(p.ctx, p.store, marks[:1])
			p.must("Advance", err)
			p.same("the version of the mark in the end", again[0].Receipt.Version, before+2)
		}
	}},
	{"a send to a conversation that a transaction has locked, or just made, waits or comes back blocked, and hinders none beside it", func(p *txProbe) {
		p.create(open("c", "m1", "alice"), open("d", "m2", "alice"))
		seq := int64(2)
		for _, conversation := range []string{"c", "new"} {
			for _, alone := range []bool{true, false} {
				before := p.version(conversation) + 1
				tx, inside := p.begin()
				inside.create(open(conversation, fmt.Sprint(conversation, alone), "alice"))
				messages := []delivery.NewMessage{open(conversation, fmt.Sprint(conversation, alone, " too"), "bob"), open("d", fmt.Sprint(conversation, alone, " beside"), "bob")}
				if alone {
					messages = messages[:1]
				}
				var created []delivery.Created
				early := p.duringAndAfter(tx, func() (err error) {
					created, _, err = p.store.Create(p.ctx, messages, delivery.Lease{})
					return err
				})
				if len(created) != len(messages) {
					p.Fatalf("Create returned %d results for %d messages", len(created), len(messages))
				}
				p.blocked(early, created[0].Blocked, conversation, before)
				if created[0].Blocked {
					p.same("the blocked send", created[0], delivery.Created{Blocked: true})
				}
				if !alone {
					p.same("the seq of the send beside it", created[1].Message.Seq, seq)
					seq++
				}
				again, err := create(p.ctx, p.store, messages[:1])
				p.must("Create", err)
				p.same("the seq of the send in the end", again[0].Message.Seq, before+1)
				p.same("whether it was there before it was tried again", again[0].Existed, !created[0].Blocked)
			}
		}
	}},
	{"an up-to mark in a conversation that a transaction has locked waits or comes back blocked, and hinders none beside it", func(p *txProbe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "alice", "bob", "carol"), frozen("d", "m3", "alice", "bob"))
		before := p.version("c")
		tx, inside := p.begin()
		inside.mark(delivered("m1", "carol", minute(2)))
		marks := []delivery.UpTo{upTo("m2", delivery.Delivered), upTo("m3", delivery.Delivered), upTo("m2", delivery.Delivered)}
		marks[1].Conversation, marks[2].User = "d", "carol"
		var marked []delivery.MarkedUpTo
		early := p.duringAndAfter(tx, func() (err error) {
			marked, _, err = p.store.AdvanceUpTo(p.ctx, marks, plenty, delivery.Lease{})
			return err
		})
		if len(marked) != len(marks) {
			p.Fatalf("AdvanceUpTo returned %d results for %d up-to marks", len(marked), len(marks))
		}
		p.blocked(early, marked[0].Blocked, "c", before+1)
		p.same("whether another user's is blocked", marked[2].Blocked, marked[0].Blocked)
		if marked[0].Blocked {
			p.same("the blocked up-to mark", marked[0], delivery.MarkedUpTo{Header: p.message("m2").Header, Blocked: true})
		}
		p.fields("the up-to mark beside it", "Changed Blocked", []any{marked[1].Changed, marked[1].Blocked}, []any{1, false})
		if marked[0].Blocked {
			_, err := advanceUpTo(p.ctx, p.store, plenty, marks[0], marks[2])
			p.must("AdvanceUpTo", err)
		}
		p.same("the version in the end", p.version("c"), before+4)
		p.same("the deliveries", []int{p.message("m1").Delivered, p.message("m2").Delivered}, []int{2, 2})
	}},
}

// besideCases are the rules of calls that may not wait for each other. Only a store that lets in
// one writer at a time is exempt.
var besideCases = []txCase{
	{"a change that a user alone may know neither waits for a transaction in its conversation nor makes others wait", func(p *txProbe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "alice", "bob", "carol"), frozen("c", "m3", "alice", "bob", "carol"), open("c", "m4", "alice"))
		tx, inside := p.begin()
		inside.mark(delivered("m1", "carol", noon))
		for _, mark := range []delivery.OwnMark{private("m1", "bob", delivery.Read), privateUpTo("m2", "bob", delivery.Read), flag("m2", "bob"), dismiss("m2", "bob")} {
			p.beside("AdvanceOwn", func(ctx context.Context) error {
				_, _, err := p.store.AdvanceOwn(ctx, []delivery.OwnMark{mark}, delivery.Lease{})
				return err
			})
		}
		p.must("Commit", tx.Commit())
		p.same("bob's place", p.placeOf("bob"), delivery.Place{Rev: 4, Delivered: 2, Badge: 2})

		tx, inside = p.begin()
		inside.ownMark(private("m3", "bob", delivery.Read))
		p.beside("Advance", func(ctx context.Context) error {
			marked, _, err := p.store.Advance(ctx, []delivery.Mark{delivered("m3", "carol", noon)}, delivery.Lease{})
			p.same("Advance beside a private mark: Blocked", err == nil && marked[0].Blocked, false)
			return err
		})
		p.beside("AdvanceUpTo", func(ctx context.Context) error {
			mark := upTo("m3", delivery.Read)
			mark.User = "carol"
			marked, _, err := p.store.AdvanceUpTo(ctx, []delivery.UpTo{mark}, plenty, delivery.Lease{})
			p.same("AdvanceUpTo beside a private mark: Blocked", err == nil && marked[0].Blocked, false)
			return err
		})
		p.beside("Create", func(ctx context.Context) error {
			created, _, err := p.store.Create(ctx, []delivery.NewMessage{open("c", "m5", "alice")}, delivery.Lease{})
			p.same("Create beside a private mark: Blocked", err == nil && created[0].Blocked, false)
			return err
		})
		p.must("Commit", tx.Commit())
		p.same("bob's revision", p.placeOf("bob").Rev, int64(5))
	}},
}
