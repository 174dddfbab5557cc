// Chat is a small chat that shows what becomes of its messages: sent, delivered, read.
//
//	go run ./examples/chat
//
// It needs nothing else. It keeps everything in a SQLite file, and reaches browsers through a
// Pusher Channels server in its own process. Sign in as alice, bob and carol in three browsers. The
// password is "password". Carol is also its operator: /inspect shows her what the library does.
//
// server.go wires the library up. rooms.go decides who may do what in which conversation, and
// settings.go what others see of a user. The page in web/ shows what the library's client in
// package deliveryjs knows.
package main

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/msgdelivery/delivery/examples/internal/demo"
)

func main() { demo.Main("chat", build) }

// build makes the chat's handler, and the relay that publishes what was committed. The relay runs
// beside the server and ends after it. Beside the relay, messages are counted for /inspect/funnel.
func build(db *demo.DB, pusher *demo.Pusher, flags demo.Flags) (handler http.Handler, relay func(context.Context) error, err error) {
	s, err := newServer(db, pusher, flags.PusherJS, flags.HTTPS)
	if err != nil {
		return nil, nil, err
	}
	relay = func(ctx context.Context) error {
		var counting sync.WaitGroup
		counting.Go(func() { s.count(ctx) })
		defer counting.Wait()
		return s.tracker.Run(ctx)
	}
	return s.handler(), relay, nil
}

// count counts what has become of the messages, each minute until ctx ends.
func (s *server) count(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := s.tracker.CountHours(ctx); err != nil && ctx.Err() == nil {
			slog.Error("chat: counting hours", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
		}
	}
}
