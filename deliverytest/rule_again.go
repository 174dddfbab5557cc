package deliverytest

import (
	"fmt"
	"sync"

	"github.com/msgdelivery/delivery"
)

// reopenCases are rules of stores whose data outlasts them: again closes the store and opens the
// data once more.
var reopenCases = []storeCase{
	{"what was acknowledged is there when the data is opened again, and goes on from there", func(p *probe) {
		p.five()
		p.create(open("d", "open", "alice"))
		p.bury("too large")
		p.mark(read("m2", "bob", minute(1)))
		p.markUpTo(upTo("m3", delivery.Delivered))
		p.ownMark(telling(private("m5", "bob", delivery.Read)))
		p.ownMark(privateUpTo("m1", "bob", delivery.Read))
		p.ownMark(flag("m4", "bob"))
		before := p.state()
		p.store = p.again()
		p.same("what is stored", p.state(), before)

		m2, m6 := frozen("c", "m2", "alice", "bob"), frozen("c", "m6", "alice", "bob")
		p.same("what is created again", p.create(m2)[0].Existed, true)
		p.same("what is created next", p.create(m6), []delivery.Created{asCreated(m6, before.Version+1)})
		p.same("what an up-to mark still finds", p.markUpTo(upTo("m6", delivery.Delivered)).Changed, 3)
		p.same("what is left of a private mark", p.ownMark(private("m5", "bob", delivery.Delivered)).Status, delivery.Read)
		p.same("the place after a further change", p.ownMark(dismiss("m6", "bob")).Place, delivery.Place{Rev: 4, Delivered: before.Version + 1, Badge: before.Version + 1})
	}},
	{"a lease outlasts the handle that took it", func(p *probe) {
		p.create(open("c", "m1", "alice"))
		held := p.claimOne()
		p.store = p.again()
		p.same("the events due", p.claim(10), []delivery.Claimed{})
		p.same("Settle with the lease", p.settle(settlement(held, delivery.SettleRetry)), 1)
		p.same("the attempts", p.claimOne().Attempts, 2)
	}},
}

// secondCases are rules of stores whose data may be open several times at once, as it is where an
// app has several processes: again opens it once more.
var secondCases = []storeCase{
	{"what is written through one handle is seen through another at once", func(p *probe) {
		mine, other := p.store, p.again()
		var held []delivery.Claimed
		for _, write := range []func(){
			p.five,
			func() { p.mark(read("m2", "bob", minute(1))) },
			func() { p.markUpTo(upTo("m3", delivery.Delivered)) },
			func() { p.ownMark(telling(private("m5", "bob", delivery.Read))) },
			func() { p.ownMark(privateUpTo("m1", "bob", delivery.Read)) },
			func() { p.ownMark(flag("m4", "bob")) },
			func() { p.ownMark(dismiss("m2", "bob")) },
			func() { p.bury("too large") },
			func() { held = p.claim(100) },
			func() { p.same("the events that another handle holds", p.claim(100), []delivery.Claimed{}) },
			func() { p.same("Settle through another handle", p.settle(settlement(held[0], delivery.SettleDone)), 1) },
		} {
			write()
			state := p.state()
			mine, other = other, mine
			p.store = mine
			p.same("what the other handle sees", p.state(), state)
		}
	}},
	{"whatever races through two handles, each receipt and each user's place takes each step once, and no event is held twice", func(p *probe) {
		const workers, calls = 16, 8
		handles := [2]delivery.Store{p.store, p.again()}
		p.changesOfOneUser(handles)
		p.create(open("c", "m", "alice"))
		var mu sync.Mutex
		steps, held := map[string]int{}, map[int64]int64{} // by user and status; the lease by event
		for call := range calls {
			p.together(workers, func(worker int) error {
				store := handles[worker%2]
				mark := admitted(delivered("m", fmt.Sprint("u", call), noon))
				mark.Status += delivery.Status(worker / 2 % 2)
				marked, err := advance(p.ctx, store, []delivery.Mark{mark})
				if err != nil {
					return err
				}
				if _, err := create(p.ctx, store, []delivery.NewMessage{open("c", fmt.Sprint(call, ".", worker), "alice")}); err != nil {
					return err
				}
				claimed, err := store.Claim(p.ctx, 1+call, lease(long))
				if err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				if marked[0].Changed {
					steps[fmt.Sprint(mark.User, " ", marked[0].Receipt.Status)]++
				}
				for _, c := range claimed {
					if other := held[c.Event.ID]; other != 0 {
						return fmt.Errorf("event %d is under lease %d, and was claimed under %d", c.Event.ID, other, c.Lease)
					}
					held[c.Event.ID] = c.Lease
				}
				return nil
			})
		}
		for step, times := range steps {
			p.same("how often marks were told that they made the step "+step, times, 1)
		}
		var settlements []delivery.Settlement
		for id, lease := range held {
			settlements = append(settlements, delivery.Settlement{ID: id, Lease: lease, Outcome: delivery.SettleRelease})
		}
		p.same("the events that were settled", p.settle(settlements...), len(held))
	}},
}

// state is what can be read of conversation c, of bob in it, and of the outbox.
type state struct {
	Messages []delivery.Message
	Version  int64
	Epoch    int64
	Receipts []delivery.Receipt
	ForBob   []delivery.Message
	Unread   []delivery.Unread
	Outbox   delivery.Backlog
	Dead     []delivery.DeadLetter
}

func (p *probe) state() (s state) {
	p.Helper()
	s.Messages, s.Version = p.all("c")
	s.Epoch = p.list(delivery.List{Conversation: "c", Limit: 1}).Epoch
	ids := make([]string, len(s.Messages))
	for i, m := range s.Messages {
		ids[i] = m.ID
	}
	s.Receipts = p.receipts(ids...)
	s.ForBob = p.list(delivery.List{Conversation: "c", Limit: 100, Viewer: "bob"}).Messages
	var err error
	s.Unread, err = p.store.Unread(p.ctx, "bob", []string{"c"}, 100)
	p.must("Unread", err)
	s.Outbox, s.Dead = p.counts(), p.dead(0, 100)
	return s
}
