package deliverytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// soon is how long after the end of ctx a notifier may take to return.
const soon = 5 * time.Second

// notifierCase is one rule, and the test that a notifier keeps it.
type notifierCase struct {
	rule string
	test func(*notifierProbe)
}

func (c notifierCase) run(t testing.TB, endpoint Endpoint) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.test(&notifierProbe{TB: t, ctx: ctx, rule: c.rule, endpoint: endpoint})
}

var notifierCases = []notifierCase{
	{"when Notify returns nil all events were accepted", func(p *notifierProbe) {
		p.notify(told(1))
		p.notify(told(2, 3, 4))
		var many []int
		for i := range 25 {
			many = append(many, 10+i)
		}
		p.notify(told(many...))
	}},
	{"events of every kind are accepted, with all of their updates", func(p *notifierProbe) {
		p.notify(ofEveryKind(p.takesOwn()))
		for _, event := range ofEveryKind(p.takesOwn()) {
			p.notify([]delivery.Event{event})
		}
	}},
	{"the socket that made a change is not told of it, everyone else is, and nobody is told what is for servers", func(p *notifierProbe) {
		if p.endpoint.Sent == nil {
			return // its other side are servers
		}
		events := append(told(1, 2, 4, 8), ofEveryKind(false)...)
		for i := range events {
			events[i].Trace = []string{"a trace for servers"}
		}
		p.notify(events)
		for _, event := range events {
			if id := event.Updates[0].Message; event.Except != "" {
				p.sent(event.Conversation, event.Except, id, false)
				p.sent(event.Conversation, "1.1", id, true)
				p.sent(event.Conversation, "1.1", event.Except, false)
			}
			p.sent(event.Conversation, "1.1", event.Trace[0], false)
		}
	}},
	{"what is for one user's devices is sent to nobody else", func(p *notifierProbe) {
		if p.endpoint.Sent == nil || !p.takesOwn() {
			return // it gets none
		}
		events := ofEveryKind(true)
		own := events[len(events)-1]
		p.notify([]delivery.Event{own})
		for i := range 3 { // which follow it
			p.notify(told(3 + i))
		}
		for i := range 3 {
			p.sent(fmt.Sprint("conversation ", i), "1.1", own.Updates[0].Message, false)
		}
	}},
	{"an event may come again", func(p *notifierProbe) {
		p.notify(told(1, 2))
		p.notify(told(2, 3))
		p.notify(told(1, 2))
	}},
	{"Notify may be called by several goroutines at the same time", func(p *notifierProbe) {
		var callers sync.WaitGroup
		for i := range 16 {
			callers.Go(func() { p.notify(told(2*i+1, 2*i+2)) })
		}
		callers.Wait()
	}},
	{"Notify neither keeps nor changes what it is given", func(p *notifierProbe) {
		for i := range 10 {
			events := told(2*i+1, 2*i+2)
			given := clone.Events(events)
			p.notify(given)
			if d := diff("what was given", given, events); d != "" {
				p.errorf("%s", d)
			}
			for j := range given {
				spoil(given[j]) // a late reader of these is a race
				given[j] = delivery.Event{}
			}
		}
	}},
	{"an endpoint that fails is a plain error, which blames no event", func(p *notifierProbe) {
		p.need(p.endpoint.Fail != nil, "Fail")
		p.endpoint.Fail()
		p.plain(p.endpoint.Notifier.Notify(p.ctx, told(1, 2)))
	}},
	{"Notify returns soon after ctx ends, with an error that blames no event", func(p *notifierProbe) {
		p.need(p.endpoint.Hang != nil, "Hang")
		p.endpoint.Hang()
		ctx, cancel := context.WithTimeout(p.ctx, short)
		defer cancel()
		returned := make(chan error, 1)
		go func() { returned <- p.endpoint.Notifier.Notify(ctx, told(1, 2)) }()
		select {
		case err := <-returned:
			p.plain(err)
		case <-time.After(short + soon):
			p.errorf("it had not returned %v after ctx ended", soon)
		}
	}},
	{"after ctx has ended Notify returns nil only if all events were accepted", func(p *notifierProbe) {
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		events := told(1, 2)
		if err := p.endpoint.Notifier.Notify(ctx, events); err == nil {
			p.accepted(events)
		} else {
			p.plain(err)
		}
	}},
	{"a refused event is named by its index, and those beside it are accepted", func(p *notifierProbe) {
		p.need(p.endpoint.Refusable.ID != 0, "Refusable")
		good := told(1, 2)
		err := p.endpoint.Notifier.Notify(p.ctx, []delivery.Event{good[0], clone.Event(p.endpoint.Refusable), good[1]})
		var refused *delivery.RefusedError
		if !errors.As(err, &refused) {
			p.errorf("it returned the error %v, want one that Refused makes", err)
			return
		}
		if len(refused.ByIndex) != 1 || refused.ByIndex[1] == nil {
			p.errorf("it refused %v, want just the one at index 1", refused.ByIndex)
		}
		p.accepted(good)
	}},
}

// notifierProbe is an endpoint under test. Its methods may be called on any goroutine.
type notifierProbe struct {
	testing.TB
	ctx      context.Context
	rule     string
	endpoint Endpoint
}

func (p *notifierProbe) errorf(format string, args ...any) {
	p.Helper()
	p.Errorf("the rule: %s\nbut %s", p.rule, fmt.Sprintf(format, args...))
}

// need skips the test for want of a means.
func (p *notifierProbe) need(there bool, field string) {
	p.Helper()
	if !there {
		p.Skipf("not tested: the Endpoint has no %s", field)
	}
}

// notify tells events, which must be accepted.
func (p *notifierProbe) notify(events []delivery.Event) {
	p.Helper()
	if err := p.endpoint.Notifier.Notify(p.ctx, events); err != nil {
		p.errorf("it returned the error %v", err)
		return
	}
	p.accepted(events)
}

// takesOwn reports whether the notifier takes events for one user.
func (p *notifierProbe) takesOwn() bool {
	own, ok := p.endpoint.Notifier.(delivery.OwnNotifier)
	return ok && own.TakesOwn()
}

// sent checks whether a client was sent a text.
func (p *notifierProbe) sent(conversation, socket, text string, want bool) {
	p.Helper()
	sent := slices.ContainsFunc(p.endpoint.Sent(conversation, socket), func(data []byte) bool { return bytes.Contains(data, []byte(text)) })
	if sent != want {
		p.errorf("a client with socket %s in %s was sent %q: %t, want %t", socket, conversation, text, sent, want)
	}
}

func (p *notifierProbe) accepted(events []delivery.Event) {
	p.Helper()
	for _, event := range events {
		if !p.endpoint.Accepted(event) {
			p.errorf("event %d of %d was not accepted", event.ID, len(events))
		}
	}
}

// plain checks that the error is one of the endpoint and not of an event.
func (p *notifierProbe) plain(err error) {
	p.Helper()
	var refused *delivery.RefusedError
	if err == nil || errors.As(err, &refused) {
		p.errorf("it returned the error %v, want a plain one", err)
	}
}

// told returns one event for each number, some of new messages and some of marks.
func told(numbers ...int) []delivery.Event {
	events := make([]delivery.Event, len(numbers))
	for i, n := range numbers {
		version := int64(n)
		events[i] = delivery.Event{
			ID: version, Kind: delivery.MessageSent, Conversation: fmt.Sprint("conversation ", n%3), From: version, To: version,
			Updates: []delivery.Update{{Message: fmt.Sprint("message ", n), Sender: "alice", Version: version, Status: delivery.Sent, Total: 2, Readers: 2, Body: "hello"}},
		}
		if n%2 == 0 {
			events[i].Kind, events[i].Except = delivery.StatusChanged, fmt.Sprint("123.", n)
			update := &events[i].Updates[0]
			update.Status, update.Delivered, update.Body = delivery.Delivered, 1, ""
			update.Receipt = &delivery.Receipt{Message: update.Message, Recipient: "bob", Status: delivery.Delivered, Version: version, DeliveredAt: noon}
		}
	}
	return events
}

// ofEveryKind returns one event of each kind, with several updates where there may be. The last one
// is for bob's devices, unless it is to be left out.
func ofEveryKind(own bool) []delivery.Event {
	update := func(n int) delivery.Update {
		return delivery.Update{
			Message: fmt.Sprintf("update %03d", n), Sender: "alice", Version: int64(n),
			Status: delivery.Sent, Total: 2, Readers: 1, Body: "hello",
		}
	}
	sent := delivery.Event{ID: 1001, Kind: delivery.MessageSent, Conversation: "conversation 1", From: 1, To: 1, Updates: []delivery.Update{update(1)}}
	marked := delivery.Event{ID: 1002, Kind: delivery.StatusChanged, Conversation: "conversation 2", From: 11, To: 50, Except: "123.1002"}
	for n := 11; n <= 50; n++ {
		u := update(n)
		u.Status, u.Delivered, u.Read, u.Body = delivery.Read, 2, 1, ""
		u.Receipt = &delivery.Receipt{Message: u.Message, Recipient: "bob", Status: delivery.Read, Version: u.Version, DeliveredAt: noon, ReadAt: minute(n)}
		marked.Updates = append(marked.Updates, u)
	}
	failed := delivery.Event{ID: 1003, Kind: delivery.StatusChanged, Conversation: "conversation 1", From: 60, To: 60, Updates: []delivery.Update{update(60)}}
	f := &failed.Updates[0]
	f.Failed, f.Body = 1, ""
	f.Receipt = &delivery.Receipt{Message: f.Message, Recipient: "carol", Status: delivery.Sent, Version: 60, Failure: "bounced"}
	deleted := delivery.Event{ID: 1004, Kind: delivery.MessageDeleted, Conversation: "conversation 1", From: 71, To: 72, Except: "123.1004", Updates: []delivery.Update{
		{Message: update(71).Message, Version: 71}, {Message: update(72).Message, Version: 72},
	}}
	pruned := delivery.Event{ID: 1005, Kind: delivery.Pruned, Conversation: "conversation 0", From: 80, To: 80, Updates: []delivery.Update{{Version: 80, Floor: 40}}}
	events := []delivery.Event{sent, marked, failed, deleted, pruned}
	if own {
		events = append(events, delivery.Event{
			ID: 1006, Kind: delivery.OwnChanged, User: "bob", Except: "123.1006", Updates: []delivery.Update{{Message: update(90).Message, Own: &delivery.OwnUpdate{
				Conversation: "conversation 1", Status: delivery.Read, Place: delivery.Place{Rev: 3, Delivered: 90, Badge: 90, Flag: 91},
			}}},
		})
	}
	return events
}
