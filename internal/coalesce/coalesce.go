// Package coalesce turns calls that overlap in time into batches: group commit without a timer.
//
// The first caller's items go out at once. Those who call while its batch is in flight form the next
// one, with those who call again as soon as they have an answer. So a call alone waits for nobody, and
// the busier it gets the larger the batches grow. Only a group that is told to pause waits for company.
//
// A group may have several writers. A batch has a price of its own, so they write side by side only in a
// crowd. Then they share alike what is there: the callers of a small batch would come again to wait for a large one.
package coalesce

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// ErrUnknown is what a caller gets whose context ended while its items were in flight.
var ErrUnknown = errors.New("left while the batch was in flight")

// Func does the work for one batch, of one lane, and returns a result per item in the same order.
// Its context is the batch's own: it carries nothing of any caller's.
type Func[In, Out any] func(ctx context.Context, lane string, items []In) ([]Out, error)

// Crowd is the weight of calls above which they are one, in a lane. They stay one until they weigh half as
// much: it should not change all the time.
const Crowd = 32

// Group batches calls. Lanes don't wait for each other.
type Group[In, Out any] struct {
	// Writers is how many batches of a lane may be in flight at a time in a crowd; else it is one. It may be set before
	// the first call.
	Writers int

	// Pause is called after each batch of a lane, while the next one gathers, if there is one. It lets other
	// goroutines run: those who just got their answers may come again at once, and should not have to wait for a
	// whole batch without them. It may be set, before the first call, to what takes longer.
	Pause func()

	do      Func[In, Out]
	max     int
	timeout time.Duration
	weigh   func(In) int

	mu    sync.Mutex
	lanes map[string]*lane[In, Out] // those that somebody leads

	spareLanes, spareQueues, spareCalls sync.Pool
}

type lane[In, Out any] struct {
	queues  []*queue[In, Out]          // of those who wait; whose first came first is first
	waiting map[string]*queue[In, Out] // the same, by their first key
	taken   map[string]*batch[In, Out] // the keys of batches in flight
	pending int                        // the weight of who waits or is in flight
	leaders int
	flying  int // batches; the other leaders are about to take one
}

// queue is of calls with the same first key, which go together. Its other keys are those of any of them.
type queue[In, Out any] struct {
	keys  []string
	calls []*call[In, Out]
}

type batch[In, Out any] struct {
	calls  []*call[In, Out]
	keys   []string
	weight int
}

type call[In, Out any] struct {
	items  []In
	weight int
	outs   []Out
	err    error
	queue  *queue[In, Out] // nil when a batch has it; guarded by Group.mu
	done   chan struct{}   // holds one word, so that who says it never waits
}

// New returns a group whose batches weigh up to max, more only where one call alone does, and are given
// up after the timeout. A nil weigh counts items.
func New[In, Out any](max int, timeout time.Duration, weigh func(In) int, do Func[In, Out]) *Group[In, Out] {
	g := &Group[In, Out]{Writers: 1, Pause: runtime.Gosched, do: do, max: max, timeout: timeout, weigh: weigh, lanes: make(map[string]*lane[In, Out])}
	g.spareLanes.New = func() any {
		return &lane[In, Out]{waiting: make(map[string]*queue[In, Out]), taken: make(map[string]*batch[In, Out])}
	}
	g.spareQueues.New = func() any { return new(queue[In, Out]) }
	g.spareCalls.New = func() any { return &call[In, Out]{done: make(chan struct{}, 1)} }
	return g
}

// Do has the items done, in one batch, and returns their results. The keys name what two batches must not be about at
// the same time: those of a lane that are in flight together have none in common. Not to have any is a key, too.
//
// When ctx ends first, Do leaves: with ctx's error alone if no batch had taken the items yet (then
// they never happen), with [ErrUnknown] too if one had.
func (g *Group[In, Out]) Do(ctx context.Context, name string, keys []string, items ...In) ([]Out, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := g.spareCalls.Get().(*call[In, Out])
	c.items, c.weight = items, len(items)
	if g.weigh != nil {
		c.weight = 0
		for _, item := range items {
			c.weight += g.weigh(item)
		}
	}
	l := g.join(name, keys, c)

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

// join has a call wait in its lane, and sees to it that somebody takes it, if it may go out now.
func (g *Group[In, Out]) join(name string, keys []string, c *call[In, Out]) *lane[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[name]
	if l == nil {
		l = g.spareLanes.Get().(*lane[In, Out])
		g.lanes[name] = l
	}
	if len(keys) == 0 {
		keys = none
	}
	q := l.waiting[keys[0]]
	if q == nil {
		q = g.spareQueues.Get().(*queue[In, Out])
		q.keys = append(q.keys, keys[0])
		l.queues = append(l.queues, q)
		l.waiting[keys[0]] = q
	}
	q.keys = append(q.keys, keys[1:]...)
	q.calls = append(q.calls, c)
	l.pending += c.weight
	c.queue = q
	if l.leaders == l.flying && l.free(q, nil) {
		g.staff(name, l)
	}
	return l
}

var none = []string{""}

// staff gives a lane in which somebody waits its first leader, or in a crowd another one.
func (g *Group[In, Out]) staff(name string, l *lane[In, Out]) {
	if l.leaders == 0 || l.leaders < g.Writers && l.pending > Crowd {
		l.leaders++
		go g.lead(name, l)
	}
}

// free reports whether no other batch than b has any of the queue's keys.
func (l *lane[In, Out]) free(q *queue[In, Out], b *batch[In, Out]) bool {
	for _, key := range q.keys {
		if other, taken := l.taken[key]; taken && other != b {
			return false
		}
	}
	return true
}

// finish returns the results of a call that is done. Only such a call is used again: a batch may still
// hold one that its caller left.
func (g *Group[In, Out]) finish(c *call[In, Out]) ([]Out, error) {
	outs, err := c.outs, c.err
	*c = call[In, Out]{done: c.done}
	g.spareCalls.Put(c)
	return outs, err
}

// lead runs batches of the lane as long as there is one for it. It runs on a goroutine of its own, so that the
// caller who started it can leave like any other.
func (g *Group[In, Out]) lead(name string, l *lane[In, Out]) {
	for {
		b := g.take(name, l)
		if b == nil {
			return
		}
		if !g.run(name, l, b) {
			return
		}
		g.Pause()
	}
}

// take moves the next batch out of those who wait. If there is none, nil, the leader is to leave: the others go on,
// and without others nobody waits.
func (g *Group[In, Out]) take(name string, l *lane[In, Out]) *batch[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := new(batch[In, Out])
	if l.leaders == 1 || l.pending > Crowd/2 {
		g.fill(l, b)
	}
	if len(b.calls) == 0 {
		if l.leaders--; l.leaders == 0 {
			delete(g.lanes, name)
			g.spareLanes.Put(l)
		}
		return nil
	}
	if l.flying++; l.leaders == l.flying && len(l.queues) > 0 {
		g.staff(name, l)
	}
	return b
}

// fill moves to the batch the first queues whose keys no other batch has; in a crowd, a writer's share of what is
// there. Those passed over are not overtaken by later ones with the same keys, or might wait forever.
func (g *Group[In, Out]) fill(l *lane[In, Out], b *batch[In, Out]) {
	share := g.max
	if l.pending > Crowd {
		share = min(share, (l.pending+g.Writers-1)/g.Writers)
	}
	var (
		passed batch[In, Out]
		stay   = l.queues[:0]
	)
	for i, q := range l.queues {
		if b.weight >= share {
			stay = append(stay, l.queues[i:]...)
			break
		}
		if l.free(q, b) && (len(b.calls) == 0 || b.weight+q.weight() <= share) {
			l.reserve(q, b)
			if g.move(q, b); len(q.calls) == 0 {
				delete(l.waiting, q.keys[0])
				g.retire(q)
				continue
			}
		} else {
			l.reserve(q, &passed)
		}
		stay = append(stay, q)
	}
	l.release(&passed)
	clear(l.queues[len(stay):])
	l.queues = stay
}

// reserve gives a batch the queue's keys, as far as they are free.
func (l *lane[In, Out]) reserve(q *queue[In, Out], b *batch[In, Out]) {
	for _, key := range q.keys {
		if _, taken := l.taken[key]; !taken {
			l.taken[key] = b
			b.keys = append(b.keys, key)
		}
	}
}

func (l *lane[In, Out]) release(b *batch[In, Out]) {
	for _, key := range b.keys {
		delete(l.taken, key)
	}
}

// move moves the queue's calls to the batch, one at least and not more than may go together.
func (g *Group[In, Out]) move(q *queue[In, Out], b *batch[In, Out]) {
	n := 0
	for _, c := range q.calls {
		if len(b.calls) > 0 && b.weight+c.weight > g.max {
			break
		}
		b.calls = append(b.calls, c)
		b.weight += c.weight
		c.queue = nil
		n++
	}
	q.calls = slices.Delete(q.calls, 0, n)
}

func (q *queue[In, Out]) weight() (weight int) {
	for _, c := range q.calls {
		weight += c.weight
	}
	return weight
}

// retire keeps an empty queue for others.
func (g *Group[In, Out]) retire(q *queue[In, Out]) {
	clear(q.keys)
	*q = queue[In, Out]{keys: q.keys[:0], calls: q.calls[:0]}
	g.spareQueues.Put(q)
}

// withdraw takes back a call that no batch has yet.
func (g *Group[In, Out]) withdraw(l *lane[In, Out], c *call[In, Out]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := c.queue
	if q == nil {
		return false
	}
	i := slices.Index(q.calls, c)
	q.calls = slices.Delete(q.calls, i, i+1)
	l.pending -= c.weight
	if len(q.calls) == 0 {
		i := slices.Index(l.queues, q)
		l.queues = slices.Delete(l.queues, i, i+1)
		delete(l.waiting, q.keys[0])
		g.retire(q)
	}
	return true
}

// end takes a batch off what is in flight.
func (g *Group[In, Out]) end(l *lane[In, Out], b *batch[In, Out]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.flying--
	l.pending -= b.weight
	l.release(b)
}

// errExit is what became of a batch whose function ended the goroutine, as t.FailNow does.
var errExit = errors.New("the batch's goroutine was ended")

// run has a batch done. Whatever the function does, everyone who waits gets an answer, and those who come
// later get a leader.
func (g *Group[In, Out]) run(name string, l *lane[In, Out], b *batch[In, Out]) (goOn bool) {
	items := b.calls[0].items
	if len(b.calls) > 1 {
		n := 0
		for _, c := range b.calls {
			n += len(c.items)
		}
		items = make([]In, 0, n)
		for _, c := range b.calls {
			items = append(items, c.items...)
		}
	}
	var outs []Out
	err := errExit
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		g.end(l, b)
		for _, c := range b.calls {
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
