package inspector

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
)

const (
	mostFacts    = 10_000 // of each kind about messages
	mostTroubles = 20
	mostText     = 500 // bytes kept of an error
)

// Recorder keeps the newest of what the Observer of a tracker was told: the last 10,000 updates
// that the notifier accepted or refused, the last 10,000 marks that were refused, and the last 20
// failures of the notifier's endpoint and of the database. They are facts of this process alone,
// and are gone when it ends. It keeps no bodies, no private marks ([delivery.Actor.Hide]), and no
// events for one user's devices. Of an error it keeps the first 500 bytes. It takes up to 6 MB of
// memory with ids of 36 bytes and short errors, and up to 20 MB with the longest ids and errors.
//
// Make one with [NewRecorder]. It is safe for concurrent use.
type Recorder struct {
	mu                        sync.Mutex
	events, refusals, trouble ring
	written                   time.Time // the last write that succeeded
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder {
	return &Recorder{events: ring{most: mostFacts}, refusals: ring{most: mostFacts}, trouble: ring{most: mostTroubles}}
}

// Observer returns the delivery.Observer that feeds the Recorder, for [delivery.Options.Observer].
// The Observer calls the functions of next too. next may be nil.
func (r *Recorder) Observer(next *delivery.Observer) *delivery.Observer {
	var o delivery.Observer
	if next != nil {
		o = *next
	}
	o.Marked = both(r.marked, o.Marked)
	o.Wrote = both(r.wrote, o.Wrote)
	o.Notified = both(r.notified, o.Notified)
	return &o
}

func both[Info any](first func(Info), then func(context.Context, Info)) func(context.Context, Info) {
	return func(ctx context.Context, info Info) {
		first(info)
		if then != nil {
			then(ctx, info)
		}
	}
}

// fact is something that happened in this process. Fields that it does not concern are zero.
type fact struct {
	At      time.Time
	What    string
	Event   int64
	Version int64           // of the update
	Status  delivery.Status // of the mark or the receipt
	User    string
	Text    string // an error, which may contain ids
	Times   int    // in a row that it happened, the last time At

	message string
	away    bool // the database was, or took no writes
}

func (r *Recorder) marked(i delivery.MarkedInfo) {
	if !i.Private && refused(i.Err) {
		r.keep(&r.refusals, fact{What: "Mark refused", User: i.User, Status: i.Status, Text: i.Err.Error(), message: i.Message})
	}
}

// refused reports whether a mark was not the user's to make. Of a mark that failed otherwise nobody
// knows whether its user hides it, as recipients can that are untracked.
func refused(err error) bool {
	return errors.Is(err, delivery.ErrOwnMessage) || errors.Is(err, delivery.ErrNotRecipient) ||
		errors.Is(err, delivery.ErrForbidden) || errors.Is(err, delivery.ErrNotFound)
}

func (r *Recorder) wrote(i delivery.WroteInfo) {
	if i.Err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.written = time.Now()
	} else {
		r.keep(&r.trouble, fact{What: "Writing " + i.What.String() + " failed", Text: i.Err.Error(), away: errors.Is(i.Err, delivery.ErrUnavailable)})
	}
}

func (r *Recorder) notified(i delivery.NotifiedInfo) {
	var refused *delivery.RefusedError
	if i.Err != nil && !errors.As(i.Err, &refused) {
		r.keep(&r.trouble, fact{What: "Call of the notifier failed", Text: i.Err.Error()})
		return
	}
	var facts []fact
	for at, e := range i.Batch {
		told := fact{What: "Accepted by the notifier", Event: e.ID}
		if refused != nil && refused.ByIndex[at] != nil {
			told.What, told.Text = "Refused by the notifier", refused.ByIndex[at].Error()
		}
		for _, u := range e.Updates {
			if e.Kind == delivery.OwnChanged || u.Message == "" {
				continue
			}
			f := told
			f.Version, f.message = u.Version, u.Message
			if u.Receipt != nil {
				f.User, f.Status = u.Receipt.Recipient, u.Receipt.Status
			}
			facts = append(facts, f)
		}
	}
	r.keep(&r.events, facts...)
}

// lastWrite returns when a write last succeeded.
func (r *Recorder) lastWrite() time.Time {
	if r == nil {
		return time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written
}

// keep keeps facts that happened now.
func (r *Recorder) keep(in *ring, facts ...fact) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range facts {
		f.At, f.Times = now, 1
		// They may be parts of whole requests and of long errors, which a part would keep in
		// memory.
		f.User, f.message = strings.Clone(f.User), strings.Clone(f.message)
		f.Text = strings.Clone(strings.ToValidUTF8(f.Text[:min(len(f.Text), mostText)], ""))
		in.add(f)
	}
}

// about returns what is known of a message, or with "" the trouble of the process, the newest
// first. Without a Recorder that is nothing.
func (r *Recorder) about(message string) (facts []fact) {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kept := range []ring{r.events, r.refusals, r.trouble} {
		for _, f := range slices.Backward(kept.facts) {
			if f.message == message {
				facts = append(facts, f)
			}
		}
	}
	slices.SortStableFunc(facts, func(a, b fact) int { return b.At.Compare(a.At) })
	return facts
}

// ring keeps the last facts.
type ring struct {
	most, last int // how many it keeps, and where the last one is
	facts      []fact
}

func (r *ring) add(f fact) {
	if len(r.facts) > 0 {
		again := r.facts[r.last]
		again.At, again.Times = f.At, f.Times
		if again == f {
			r.facts[r.last].At = f.At
			r.facts[r.last].Times++
			return
		}
		r.last = (r.last + 1) % r.most
	}
	if len(r.facts) < r.most {
		r.facts = append(r.facts, f)
	} else {
		r.facts[r.last] = f
	}
}
