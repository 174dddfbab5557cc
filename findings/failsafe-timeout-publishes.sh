#!/usr/bin/env bash
# failsafe-go's Timeout inside its RetryPolicy publishes an event three times and reports a failure; hystrix-go once.
# Versions: github.com/failsafe-go/failsafe-go v0.9.8, github.com/afex/hystrix-go v0.0.0-20180502004556-fa1af6a1f4f5.
# Expected: a call that took too long and answered nil has published, and is not tried again; a failure that may have been a
# success is told from one that was none.
# Seen: failsafe-go's Run, which hands the function no context, waits until the function returns and then replaces its success
# by "timeout exceeded": the endpoint takes 800 ms, the limit is 500 ms, each of the three tries publishes with nil, and
# the answer is an error after 2.4 s. hystrix-go answers after its limit, 1 s unless told otherwise, and the function,
# which nothing ends, publishes after that. A relay that repeats what failed adds three more each time.
# Output seen: failsafe-go: error timeout exceeded true, published at return 3, took the three calls' time true
#              hystrix-go: error hystrix: timeout, published at return 0, later 1
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
	"sync/atomic"
	"time"

	"github.com/afex/hystrix-go/hystrix"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/failsafe-go/failsafe-go/timeout"
)

func main() {
	var published atomic.Int32
	endpoint := func(latency time.Duration) func() error {
		published.Store(0)
		return func() error {
			time.Sleep(latency)
			published.Add(1)
			return nil
		}
	}
	retry := retrypolicy.NewBuilder[any]().WithMaxRetries(2).Build()
	start := time.Now()
	err := failsafe.With[any](retry, timeout.New[any](500*time.Millisecond)).Run(endpoint(800 * time.Millisecond))
	fmt.Printf("failsafe-go: error timeout exceeded %v, published at return %d, took the three calls' time %v\n",
		errors.Is(err, timeout.ErrExceeded), published.Load(), time.Since(start) >= 2400*time.Millisecond)

	err = hystrix.Do("publish", endpoint(1500*time.Millisecond), nil)
	n := published.Load()
	time.Sleep(2 * time.Second)
	fmt.Printf("hystrix-go: error %v, published at return %d, later %d\n", err, n, published.Load())
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/failsafe-go/failsafe-go@v0.9.8 github.com/afex/hystrix-go@v0.0.0-20180502004556-fa1af6a1f4f5 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
failsafe-go: error timeout exceeded true, published at return 3, took the three calls' time true
hystrix-go: error hystrix: timeout, published at return 0, later 1
E
