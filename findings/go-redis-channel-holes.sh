#!/usr/bin/env bash
# go-redis' PubSub.Channel loses messages from the middle and goes on as if nothing had happened.
# Versions: github.com/redis/go-redis/v9 v9.23.0, github.com/alicebob/miniredis/v2 v2.40.0 as the server on loopback.
# Expected: a subscriber that is too slow loses the connection, or the newest messages, or gets an error: something by
# which it knows that it has to catch up.
# Seen: while the Go channel (100 messages) stays full for longer than the send timeout (a minute by default, 200 ms here),
# single messages are dropped between those that are delivered, before and after. The channel stays open, there is no
# error, PUBLISH counted a receiver each time; the only trace is a line of the package's own logger.
# Only a version in each event shows the hole.
# Output seen: published 300 to 1 receiver each, received the first true and the last true, holes in the middle true, channel closed false
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
	"os"
	"strconv"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	server, err := miniredis.Run()
	check(err)
	defer server.Close()
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	sub := client.Subscribe(ctx, "chat")
	_, err = sub.Receive(ctx)
	check(err)
	messages := sub.Channel(redis.WithChannelSendTimeout(200 * time.Millisecond))
	for i := range 300 {
		receivers, err := client.Publish(ctx, "chat", strconv.Itoa(i)).Result()
		check(err)
		if receivers != 1 {
			panic(receivers)
		}
		if i == 149 {
			time.Sleep(2 * time.Second) // the reader is busy for so long
		}
	}
	first, last, holes, closed := -1, -1, 0, false
	for quiet := false; !quiet && !closed; {
		select {
		case m, ok := <-messages:
			if closed = !ok; closed {
				break
			}
			i, err := strconv.Atoi(m.Payload)
			check(err)
			if first < 0 {
				first = i
			} else if i != last+1 {
				holes++
				fmt.Fprintf(os.Stderr, "missing %d to %d\n", last+1, i-1)
			}
			last = i
		case <-time.After(3 * time.Second):
			quiet = true
		}
	}
	fmt.Printf("published 300 to 1 receiver each, received the first %v and the last %v, holes in the middle %v, channel closed %v\n",
		first == 0, last == 299, holes > 0, closed)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/redis/go-redis/v9@v9.23.0 github.com/alicebob/miniredis/v2@v2.40.0 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe 2>err | tee out
diff out - <<'E'
published 300 to 1 receiver each, received the first true and the last true, holes in the middle true, channel closed false
E
