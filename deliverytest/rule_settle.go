package deliverytest

import (
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

var settleCases = []storeCase{
	{"a done event is gone", func(p *probe) {
		p.create(open("c", "m", "alice"))
		p.same("Settle", p.settle(settlement(p.claimOne(), delivery.SettleDone)), 1)
		p.same("the outbox", p.counts(), delivery.Backlog{})
	}},
	{"an event to retry is due again after its time, and its attempt counts", func(p *probe) {
		p.comesAgain(delivery.SettleRetry, 2)
	}},
	{"a released event is due again after its time, and its attempt does not count", func(p *probe) {
		p.comesAgain(delivery.SettleRelease, 1)
	}},
	{"an event that was born under a lease can be released too", func(p *probe) {
		p.conversations["c"] = true
		_, born, err := p.store.Create(p.ctx, []delivery.NewMessage{open("c", "m", "alice")}, lease(long))
		p.must("Create", err)
		if len(p.saw(born)) != 1 {
			p.Fatalf("%d events were born, want 1", len(born))
		}
		p.same("Settle", p.settle(settlement(born[0], delivery.SettleRelease)), 1)
		p.same("the attempts", p.claimOne().Attempts, 1)
	}},
	{"a buried event is a dead letter, and waits no more", func(p *probe) {
		p.create(open("c", "m", "alice"))
		began := time.Now()
		event := p.bury("too large")
		letters := p.dead(0, 10)
		if len(letters) != 1 {
			p.Fatalf("there are %d dead letters, want 1", len(letters))
		}
		if at := letters[0].At; at.Before(began.Add(-time.Minute)) || at.After(time.Now().Add(time.Minute)) {
			p.Errorf("it was buried at %v, by the test's clock about %v", at, began)
		}
		p.same("Dead", letters, []delivery.DeadLetter{{Event: event, Attempts: 1, Reason: "too large", At: letters[0].At}})
		p.same("the outbox", p.counts(), delivery.Backlog{Dead: 1})
		p.same("the events due", p.claim(10), []delivery.Claimed{})
	}},
	{"a requeued dead letter is due at once, with its id, no attempts and what it is to say now", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		id := p.bury("too large").ID
		p.mark(read("m", "bob", noon))
		p.drain()
		receipt := p.receiptOf("m")
		now := delivery.Event{ID: id, Kind: delivery.MessageSent, Conversation: "c", From: 1, To: 1, Except: "1.1", Updates: []delivery.Update{
			{Message: "m", Sender: "alice", Version: 2, Status: delivery.Read, Delivered: 1, Read: 1, Total: 1, Readers: 1, Receipt: &receipt, Body: "the body of m"},
		}}
		p.same("Settle", p.settle(delivery.Settlement{ID: id, Outcome: delivery.SettleRequeue, Event: now}), 1)
		p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 1})
		token := lease(long)
		claimed, err := p.store.Claim(p.ctx, 10, token)
		p.must("Claim", err)
		p.same("Claim", claimed, []delivery.Claimed{{Event: now, Lease: token.Token, Attempts: 1}})
	}},
	{"a discarded dead letter is gone", func(p *probe) {
		p.create(open("c", "m", "alice"))
		id := p.bury("too large").ID
		p.same("Settle", p.settle(delivery.Settlement{ID: id, Outcome: delivery.SettleDiscard}), 1)
		p.same("the outbox", p.counts(), delivery.Backlog{})
	}},
	{"a settlement with another lease than the event's changes nothing", func(p *probe) {
		p.create(open("c", "m", "alice"))
		claimed := p.claimOne()
		for _, outcome := range []delivery.Outcome{delivery.SettleDone, delivery.SettleRetry, delivery.SettleRelease, delivery.SettleBury} {
			for _, token := range []int64{0, claimed.Lease + 1, -claimed.Lease} {
				s := settlement(claimed, outcome)
				s.Lease = token
				p.same(fmt.Sprintf("Settle, outcome %d", outcome), p.settle(s), 0)
			}
		}
		p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 1})
		p.same("the events due", p.claim(10), []delivery.Claimed{})
		p.same("Settle with the lease", p.settle(settlement(claimed, delivery.SettleDone)), 1)
	}},
	{"a lease is over once it was settled, and none is no lease", func(p *probe) {
		for _, outcome := range []delivery.Outcome{delivery.SettleRetry, delivery.SettleRelease} {
			p.create(open("c", fmt.Sprint("m", outcome), "alice"))
			claimed := p.claimOne()
			p.settle(settlement(claimed, outcome))
			p.same("Settle with the lease that is over", p.settle(settlement(claimed, delivery.SettleDone), settlement(claimed, delivery.SettleBury)), 0)
			claimed.Lease = 0
			p.same("Settle with no lease", p.settle(settlement(claimed, delivery.SettleDone), settlement(claimed, delivery.SettleBury)), 0)
			p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 1})
			p.drain()
		}
	}},
	{"a lease that ran out is still the event's until another claim takes it", func(p *probe) {
		outcomes := []delivery.Outcome{delivery.SettleDone, delivery.SettleRetry, delivery.SettleRelease, delivery.SettleBury}
		for i := range outcomes {
			p.create(open("c", fmt.Sprint("m", i), "alice"))
		}
		began := time.Now()
		claimed := p.claimFor(10, short)
		p.same("the number of events claimed", len(claimed), len(outcomes))
		p.until("the leases were over", func() bool { return time.Since(began) > 2*short })
		for i, c := range claimed {
			p.same(fmt.Sprintf("Settle, outcome %d", outcomes[i]), p.settle(settlement(c, outcomes[i])), 1)
		}
		p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 2, Dead: 1})
	}},
	{"who held an event before cannot settle it any more", func(p *probe) {
		p.create(open("c", "m", "alice"))
		began := time.Now()
		stale := p.claimFor(10, short)
		if len(stale) != 1 {
			p.Fatalf("%d events are due, want 1", len(stale))
		}
		current := p.claimLater(1, began.Add(short))[0]
		for _, outcome := range []delivery.Outcome{delivery.SettleDone, delivery.SettleRetry, delivery.SettleRelease, delivery.SettleBury} {
			p.same("Settle with the stale lease", p.settle(settlement(stale[0], outcome)), 0)
		}
		p.same("the events due", p.claim(10), []delivery.Claimed{})
		p.same("Settle with the current lease", p.settle(settlement(current, delivery.SettleDone)), 1)
	}},
	{"settle counts exactly the events that were there, of any outcome", func(p *probe) {
		for i := range 6 {
			p.create(open("c", fmt.Sprint("m", i), "alice"))
		}
		toRequeue, toDiscard := p.bury("a"), p.bury("b")
		claimed := byID(p.claim(10))
		if len(claimed) != 4 {
			p.Fatalf("%d events are due, want 4", len(claimed))
		}
		stale := settlement(claimed[0], delivery.SettleBury)
		stale.Lease++
		retry := settlement(claimed[1], delivery.SettleRetry)
		retry.After = long
		buried := settlement(claimed[2], delivery.SettleBury)
		buried.Reason = "c"
		held := p.settle(
			settlement(claimed[0], delivery.SettleDone), retry, buried, settlement(claimed[3], delivery.SettleRelease),
			delivery.Settlement{ID: toRequeue.ID, Outcome: delivery.SettleRequeue, Event: toRequeue},
			delivery.Settlement{ID: toDiscard.ID, Outcome: delivery.SettleDiscard},
			stale,
			delivery.Settlement{ID: 1 << 40, Lease: claimed[0].Lease, Outcome: delivery.SettleDone},
			delivery.Settlement{ID: 1 << 40, Outcome: delivery.SettleDiscard},
			delivery.Settlement{ID: 1 << 40, Outcome: delivery.SettleRequeue, Event: toRequeue},
		)
		p.same("Settle", held, 6)
		p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 3, Dead: 1})
		var due []int64
		for _, c := range byID(p.claim(10)) {
			due = append(due, c.Event.ID)
		}
		p.same("the events due", due, []int64{toRequeue.ID, claimed[3].Event.ID})
	}},
	{"an event that waits is no dead letter, and a dead letter does not wait", func(p *probe) {
		p.create(open("c", "m1", "alice"), open("c", "m2", "alice"))
		claimed := byID(p.claim(1))
		if len(claimed) != 1 {
			p.Fatalf("%d events are due, want 1", len(claimed))
		}
		waiting := claimed[0]
		dead := p.bury("too large")
		p.same("Settle", p.settle(
			delivery.Settlement{ID: waiting.Event.ID, Lease: waiting.Lease, Outcome: delivery.SettleDiscard},
			delivery.Settlement{ID: waiting.Event.ID, Lease: waiting.Lease, Outcome: delivery.SettleRequeue, Event: waiting.Event},
			delivery.Settlement{ID: dead.ID, Outcome: delivery.SettleDone},
			delivery.Settlement{ID: dead.ID, Outcome: delivery.SettleRetry},
		), 0)
		p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 1, Dead: 1})
	}},
	{"dead letters come in pages, in order of id", func(p *probe) {
		var want []int64
		for i := range 5 {
			p.create(open("c", fmt.Sprint("m", i), "alice"))
		}
		claimed := byID(p.claim(10))
		for _, i := range []int{3, 0, 4, 2, 1} {
			p.settle(settlement(claimed[i], delivery.SettleBury))
		}
		for _, c := range claimed {
			want = append(want, c.Event.ID)
		}
		p.same("the first page", deadIDs(p.dead(0, 2)), want[:2])
		p.same("the second page", deadIDs(p.dead(want[1], 2)), want[2:4])
		p.same("the third page", deadIDs(p.dead(want[3], 2)), want[4:])
		p.same("the fourth page", deadIDs(p.dead(want[4], 2)), []int64{})
		p.same("just one", deadIDs(p.dead(want[2]-1, 1)), want[2:3])
	}},
	{"the backlog counts what is not accepted, held or not, and tells the age of the oldest", func(p *probe) {
		p.same("the backlog of a new store", p.backlog(), delivery.Backlog{})
		before := time.Now()
		p.create(open("c", "m1", "alice"))
		after := time.Now()
		p.until("the oldest event was some time old", func() bool { return time.Since(after) > short })
		p.create(open("c", "m2", "alice"), open("c", "m3", "alice"))
		p.claim(1)
		for _, c := range p.claim(1) {
			later := settlement(c, delivery.SettleRetry)
			later.After = long
			p.settle(later)
		}
		p.same("the outbox", p.counts(), delivery.Backlog{Waiting: 3})
		atLeast := time.Since(after)
		oldest := p.backlog().Oldest
		if atMost := time.Since(before); oldest < atLeast-grain || oldest > atMost+grain {
			p.Errorf("the oldest event is %v old, want %v to %v", oldest, atLeast, atMost)
		}
	}},
	{"a dead letter that is due again counts as old from then on", func(p *probe) {
		p.create(open("c", "m1", "alice"))
		created := time.Now()
		letter := p.bury("too large")
		p.until("the event was some time old", func() bool { return time.Since(created) > short })
		before := time.Now()
		p.same("Settle", p.settle(delivery.Settlement{ID: letter.ID, Outcome: delivery.SettleRequeue, Event: letter}), 1)
		if oldest, atMost := p.backlog().Oldest, time.Since(before); oldest > atMost+grain {
			p.Errorf("the oldest event is %v old, want at most %v", oldest, atMost)
		}
	}},
}

// counts is the backlog without the age, which must be 0 if nothing waits.
func (p *probe) counts() delivery.Backlog {
	p.Helper()
	backlog := p.backlog()
	if backlog.Oldest < 0 || backlog.Waiting == 0 && backlog.Oldest != 0 {
		p.Errorf("the oldest of %d events is %v old", backlog.Waiting, backlog.Oldest)
	}
	backlog.Oldest = 0
	return backlog
}

// bury claims one event and makes it a dead letter.
func (p *probe) bury(reason string) delivery.Event {
	p.Helper()
	claimed := p.claim(1)
	if len(claimed) != 1 {
		p.Fatalf("%d events are due, want 1", len(claimed))
	}
	s := settlement(claimed[0], delivery.SettleBury)
	s.Reason = reason
	if held := p.settle(s); held != 1 {
		p.Fatalf("Settle held %d of 1 events just claimed", held)
	}
	return claimed[0].Event
}

// comesAgain settles an event and checks when it is due again, and as which attempt.
func (p *probe) comesAgain(outcome delivery.Outcome, attempt int) {
	p.Helper()
	p.create(open("c", "m", "alice"))
	claimed := p.claimOne()
	s := settlement(claimed, outcome)
	s.After = short
	began := time.Now()
	p.same("Settle", p.settle(s), 1)
	again := p.claimLater(1, began.Add(short))[0]
	p.same("the event", again.Event, claimed.Event)
	p.same("the attempts", again.Attempts, attempt)
	p.same("Settle, due at once", p.settle(settlement(again, outcome)), 1)
	p.same("the events due", len(p.claim(10)), 1)
}

func deadIDs(letters []delivery.DeadLetter) []int64 {
	ids := make([]int64, len(letters))
	for i, letter := range letters {
		ids[i] = letter.Event.ID
	}
	return ids
}
