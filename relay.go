package delivery

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

const (
	publishers   = 32 // publishes under way at a time: what hides an endpoint's latency
	publishBatch = 10 // events a publish: what one call of Pusher takes
	queueGoal    = publishers * publishBatch
	queueSize    = queueGoal + 2*MaxBatch // events held in memory: the goal, and what two writes bring at once
	pollInterval = 250 * time.Millisecond // at most, between looks at the outbox
	sweepRest    = 9                      // times as long as a look at the whole outbox takes, before the next one that Wake asks for

	// patience is how long an event waits for company at most: about as long as a call takes, so that
	// nobody sees it, and longer than ten events need to come where calls are many enough to be saved.
	patience = 20 * time.Millisecond

	// gathering is how long settlements gather at most after others were written. Hardly anybody
	// waits for them, though a crash has their events come again; and a commit for each publish
	// costs as much as one for the marks.
	gathering = 5 * time.Millisecond
)

// held is an event that this process may publish.
type held struct {
	Claimed
	since time.Time // a moment before the lease began
}

// relay is the part of a Tracker that publishes the outbox. Events come to its queue by two ways:
// from this process's own commits, born leased to it, and from claims of what others left behind.
type relay struct {
	queue  chan held
	wake   chan struct{} // look at the outbox now
	late   atomic.Bool   // an event may have become due long after it was written
	behind atomic.Bool   // the last claim was full: there is more in the outbox
	short  chan struct{} // ends the gathering of settlements

	mu      sync.RWMutex
	running bool // Run is on
	open    bool // the queue takes events
}

func (r *relay) init() {
	r.queue = make(chan held, queueSize)
	r.wake = make(chan struct{}, 1)
	r.short = make(chan struct{}, 1)
}

// rouse has the relay look at the outbox now.
func (r *relay) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// lease returns the lease that the events of a write are to be born with: none if they could not be
// published at once anyway.
func (r *relay) lease(d time.Duration, b *breaker) Lease {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.open || len(r.queue) > queueGoal || b.state() != BreakerClosed {
		return Lease{}
	}
	return newLease(d)
}

func newLease(d time.Duration) Lease {
	return Lease{Token: rand.Int64N(1<<62) + 1, For: d} // #nosec G404 -- tells our own processes apart, and keeps nobody out
}

// put adds an event to the queue, and reports whether that was possible.
func (r *relay) put(h held) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.open {
		return false
	}
	select {
	case r.queue <- h:
		return true
	default:
		return false
	}
}

// start opens the queue, unless the relay is running already.
func (r *relay) start() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running {
		return false
	}
	r.running, r.open = true, true
	return true
}

// fill adds what is in the queue to a batch, until it is full.
func (r *relay) fill(batch []held) []held {
	batch = slices.Grow(batch, publishBatch-len(batch))
	for len(batch) < publishBatch {
		select {
		case h := <-r.queue:
			batch = append(batch, h)
		default:
			return batch
		}
	}
	return batch
}

// close stops the queue from taking events and returns those that are in it.
func (r *relay) close() (left []held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = false
	r.hurry()
	for {
		select {
		case h := <-r.queue:
			left = append(left, h)
		default:
			return left
		}
	}
}

// gather lets settlements gather, as long as publishers are left.
func (r *relay) gather() {
	if !r.isOpen() {
		return
	}
	timer := time.NewTimer(gathering)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.short:
	}
}

// hurry ends the gathering.
func (r *relay) hurry() {
	select {
	case r.short <- struct{}{}:
	default:
	}
}

func (r *relay) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
}

func (r *relay) isOpen() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.open
}

func (r *relay) isRunning() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.running
}

// Run is the relay: it publishes committed events until ctx ends, and returns nil then. Any number
// of processes may run one over the same store; whatever one leaves behind, even by a crash,
// another publishes when the lease has run out. A second Run of the same Tracker at the same time
// is [ErrRunning].
//
// When ctx ends, Run takes on nothing new, gives back for others what it has not begun to publish,
// and finishes what is in flight. It returns within [Options.Lease]: calls of the Notifier have 1/3
// of it, and so has each of the writes that follow.
func (t *Tracker) Run(ctx context.Context) error {
	if !t.relay.start() {
		return ErrRunning
	}
	defer t.relay.stop()
	var wg sync.WaitGroup
	wg.Go(func() { t.publishQueue(ctx, &wg) })
	t.claimLoop(ctx, &wg)
	t.release(t.relay.close())
	wg.Wait()
	return nil
}

// Wake makes a running relay look at the outbox now: call it after the commit of a transaction in
// which a Tx form was used. Without a Run in this process it does nothing.
func (t *Tracker) Wake() {
	t.relay.late.Store(true)
	t.relay.rouse()
}

// sweep has the next claim look at the whole outbox.
func (t *Tracker) sweep() {
	if s, ok := t.store.(SweepStore); ok {
		s.Sweep()
	}
}

// handOver gives the events of a write that this process holds to its relay, and sees to it that
// others are found.
func (t *Tracker) handOver(claimed []Claimed, since time.Time) {
	var left []held
	for _, c := range claimed {
		if h := (held{c, since}); !t.relay.put(h) {
			left = append(left, h)
		}
	}
	t.release(left)
	if len(claimed) == 0 && !t.relay.isRunning() && t.watchDue() {
		go t.watchBacklog(context.Background()) // no caller waits for it
	}
}

// claimLoop feeds the queue from the outbox until ctx ends.
func (t *Tracker) claimLoop(ctx context.Context, wg *sync.WaitGroup) {
	var again time.Time // when the next sweep may begin
	for ctx.Err() == nil {
		if t.watchDue() {
			wg.Go(func() { t.watchBacklog(ctx) })
		}
		pause := pollInterval/2 + rand.N(pollInterval/2) // #nosec G404 -- nothing to guess: it only spreads load
		if n := t.breaker.wants(queueGoal - len(t.relay.queue)); n > 0 {
			began := time.Now()
			late := began.After(again) && t.relay.late.Swap(false)
			if late {
				t.sweep()
			}
			claimed, err := t.claim(ctx, n)
			if late {
				again = time.Now().Add(sweepRest * time.Since(began))
			}
			if t.trouble(&t.claiming, err, "claiming events failed"); err != nil {
				pause = time.Second
			}
			t.relay.behind.Store(claimed == n && t.breaker.state() == BreakerClosed)
			if t.relay.behind.Load() {
				continue
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.relay.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// claim moves up to n due events into the queue. The end of ctx does not cut it off, which would
// leave the events to nobody until the lease has run out.
func (t *Tracker) claim(ctx context.Context, n int) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.opts.Lease/3)
	defer cancel()
	return coalesce.Await(ctx, func() (int, error) {
		began := time.Now()
		claimed, err := t.store.Claim(ctx, n, newLease(t.opts.Lease))
		if err != nil {
			return 0, err
		}
		t.handOver(claimed, began)
		return len(claimed), nil
	})
}

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
func (t *Tracker) publishQueue(ctx context.Context, wg *sync.WaitGroup) {
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
		batch = t.relay.fill(batch)
		if n := len(batch); underWay < publishers && (n == publishBatch || n > 0 && (calls == 0 || overdue)) {
			going := batch
			wg.Go(func() {
				defer func() { words <- publishEnded }()
				t.publish(context.WithoutCancel(ctx), going, func() { words <- callAnswered })
			})
			calls++
			if underWay++; underWay > publishers/2 {
				t.relay.hurry()
			}
			hung.Reset(t.opts.Lease)
			batch, bell, overdue = nil, nil, false
			if t.relay.behind.Load() && len(t.relay.queue) < queueGoal/2 {
				t.relay.rouse()
			}
			continue
		}
		queue := t.relay.queue
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
			hung.Reset(t.opts.Lease)
		case <-bell:
			overdue = true
		case <-hung.C:
			if underWay == publishers {
				t.opts.Logger.Error("delivery: no call of the notifier returns, though the time of all has run out; events wait", "calls", calls)
			}
			hung.Reset(remindEvery)
		}
	}
	t.release(batch)
}
