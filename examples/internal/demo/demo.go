// Package demo holds the parts of the example programs that have nothing to do with message
// delivery, and that an app already has: sign-in, opening a database, a Pusher Channels server in
// the same process, and starting and stopping the HTTP server. It is not meant for production.
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

// fill sets flags that the command line left out: from the environment, which other users of the
// machine cannot see, or else to their defaults.
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
