#!/usr/bin/env bash
# gosrc.io/xmpp answers the server's acknowledgement of two messages by sending all three again.
# Version: gosrc.io/xmpp v0.5.1, its SendMissingStz, which its router calls for each <a h="…"/>, with a connection that notes
# what is sent.
# Expected: h="2" (XEP-0198) acknowledges the first two stanzas of the stream; at most the third one is sent again, and an
# acknowledged stanza leaves the queue.
# Seen: the number of stanzas to remove is computed with the wrong sign, so none is removed and all are sent: bob gets m-1
# and m-2 twice. An acknowledgement that crosses with a message does this on a healthy connection. The resent stanzas are
# counted from 1 again, so after that the server's number is always higher, and m-4, which it has not got, never goes.
# Output seen: sent m-1 m-2 m-3, server has 2: sent again m-1 m-2 m-3
#              sent m-4, server has 6 of 7: sent again nothing
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"strings"

	"gosrc.io/xmpp"
	"gosrc.io/xmpp/stanza"
)

// stream notes what is sent, and keeps it for its acknowledgement, as xmpp.Client does.
type stream struct {
	queue *stanza.UnAckQueue
	sent  []string
}

func (s *stream) Send(stanza.Packet) error                                   { return nil } // the request for an acknowledgement
func (s *stream) SendIQ(context.Context, *stanza.IQ) (chan stanza.IQ, error) { return nil, nil }
func (s *stream) SendRaw(text string) error {
	s.sent = append(s.sent, text)
	return s.queue.Push(&stanza.UnAckedStz{Stz: text})
}

// acknowledge answers what is sent when the server says that it has h stanzas.
func (s *stream) acknowledge(h int) string {
	s.sent = nil
	if err := xmpp.SendMissingStz(h, s, s.queue); err != nil {
		panic(err)
	}
	if s.sent == nil {
		return "nothing"
	}
	return strings.Join(s.sent, " ")
}

func main() {
	s := &stream{queue: stanza.NewUnAckQueue()}
	send := func(text string) {
		if err := s.SendRaw(text); err != nil {
			panic(err)
		}
	}
	send("m-1")
	send("m-2")
	send("m-3")
	fmt.Println("sent m-1 m-2 m-3, server has 2: sent again", s.acknowledge(2))
	send("m-4") // the seventh stanza of this stream
	fmt.Println("sent m-4, server has 6 of 7: sent again", s.acknowledge(6))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get gosrc.io/xmpp@v0.5.1 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
sent m-1 m-2 m-3, server has 2: sent again m-1 m-2 m-3
sent m-4, server has 6 of 7: sent again nothing
E
