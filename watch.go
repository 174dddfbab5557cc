package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

const (
	watchInterval = 10 * time.Second // between looks at the backlog's age
	oldBacklog    = 10 * time.Second // the age that is worth a warning
	setBack       = time.Second      // by which the database's clock was set back, that is worth one
	remindEvery   = time.Minute
)

// reminder says when to do something that must not be done too often, such as to log one kind of
// trouble. Its time is monotonic, so a clock that is set back delays nothing.
type reminder struct {
	mu   sync.Mutex
	next time.Time
}

// due reports whether the last time is so long ago, or over.
func (r *reminder) due(every time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.next) {
		return false
	}
	r.next = time.Now().Add(every)
	return true
}

// over says that the trouble has ended.
func (r *reminder) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Time{}
}

// watch looks at the backlog every now and then.
type watch struct {
	limit time.Duration // of a look
	busy  atomic.Bool   // somebody is looking

	look, old, early, blind reminder // of a look, a long wait, events from before the clock was set back, a failing count
}

// due reports whether it is time to look, to one caller only, who then has to.
func (w *watch) due() bool {
	if !w.busy.CompareAndSwap(false, true) {
		return false
	}
	due := w.look.due(watchInterval)
	w.busy.Store(due)
	return due
}

// trouble logs an error of the relay's, or that there is none any more.
func (r *relay) trouble(of *reminder, err error, message string, args ...any) {
	switch {
	case err == nil:
		of.over()
	case of.due(remindEvery):
		r.log.Error("delivery: "+message, append(args, "error", err)...)
	}
}

// watchBacklog looks at how long events have been waiting, and warns when it is too long: perhaps
// no process runs a relay. Counting a large backlog may take a while, so nobody should wait for it.
func (r *relay) watchBacklog(running context.Context) {
	defer r.watch.busy.Store(false)
	ctx, cancel := context.WithTimeout(running, r.watch.limit)
	defer cancel()
	b, err := coalesce.Await(ctx, func() (Backlog, error) { return r.outbox.Backlog(ctx) })
	if running.Err() != nil {
		return // a look that was cut off says nothing
	}
	if r.trouble(&r.watch.blind, err, "counting the events that wait failed"); err != nil {
		return
	}
	if b.Ahead < setBack {
		r.watch.early.over()
	} else if r.watch.early.due(remindEvery) {
		r.log.Warn("delivery: the database's clock was set back; an event whose holder died waits until it has caught up",
			"behind", b.Ahead.Round(time.Second), "waiting", b.Waiting)
	}
	if b.Oldest <= oldBacklog {
		r.watch.old.over()
		return
	}
	if !r.watch.old.due(remindEvery) {
		return
	}
	hint := "see whether the notifier's endpoint fails"
	if !r.running.Load() {
		hint = "call Tracker.Run in some process"
	}
	r.log.Warn("delivery: committed events are not being published; "+hint, "waiting", b.Waiting, "oldest", b.Oldest.Round(time.Second).String())
}
