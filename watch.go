package delivery

import (
	"context"
	"time"
)

const (
	watchInterval = 10 * time.Second // between looks at the backlog's age
	oldBacklog    = 10 * time.Second // the age that is worth a warning
)

// watchBacklog looks every now and then at how long events have been waiting, and warns once when it
// is too long: perhaps no process runs a relay.
func (t *Tracker) watchBacklog(ctx context.Context) {
	if !t.watchDue() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	b, err := t.store.Backlog(ctx)
	if err != nil {
		return // whoever reads or writes meets the same error, and has someone to tell
	}
	old := b.Oldest > oldBacklog
	if t.warned.Swap(old) || !old {
		return
	}
	hint := "see whether the notifier's endpoint fails"
	if !t.relay.isRunning() {
		hint = "call Tracker.Run in some process"
	}
	t.opts.Logger.Warn("delivery: committed events are not being published; "+hint, "waiting", b.Waiting, "oldest", b.Oldest.Round(time.Second))
}

// watchBacklogAside does the same beside a caller who is not to wait for it, in a process that has
// no Run to do it.
func (t *Tracker) watchBacklogAside() {
	last := t.watched.Load()
	if time.Since(time.Unix(0, last)) >= watchInterval {
		go t.watchBacklog(context.Background())
	}
}

// watchDue reports whether it is time to look, to one caller only.
func (t *Tracker) watchDue() bool {
	last := t.watched.Load()
	return time.Since(time.Unix(0, last)) >= watchInterval && t.watched.CompareAndSwap(last, time.Now().UnixNano())
}
