// Chat is a small chat that shows what becomes of its messages: sent, delivered, read.
//
//	go run ./examples/chat
//
// needs nothing else: it keeps everything in a SQLite file and speaks to browsers by a Pusher
// Channels server in its own process. Sign in as alice, bob and carol, the password is "password",
// in as many browsers.
//
// The library is put to use in server.go; who may do what in which conversation is in rooms.go; and
// the page, in web/, shows what a client does: acknowledge, catch up, retry.
package main

import (
	"context"
	"net/http"

	"github.com/msgdelivery/delivery/examples/internal/demo"
)

func main() { demo.Main("chat", build) }

// build makes the chat. The relay, which publishes what was committed, runs beside the server that
// serves the handler, and ends after it.
func build(db *demo.DB, pusher *demo.Pusher, flags demo.Flags) (handler http.Handler, relay func(context.Context) error, err error) {
	s, err := newServer(db, pusher, flags.PusherJS, flags.HTTPS)
	if err != nil {
		return nil, nil, err
	}
	return s.handler(), s.tracker.Run, nil
}
