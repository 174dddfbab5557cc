package delivery

import (
	"context"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

const (
	watchInterval = 10 * time.Second // between looks at the backlog's age
	oldBacklog    = 10 * time.Second // the age that is worth a warning
)

// watchBacklog looks at how long events have been waiting, and warns once when it is too long: perhaps
// no process runs a relay. Counting a large backlog may take a while, so nobody should wait for it.
func (t *Tracker) watchBacklog(ctx context.Context) {
	defer t.watching.Store(false)
	ctx, cancel := context.WithTimeout(ctx, t.opts.WriteTimeout)
	defer cancel()
	b, err := coalesce.Await(ctx, func() (Backlog, error) { return t.store.Backlog(ctx) })
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

// watchDue reports whether it is time to look, every now and then, and to one caller only, who then
// has to.
func (t *Tracker) watchDue() bool {
	if time.Since(time.Unix(0, t.watched.Load())) < watchInterval || !t.watching.CompareAndSwap(false, true) {
		return false
	}
	t.watched.Store(time.Now().UnixNano())
	return true
}
