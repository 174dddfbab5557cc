package deliverytest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

// probe is a store under test: it calls the store, fails the test if the call does, and remembers
// the events it saw. Its methods belong to the test's goroutine.
type probe struct {
	testing.TB
	ctx   context.Context
	rule  string
	store delivery.Store
	again func() delivery.Store // opens the store's data again; nil where no rule does

	conversations map[string]bool          // that messages were created in
	members       map[string]bool          // of all rosters
	seen          map[int64]delivery.Event // by id
	deleted       []delivery.Message       // as they were
	imported      map[string]ledger        // by conversation: what was there after the last import
	compacted     bool                     // the audit compares no times of receipts, and no versions
}

func newProbe(t testing.TB, rule string, store delivery.Store) *probe {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return &probe{
		TB: t, ctx: ctx, rule: rule, store: store,
		conversations: map[string]bool{}, members: map[string]bool{}, seen: map[int64]delivery.Event{},
	}
}

// Errorf fails the test and quotes the rule.
func (p *probe) Errorf(format string, args ...any) {
	p.Helper()
	p.TB.Errorf("the rule: %s\nbut "+format, slices.Concat([]any{p.rule}, args)...)
}

// Fatalf is Errorf and the end of the test.
func (p *probe) Fatalf(format string, args ...any) {
	p.Helper()
	p.Errorf(format, args...)
	p.FailNow()
}

// same fails the test if got is not want.
func (p *probe) same(what string, got, want any) {
	p.Helper()
	if d := diff(what, got, want); d != "" {
		p.Errorf("%s", d)
	}
}

// fields is same for values that have names, in order and with spaces between them.
func (p *probe) fields(what, names string, got, want []any) {
	p.Helper()
	for i, name := range strings.Fields(names) {
		p.same(what+": "+name, got[i], want[i])
	}
}

// must ends the test if the call failed.
func (p *probe) must(call string, err error) {
	p.Helper()
	if err != nil {
		p.Fatalf("%s failed: %v", call, err)
	}
}

// saw remembers events. An event stays as it is, whoever sees it and whenever.
func (p *probe) saw(claimed []delivery.Claimed) []delivery.Claimed {
	p.Helper()
	for _, c := range claimed {
		if before, ok := p.seen[c.Event.ID]; ok {
			p.same("an event seen again", c.Event, before)
		}
		p.seen[c.Event.ID] = c.Event
	}
	return claimed
}

// create stores messages whose events are due at once.
func (p *probe) create(messages ...delivery.NewMessage) []delivery.Created {
	p.Helper()
	for _, m := range messages {
		p.conversations[m.Conversation] = true
		for _, member := range m.Members {
			p.members[member] = true
		}
	}
	created, claimed, err := p.store.Create(p.ctx, messages, delivery.Lease{})
	p.must("Create", err)
	if len(created) != len(messages) || len(claimed) != 0 {
		p.Fatalf("Create returned %d results and %d claims for %d messages and no lease", len(created), len(claimed), len(messages))
	}
	for i := range created {
		if created[i].Blocked {
			p.Fatalf("Create says that message %d was blocked, when nobody else was there", i)
		}
	}
	return created
}

// mark applies marks whose events are due at once.
func (p *probe) mark(marks ...delivery.Mark) []delivery.Marked {
	p.Helper()
	marked, claimed, err := p.store.Advance(p.ctx, marks, delivery.Lease{})
	p.must("Advance", err)
	if len(marked) != len(marks) || len(claimed) != 0 {
		p.Fatalf("Advance returned %d results and %d claims for %d marks and no lease", len(marked), len(claimed), len(marks))
	}
	for i := range marked {
		if marked[i].Blocked {
			p.Fatalf("Advance says that mark %d was blocked, when nobody else was there", i)
		}
	}
	return marked
}

func (p *probe) load(ids ...string) []delivery.Message {
	p.Helper()
	messages, err := p.store.Load(p.ctx, ids)
	p.must("Load", err)
	return messages
}

// message loads one message that must be there.
func (p *probe) message(id string) delivery.Message {
	p.Helper()
	messages := p.load(id)
	if len(messages) != 1 {
		p.Fatalf("Load of message %q returned %d messages", id, len(messages))
	}
	return messages[0]
}

func (p *probe) list(list delivery.List) delivery.Page {
	p.Helper()
	page, err := p.store.List(p.ctx, list)
	p.must("List", err)
	return page
}

func (p *probe) version(conversation string) int64 {
	p.Helper()
	return p.list(delivery.List{Conversation: conversation, Limit: 1}).Version
}

// nothing is an empty page at a version.
func (p *probe) nothing(version int64) delivery.Page {
	p.Helper()
	return delivery.Page{Cursor: delivery.Cursor{Version: version, Epoch: p.list(delivery.List{Conversation: "any", Limit: 1}).Epoch}}
}

// receipts returns all receipts of these messages, ordered by message and recipient.
func (p *probe) receipts(ids ...string) []delivery.Receipt {
	p.Helper()
	receipts, err := allReceipts(p.ctx, p.store, ids)
	p.must("Receipts", err)
	return receipts
}

func allReceipts(ctx context.Context, store delivery.Store, ids []string) (all []delivery.Receipt, err error) {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		list := delivery.ReceiptList{Message: id, Limit: delivery.MaxBatch}
		for more := true; more; {
			page, err := store.Receipts(ctx, list)
			if err != nil {
				return nil, err
			}
			if page.More && page.Next <= list.After {
				return nil, fmt.Errorf("the page of %+v has more receipts, and goes on after %q", list, page.Next)
			}
			all = append(all, page.Receipts...)
			list.After, more = page.Next, page.More
		}
	}
	return all, nil
}

// claim claims due events under a lease that outlasts the test.
func (p *probe) claim(limit int) []delivery.Claimed {
	p.Helper()
	return p.claimFor(limit, long)
}

func (p *probe) claimFor(limit int, d time.Duration) []delivery.Claimed {
	p.Helper()
	claimed, err := p.store.Claim(p.ctx, limit, lease(d))
	p.must("Claim", err)
	if len(claimed) > limit {
		p.Fatalf("Claim returned %d events for a limit of %d", len(claimed), limit)
	}
	return p.saw(claimed)
}

// claimOne claims the only due event.
func (p *probe) claimOne() delivery.Claimed {
	p.Helper()
	claimed := p.claim(10)
	if len(claimed) != 1 {
		p.Fatalf("%d events are due, want 1", len(claimed))
	}
	return claimed[0]
}

func (p *probe) settle(settlements ...delivery.Settlement) int {
	p.Helper()
	held, err := p.store.Settle(p.ctx, settlements)
	p.must("Settle", err)
	return held
}

func (p *probe) dead(after int64, limit int) []delivery.DeadLetter {
	p.Helper()
	dead, err := p.store.Dead(p.ctx, after, limit)
	p.must("Dead", err)
	return dead
}

func (p *probe) backlog() delivery.Backlog {
	p.Helper()
	backlog, err := p.store.Backlog(p.ctx)
	p.must("Backlog", err)
	return backlog
}

// drain takes all due events out of the outbox and returns them in order of id.
func (p *probe) drain() []delivery.Event {
	p.Helper()
	var events []delivery.Event
	drained := map[int64]bool{}
	for {
		claimed := p.claim(100)
		if len(claimed) == 0 {
			slices.SortFunc(events, func(a, b delivery.Event) int { return int(a.ID - b.ID) })
			return events
		}
		settlements := make([]delivery.Settlement, len(claimed))
		for i, c := range claimed {
			if drained[c.Event.ID] {
				p.Fatalf("event %d is due again after it was done", c.Event.ID)
			}
			drained[c.Event.ID] = true
			events = append(events, c.Event)
			settlements[i] = settlement(c, delivery.SettleDone)
		}
		if held := p.settle(settlements...); held != len(claimed) {
			p.Fatalf("Settle held %d of %d events just claimed", held, len(claimed))
		}
	}
}

// until waits for something that the store's clock brings about.
func (p *probe) until(what string, done func() bool) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.Fatalf("it took too long until %s", what)
		}
	}
}

// together runs n workers at the same time and fails the test if one of them does.
func (p *probe) together(n int, work func(worker int) error) {
	p.Helper()
	errs := make([]error, n)
	start := make(chan struct{})
	var workers sync.WaitGroup
	for i := range n {
		workers.Go(func() {
			<-start
			errs[i] = work(i)
		})
	}
	close(start)
	workers.Wait()
	for i, err := range errs {
		if err != nil {
			p.Fatalf("worker %d failed: %v", i, err)
		}
	}
}

// calm waits until a conversation's version has not moved for a while.
func (p *probe) calm(conversation string) {
	p.Helper()
	version, since := p.version(conversation), time.Now()
	p.until("the version stood still", func() bool {
		if now := p.version(conversation); now != version {
			version, since = now, time.Now()
		}
		return time.Since(since) > 2*short
	})
}
