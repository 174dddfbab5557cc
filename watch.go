package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

const (
	watchInterval = 10 * time.Second // between looks at the backlog's age
	oldBacklog    = 10 * time.Second // the age that is worth a warning
	setBack       = time.Second      // by which the database's clock was set back, that is worth one
	remindEvery   = time.Minute
)

// reminder says when to log one kind of trouble: as soon as it begins, and every minute while it
// lasts.
type reminder struct {
	mu   sync.Mutex
	next time.Time
}

func (r *reminder) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.next) {
		return false
	}
	r.next = time.Now().Add(remindEvery)
	return true
}

// over says that the trouble has ended.
func (r *reminder) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Time{}
}

// trouble logs an error of the relay's, or that there is none any more.
func (t *Tracker) trouble(r *reminder, err error, message string, args ...any) {
	switch {
	case err == nil:
		r.over()
	case r.due():
		t.opts.Logger.Error("delivery: "+message, append(args, "error", err)...)
	}
}

// watchBacklog looks at how long events have been waiting, and warns when it is too long: perhaps
// no process runs a relay. Counting a large backlog may take a while, so nobody should wait for it.
func (t *Tracker) watchBacklog(ctx context.Context) {
	defer t.watching.Store(false)
	ctx, cancel := context.WithTimeout(ctx, t.opts.WriteTimeout)
	defer cancel()
	b, err := coalesce.Await(ctx, func() (Backlog, error) { return t.store.Backlog(ctx) })
	if t.trouble(&t.blind, err, "counting the events that wait failed"); err != nil {
		return
	}
	if b.Ahead < setBack {
		t.early.over()
	} else if t.early.due() {
		t.opts.Logger.Warn("delivery: the database's clock was set back; an event whose holder died waits until it has caught up",
			"behind", b.Ahead.Round(time.Second), "waiting", b.Waiting)
	}
	if b.Oldest <= oldBacklog {
		t.old.over()
		return
	}
	if !t.old.due() {
		return
	}
	hint := "see whether the notifier's endpoint fails"
	if !t.relay.isRunning() {
		hint = "call Tracker.Run in some process"
	}
	t.opts.Logger.Warn("delivery: committed events are not being published; "+hint, "waiting", b.Waiting, "oldest", b.Oldest.Round(time.Second))
}

// watchDue reports whether it is time to look, every now and then, and to one caller only, who then
// has to.
func (t *Tracker) watchDue() bool {
	if time.Since(time.Unix(0, t.watched.Load())) < watchInterval || !t.watching.CompareAndSwap(false, true) {
		return false
	}
	t.watched.Store(time.Now().UnixNano())
	return true
}
