#!/usr/bin/env bash
# Two middlewares of watermill wait other times than they are told: a Multiplier of 1.5 is 1, and a hook doubles delays.
# Version: github.com/ThreeDotsLabs/watermill v1.5.1, message/router/middleware, DelayOnError and Retry.
# Expected: DelayOnError says "Subsequent intervals will be scaled by Multiplier": 1 s, 1.5 s, 2.25 s. Retry's OnRetryHook
# "will be executed on each retry attempt" with the delay of that retry, and only watches.
# Seen: DelayOnError cuts its float to a whole number, so 1.5 never grows (and 0.5 would be 0). Retry takes the delay it
# tells the hook from the same backoff that it then waits for: each retry after the first waits twice as long as it
# would without a hook, and the hook is told half of it.
# Output seen: delay 1s 1s 1s 1s
#              retries without a hook wait about 200 400 800 ms
#              with a hook they wait about 200 800 3200 ms, and the hook says 400 1600 6400 ms
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
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/components/delay"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

func main() {
	away := errors.New("broker away")
	m := message.NewMessage("e-1", nil)
	later := middleware.DelayOnError{InitialInterval: time.Second, MaxInterval: time.Hour, Multiplier: 1.5}
	var delays []string
	for range 4 {
		later.Middleware(func(*message.Message) ([]*message.Message, error) { return nil, away })(m)
		delays = append(delays, m.Metadata.Get(delay.DelayedForKey))
	}
	fmt.Println("delay", strings.Join(delays, " "))

	for _, hooked := range []bool{false, true} {
		var waits, told []string
		last := time.Now()
		retry := middleware.Retry{MaxRetries: 3, InitialInterval: 200 * time.Millisecond, MaxInterval: time.Minute, Multiplier: 2}
		if hooked {
			retry.OnRetryHook = func(_ int, d time.Duration) { told = append(told, fmt.Sprint(d.Milliseconds())) }
		}
		retry.Middleware(func(*message.Message) ([]*message.Message, error) {
			wait := time.Since(last)
			last = time.Now()
			near := 0 * time.Millisecond // the doubled step of 200 ms that is below the wait
			for step := 200 * time.Millisecond; step <= wait+time.Millisecond; step *= 2 {
				near = step
			}
			waits = append(waits, fmt.Sprint(near.Milliseconds()))
			return nil, away
		})(message.NewMessage("e-2", nil))
		fmt.Printf("hook %v: waits %s, told %s\n", hooked, strings.Join(waits[1:], " "), strings.Join(told, " "))
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/ThreeDotsLabs/watermill@v1.5.1 2>/dev/null
timeout 300 go run . 2>/dev/null | tee out
diff out - <<'E'
delay 1s 1s 1s 1s
hook false: waits 200 400 800, told 
hook true: waits 200 800 3200, told 400 1600 6400
E
