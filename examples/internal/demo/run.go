package demo

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

// Build makes an example's handler and its relay, as the flags say.
type Build func(db *DB, pusher *Pusher, flags Flags) (handler http.Handler, relay func(context.Context) error, err error)

// Main is the main function of an example: it reads the command line and runs until an interrupt.
func Main(program string, build Build) {
	flags := ParseFlags(program)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := Run(ctx, flags, os.Stdout, build); err != nil {
		log.Fatal(program, ": ", err)
	}
}

// Run serves an example until ctx ends. The first line that it writes to out is "Listening on " and
// the URL.
func Run(ctx context.Context, flags Flags, out io.Writer, build Build) error {
	if flags.PusherJS != "" {
		if _, err := os.Stat(flags.PusherJS); err != nil {
			return err
		}
	}
	db, err := OpenDB(ctx, flags.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	pusher, err := OpenPusher(flags.Pusher)
	if err != nil {
		return err
	}
	defer pusher.Close()
	handler, relay, err := build(db, pusher, flags)
	if err != nil {
		return err
	}
	return Serve(ctx, flags.Addr, handler, relay, func(url string) {
		fmt.Fprintf(out, "Listening on %s\n", url)
		fmt.Fprintf(out, "Sign in as alice, bob or carol with the password %q; open a private window to be two of them.\n", Password)
		fmt.Fprintf(out, "Messages are kept in %s\n", db.Name)
	})
}
