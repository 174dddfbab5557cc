package delivery

import (
	"context"
	"sync"
)

// Bus carries events from the process whose relay publishes them to every process that clients are
// connected to. An app needs one if its notifier pushes to connections of its own process, such as
// server-sent events or WebSockets. [LocalBus] is the bus of a single process; redisadapter and
// natsadapter have buses for several.
//
//	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(bus.Publish), opts)
//
// A bus carries the whole event, including [Event.Except] and [Event.User], which clients must not
// see. Only servers may subscribe to it. A subscriber must send an event of the kind [OwnChanged]
// to the devices of its User only. The process that a client is connected to encodes events for it,
// in the form of deliverywire.
//
// A bus may lose events, deliver them twice, and let them overtake each other. After a break in its
// own connection it must say that it may have lost some, as Subscribe describes. If it loses an
// event without noticing, clients see a gap in the versions.
type Bus interface {
	// Publish has the contract of [Notifier]'s Notify. It returns nil once the bus has accepted the
	// events, whether or not anybody subscribes.
	Publish(ctx context.Context, events []Event) error

	// Subscribe calls hear with each event that any process publishes, and blocks until ctx ends.
	// It then returns nil.
	//
	// Subscribe first calls hear with the zero Event. From then on hear gets every event whose
	// Publish begins later. If the bus may have lost events, it either calls hear with the zero
	// Event again once it has recovered, or returns an error, so that the caller subscribes again.
	// So whenever hear gets the zero Event, the clients of this subscriber have to catch up.
	//
	// Calls of hear never overlap, and none is running once Subscribe has returned. hear must
	// return soon, since the bus may hold up publishers meanwhile. It may neither change nor keep
	// what is in the event.
	Subscribe(ctx context.Context, hear func(Event)) error
}

// LocalBus is a [Bus] within one process. The zero LocalBus is ready. It loses nothing, and is safe
// for concurrent use.
//
// With several processes it is not enough: each event reaches only the clients of the process whose
// relay publishes it.
type LocalBus struct {
	mu          sync.RWMutex
	subscribers map[*subscriber]struct{}
}

var _ Bus = (*LocalBus)(nil)

// subscriber is one call of LocalBus.Subscribe.
type subscriber struct {
	mu    sync.Mutex
	hear  func(Event)
	ended bool
}

// tell hands events to the subscriber, unless its Subscribe has ended.
func (s *subscriber) tell(events ...Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		if !s.ended {
			s.hear(events[i])
		}
	}
}

// Publish calls every subscriber with each event, and returns nil. If ctx has ended already, it
// calls none and returns ctx's error.
func (b *LocalBus) Publish(ctx context.Context, events []Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.RLock()
	subscribers := make([]*subscriber, 0, len(b.subscribers))
	for s := range b.subscribers {
		subscribers = append(subscribers, s)
	}
	b.mu.RUnlock()
	for _, s := range subscribers {
		s.tell(events...)
	}
	return nil
}

// Subscribe calls hear on the goroutines of publishers until ctx ends.
func (b *LocalBus) Subscribe(ctx context.Context, hear func(Event)) error {
	s := &subscriber{hear: hear}
	s.mu.Lock() // no event comes before the zero Event
	b.mu.Lock()
	if b.subscribers == nil {
		b.subscribers = make(map[*subscriber]struct{})
	}
	b.subscribers[s] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.subscribers, s)
		b.mu.Unlock()
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
	}()
	func() {
		defer s.mu.Unlock()
		hear(Event{})
	}()
	<-ctx.Done()
	return nil
}
