package natsadapter_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

// forever is for how long a test waits for what must come, on a machine however busy.
const forever = 5 * time.Minute

// listener is a subscription that remembers what it heard.
type listener struct {
	ended chan error // what Subscribe returned

	mu      sync.Mutex
	heard   []delivery.Event
	zeros   int // the times that clients have to catch up
	grown   chan struct{}
	delayed func() // before each event
}

// listen subscribes until the test's end, and returns once the subscription stands.
func listen(t *testing.T, bus delivery.Bus) *listener {
	t.Helper()
	l := &listener{ended: make(chan error, 1), grown: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	begun := make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	running.Go(func() {
		l.ended <- bus.Subscribe(ctx, func(event delivery.Event) {
			if event.Kind == 0 {
				l.mu.Lock()
				l.zeros++
				l.mu.Unlock()
				begin()
				return
			}
			l.hear(event)
		})
	})
	select {
	case <-begun:
	case err := <-l.ended:
		t.Fatal(err)
	}
	return l
}

func (l *listener) delay(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delayed = f
}

func (l *listener) hear(event delivery.Event) {
	l.mu.Lock()
	delayed := l.delayed
	l.mu.Unlock()
	if delayed != nil {
		delayed()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = append(l.heard, event)
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *listener) events() []delivery.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard[:len(l.heard):len(l.heard)]
}

// wait waits until an event was heard.
func (l *listener) wait(t *testing.T, id int64) {
	t.Helper()
	limit := time.After(forever)
	for {
		l.mu.Lock()
		heard, grown := l.heard, l.grown
		l.mu.Unlock()
		for _, e := range heard {
			if e.ID == id {
				return
			}
		}
		select {
		case <-grown:
		case <-limit:
			t.Fatalf("event %d was not heard", id)
		}
	}
}
