package sseadapter_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/msgdelivery/delivery"
)

// lossy is a bus that loses, repeats and reorders events as a test wants it.
type lossy struct {
	delivery.LocalBus
	broken atomic.Bool // what is published reaches nobody

	mu   sync.Mutex
	lost func(delivery.Event) bool
	end  context.CancelFunc // of the subscription
}

func (b *lossy) Publish(ctx context.Context, events []delivery.Event) error {
	b.mu.Lock()
	lost := b.lost
	b.mu.Unlock()
	for _, event := range events {
		if b.broken.Load() || lost != nil && lost(event) {
			continue
		}
		if err := b.LocalBus.Publish(ctx, []delivery.Event{event}); err != nil {
			return err
		}
	}
	return nil
}

// Subscribe fails when it is cut.
func (b *lossy) Subscribe(ctx context.Context, hear func(delivery.Event)) error {
	if b.broken.Load() {
		return errors.New("the bus is away")
	}
	on, end := context.WithCancel(ctx)
	defer end()
	b.mu.Lock()
	b.end = end
	b.mu.Unlock()
	if err := b.LocalBus.Subscribe(on, hear); err != nil {
		return err
	}
	if ctx.Err() == nil {
		return errors.New("the connection broke")
	}
	return nil
}

// cut breaks the connection of the subscriber.
func (b *lossy) cut() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end()
}

// lose has the bus lose the events for which lost returns true.
func (b *lossy) lose(lost func(delivery.Event) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lost = lost
}
