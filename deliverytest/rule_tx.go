package deliverytest

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
)

var txCases = []txCase{
	{"after a rollback there is nothing: no message, no mark, no deletion, no version, no event, no place of a user", func(p *txProbe) {
		p.five()
		before, version := p.all("c")
		p.drain()
		tx, inside := p.begin()
		inside.create(frozen("c", "m6", "alice", "bob"), frozen("d", "m7", "alice", "bob"))
		inside.mark(read("m1", "bob", noon))
		inside.markUpTo(upTo("m6", delivery.Delivered))
		inside.ownMark(telling(dismiss("m3", "bob")))
		p.deleteIn(tx, "m2")
		p.must("Rollback", tx.Rollback())
		p.deleted = nil

		after, still := p.all("c")
		p.same("the messages", after, before)
		p.same("the version", still, version)
		p.same("the new conversation", p.list(delivery.List{Conversation: "d", Limit: 1}), p.nothing(0))
		p.same("a message created", p.load("m6", "m7"), []delivery.Message{})
		p.same("the outbox", p.counts(), delivery.Backlog{})
		p.same("bob's place", p.placeOf("bob"), delivery.Place{})

		p.same("Create again", p.create(frozen("c", "m6", "alice", "bob")), []delivery.Created{asCreated(frozen("c", "m6", "alice", "bob"), version+1)})
		p.same("AdvanceUpTo again", p.markUpTo(upTo("m6", delivery.Delivered)).Changed, 6)
	}},
	{"after a commit all is there, with its events due at once, under no lease", func(p *txProbe) {
		p.five()
		p.drain()
		tx, inside := p.begin()
		created, one, err := inside.store.Create(p.ctx, []delivery.NewMessage{frozen("c", "m6", "alice", "bob")}, lease(long))
		p.must("Create", err)
		marked, two, err := inside.store.Advance(p.ctx, []delivery.Mark{read("m6", "bob", minute(1))}, lease(long))
		p.must("Advance", err)
		upTo, three, err := inside.store.AdvanceUpTo(p.ctx, []delivery.UpTo{upTo("m6", delivery.Delivered)}, plenty, lease(long))
		p.must("AdvanceUpTo", err)
		own, four, err := inside.store.AdvanceOwn(p.ctx, []delivery.OwnMark{telling(flag("m3", "bob"))}, lease(long))
		p.must("AdvanceOwn", err)
		p.same("the events returned under leases", []int{len(one), len(two), len(three), len(four)}, []int{0, 0, 0, 0})
		deleted := p.deleteIn(tx, "m2")
		p.must("Commit", tx.Commit())

		p.same("Create", created, []delivery.Created{asCreated(frozen("c", "m6", "alice", "bob"), 6)})
		p.same("the receipt", p.receipts("m6"), []delivery.Receipt{marked[0].Receipt})
		p.fields("AdvanceUpTo", "Changed From To", []any{upTo[0].Changed, upTo[0].From, upTo[0].To}, []any{5, int64(8), int64(12)})
		p.same("AdvanceOwn", own[0].Place.Flag, int64(3))
		p.same("bob's place", p.placeOf("bob"), own[0].Place)
		p.same("the version", p.version("c"), int64(12+deleted))
		p.same("the messages", len(p.load("m1", "m2", "m3", "m4", "m5", "m6")), 6-deleted)
		events := p.claim(10)
		p.same("the number of events due", len(events), 4+deleted)
		for _, c := range events {
			p.same("the attempts", c.Attempts, 1)
		}
	}},
	{"nobody sees a change or its event before the commit, and the event is claimed after it, whatever was claimed before", func(p *txProbe) {
		p.create(frozen("c", "m", "alice", "bob"), frozen("c", "n", "alice", "bob"), open("d", "o", "alice"))
		p.drain()
		tx, inside := p.begin()
		inside.mark(delivered("m", "bob", noon))
		inside.ownMark(telling(private("m", "bob", delivery.Read)))
		deleted := p.deleteIn(tx, "n")
		p.beside("Claim", func(ctx context.Context) error {
			claimed, err := p.store.Claim(ctx, 10, lease(long))
			p.same("the events due before the commit", claimed, []delivery.Claimed{})
			return err
		})
		p.beside("List", func(ctx context.Context) error {
			page, err := p.store.List(ctx, delivery.List{Conversation: "c", Limit: 10, Viewer: "bob"})
			if err == nil {
				p.same("the messages before the commit", ids(page), "m n")
				p.same("the version before the commit", page.Version, int64(2))
				p.same("what bob knows before the commit", page.Messages[0].Own.Status, delivery.Sent)
			}
			return err
		})
		p.beside("Unread", func(ctx context.Context) error {
			unread, err := p.store.Unread(ctx, "bob", []string{"c"}, 10)
			if err == nil {
				p.fields("what is unread before the commit", "Count Place", []any{unread[0].Count, unread[0].Place}, []any{2, delivery.Place{}})
			}
			return err
		})
		p.beside("Backlog", func(ctx context.Context) error {
			backlog, err := p.store.Backlog(ctx)
			if err == nil {
				p.same("the outbox before the commit", backlog, delivery.Backlog{})
			}
			return err
		})
		p.beside("Advance and Claim elsewhere", func(ctx context.Context) error {
			_, err := advance(ctx, p.store, []delivery.Mark{admitted(delivered("o", "bob", noon))})
			if err != nil {
				return err
			}
			claimed, err := p.store.Claim(ctx, 10, lease(long))
			if p.saw(claimed); err == nil {
				p.same("the events of what others committed meanwhile", len(claimed), 1)
			}
			return err
		})
		p.must("Commit", tx.Commit())
		p.same("the events due after the commit", len(p.claim(10)), 2+deleted)
		p.same("the version after the commit", p.version("c"), int64(3+deleted))
		p.same("bob's revision after the commit", p.placeOf("bob").Rev, int64(1))
	}},
	{"reads inside a transaction see what was written in it", func(p *txProbe) {
		tx, inside := p.begin()
		inside.create(frozen("c", "m", "alice", "bob"))
		inside.mark(read("m", "bob", minute(1)))
		want := asSent(frozen("c", "m", "alice", "bob"), 1)
		want.Tally = delivery.Tally{Version: 2, Status: delivery.Read, Delivered: 1, Read: 1, DeliveredAt: minute(1), ReadAt: minute(1)}
		p.same("Load", inside.load("m"), []delivery.Message{want})
		page := inside.nothing(2)
		page.Messages = []delivery.Message{want}
		p.same("List", inside.list(delivery.List{Conversation: "c", Limit: 10}), page)
		p.same("List of changes", inside.list(delivery.List{Conversation: "c", Changes: true, After: 1, Limit: 10}), page)
		inside.pending("bob", badge{Newest: place("m", 1), Version: 2})
		p.same("the receipt's status", inside.receiptOf("m").Status, delivery.Read)
		inside.ownMark(flag("m", "bob"))
		p.same("the flag", inside.placeOf("bob").Flag, int64(1))
		p.must("Commit", tx.Commit())
		p.same("Load after the commit", p.load("m"), []delivery.Message{want})
	}},
	{"a repeated send inside a transaction changes nothing", func(p *txProbe) {
		m := frozen("c", "m", "alice", "bob")
		p.create(m)
		tx, inside := p.begin()
		p.same("Create of what is there", inside.create(m), []delivery.Created{existing(m, 1)})
		n := frozen("c", "n", "alice", "bob")
		p.same("Create", inside.create(n), []delivery.Created{asCreated(n, 2)})
		p.same("Create of what was just created", inside.create(n), []delivery.Created{existing(n, 2)})
		p.must("Commit", tx.Commit())
		p.same("the version", p.version("c"), int64(2))
		p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 2})
	}},
	{"marks inside a transaction are refused as they are outside", func(p *txProbe) {
		p.create(frozen("c", "m1", "alice", "bob"), open("c", "m2", "alice"))
		m1, m2 := p.message("m1").Header, p.message("m2").Header
		tx, inside := p.begin()
		p.same("Advance", inside.mark(read("missing", "bob", noon), read("m1", "alice", noon), read("m1", "carol", noon), read("m2", "bob", noon)),
			[]delivery.Marked{{}, {Header: m1}, {Header: m1}, {Header: m2}})
		p.same("AdvanceUpTo", inside.markUpTo(upTo("missing", delivery.Read)), delivery.MarkedUpTo{})
		p.must("Commit", tx.Commit())
		p.same("the version", p.version("c"), int64(2))
	}},
	{"transactions on one conversation take turns", func(p *txProbe) {
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		tx, inside := p.begin()
		first := inside.mark(delivered("m", "bob", minute(1)))[0]
		type answer struct {
			marked delivery.Marked
			err    error
		}
		answers := make(chan answer, 1)
		go func() {
			marked, err := p.inOwnTx(delivered("m", "carol", minute(2)))
			answers <- answer{marked, err}
		}()
		select {
		case second := <-answers:
			p.Fatalf("before the first transaction had ended, a second one returned %+v and the error %v", second.marked, second.err)
		case <-time.After(short):
		}
		p.must("Commit", tx.Commit())
		second := <-answers
		p.must("the second transaction", second.err)
		p.same("the versions", []int64{first.Receipt.Version, second.marked.Receipt.Version}, []int64{2, 3})
		p.same("the deliveries", p.message("m").Delivered, 2)
	}},
	{"whatever transactions race, committed or not, versions are contiguous and events exact", func(p *txProbe) {
		const workers, calls = 8, 4
		p.conversations["c"] = true
		p.create(open("c", "m", "alice"))
		var mu sync.Mutex
		told := map[string]delivery.Receipt{} // by user
		p.together(workers, func(worker int) error {
			for call := range calls {
				user := fmt.Sprint(worker, "/", call)
				mark := admitted(delivered("m", user, noon))
				marked, err := p.inOwnTx(mark)
				if err != nil {
					return err
				}
				mu.Lock()
				told[user] = marked.Receipt
				mu.Unlock()
				mark.Status = delivery.Read
				mark.User += " too"
				if _, err := advance(p.ctx, p.store, []delivery.Mark{mark}); err != nil {
					return err
				}
				if err := p.inTx((*sql.Tx).Rollback, func(store delivery.Store) error {
					_, err := advanceUpTo(p.ctx, store, 1, delivery.UpTo{Conversation: "c", Message: "m", User: user + " three", Status: delivery.Read, At: noon, Admitted: true})
					return err
				}); err != nil {
					return err
				}
			}
			return nil
		})
		p.same("the deliveries", p.message("m").Delivered, 2*workers*calls)
		for _, receipt := range p.receipts("m") {
			if told, ok := told[receipt.Recipient]; ok {
				p.same("a receipt, by what its mark was told,", receipt, told)
			}
		}
	}},
}
