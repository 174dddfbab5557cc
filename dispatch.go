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

// publishQueue publishes what is in the queue until ctx ends, in batches, as many at a time as the
// window allows. A full batch goes out at once. A smaller batch goes out at once if no call is
// under way. Otherwise it waits until it is full, all calls have been answered, or its patience has
// ended. So an event alone does not wait, a stream of events takes few calls, and a call that hangs
// delays the other events by no more than patience.
func (r *relay) publishQueue(ctx context.Context, wg *sync.WaitGroup) {
	var (
		bell     <-chan time.Time // rings when the first batch has waited long enough
		overdue  bool             // it has
		calls    int              // of the notifier, not answered yet
		underWay int              // publishes, which may be answered and are not settled yet
		hung     = time.NewTimer(time.Hour)
		words    = make(chan word, 2*r.calls)
	)
	defer hung.Stop()
	for ctx.Err() == nil {
		events, bytes := r.queue.waiting()
		full := events >= r.events || bytes >= r.bytes
		free := underWay < r.calls && r.window.free()
		if free && (full || events > 0 && (calls == 0 || overdue)) {
			batch, flight := r.queue.take(r.events, r.bytes), r.window.begin()
			wg.Go(func() {
				defer func() { words <- publishEnded }()
				var once sync.Once
				answered := func(v verdict) {
					once.Do(func() {
						r.window.end(flight, v)
						words <- callAnswered
					})
				}
				defer answered(nothing)
				r.publish(context.WithoutCancel(ctx), batch, answered)
			})
			calls++
			if underWay++; underWay > r.calls/2 {
				r.hurry()
			}
			hung.Reset(r.term)
			bell, overdue = nil, false
			if r.behind.Load() && r.queue.room(r.goal()) > 0 {
				r.rouse()
			}
			continue
		}
		if events > 0 && bell == nil && !overdue {
			bell = time.After(patience)
		}
		select {
		case <-ctx.Done():
		case <-r.queue.arrived:
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
			if events > 0 && !free {
				r.log.Error("delivery: all calls of the notifier have exceeded their time limit and have not returned; events wait", "calls", calls)
			}
			hung.Reset(remindEvery)
		}
	}
}
