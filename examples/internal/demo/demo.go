// Package demo holds what the example programs need and what has nothing to do with message
// delivery: users who sign in, a database by its name, a Pusher Channels server for a machine that
// has none, and the life of a server from its first request to its last. It is what an app has
// already; nothing of it is meant for production.
package demo

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// Flags are the command line that the examples share.
type Flags struct {
	Addr     string // to listen on
	DB       string // as [OpenDB] takes it
	Pusher   string // as [OpenPusher] takes it
	PusherJS string // a file to serve as pusher-js; "" for none
	HTTPS    bool   // browsers come by https://, through a proxy
}

// ParseFlags reads the command line of the example with this name, and ends the program if it is
// wrong.
func ParseFlags(program string) Flags {
	var f Flags
	flag.StringVar(&f.Addr, "addr", "127.0.0.1:8080", "listen on this `address`; port 0 is a free one")
	flag.StringVar(&f.DB, "db", "", "keep everything in this SQLite `file`, or in a database server:\npostgres://user:password@host/name or mysql://user:password@tcp(host:3306)/name\n(default: $DELIVERY_DB, or a file in the user's cache folder)")
	flag.StringVar(&f.Pusher, "pusher", "", "speak to this Pusher app: `https://KEY:SECRET@HOST/apps/ID`\n(default: $DELIVERY_PUSHER, or a Pusher server in this process)")
	flag.StringVar(&f.PusherJS, "pusher-js", "", "let the page use pusher-js from this `file`")
	flag.BoolVar(&f.HTTPS, "https", false, "browsers come by https://, through a proxy: cookies travel by HTTPS only")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(flag.CommandLine.Output(), "%s: unexpected argument %q\n", program, flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if err := f.fill(program); err != nil {
		fmt.Fprintf(flag.CommandLine.Output(), "%s: %v\n", program, err)
		os.Exit(2)
	}
	return f
}

// fill takes what the command line left open from the environment, which other users of the machine
// do not see, and from what is usual.
func (f *Flags) fill(program string) error {
	f.DB = cmp.Or(f.DB, os.Getenv("DELIVERY_DB"))
	f.Pusher = cmp.Or(f.Pusher, os.Getenv("DELIVERY_PUSHER"))
	if f.DB != "" {
		return nil
	}
	cache, err := os.UserCacheDir() // the user's own: in a folder that all share somebody else may have been first
	if err != nil {
		return fmt.Errorf("-db is needed: %w", err)
	}
	f.DB = filepath.Join(cache, "delivery-examples", program+".db")
	return nil
}
