#!/usr/bin/env bash
# centrifuge drops an event of one channel as the repeat of an event of another channel.
# Version: github.com/centrifugal/centrifuge v0.40.1 with its default broker, in memory.
# Expected: an idempotency key belongs to the channel of its publication. Another channel's keys do not matter, as in the
# map broker of the same library.
# Seen: channel and key are joined with "_" and looked up as one text. Key 1_m1 in channel chat:7 and key m1 in channel
# chat:7_1 are the same, so the second event is not published and its channel stays empty for the 5 minutes that keys are
# kept. The error is nil, and the answer is the place of an event in the other channel's history. The only sign is
# Suppressed, with the reason "idempotency": the same as for a real repeat.
# Output seen: chat:7, key 1_m1: offset 1, suppressed false, events in the channel 1
#              chat:7_1, key m1: offset 1, suppressed true, events in the channel 0
#              chat:8_1, key m1: offset 1, suppressed false, events in the channel 1
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
	"time"

	"github.com/centrifugal/centrifuge"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	node, err := centrifuge.New(centrifuge.Config{})
	check(err)
	check(node.Run())
	publish := func(channel, key string) {
		result, err := node.Publish(channel, []byte(`{"status":"read"}`),
			centrifuge.WithIdempotencyKey(key), centrifuge.WithHistory(100, time.Hour))
		check(err)
		history, err := node.History(channel, centrifuge.WithHistoryFilter(centrifuge.HistoryFilter{Limit: centrifuge.NoLimit}))
		check(err)
		fmt.Printf("%s, key %s: offset %d, suppressed %v, events in the channel %d\n",
			channel, key, result.Offset, result.Suppressed, len(history.Publications))
	}
	publish("chat:7", "1_m1")
	publish("chat:7_1", "m1")
	publish("chat:8_1", "m1")
	check(node.Shutdown(context.Background()))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/centrifugal/centrifuge@v0.40.1 2>/dev/null
timeout 600 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
chat:7, key 1_m1: offset 1, suppressed false, events in the channel 1
chat:7_1, key m1: offset 1, suppressed true, events in the channel 0
chat:8_1, key m1: offset 1, suppressed false, events in the channel 1
E
