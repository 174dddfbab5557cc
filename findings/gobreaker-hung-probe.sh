#!/usr/bin/env bash
# One call that does not return keeps sony/gobreaker half-open for ever: its Timeout does not count there.
# Version: github.com/sony/gobreaker/v2 v2.4.0, default MaxRequests.
# Expected: Timeout is the time after which a breaker tries again; a breaker whose probe gave no answer in that time
# would open, and probe again after the next Timeout.
# Seen: the half-open state has no time limit. While one probe hangs (an endpoint that accepts connections and says
# nothing, called without a deadline), every other call answers "too many requests", 20 timeouts later still, even when
# the endpoint is well again. Only the end of that one call moves the breaker.
# A relay behind such a breaker publishes nothing until it is restarted: give each call a deadline of its own.
# Output seen: after 20 timeouts: half-open, too many requests
#              after the hung call has ended: closed, <nil>
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
	"time"

	"github.com/sony/gobreaker/v2"
)

func main() {
	const timeout = 50 * time.Millisecond
	breaker := gobreaker.NewCircuitBreaker[int](gobreaker.Settings{
		Timeout:     timeout,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 1 },
	})
	breaker.Execute(func() (int, error) { return 0, errors.New("503") })
	time.Sleep(2 * timeout)

	answer, ended := make(chan bool), make(chan bool)
	go func() {
		breaker.Execute(func() (int, error) { <-answer; return 200, nil })
		close(ended)
	}()
	time.Sleep(20 * timeout)
	_, err := breaker.Execute(func() (int, error) { return 200, nil })
	fmt.Printf("after 20 timeouts: %v, %v\n", breaker.State(), err)
	close(answer)
	<-ended
	_, err = breaker.Execute(func() (int, error) { return 200, nil })
	fmt.Printf("after the hung call has ended: %v, %v\n", breaker.State(), err)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/sony/gobreaker/v2@v2.4.0 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
after 20 timeouts: half-open, too many requests
after the hung call has ended: closed, <nil>
E
