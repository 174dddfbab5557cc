package inspector

import (
	"context"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/coalesce"
)

// counter counts the outbox, once for all who look at the same time. Where many events wait, or
// many have just been published, a count takes long. A page then shows the one before, with the
// state that this process had then, and the new count goes on.
type counter struct {
	count func(context.Context) (delivery.Backlog, error)

	mu   sync.Mutex
	last counted
	next chan struct{} // closed when the count under way has ended; nil if there is none
}

// counted is the result of a count.
type counted struct {
	delivery.Backlog
	At  time.Time // when it began
	err error
}

const (
	countPatience = 50 * time.Millisecond // for a new count, if there is one to show
	countAge      = time.Minute           // of a count that is still shown
	countLimit    = 30 * time.Second      // for a count
)

// get returns the count that is under way, or the one before if that takes long. It ends with ctx.
func (c *counter) get(ctx context.Context) (result counted, old bool) {
	next, last := c.begin()
	var late <-chan time.Time
	if last.err == nil && time.Since(last.At) < countAge {
		late = time.After(countPatience)
	}
	select {
	case <-next:
	case <-late:
		return last, true
	case <-ctx.Done():
		return counted{err: ctx.Err()}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, false
}

// begin sees to it that a count is under way.
func (c *counter) begin() (next <-chan struct{}, last counted) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next == nil {
		c.next = make(chan struct{})
		go c.run()
	}
	return c.next, c.last
}

func (c *counter) run() {
	ctx, cancel := context.WithTimeout(context.Background(), countLimit)
	defer cancel()
	result := counted{At: time.Now()}
	result.Backlog, result.err = coalesce.Await(ctx, func() (delivery.Backlog, error) { return c.count(ctx) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = result
	close(c.next)
	c.next = nil
}
