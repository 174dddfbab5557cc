package deliverytest

import (
	"context"
	"fmt"
	"sync"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// Recorder is a [delivery.Notifier] that accepts every event and remembers it. The zero Recorder
// is ready. It is safe for concurrent use, and in a bubble of testing/synctest.
//
// A Recorder takes no events of the kind [delivery.OwnChanged]. If a test is about those, give the
// Tracker [delivery.OwnNotifierFunc](recorder.Notify).
type Recorder struct {
	mu     sync.Mutex
	events []delivery.Event
	grown  chan struct{} // closed at the next event; nil while nobody waits
}

var _ delivery.Notifier = (*Recorder)(nil)

// Notify records copies of the events, unless ctx has ended.
func (r *Recorder) Notify(ctx context.Context, events []delivery.Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, clone.Events(events)...)
	if r.grown != nil {
		close(r.grown)
		r.grown = nil
	}
	return nil
}

// Events returns copies of the events so far, in the order they came.
func (r *Recorder) Events() []delivery.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return clone.Events(r.events)
}

// Wait waits until there are at least n events, and returns all there are. When ctx ends first it
// returns those that came, and an error that wraps ctx's and says how many were missing.
func (r *Recorder) Wait(ctx context.Context, n int) ([]delivery.Event, error) {
	for {
		events, grown := r.watch()
		if len(events) >= n {
			return events, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return events, fmt.Errorf("deliverytest: %d of %d events came: %w", len(events), n, context.Cause(ctx))
		}
	}
}

// watch returns the events so far, and a channel that is closed at the next one.
func (r *Recorder) watch() ([]delivery.Event, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.grown == nil {
		r.grown = make(chan struct{})
	}
	return clone.Events(r.events), r.grown
}
