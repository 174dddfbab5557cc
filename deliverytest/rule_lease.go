package deliverytest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
)

var leaseCases = []storeCase{
	{"an event born without a lease is due at once, and its first claim counts one attempt", func(p *probe) {
		p.create(open("c", "m", "alice"))
		created := p.claimOne()
		p.mark(admitted(delivered("m", "bob", noon)))
		advanced := p.claimOne()
		p.markUpTo(delivery.UpTo{Conversation: "c", Message: "m", User: "carol", Status: delivery.Read, At: noon, Admitted: true})
		upTo := p.claimOne()
		p.same("the attempts", []int{created.Attempts, advanced.Attempts, upTo.Attempts}, []int{1, 1, 1})
	}},
	{"an event born under a lease is returned as its first attempt, and due when the lease ends", func(p *probe) {
		p.conversations["c"] = true
		for _, write := range []func(delivery.Lease) ([]delivery.Claimed, error){
			func(lease delivery.Lease) ([]delivery.Claimed, error) {
				_, claimed, err := p.store.Create(p.ctx, []delivery.NewMessage{frozen("c", "m1", "alice", "bob"), frozen("c", "m2", "alice", "bob")}, lease)
				return claimed, err
			},
			func(lease delivery.Lease) ([]delivery.Claimed, error) {
				_, claimed, err := p.store.Advance(p.ctx, []delivery.Mark{from("1.1", delivered("m1", "bob", noon)), from("2.2", delivered("m2", "bob", noon))}, lease)
				return claimed, err
			},
			func(lease delivery.Lease) ([]delivery.Claimed, error) {
				_, claimed, err := p.store.AdvanceUpTo(p.ctx, []delivery.UpTo{upTo("m2", delivery.Read)}, plenty, lease)
				return claimed, err
			},
		} {
			lease, began := lease(short), time.Now()
			born, err := write(lease)
			p.must("writing under a lease", err)
			if len(born) == 0 {
				p.Fatalf("no event was returned under the lease")
			}
			for _, c := range p.saw(born) {
				if c.Lease != lease.Token || c.Attempts != 1 {
					p.Errorf("the event is under lease %d after %d attempts, want lease %d and 1 attempt", c.Lease, c.Attempts, lease.Token)
				}
			}
			claimed := p.claimLater(len(born), began.Add(short))
			for i, c := range byID(claimed) {
				p.same("an event claimed after the lease", c.Event, byID(born)[i].Event)
				p.same("its attempts", c.Attempts, 2)
			}
		}
	}},
	{"an event of a mark that comes alone is born like any other", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		p.drain()
		lease, began := lease(short), time.Now()
		_, born, err := p.store.Advance(p.ctx, []delivery.Mark{from("1.1", read("m", "bob", minute(1)))}, lease)
		p.must("Advance", err)
		receipt := p.receipts("m")[0]
		if len(p.saw(born)) != 1 {
			p.Fatalf("%d events were born, want 1", len(born))
		}
		p.same("the claim", born[0], delivery.Claimed{Lease: lease.Token, Attempts: 1, Event: delivery.Event{
			ID: born[0].Event.ID, Kind: delivery.StatusChanged, Conversation: "c", From: 2, To: 2, Except: "1.1",
			Updates: []delivery.Update{{Message: "m", Sender: "alice", Version: 2, Status: delivery.Read, Delivered: 1, Read: 1, Total: 1, Readers: 1, Receipt: &receipt}},
		}})
		p.same("the event, claimed after the lease", p.claimLater(1, began.Add(short))[0].Event, born[0].Event)
		_, born, err = p.store.Advance(p.ctx, []delivery.Mark{read("m", "bob", minute(2))}, lease)
		p.must("Advance again", err)
		p.same("the events of a mark that changes nothing", len(born), 0)
	}},
	{"what changes nothing has no event, under a lease or not", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		p.drain()
		_, created, err := p.store.Create(p.ctx, []delivery.NewMessage{frozen("c", "m", "alice", "bob")}, lease(long))
		p.must("Create", err)
		_, advanced, err := p.store.Advance(p.ctx, []delivery.Mark{delivered("m", "alice", noon), delivered("missing", "bob", noon)}, lease(long))
		p.must("Advance", err)
		_, upTo, err := p.store.AdvanceUpTo(p.ctx, []delivery.UpTo{upTo("missing", delivery.Read)}, plenty, lease(long))
		p.must("AdvanceUpTo", err)
		p.same("the events returned", []int{len(created), len(advanced), len(upTo)}, []int{0, 0, 0})
		p.same("the outbox", p.backlog().Waiting, 0)
	}},
	{"a claim takes no more than its limit, and those due longest first", func(p *probe) {
		for i := range 5 {
			p.create(open("c", fmt.Sprint("m", i+1), "alice"))
		}
		first := p.claim(1)
		if len(first) != 1 {
			p.Fatalf("Claim returned %d events for a limit of 1", len(first))
		}
		again := settlement(first[0], delivery.SettleRetry)
		again.After = short
		began := time.Now()
		p.settle(again)
		p.until("the first one was due again", func() bool { return time.Since(began) > short+2*grain })
		var got []int64
		p.until("all events were claimed one by one", func() bool {
			for _, c := range p.claim(1) {
				got = append(got, c.Event.From)
			}
			return len(got) == 5
		})
		p.same("the versions in order of the claims", got, []int64{2, 3, 4, 5, 1})
	}},
	{"a claim holds its events until the lease ends, and counts every attempt", func(p *probe) {
		p.create(open("c", "m1", "alice"), open("c", "m2", "alice"))
		for attempt := range 3 {
			began := time.Now()
			claimed := p.claimFor(10, short)
			p.same("the number of events claimed", len(claimed), 2)
			for _, c := range claimed {
				p.same("the attempts", c.Attempts, 2*attempt+1)
			}
			for _, c := range p.claimLater(2, began.Add(short)) {
				p.same("the attempts", c.Attempts, 2*attempt+2)
				p.settle(settlement(c, delivery.SettleRetry))
			}
		}
	}},
	{"a claim returns events as they were born, under the lease that was asked for", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		want := lease(long)
		claimed, err := p.store.Claim(p.ctx, 10, want)
		p.must("Claim", err)
		if len(p.saw(claimed)) != 1 {
			p.Fatalf("%d events are due, want 1", len(claimed))
		}
		p.same("the claim", claimed[0], delivery.Claimed{Lease: want.Token, Attempts: 1, Event: delivery.Event{
			ID: claimed[0].Event.ID, Kind: delivery.MessageSent, Conversation: "c", From: 1, To: 1,
			Updates: []delivery.Update{{Message: "m", Sender: "alice", Version: 1, Status: delivery.Sent, Total: 1, Readers: 1}},
		}})
		if claimed[0].Event.ID <= 0 {
			p.Errorf("the event's id is %d, want a positive one", claimed[0].Event.ID)
		}
	}},
	{"no event is held twice, however many claim at a time", func(p *probe) {
		const events, claimers = 200, 16
		var messages []delivery.NewMessage
		for i := range events {
			messages = append(messages, open("c", fmt.Sprint("m", i), "alice"))
		}
		p.create(messages...)
		var mu sync.Mutex
		var all []delivery.Claimed
		held := map[int64]bool{}
		take := func(claimed []delivery.Claimed) error {
			mu.Lock()
			defer mu.Unlock()
			for _, c := range claimed {
				if held[c.Event.ID] {
					return fmt.Errorf("event %d was claimed while another lease held it", c.Event.ID)
				}
				held[c.Event.ID] = true
			}
			all = append(all, claimed...)
			return nil
		}
		p.together(claimers, func(int) error {
			for limit := 1; ; limit = limit%7 + 1 {
				claimed, err := p.store.Claim(p.ctx, limit, lease(long))
				if err != nil || len(claimed) == 0 {
					return err
				}
				if len(claimed) > limit {
					return fmt.Errorf("Claim returned %d events for a limit of %d", len(claimed), limit)
				}
				if err := take(claimed); err != nil {
					return err
				}
			}
		})
		if err := take(p.claim(events)); err != nil { // what the last claimers may have passed over
			p.Errorf("%v", err)
		}
		p.saw(all)
		p.same("the number of events claimed", len(all), events)
	}},
}

// claimLater claims n events that are due at a time and not before. A lease began after the
// moment that the test took as its beginning, so that a slow test fails no store.
func (p *probe) claimLater(n int, due time.Time) []delivery.Claimed {
	p.Helper()
	claimed := map[int64]delivery.Claimed{}
	p.until(fmt.Sprintf("%d events were due", n), func() bool {
		for _, c := range p.claim(100) {
			if early := time.Until(due); early > grain {
				p.Fatalf("event %d was due %v too early", c.Event.ID, early)
			}
			claimed[c.Event.ID] = c
		}
		return len(claimed) >= n
	})
	p.same("the number of events due", len(claimed), n)
	return slices.Collect(maps.Values(claimed))
}

func byID(claimed []delivery.Claimed) []delivery.Claimed {
	return slices.SortedFunc(slices.Values(claimed), func(a, b delivery.Claimed) int { return int(a.Event.ID - b.Event.ID) })
}
