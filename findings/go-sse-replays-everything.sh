#!/usr/bin/env bash
# tmaxmax/go-sse replays its whole history to a client that has missed nothing.
# Version: github.com/tmaxmax/go-sse v0.12.0, FiniteReplayer and ValidReplayer.
# Expected: Replay "sends to a new subscriber all the valid events received by the replayer since the event with the
# listener's ID": nothing, when that is the newest event.
# Seen: with automatic ids a client that reconnects with the newest id gets every buffered event again, always; with the
# app's own ids it gets them when the newest event lies in the last slot of the buffer (every fifth event at size 5).
# And the app's own ids fail the other way round too: a client whose event was dropped from the buffer gets nothing,
# with no sign, although the buffer holds the four newest events that it missed.
# Output seen: automatic ids, 3 of 5 buffered, client has the newest: [0 1 2]
#              own ids, 5 of 5 buffered, client has the newest: [0 1 2 3 4]
#              own ids, 7 sent, client has the first: []
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/tmaxmax/go-sse"
)

type client struct{ got []string }

func (c *client) Send(m *sse.Message) error { c.got = append(c.got, m.ID.String()); return nil }
func (c *client) Flush() error              { return nil }

// replay tells which of sent events a client gets whose last one was last.
func replay(automatic bool, sent, last int) []string {
	r, err := sse.NewFiniteReplayer(5, automatic)
	if err != nil {
		panic(err)
	}
	for i := range sent {
		m := &sse.Message{}
		m.AppendData("receipt")
		if !automatic {
			m.ID = sse.ID(fmt.Sprint(i))
		}
		if _, err := r.Put(m, []string{"chat"}); err != nil {
			panic(err)
		}
	}
	c := &client{}
	err = r.Replay(sse.Subscription{Client: c, LastEventID: sse.ID(fmt.Sprint(last)), Topics: []string{"chat"}})
	if err != nil {
		panic(err)
	}
	return c.got
}

func main() {
	fmt.Println("automatic ids, 3 of 5 buffered, client has the newest:", replay(true, 3, 2))
	fmt.Println("own ids, 5 of 5 buffered, client has the newest:", replay(false, 5, 4))
	fmt.Println("own ids, 7 sent, client has the first:", replay(false, 7, 0))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/tmaxmax/go-sse@v0.12.0 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
automatic ids, 3 of 5 buffered, client has the newest: [0 1 2]
own ids, 5 of 5 buffered, client has the newest: [0 1 2 3 4]
own ids, 7 sent, client has the first: []
E
