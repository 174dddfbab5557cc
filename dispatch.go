package delivery

import (
	"context"
	"sync"
	"time"
)

// word is what a publish says, each once and in this order.
type word uint8

const (
	callAnswered word = iota // no call is under way for it any more
	publishEnded             // it is settled, too
)

// publishQueue publishes what is in the queue until ctx ends, in batches. A full batch goes out at
// once. One that is not goes at once if no call is under way, and otherwise waits for company,
// until it is full, those calls have been answered, or its patience has ended. So an event alone
// waits for nobody, a stream of them takes few calls, and a call that hangs holds up nothing for
// long.
func (r *relay) publishQueue(ctx context.Context, wg *sync.WaitGroup) {
	var (
		batch    []held
		bell     <-chan time.Time // rings when the batch has waited long enough
		overdue  bool             // it has
		calls    int              // of the notifier, not answered yet
		underWay int              // publishes, which may be answered and are not settled yet
		hung     = time.NewTimer(time.Hour)
		words    = make(chan word, 2*publishers)
	)
	defer hung.Stop()
	for ctx.Err() == nil {
		batch = r.queue.fill(batch)
		if n := len(batch); underWay < publishers && (n == publishBatch || n > 0 && (calls == 0 || overdue)) {
			going := batch
			wg.Go(func() {
				defer func() { words <- publishEnded }()
				r.publish(context.WithoutCancel(ctx), going, func() { words <- callAnswered })
			})
			calls++
			if underWay++; underWay > publishers/2 {
				r.hurry()
			}
			hung.Reset(r.term)
			batch, bell, overdue = nil, nil, false
			if r.behind.Load() && len(r.queue.events) < queueGoal/2 {
				r.rouse()
			}
			continue
		}
		queue := r.queue.events
		switch {
		case len(batch) == publishBatch:
			queue = nil
		case len(batch) > 0 && bell == nil:
			bell = time.After(patience)
		}
		select {
		case <-ctx.Done():
		case h := <-queue:
			batch = append(batch, h)
		case w := <-words:
			switch w {
			case callAnswered:
				calls--
			case publishEnded:
				underWay--
			}
			hung.Reset(r.term)
		case <-bell:
			overdue = true
		case <-hung.C:
			if underWay == publishers {
				r.log.Error("delivery: no call of the notifier returns, though the time of all has run out; events wait", "calls", calls)
			}
			hung.Reset(remindEvery)
		}
	}
	r.release(batch)
}
