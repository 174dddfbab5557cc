#!/usr/bin/env bash
# melody's Session.Write answers nil for messages that it throws away; a catch-up at connect loses all past the 256th.
# Versions: github.com/olahol/melody v1.1.4, github.com/gorilla/websocket v1.5.3 as the client.
# Expected: Write returns an error, and its nil means at least that the message is queued for the socket.
# Seen: a full buffer (Config.MessageBufferSize, 256) is told only to the server-wide HandleError, not to the caller. In
# HandleConnect, the place to send what a client missed, nothing drains the buffer yet: of 300 receipts written
# there the last 44 are gone, each Write having answered nil, on an idle machine with a fast reader. The same happens to
# Close, whose frame is dropped too, so that the socket stays open.
# Output seen: written 300 with nil, told to HandleError 44
#              received 256 of 300, then the live message
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"github.com/olahol/melody"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	m := melody.New()
	var accepted, dropped atomic.Int32
	connected := make(chan *melody.Session, 1)
	m.HandleConnect(func(s *melody.Session) {
		for i := range 300 {
			if err := s.Write(fmt.Appendf(nil, "read m-%d", i)); err == nil {
				accepted.Add(1)
			}
		}
		connected <- s
	})
	m.HandleError(func(_ *melody.Session, err error) {
		if errors.Is(err, melody.ErrMessageBufferFull) {
			dropped.Add(1)
		}
	})
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.HandleRequest(w, r) }))
	client, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(web.URL, "http"), nil)
	check(err)
	session := <-connected
	time.Sleep(time.Second)
	check(session.Write([]byte("live")))
	fmt.Printf("written %d with nil, told to HandleError %d\n", accepted.Load(), dropped.Load())

	check(client.SetReadDeadline(time.Now().Add(10 * time.Second)))
	received := 0
	for {
		_, text, err := client.ReadMessage()
		check(err)
		if string(text) == "live" {
			break
		}
		received++
	}
	fmt.Printf("received %d of 300, then the live message\n", received)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/olahol/melody@v1.1.4 github.com/gorilla/websocket@v1.5.3 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
written 300 with nil, told to HandleError 44
received 256 of 300, then the live message
E
