// Package demo holds what the example programs need and what has nothing to do with message delivery: users who
// sign in, a database by its name, a Pusher Channels server for a machine that has none, and the life of a server
// from its first request to its last. It is what an app has already; nothing of it is meant for production.
package demo

import (
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
}

// ParseFlags reads the command line of the example with this name, and ends the program if it is wrong.
func ParseFlags(program string) Flags {
	var f Flags
	file := filepath.Join(os.TempDir(), fmt.Sprintf("delivery-examples-%d", os.Getuid()), program+".db")
	flag.StringVar(&f.Addr, "addr", "127.0.0.1:8080", "listen on this `address`; port 0 is a free one")
	flag.StringVar(&f.DB, "db", file, "keep everything in this SQLite `file`, or in a database server:\npostgres://user:password@host/name or mysql://user:password@tcp(host:3306)/name")
	flag.StringVar(&f.Pusher, "pusher", "", "speak to this Pusher app: `https://KEY:SECRET@HOST/apps/ID`\n(default: a Pusher server in this process)")
	flag.StringVar(&f.PusherJS, "pusher-js", "", "let the page use pusher-js from this `file`")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(flag.CommandLine.Output(), "%s: unexpected argument %q\n", program, flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	return f
}
