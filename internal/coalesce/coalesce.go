// Package coalesce turns calls that overlap in time into batches: group commit without a timer.
//
// The first caller's items go out at once. Items of callers that come while that batch is in flight
// form the next one, with those of callers who call again as soon as they have an answer. So a call
// alone waits for nobody, and the busier it gets, the larger the batches grow.
//
// Each item may have a key. Batches that are in flight at the same time have no key in common, so
// items with the same key are written one batch after another, and those of one user in the order
// in which they came.
//
// Users take turns. A user with few items waiting goes before those with many; of these, each gets
// a few items into a batch that stays small, so that the next one is soon to come.
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

// ErrUnknown says that an item was in flight and that its outcome is not known: the caller's
// context ended before there was an answer, or the function panicked or ended its goroutine.
var ErrUnknown = errors.New("no answer, and the work may be done")

const (
	// Crowd is the weight of what waits and is in flight above which a group writes several batches
	// at a time. It returns to one at half that weight, so that it does not switch back and forth.
	Crowd = 32

	// few is the weight of waiting items up to which a user goes before users with more.
	few = 16

	// turn is the weight that a user with more than a few gets into a batch, and small that of a
	// batch which such users fill up.
	turn, small = 16, 64

	// slow is how long a batch is in flight before the others stop waiting for it, as for one on a
	// silent connection: another is written beside it, if there is a slot.
	slow = time.Second
)

// Item is one item of a call.
type Item[In any] struct {
	In  In
	Key string // what two batches must not be about at the same time; "" is nothing
}

// Result is what became of an [Item].
type Result[Out any] struct {
	Out Out
	Err error
}

// Func does the work for one batch and returns a result per item, in the same order. Its context is
// the batch's own and carries nothing of any caller's. It ends when the last caller has left, and
// at the latest deadline among them. A Func that does not return then is left behind.
type Func[In, Out any] func(ctx context.Context, items []In) []Result[Out]

// Slots limits how many batches are written at a time by all the groups that share it: as many as
// its capacity.
type Slots chan struct{}

// Group batches calls.
type Group[In, Out any] struct {
	// Slots may be shared with other groups, before the first call. By default a group has one slot
	// of its own.
	Slots Slots

	// Pause is called after each batch, while the next one gathers. It lets other goroutines run:
	// callers who just got their answers may come again at once, and should not have to wait for a
	// whole batch without them. It may be set, before the first call, to what takes longer.
	Pause func()

	do      Func[In, Out]
	max     int
	timeout time.Duration
	weigh   func(In) int

	mu      sync.Mutex
	lines   map[string]*line[In, Out] // by user
	order   []*line[In, Out]          // whose turn it is
	taken   map[string]*batch[In, Out]
	pending int               // the weight of what waits or is in flight
	leaders int               // goroutines that write batches
	flying  []*batch[In, Out] // in order; the other leaders are about to take one
	passed  bool              // the last batch passed over the users with many items
}

// line is what waits of one user's.
type line[In, Out any] struct {
	user    string
	entries []entry[In, Out]
}

type entry[In, Out any] struct {
	Item[In]
	weight int
	call   *call[In, Out]
	index  int // in the call
}

type batch[In, Out any] struct {
	began   time.Time
	entries []entry[In, Out]
	keys    []string
	weight  int
	callers map[*call[In, Out]]bool // who have not left
	cancel  context.CancelFunc
	late    *time.Timer // has others wait no longer for the batch
}

type call[In, Out any] struct {
	deadline time.Time // zero if there is none
	results  []Result[Out]
	flying   []*batch[In, Out] // that hold items of it
	left     int               // items without a result
	done     chan struct{}
}

// New returns a group whose batches weigh up to max, more only where one item alone does. A batch
// with a caller that has no deadline may take as long as the timeout. A nil weigh counts items.
func New[In, Out any](max int, timeout time.Duration, weigh func(In) int, do Func[In, Out]) *Group[In, Out] {
	if weigh == nil {
		weigh = func(In) int { return 1 }
	}
	return &Group[In, Out]{
		Slots: make(Slots, 1), Pause: runtime.Gosched, do: do, max: max, timeout: timeout, weigh: weigh,
		lines: make(map[string]*line[In, Out]), taken: make(map[string]*batch[In, Out]),
	}
}

// Do has a user's items done and returns their results, in the same order. They may share one batch
// or be spread over several.
//
// When ctx ends first, Do returns. The results of items that no batch had taken have ctx's error,
// and these items never happen; those of items in flight have [ErrUnknown] too.
func (g *Group[In, Out]) Do(ctx context.Context, user string, items ...Item[In]) []Result[Out] {
	c := &call[In, Out]{results: make([]Result[Out], len(items)), left: len(items), done: make(chan struct{})}
	if err := ctx.Err(); err != nil || len(items) == 0 {
		for i := range c.results {
			c.results[i].Err = err
		}
		return c.results
	}
	c.deadline, _ = ctx.Deadline()
	g.join(c, user, items)
	select {
	case <-c.done:
		return c.results
	case <-ctx.Done():
		return g.leave(c, user, ctx.Err())
	}
}

// join has a call wait, and sees to it that somebody takes it, if it may go out now.
func (g *Group[In, Out]) join(c *call[In, Out], user string, items []Item[In]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[user]
	if l == nil {
		l = &line[In, Out]{user: user}
		g.lines[user] = l
		g.order = append(g.order, l)
	}
	for i, item := range items {
		w := g.weigh(item.In)
		l.entries = append(l.entries, entry[In, Out]{item, w, c, i})
		g.pending += w
	}
	g.staff()
}

// staff adds a leader for what waits, if there is none, or too few for a crowd or beside a slow
// batch, and none is about to take a batch.
func (g *Group[In, Out]) staff() {
	if len(g.order) == 0 || g.leaders > len(g.flying) {
		return
	}
	if g.leaders == 0 || g.leaders < cap(g.Slots) && (g.pending > Crowd || g.slowed()) {
		g.leaders++
		go g.lead()
	}
}

// relieve adds a leader beside a batch that has become slow, if something waits.
func (g *Group[In, Out]) relieve() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.staff()
}

// slowed reports whether a batch has been in flight for long.
func (g *Group[In, Out]) slowed() bool {
	return len(g.flying) > 0 && time.Since(g.flying[0].began) >= slow
}

// lead writes batches as long as there is one to take. It runs on a goroutine of its own, so that
// the caller who started it can leave like any other.
func (g *Group[In, Out]) lead() {
	for {
		g.Slots <- struct{}{}
		b, ctx := g.take()
		if b != nil {
			g.run(ctx, b)
		}
		<-g.Slots
		if b == nil {
			return
		}
		g.Pause()
	}
}

// take moves the next batch out of what waits. If there is none, nil, the leader has left: other
// leaders go on, and without others nothing waits.
func (g *Group[In, Out]) take() (*batch[In, Out], context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := &batch[In, Out]{began: time.Now(), callers: make(map[*call[In, Out]]bool)}
	if g.leaders == 1 || g.pending > Crowd/2 || g.slowed() {
		g.fill(b)
	}
	if len(b.entries) == 0 {
		g.leaders--
		return nil, nil
	}
	var latest time.Time
	limit := b.began.Add(g.timeout)
	for c := range b.callers {
		c.flying = append(c.flying, b)
		deadline := c.deadline
		if deadline.IsZero() {
			deadline = limit
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), latest) // #nosec G118 -- run cancels it
	b.cancel = cancel
	b.late = time.AfterFunc(slow, g.relieve)
	g.flying = append(g.flying, b)
	g.staff()
	return b, ctx
}

// leave takes back what no batch has yet of a call, and returns what is known of the rest. A batch
// that everybody has left ends.
func (g *Group[In, Out]) leave(c *call[In, Out], user string, why error) []Result[Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	results := slices.Clone(c.results)
	for _, b := range c.flying {
		for _, e := range b.entries {
			if e.call == c {
				results[e.index].Err = fmt.Errorf("%w: %w", ErrUnknown, why)
			}
		}
		if delete(b.callers, c); len(b.callers) == 0 {
			b.cancel()
		}
	}
	if l := g.lines[user]; l != nil {
		l.entries = slices.DeleteFunc(l.entries, func(e entry[In, Out]) bool {
			if e.call != c {
				return false
			}
			results[e.index].Err = why
			g.pending -= e.weight
			return true
		})
	}
	return results
}

// run has a batch done, and gives every item its result.
func (g *Group[In, Out]) run(ctx context.Context, b *batch[In, Out]) {
	defer b.cancel()
	defer b.late.Stop()
	items := make([]In, len(b.entries))
	for i, e := range b.entries {
		items[i] = e.In
	}
	results, err := Await(ctx, func() ([]Result[Out], error) { return g.do(ctx, items), nil })
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("%w: %d results for %d items", ErrUnknown, len(results), len(items))
	}
	if err != nil {
		results = slices.Repeat([]Result[Out]{{Err: err}}, len(items))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flying = without(g.flying, b)
	g.pending -= b.weight
	for _, key := range b.keys {
		delete(g.taken, key)
	}
	for c := range b.callers {
		c.flying = without(c.flying, b)
	}
	for i, e := range b.entries {
		e.call.results[e.index] = results[i]
		if e.call.left--; e.call.left == 0 {
			close(e.call.done)
		}
	}
}

func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(each T) bool { return each == one })
}
