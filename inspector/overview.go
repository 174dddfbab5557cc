package inspector

import (
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

const (
	longWait = 30 * time.Second // of the oldest event, that is worth a look
	idleWait = 10 * time.Second // likewise, if this process does not run the relay
	setBack  = time.Minute      // of the database's clock, likewise
	lately   = time.Minute      // for how long a write that failed counts
)

// overview is the state of the outbox, and the troubles of this process.
type overview struct {
	counted
	Old      bool     // a new count is under way
	Failure  string   // why there is none
	Findings []string // what wants a person
	Trouble  []fact
}

func (h *Handler) overview(q *request) (*answer, error) {
	o := overview{Trouble: h.opts.Recorder.about("")}
	a := &answer{page: "overview", title: "Overview"}
	if o.counted, o.Old = h.counter.get(q.Context()); o.err != nil {
		h.report(q.Request, o.err)
		p := problemOf(o.err)
		a.status, o.Failure = p.status, p.text
	}
	o.Findings = findings(o.Backlog, o.Trouble, h.opts.Recorder.lastWrite())
	a.data = o
	return a, nil
}

// findings says what is wrong, and what to do, as docs/operations.md has it.
func findings(b delivery.Backlog, trouble []fact, written time.Time) (all []string) {
	if slices.ContainsFunc(trouble, func(f fact) bool { return f.away && f.At.After(written) && time.Since(f.At) < lately }) {
		all = append(all, "The database took no writes from this process the last time it tried. The last error is below.")
	}
	switch late, idle := b.Oldest > longWait, !b.Running && b.Oldest > idleWait; {
	case b.Breaker != delivery.BreakerClosed:
		all = append(all, "The notifier’s endpoint fails. Events are kept, and published when it answers. Its last error, or the log, says what to check.")
	case late && b.Calls > 0:
		all = append(all, "Events wait although calls are under way: the notifier’s endpoint is slow.")
	case late && b.Running:
		all = append(all, "Events wait although this process runs the relay: its log says what it cannot do.")
	case idle:
		all = append(all, "Events wait, and this process does not run the relay. If no other process does, call Tracker.Run.")
	}
	if b.Ahead > setBack {
		all = append(all, "The database’s clock was set back by "+span(b.Ahead)+". Wait until it has caught up. Correct a clock that is ahead by slowing it down, not by setting it back.")
	}
	return all
}
