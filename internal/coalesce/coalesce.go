// Package coalesce turns calls that overlap in time into batches: group commit without a timer.
//
// The first caller's items go out at once. Callers that come while its batch is in flight form the
// next one, with those who call again as soon as they have an answer. So a call alone waits for
// nobody, and the busier it gets the larger the batches grow. Only a group that is told to pause
// waits for company.
//
// A group may have several writers. A batch has a price of its own, so they write side by side only
// in a crowd. Then they share alike what is there: the callers of a small batch would come again to
// wait for a large one.
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

// ErrUnknown says that a caller's items were in flight and that their outcome is not known: the
// caller's context ended before there was an answer, or the [Func] panicked or ended its goroutine.
var ErrUnknown = errors.New("no answer, and the work may be done")

// Func does the work for one batch, of one lane, and returns a result per item in the same order.
// Its context is the batch's own and carries nothing of any caller's. It ends when the last caller
// has left, and at the latest deadline among them. A Func that does not return then is left behind.
type Func[In, Out any] func(ctx context.Context, lane string, items []In) ([]Out, error)

// Crowd is the weight of calls above which they are one, in a lane. They stay one until they weigh
// half as much: it should not change all the time.
const Crowd = 32

// Group batches calls. Lanes don't wait for each other.
type Group[In, Out any] struct {
	// Writers is how many batches of a lane may be in flight at a time in a crowd; else it is one.
	// It may be set before the first call.
	Writers int

	// Pause is called after each batch of a lane, while the next one gathers, if there is one. It
	// lets other goroutines run: those who just got their answers may come again at once, and
	// should not have to wait for a whole batch without them. It may be set, before the first call,
	// to what takes longer.
	Pause func()

	do      Func[In, Out]
	max     int
	timeout time.Duration
	weigh   func(In) int

	mu    sync.Mutex
	lanes map[string]*lane[In, Out] // those that somebody leads

	spareLanes, spareCalls sync.Pool
}

type lane[In, Out any] struct {
	waiting []*call[In, Out]
	taken   map[string]*batch[In, Out] // the keys of batches in flight
	pending int                        // the weight of who waits or is in flight
	leaders int
	flying  int // batches; the other leaders are about to take one
}

type batch[In, Out any] struct {
	calls   []*call[In, Out]
	keys    []string
	weight  int
	present int // callers who have not left; guarded by Group.mu
	ctx     context.Context
	cancel  context.CancelFunc
}

type call[In, Out any] struct {
	keys     []string
	items    []In
	weight   int
	deadline time.Time // zero if there is none
	outs     []Out
	err      error
	batch    *batch[In, Out] // that has taken it; guarded by Group.mu
	done     chan struct{}   // holds one word, so that who says it never waits
}

// New returns a group whose batches weigh up to max, more only where one call alone does. A batch
// with a caller that has no deadline may take as long as the timeout. A nil weigh counts items.
func New[In, Out any](max int, timeout time.Duration, weigh func(In) int, do Func[In, Out]) *Group[In, Out] {
	g := &Group[In, Out]{Writers: 1, Pause: runtime.Gosched, do: do, max: max, timeout: timeout, weigh: weigh, lanes: make(map[string]*lane[In, Out])}
	g.spareLanes.New = func() any {
		return &lane[In, Out]{taken: make(map[string]*batch[In, Out])}
	}
	g.spareCalls.New = func() any { return &call[In, Out]{done: make(chan struct{}, 1)} }
	return g
}

// Do has the items done, in one batch, and returns their results. The keys name what two batches
// must not be about at the same time: those of a lane that are in flight together have none in
// common, but for one that was left behind.
//
// When ctx ends first, Do leaves: with ctx's error alone if no batch had taken the items yet (then
// they never happen), with [ErrUnknown] too if one had.
func (g *Group[In, Out]) Do(ctx context.Context, name string, keys []string, items ...In) ([]Out, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := g.spareCalls.Get().(*call[In, Out])
	c.keys, c.items, c.weight = append(c.keys, keys...), items, len(items)
	c.deadline, _ = ctx.Deadline()
	if g.weigh != nil {
		c.weight = 0
		for _, item := range items {
			c.weight += g.weigh(item)
		}
	}
	l := g.join(name, c)

	select {
	case <-c.done:
		return g.finish(c)
	case <-ctx.Done():
	}
	if g.leave(l, c) {
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
func (g *Group[In, Out]) join(name string, c *call[In, Out]) *lane[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[name]
	if l == nil {
		l = g.spareLanes.Get().(*lane[In, Out])
		g.lanes[name] = l
	}
	l.waiting = append(l.waiting, c)
	l.pending += c.weight
	_, others := l.has(c, nil)
	if free := !others || l.pending-c.weight <= Crowd; free && l.leaders == l.flying { // or others may be, now that it is a crowd
		g.staff(name, l)
	}
	return l
}

// staff gives a lane in which somebody waits its first leader, or in a crowd another one.
func (g *Group[In, Out]) staff(name string, l *lane[In, Out]) {
	if l.leaders == 0 || l.leaders < g.Writers && l.pending > Crowd {
		l.leaders++
		go g.lead(name, l)
	}
}

// has reports whether the batch, and whether others have any of the call's keys.
func (l *lane[In, Out]) has(c *call[In, Out], b *batch[In, Out]) (this, others bool) {
	for _, key := range c.keys {
		if owner := l.taken[key]; owner != nil {
			this, others = this || owner == b, others || owner != b
		}
	}
	return this, others
}

// finish returns the results of a call that is done. Only such a call is used again: a batch may
// still hold one that its caller left.
func (g *Group[In, Out]) finish(c *call[In, Out]) ([]Out, error) {
	outs, err := c.outs, c.err
	clear(c.keys)
	*c = call[In, Out]{keys: c.keys[:0], done: c.done}
	g.spareCalls.Put(c)
	return outs, err
}

// lead runs batches of the lane as long as there is one for it. It runs on a goroutine of its own,
// so that the caller who started it can leave like any other.
func (g *Group[In, Out]) lead(name string, l *lane[In, Out]) {
	for {
		b := g.take(name, l)
		if b == nil {
			return
		}
		g.run(name, l, b)
		g.Pause()
	}
}

// take moves the next batch out of those who wait. If there is none, nil, the leader is to leave:
// the others go on, and without others nobody waits.
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
	// #nosec G118 -- whoever writes the batch cancels it
	b.ctx, b.cancel = context.WithDeadline(context.Background(), b.deadline(time.Now().Add(g.timeout)))
	b.present = len(b.calls)
	if l.flying++; l.leaders == l.flying && len(l.waiting) > 0 {
		g.staff(name, l)
	}
	return b
}

// deadline returns the latest deadline of the batch's callers, of whom those that have none get the
// limit.
func (b *batch[In, Out]) deadline(limit time.Time) (latest time.Time) {
	for _, c := range b.calls {
		d := c.deadline
		if d.IsZero() {
			d = limit
		}
		if d.After(latest) {
			latest = d
		}
	}
	return latest
}

// fill moves to the batch those who came first and whose keys no other batch has. In a crowd that
// is a writer's share of what is there, with all that has keys in common with it: no other writer
// could take that. Those passed over are not overtaken by later ones with the same keys, or might
// wait forever.
func (g *Group[In, Out]) fill(l *lane[In, Out], b *batch[In, Out]) {
	share, loads := g.max, map[string]int(nil)
	if g.Writers > 1 && (l.leaders > 1 || l.pending > Crowd) {
		if part := (l.pending + g.Writers - 1) / g.Writers; part < g.max {
			share, loads = part, l.loads()
		}
	}
	var (
		passed batch[In, Out]
		load   int // what has keys in common with the batch
		stay   = l.waiting[:0]
	)
	for i, c := range l.waiting {
		if len(b.calls) > 0 && b.weight+c.weight > g.max {
			stay = append(stay, l.waiting[i:]...)
			break
		}
		this, others := l.has(c, b)
		more := l.more(c, loads)
		switch {
		case others:
			l.reserve(c, &passed)
			stay = append(stay, c)
		case this || load == 0 || load+more <= share:
			load += more
			l.reserve(c, b)
			c.batch = b
			b.calls = append(b.calls, c)
			b.weight += c.weight
		default:
			stay = append(stay, c)
		}
	}
	l.release(&passed)
	clear(l.waiting[len(stay):])
	l.waiting = stay
}

// loads returns the weight of who waits, by key.
func (l *lane[In, Out]) loads() map[string]int {
	loads := make(map[string]int, len(l.waiting))
	for _, c := range l.waiting {
		for _, key := range c.keys {
			loads[key] += c.weight
		}
	}
	return loads
}

// more is what comes with a call: the loads of its keys, as far as nobody has these.
func (l *lane[In, Out]) more(c *call[In, Out], loads map[string]int) (more int) {
	for _, key := range c.keys {
		if l.taken[key] == nil {
			more += loads[key]
		}
	}
	return more
}

// reserve gives a batch the call's keys, as far as nobody has them.
func (l *lane[In, Out]) reserve(c *call[In, Out], b *batch[In, Out]) {
	for _, key := range c.keys {
		if l.taken[key] == nil {
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

// leave takes back a call that no batch has yet, and reports whether that was so. A batch that
// everybody has left ends.
func (g *Group[In, Out]) leave(l *lane[In, Out], c *call[In, Out]) (untaken bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if b := c.batch; b != nil {
		if b.present--; b.present == 0 {
			b.cancel()
		}
		return false
	}
	i := slices.Index(l.waiting, c)
	l.waiting = slices.Delete(l.waiting, i, i+1)
	l.pending -= c.weight
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

// run has a batch done, and gives everyone who waits an answer.
func (g *Group[In, Out]) run(name string, l *lane[In, Out], b *batch[In, Out]) {
	defer b.cancel()
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
	outs, err := Await(b.ctx, func() ([]Out, error) { return g.do(b.ctx, name, items) })
	if err == nil && len(outs) != len(items) {
		err = fmt.Errorf("%d results for %d items", len(outs), len(items))
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
}
