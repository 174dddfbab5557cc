// Package coalesce turns calls that overlap in time into batches: group commit without a timer.
//
// The first caller's items go out at once. Those who call while its batch is in flight form the next
// one, with those who call again as soon as they have an answer. So a call alone waits for nobody, and
// the busier it gets the larger the batches grow. Only a group that is told to pause waits for company.
package coalesce

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// ErrUnknown is what a caller gets whose context ended while its items were in flight.
var ErrUnknown = errors.New("left while the batch was in flight")

// Func does the work for one batch, of one lane, and returns a result per item in the same order.
// Its context is the batch's own: it carries nothing of any caller's.
type Func[In, Out any] func(ctx context.Context, lane string, items []In) ([]Out, error)

// Group batches calls. Each lane has at most one batch in flight; lanes don't wait for each other.
type Group[In, Out any] struct {
	// Pause is called after each batch of a lane, while the next one gathers, if there is one. It lets other
	// goroutines run: those who just got their answers may come again at once, and should not have to wait for a
	// whole batch without them. It may be set, before the first call, to what takes longer.
	Pause func()

	do      Func[In, Out]
	max     int
	timeout time.Duration
	weigh   func(In) int

	mu    sync.Mutex
	lanes map[string]*lane[In, Out] // those with a batch in flight, or in the pause after it
	calls sync.Pool                 // of *call, at rest
}

type lane[In, Out any] struct {
	waiting []*call[In, Out]
	pending int // the weight of those, and of the batch in flight
}

type call[In, Out any] struct {
	items  []In
	weight int
	outs   []Out
	err    error
	taken  bool          // a batch has it; guarded by Group.mu
	done   chan struct{} // holds one word, so that who says it never waits
}

// New returns a group whose batches weigh up to max, more only where one call alone does, and are given
// up after the timeout. A nil weigh counts items.
func New[In, Out any](max int, timeout time.Duration, weigh func(In) int, do Func[In, Out]) *Group[In, Out] {
	g := &Group[In, Out]{Pause: runtime.Gosched, do: do, max: max, timeout: timeout, weigh: weigh, lanes: make(map[string]*lane[In, Out])}
	g.calls.New = func() any { return &call[In, Out]{done: make(chan struct{}, 1)} }
	return g
}

// Do has the items done, in one batch, and returns their results.
//
// When ctx ends first, Do leaves: with ctx's error alone if no batch had taken the items yet (then
// they never happen), with [ErrUnknown] too if one had.
func (g *Group[In, Out]) Do(ctx context.Context, name string, items ...In) ([]Out, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := g.calls.Get().(*call[In, Out])
	c.items, c.weight = items, len(items)
	if g.weigh != nil {
		c.weight = 0
		for _, item := range items {
			c.weight += g.weigh(item)
		}
	}

	g.mu.Lock()
	l, busy := g.lanes[name]
	if !busy {
		l = new(lane[In, Out])
		g.lanes[name] = l
	}
	l.waiting = append(l.waiting, c)
	l.pending += c.weight
	g.mu.Unlock()
	if !busy {
		go g.lead(name, l)
	}

	select {
	case <-c.done:
		return g.finish(c)
	case <-ctx.Done():
	}
	if g.withdraw(l, c) {
		return nil, ctx.Err()
	}
	select {
	case <-c.done: // at the same moment: what is known counts
		return g.finish(c)
	default:
		return nil, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
}

// Pending returns the weight of what has come in these lanes and is not done.
func (g *Group[In, Out]) Pending(lanes []string) (weight int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range lanes {
		if l := g.lanes[name]; l != nil {
			weight += l.pending
		}
	}
	return weight
}

// finish returns the results of a call that is done. Only such a call is used again: a batch may still
// hold one that its caller left.
func (g *Group[In, Out]) finish(c *call[In, Out]) ([]Out, error) {
	outs, err := c.outs, c.err
	*c = call[In, Out]{done: c.done}
	g.calls.Put(c)
	return outs, err
}

// lead runs the lane's batches until nobody waits. It runs on a goroutine of its own, so that the
// caller who started it can leave like any other.
func (g *Group[In, Out]) lead(name string, l *lane[In, Out]) {
	for {
		batch := g.take(name, l)
		if batch == nil {
			return
		}
		if !g.run(name, l, batch) {
			return
		}
		g.Pause()
	}
}

// take removes the next batch from the lane; nil, when nobody waits, ends the lane.
func (g *Group[In, Out]) take(name string, l *lane[In, Out]) []*call[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, weight := 0, 0
	for n < len(l.waiting) && (n == 0 || weight+l.waiting[n].weight <= g.max) {
		weight += l.waiting[n].weight
		l.waiting[n].taken = true
		n++
	}
	if n == 0 {
		delete(g.lanes, name)
		return nil
	}
	batch := l.waiting[:n:n]
	l.waiting = l.waiting[n:]
	return batch
}

// withdraw takes back a call that no batch has yet.
func (g *Group[In, Out]) withdraw(l *lane[In, Out], c *call[In, Out]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.taken {
		return false
	}
	for i, w := range l.waiting {
		if w == c {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			l.pending -= c.weight
			break
		}
	}
	return true
}

// end takes a batch off what is pending.
func (g *Group[In, Out]) end(l *lane[In, Out], batch []*call[In, Out]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range batch {
		l.pending -= c.weight
	}
}

// errExit is what became of a batch whose function ended the goroutine, as t.FailNow does.
var errExit = errors.New("the batch's goroutine was ended")

// run has a batch done. Whatever the function does, everyone who waits gets an answer, and those who come
// later get a leader.
func (g *Group[In, Out]) run(name string, l *lane[In, Out], batch []*call[In, Out]) (goOn bool) {
	items := batch[0].items
	if len(batch) > 1 {
		n := 0
		for _, c := range batch {
			n += len(c.items)
		}
		items = make([]In, 0, n)
		for _, c := range batch {
			items = append(items, c.items...)
		}
	}
	var outs []Out
	err := errExit
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		g.end(l, batch)
		for _, c := range batch {
			if err != nil {
				c.err = err
			} else {
				n := len(c.items)
				c.outs, outs = outs[:n:n], outs[n:]
			}
			c.done <- struct{}{}
		}
		if goOn = !errors.Is(err, errExit); !goOn {
			go g.lead(name, l)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), g.timeout)
	defer cancel()
	outs, err = g.do(ctx, name, items)
	if err == nil && len(outs) != len(items) {
		err = fmt.Errorf("%d results for %d items", len(outs), len(items))
	}
	return true
}
