package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

const (
	pollInterval = 250 * time.Millisecond // at most, between looks at the outbox
	sweepRest    = 9                      // times as long as a look at the whole outbox takes, before the next one that Wake asks for

	// patience is how long an event waits for company at most: about as long as a call takes, so
	// that nobody sees it, and longer than ten events need to come where calls are many enough to
	// be saved.
	patience = 20 * time.Millisecond

	leastGoal = 16 // publishes that the queue holds enough for, however small the window is

	// lingering is how long settlements gather at most after others were written. Hardly anybody
	// waits for them, though a crash has their events come again; and a commit for each publish
	// costs as much as one for the marks.
	lingering = 5 * time.Millisecond
)

// relay publishes the outbox of a store. Events come to its queue by two ways: from writes of this
// process, which store them leased to it, and from claims of what others left behind. It knows
// nothing of sends and marks.
type relay struct {
	outbox   Outbox
	notifier Notifier
	tellsOwn bool          // the notifier takes events of one user's devices
	term     time.Duration // of a lease
	calls    int           // publishes under way, at most
	events   int           // of a publish, at most
	bytes    int           // of these
	log      *slog.Logger
	observer *Observer

	queue    queue
	window   window
	breaker  breaker
	settles  *coalesce.Group[Settlement, bool]
	failures recent[int] // calls that failed with an event, by its id
	watch    watch

	running atomic.Bool   // run is on
	wakes   chan struct{} // look at the outbox now
	late    atomic.Bool   // an event may have become due long after it was written
	behind  atomic.Bool   // the last claim was full: there is more in the outbox
	short   chan struct{} // ends the gathering of settlements

	claiming, settling, failing reminder // that claims, settlements and calls of the notifier fail
}

func newRelay(store Outbox, notifier Notifier, opts *Options, writers int) *relay {
	r := &relay{
		outbox: store, notifier: notifier, term: opts.Lease, log: opts.Logger, observer: opts.Observer,
		calls: opts.NotifyCalls, events: opts.NotifyEvents, bytes: opts.NotifyBytes,
		queue: newQueue(opts.NotifyEvents), window: newWindow(opts.NotifyCalls),
		wakes: make(chan struct{}, 1), short: make(chan struct{}, 1),
	}
	r.tellsOwn = takesOwn(notifier)
	r.watch.limit = opts.WriteTimeout
	r.watch.look.due(watchInterval) // nothing to look at yet
	r.settles = coalesce.New(MaxBatch, r.term/3, nil, r.flushSettlements)
	r.settles.Slots = make(coalesce.Slots, writers) // not shared with sends and marks
	r.settles.Pause = r.linger
	return r
}

// run is [Tracker.Run].
func (r *relay) run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer r.running.Store(false)
	r.queue.set(true)
	var wg sync.WaitGroup
	wg.Go(func() { r.publishQueue(ctx, &wg) })
	r.claimLoop(ctx, &wg)
	left := r.queue.close()
	r.hurry()
	r.release(left)
	wg.Wait()
	return nil
}

// wake is [Tracker.Wake].
func (r *relay) wake() {
	r.late.Store(true)
	r.rouse()
}

// rouse has the relay look at the outbox now.
func (r *relay) rouse() { say(r.wakes) }

// say leaves a word on a channel that holds one.
func say(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// lease returns the lease under which a write is to store its events: none if they could not be
// published at once anyway.
func (r *relay) lease() Lease {
	if r.breaker.state() != BreakerClosed || !r.queue.admits(r.goal()) {
		return Lease{}
	}
	return r.newLease()
}

// goal returns how many events the queue should hold: what goes out in the time of a call.
func (r *relay) goal() int { return max(r.window.limit(), leastGoal) * r.events }

func (r *relay) newLease() Lease {
	return Lease{Token: rand.Int64N(1<<62) + 1, For: r.term} // #nosec G404 -- tells our own processes apart, and keeps nobody out
}

// linger lets settlements gather, as long as publishers are left.
func (r *relay) linger() {
	if !r.queue.isOpen() {
		return
	}
	timer := time.NewTimer(lingering)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.short:
	}
}

// hurry ends the wait of settlements for more.
func (r *relay) hurry() { say(r.short) }

// sweep has the next claim look at the whole outbox.
func (r *relay) sweep() {
	if s, ok := r.outbox.(SweepStore); ok {
		s.Sweep()
	}
}

// handOver gives the events of a write that this process holds to its relay, and sees to it that
// others are found.
func (r *relay) handOver(born []Claimed, since time.Time) {
	r.enqueue(born, since, false)
	if len(born) == 0 && !r.running.Load() && r.watch.due() {
		go r.watchBacklog(context.Background()) // no caller waits for it
	}
}

// enqueue puts events into the queue, and gives back those that have no room there.
func (r *relay) enqueue(events []Claimed, since time.Time, claimed bool) {
	if len(events) == 0 {
		return
	}
	if left := r.queue.put(r.hold(events, since, claimed), r.goal()); len(left) > 0 {
		go r.release(left) // no caller waits for it
	}
}

func (r *relay) hold(events []Claimed, since time.Time, claimed bool) []leased {
	batch := make([]leased, len(events))
	for i, c := range events {
		batch[i] = leased{c, since, claimed, c.Event.size()}
	}
	return batch
}

// claimLoop feeds the queue from the outbox until ctx ends.
func (r *relay) claimLoop(ctx context.Context, wg *sync.WaitGroup) {
	var again time.Time // when the next sweep may begin
	for ctx.Err() == nil {
		if r.watch.due() {
			wg.Go(func() { r.watchBacklog(ctx) })
		}
		pause := pollInterval/2 + rand.N(pollInterval/2) // #nosec G404 -- nothing to guess: it only spreads load
		if n := r.breaker.wants(r.queue.room(r.goal())); n > 0 {
			began := time.Now()
			late := began.After(again) && r.late.Swap(false)
			if late {
				r.sweep()
			}
			claimed, err := r.claim(ctx, n)
			if late {
				again = time.Now().Add(sweepRest * time.Since(began))
			}
			if r.trouble(&r.claiming, err, "claiming events failed"); err != nil {
				pause = time.Second
			}
			r.behind.Store(claimed == n && r.breaker.state() == BreakerClosed)
			if r.behind.Load() {
				continue
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.wakes:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// claim moves up to n due events into the queue. The end of ctx does not cut it off, which would
// leave the events to nobody until the lease has run out.
func (r *relay) claim(ctx context.Context, n int) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.term/3)
	defer cancel()
	return coalesce.Await(ctx, func() (int, error) {
		began := time.Now()
		claimed, err := r.outbox.Claim(ctx, n, r.newLease())
		if err != nil {
			return 0, err
		}
		r.enqueue(claimed, began, true)
		return len(claimed), nil
	})
}
