#!/usr/bin/env bash
# r3labs/sse's server throws the publisher's event ids away, and replays the last event that a client had.
# Version: github.com/r3labs/sse/v2 v2.10.0, sse.New() with its default AutoReplay.
# Expected: Event.ID is what the client gets as "id:", so that an app can put a version of its own there and answer
# Last-Event-ID from it, on any server and after a restart; and a replay begins after Last-Event-ID.
# Seen: ids 1001, 1002, 1003 reach the client as 0, 1, 2: the place in this process's memory. A client that comes back
# with its 1 gets event 1 once more; after a restart or at another server the same number means another event, and a
# client that is ahead (Last-Event-ID: 500 from before the restart) is told nothing of what was published since.
# Output seen: first connection: id 0 read m-1, id 1 read m-2, id 2 read m-3
#              again with Last-Event-ID 1: id 1 read m-2, id 2 read m-3
#              again with Last-Event-ID 500: nothing
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	server := sse.New()
	server.CreateStream("chat")
	web := httptest.NewServer(server)
	for i := 1; i <= 3; i++ {
		server.Publish("chat", &sse.Event{ID: []byte(fmt.Sprint(1000 + i)), Data: []byte(fmt.Sprintf("read m-%d", i))})
	}
	connect := func(last string) string {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, "GET", web.URL+"?stream=chat", nil)
		if err != nil {
			panic(err)
		}
		if last != "" {
			request.Header.Set("Last-Event-ID", last)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			panic(err)
		}
		defer response.Body.Close()
		var events []string
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				events = append(events, "id "+id)
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				events[len(events)-1] += " " + data
			}
		}
		if len(events) == 0 {
			return "nothing"
		}
		return strings.Join(events, ", ")
	}
	fmt.Println("first connection:", connect(""))
	fmt.Println("again with Last-Event-ID 1:", connect("1"))
	fmt.Println("again with Last-Event-ID 500:", connect("500"))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/r3labs/sse/v2@v2.10.0 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
first connection: id 0 read m-1, id 1 read m-2, id 2 read m-3
again with Last-Event-ID 1: id 1 read m-2, id 2 read m-3
again with Last-Event-ID 500: nothing
E
