package sseadapter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

const (
	maxPages    = 10               // of delivery.MaxBatch messages, before a client starts over instead
	readTimeout = 10 * time.Second // of one page
)

// leftError says that a stream ended for no fault of the server's.
type leftError struct{ error }

func (e *leftError) Unwrap() error { return e.error }

var errEnding = errors.New("the Handler's Run has ended")

// helloData is the data of the first event of a stream.
type helloData struct {
	Socket   string           `json:"socket"`
	Epoch    int64            `json:"epoch,string"`
	Versions map[string]int64 `json:"versions"` // by conversation
	Refused  []string         `json:"refused,omitempty"`
}

// resetData is the data of an event that has the client start over.
type resetData struct {
	Conversation string `json:"conversation"`
	Version      int64  `json:"version"`
	Epoch        int64  `json:"epoch,string"`
}

// start finds out where the conversations stand whose version the client has not said. The hub
// knows the stream already, so that it hears all that comes after.
func (s *stream) start(ctx context.Context) error {
	said := slices.ContainsFunc(s.topics, func(t topic) bool { return t.said })
	for i := range s.topics {
		t := &s.topics[i]
		if !t.heard || t.known {
			continue
		}
		page, err := s.head(ctx, t)
		if err != nil {
			return err
		}
		if !said {
			s.epoch.Store(page.Epoch)
		}
	}
	return nil
}

// greet tells the client its socket and where the stream stands.
func (s *stream) greet() error {
	hello := helloData{Socket: s.socket, Epoch: s.epoch.Load(), Versions: make(map[string]int64)}
	for i := range s.topics {
		if t := &s.topics[i]; t.heard {
			hello.Versions[t.conversation] = t.reach.to
		} else {
			hello.Refused = append(hello.Refused, t.conversation)
		}
	}
	return s.tellJSON("hello", hello)
}

// hello greets the client, and then tells it what it has missed.
func (s *stream) hello(ctx context.Context) error {
	if err := s.greet(); err != nil {
		return err
	}
	if err := s.out.flush(); err != nil {
		return err
	}
	for i := range s.topics {
		if t := &s.topics[i]; t.said {
			if err := s.catchUp(ctx, t); err != nil {
				return err
			}
		}
	}
	return s.out.flush()
}

// head has a topic begin at the present version of its conversation.
func (s *stream) head(ctx context.Context, t *topic) (delivery.Page, error) {
	page, err := s.read(ctx, func(ctx context.Context) (delivery.Page, error) {
		return s.handler.source.Messages(ctx, delivery.Query{Conversation: t.conversation, Before: delivery.Latest, Limit: 1})
	})
	if err == nil {
		t.known, t.reach = true, reach{to: page.Version}
	}
	return page, err
}

// catchUp reads and tells what changed after what the stream has told of a conversation.
func (s *stream) catchUp(ctx context.Context, t *topic) error {
	held := t.reach.to
	since := delivery.Cursor{Version: held, Epoch: s.epoch.Load()}
	for range maxPages {
		page, err := s.read(ctx, func(ctx context.Context) (delivery.Page, error) {
			return s.handler.source.ChangesFor(ctx, delivery.Actor{User: s.user}, t.conversation, since, delivery.MaxBatch)
		})
		if err != nil {
			return err
		}
		if page.Epoch != since.Epoch {
			return s.startOver(ctx, page.Epoch)
		}
		if page.Reset {
			return s.reset(ctx, t)
		}
		for _, event := range deliverywire.CatchUp(t.conversation, held, since.Version, page) {
			parts, err := deliverywire.Split(event, MaxData)
			if err != nil {
				return err
			}
			if err := s.tellParts(t, &news{kind: event.Kind, from: event.From, to: event.To, parts: parts}); err != nil {
				return err
			}
		}
		t.reach.add(since.Version+1, page.Version, time.Now())
		if !page.More {
			t.reach.wait(time.Now())
			return nil
		}
		since = page.Cursor
	}
	return s.reset(ctx, t) // to load the newest messages costs less than all that changed
}

// reset has the client start over with a conversation.
func (s *stream) reset(ctx context.Context, t *topic) error {
	page, err := s.head(ctx, t)
	if err != nil {
		return err
	}
	return s.tellJSON("reset", resetData{Conversation: t.conversation, Version: page.Version, Epoch: page.Epoch})
}

// startOver has the client start over with all conversations: the store was restored. The last of
// their events is the first whose id has the new epoch. A client that misses it starts over again.
func (s *stream) startOver(ctx context.Context, epoch int64) error {
	var heard []*topic
	for i := range s.topics {
		if s.topics[i].heard {
			heard = append(heard, &s.topics[i])
		}
	}
	for i, t := range heard {
		if i == len(heard)-1 {
			s.epoch.Store(epoch)
		}
		if err := s.reset(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// read reads from the source, a few pages at a time in all streams.
func (s *stream) read(ctx context.Context, call func(context.Context) (delivery.Page, error)) (delivery.Page, error) {
	select {
	case s.handler.reads <- struct{}{}:
		defer func() { <-s.handler.reads }()
	case <-s.ended:
		return delivery.Page{}, &leftError{errEnding}
	case <-ctx.Done():
		return delivery.Page{}, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	page, err := call(ctx)
	if err != nil {
		return page, fmt.Errorf("sseadapter: reading what a stream has missed: %w", err)
	}
	return page, nil
}
