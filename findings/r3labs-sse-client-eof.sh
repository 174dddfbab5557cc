#!/usr/bin/env bash
# r3labs/sse's client gives up without an error when a server ends its response, and hands on a half-written event.
# Version: github.com/r3labs/sse/v2 v2.10.0, Client with its default ReconnectStrategy.
# Expected: server-sent events are read again after the end of a response, with Last-Event-ID (that is the point of
# EventSource), and an event without its closing blank line is thrown away, since the rest of it is missing.
# Seen: a server that restarts politely, or a proxy that ends idle responses, ends SubscribeRaw for good: it returns nil
# after one connection, though its reconnect strategy has no limit. The line that was cut off in the middle is
# delivered as an event: a status of "deliv", or an id without its last digit.
# Output seen: event "delivered"
#              event "deliv"
#              subscribe returned <nil> after 1 connection
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
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	var connections atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "id: 1\ndata: delivered\n\nid: 2\ndata: deliv")
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := sse.NewClient(web.URL).SubscribeRawWithContext(ctx, func(e *sse.Event) { fmt.Printf("event %q\n", e.Data) })
	fmt.Printf("subscribe returned %v after %d connection\n", err, connections.Load())
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/r3labs/sse/v2@v2.10.0 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
event "delivered"
event "deliv"
subscribe returned <nil> after 1 connection
E
