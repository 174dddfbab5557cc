// Chat is a small chat that shows what becomes of its messages: sent, delivered, read.
//
//	go run ./examples/chat
//
// needs nothing else: it keeps everything in a SQLite file and speaks to browsers by a Pusher Channels server
// in its own process. Sign in as alice, bob and carol, the password is "password", in as many browsers.
//
// The library is put to use in server.go; who may do what in which conversation is in rooms.go; and the page,
// in web/, shows what a client does: acknowledge, catch up, retry.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/msgdelivery/delivery/examples/internal/demo"
)

func main() {
	flags := demo.ParseFlags("chat")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, flags, os.Stdout); err != nil {
		log.Fatal("chat: ", err)
	}
}

// run is the program: it serves until ctx ends, and says on out where. The first line it writes is
// "Listening on " and the URL.
func run(ctx context.Context, flags demo.Flags, out io.Writer) error {
	db, err := demo.OpenDB(ctx, flags.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	pusher, err := demo.OpenPusher(flags.Pusher)
	if err != nil {
		return err
	}
	defer pusher.Close()
	server, err := newServer(db, pusher, flags.PusherJS)
	if err != nil {
		return err
	}
	return demo.Serve(ctx, flags.Addr, server.handler(), server.tracker.Run, func(url string) {
		fmt.Fprintf(out, "Listening on %s\n", url)
		fmt.Fprintf(out, "Sign in as alice, bob or carol with the password %q; open a private window to be two of them.\n", demo.Password)
		fmt.Fprintf(out, "Messages are kept in %s\n", db.Name)
	})
}
