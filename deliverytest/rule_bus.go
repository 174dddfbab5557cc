package deliverytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// busCase is one rule, and the test that a bus keeps it.
type busCase struct {
	rule string
	test func(*busProbe)
}

func (c busCase) run(t testing.TB, ends BusEnds) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := &busProbe{TB: t, ctx: ctx, rule: c.rule, ends: ends}
	defer p.readers.Wait()
	defer cancel()
	c.test(p)
}

var busCases = []busCase{
	{"a subscriber hears the zero Event first", func(p *busProbe) {
		heard := p.subscribe(p.ends.Here)
		p.publish(p.ends.Here, told(1))
		heard.wait(told(1))
		if all := heard.events(); len(all) > 0 && all[0].Kind != 0 {
			p.errorf("it heard event %d first", all[0].ID)
		}
	}},
	{"every subscriber in every process hears every event", func(p *busProbe) {
		all := []*hearing{p.subscribe(p.ends.Here), p.subscribe(p.ends.Here), p.subscribe(p.ends.There)}
		p.publish(p.ends.Here, told(1, 2, 3))
		p.publish(p.ends.There, told(4))
		for _, heard := range all {
			heard.wait(told(1, 2, 3, 4))
		}
	}},
	{"an event arrives whole", func(p *busProbe) {
		heard := p.subscribe(p.ends.There)
		events := told(1, 2)
		events[0].Conversation = "a/b \"ü\" \U0001F600 \u2028"
		events[0].Trace = []string{"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "é\u2028"}
		events[0].Updates[0].Body = strings.Repeat("<b>&\n\x01\u2029", 1000)
		events[1].Updates[0].Receipt.ReadAt = noon.Add(time.Microsecond)
		many := told(4)
		for i := range 1000 {
			update := clone.Event(many[0]).Updates[0]
			update.Version += int64(i)
			many[0].Updates = append(many[0].Updates, update)
		}
		events = slices.Concat(events, many, ofEveryKind(true))
		p.publish(p.ends.Here, events)
		heard.wait(events)
	}},
	{"many events at once all arrive", func(p *busProbe) {
		heard := p.subscribe(p.ends.There)
		var numbers []int
		for i := range 500 {
			numbers = append(numbers, i+1)
		}
		p.publish(p.ends.Here, told(numbers...))
		heard.wait(told(numbers...))
	}},
	{"Publish may be called by several goroutines at the same time, and one call of hear is under way", func(p *busProbe) {
		heard := p.subscribe(p.ends.There)
		var callers sync.WaitGroup
		var numbers []int
		for i := range 16 {
			numbers = append(numbers, 2*i+1, 2*i+2)
			callers.Go(func() { p.publish(p.ends.Here, told(2*i+1, 2*i+2)) })
		}
		callers.Wait()
		heard.wait(told(numbers...))
	}},
	{"Publish neither keeps nor changes what it is given", func(p *busProbe) {
		heard := p.subscribe(p.ends.There)
		for i := range 10 {
			events := told(2*i+1, 2*i+2)
			given := clone.Events(events)
			p.publish(p.ends.Here, given)
			if d := diff("what was given", given, events); d != "" {
				p.errorf("%s", d)
			}
			for j := range given {
				spoil(given[j])
				given[j] = delivery.Event{}
			}
			heard.wait(events)
		}
	}},
	{"without a subscriber an event is accepted", func(p *busProbe) {
		p.publish(p.ends.Here, told(1))
	}},
	{"Subscribe returns nil soon after its ctx ends, and hears nothing more", func(p *busProbe) {
		stays := p.subscribe(p.ends.There)
		ctx, leave := context.WithCancel(p.ctx)
		leaves := p.subscribeUntil(ctx, p.ends.There)
		p.publish(p.ends.Here, told(1))
		stays.wait(told(1))
		leaves.wait(told(1))
		leave()
		select {
		case err := <-leaves.ended:
			if err != nil {
				p.errorf("it returned the error %v", err)
			}
		case <-time.After(soon):
			p.errorf("it had not returned %v after ctx ended", soon)
		}
		n := len(leaves.events())
		p.publish(p.ends.Here, told(2))
		stays.wait(told(2))
		if len(leaves.events()) != n {
			p.errorf("it heard an event after it had returned")
		}
	}},
	{"no call of hear is under way once Subscribe has returned", func(p *busProbe) {
		stays := p.subscribe(p.ends.There)
		ctx, leave := context.WithCancel(p.ctx)
		defer leave()
		standing, begun, goOn, heard := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
		stands, once := sync.OnceFunc(func() { close(standing) }), sync.OnceFunc(func() { close(begun); <-goOn; close(heard) })
		ended, over := make(chan error, 1), atomic.Bool{}
		hear := func(event delivery.Event) {
			if over.Load() {
				p.errorf("it heard an event after it had returned")
			}
			switch event.ID {
			case 0:
				stands()
			case 2:
				once()
			}
		}
		p.readers.Go(func() { ended <- p.ends.There.Subscribe(ctx, hear) })
		p.wait("the subscription stands", standing)
		p.readers.Go(func() { p.publish(p.ends.Here, told(2)) }) // which may wait for hear
		p.wait("the event is heard", begun)
		leave()
		published := make(chan struct{})
		p.readers.Go(func() { p.publish(p.ends.Here, told(3)); close(published) })
		select {
		case <-ended:
			p.errorf("Subscribe returned while a call of hear was under way")
			close(goOn)
			return
		case <-time.After(short):
		}
		close(goOn)
		p.wait("the call of hear ends", heard)
		select {
		case err := <-ended:
			over.Store(true)
			if err != nil {
				p.errorf("Subscribe returned the error %v", err)
			}
		case <-time.After(soon):
			p.errorf("Subscribe had not returned %v after the call of hear", soon)
		}
		p.wait("the events are published", published)
		stays.wait(told(2, 3))
		p.publish(p.ends.Here, told(4))
		stays.wait(told(4))
	}},
	{"after ctx has ended Publish returns nil only if all events were accepted", func(p *busProbe) {
		heard := p.subscribe(p.ends.There)
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		if err := p.ends.Here.Publish(ctx, told(1, 2)); err == nil {
			heard.wait(told(1, 2))
		} else {
			p.plain(err)
		}
	}},
	{"a subscriber that may have lost events hears the zero Event again, or Subscribe returns an error", func(p *busProbe) {
		p.need(p.ends.Cut != nil, "Cut")
		heard := p.subscribe(p.ends.There)
		p.publish(p.ends.Here, told(1))
		heard.wait(told(1))
		p.ends.Cut()
		select {
		case err := <-heard.ended:
			if err == nil {
				p.errorf("it returned nil, and its ctx has not ended")
			}
			heard = p.subscribe(p.ends.There)
		case <-heard.gap(2):
		case <-p.ctx.Done():
			p.errorf("the subscriber was not told")
			return
		}
		p.publish(p.ends.Here, told(2))
		heard.wait(told(2))
	}},
	{"a bus that fails is a plain error, which blames no event", func(p *busProbe) {
		p.need(p.ends.Fail != nil, "Fail")
		p.ends.Fail()
		p.plain(p.ends.Here.Publish(p.ctx, told(1, 2)))
	}},
	{"Publish and Subscribe return soon after ctx ends, though the bus gives no answer", func(p *busProbe) {
		p.need(p.ends.Hang != nil, "Hang")
		subscribed, leave := context.WithCancel(p.ctx)
		heard := p.subscribeUntil(subscribed, p.ends.There)
		p.ends.Hang()
		ctx, cancel := context.WithTimeout(p.ctx, short)
		defer cancel()
		returned := make(chan error, 1)
		go func() { returned <- p.ends.Here.Publish(ctx, told(1, 2)) }()
		select {
		case err := <-returned:
			p.plain(err)
		case <-time.After(short + soon):
			p.errorf("Publish had not returned %v after ctx ended", soon)
		}
		leave()
		select {
		case <-heard.ended:
		case <-time.After(soon):
			p.errorf("Subscribe had not returned %v after ctx ended", soon)
		}
	}},
}

// busProbe is a bus under test. Its methods may be called on any goroutine.
type busProbe struct {
	testing.TB
	ctx     context.Context
	rule    string
	ends    BusEnds
	readers sync.WaitGroup
}

func (p *busProbe) errorf(format string, args ...any) {
	p.Helper()
	p.Errorf("the rule: %s\nbut %s", p.rule, fmt.Sprintf(format, args...))
}

// need skips the test for want of a means.
func (p *busProbe) need(there bool, field string) {
	p.Helper()
	if !there {
		p.Skipf("not tested: the BusEnds have no %s", field)
	}
}

// publish publishes events, which must be accepted.
func (p *busProbe) publish(bus delivery.Bus, events []delivery.Event) {
	p.Helper()
	if err := bus.Publish(p.ctx, events); err != nil {
		p.errorf("Publish returned the error %v", err)
	}
}

// wait waits until something is done.
func (p *busProbe) wait(what string, done <-chan struct{}) {
	p.Helper()
	select {
	case <-done:
	case <-p.ctx.Done():
		p.errorf("it took too long until %s", what)
	}
}

// plain checks that the error blames no event.
func (p *busProbe) plain(err error) {
	p.Helper()
	(&notifierProbe{TB: p.TB, rule: p.rule}).plain(err)
}

// subscribe subscribes until the test's end, and returns once the subscription stands.
func (p *busProbe) subscribe(bus delivery.Bus) *hearing { return p.subscribeUntil(p.ctx, bus) }

func (p *busProbe) subscribeUntil(ctx context.Context, bus delivery.Bus) *hearing {
	p.Helper()
	h := &hearing{probe: p, ended: make(chan error, 1), grown: make(chan struct{})}
	p.readers.Go(func() { h.ended <- bus.Subscribe(ctx, h.hear) })
	select {
	case <-h.gap(1):
	case err := <-h.ended:
		p.errorf("Subscribe returned %v before the zero Event", err)
	case <-p.ctx.Done():
		p.errorf("the zero Event did not come")
	}
	return h
}

// hearing is what one subscriber heard.
type hearing struct {
	probe *busProbe
	ended chan error // what Subscribe returned
	busy  sync.Mutex // held during a call of hear

	mu    sync.Mutex
	heard []delivery.Event
	grown chan struct{} // closed at the next event
}

func (h *hearing) hear(event delivery.Event) {
	if !h.busy.TryLock() {
		h.probe.errorf("two calls of hear were under way")
		return
	}
	defer h.busy.Unlock()
	if rand.IntN(4) == 0 { // #nosec G404 -- a pause
		time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond) // #nosec G404 -- nothing to guess
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, clone.Event(event))
	close(h.grown)
	h.grown = make(chan struct{})
}

func (h *hearing) events() []delivery.Event {
	events, _ := h.watch()
	return events
}

func (h *hearing) watch() ([]delivery.Event, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heard[:len(h.heard):len(h.heard)], h.grown
}

// wait waits until the events were heard, whatever their order and repetition.
func (h *hearing) wait(events []delivery.Event) {
	h.probe.Helper()
	missing := make(map[int64]delivery.Event)
	for _, e := range events {
		missing[e.ID] = e
	}
	for seen := 0; ; {
		heard, grown := h.watch()
		for _, e := range heard[seen:] {
			if want, ok := missing[e.ID]; ok {
				if d := diff("an event that arrived", e, want); d != "" {
					h.probe.errorf("%s", d)
				}
				delete(missing, e.ID)
			}
		}
		seen = len(heard)
		if len(missing) == 0 {
			return
		}
		select {
		case <-grown:
		case <-h.probe.ctx.Done():
			h.probe.errorf("%d of %d events were not heard", len(missing), len(events))
			return
		}
	}
}

// gap returns a channel that is closed once the zero Event was heard n times.
func (h *hearing) gap(n int) <-chan struct{} {
	done := make(chan struct{})
	h.probe.readers.Go(func() {
		for {
			heard, grown := h.watch()
			zeros := 0
			for _, e := range heard {
				if e.Kind == 0 {
					zeros++
				}
			}
			if zeros >= n {
				close(done)
				return
			}
			select {
			case <-grown:
			case <-h.probe.ctx.Done():
				return
			}
		}
	})
	return done
}
