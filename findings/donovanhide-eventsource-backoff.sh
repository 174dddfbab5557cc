#!/usr/bin/env bash
# donovanhide/eventsource doubles its waits without a limit: after an outage a stream stays away for as long again.
# Version: github.com/donovanhide/eventsource v0.0.0-20210830082556-c59027999da0; beside it github.com/launchdarkly/eventsource
# v1.11.0, which descends from it, with StreamOptionUseBackoff of 500 ms.
# Expected: "retry: 20" asks a client to come back after 20 ms; waits that grow end at some maximum, as half a minute.
# Seen: each failure doubles the wait, 20 ms, 40, 80 and so on; nothing ends that. An outage of t so costs up to 2t: with the
# default of 3 s a stream that lost its server for an hour may be back after nearly two, and after a night it is gone for
# the day, while Errors has one line an hour. The other client tries about every half second all the time.
# Output seen: donovanhide: each wait at least 1.5 times the one before true, the last longer than 2 s true
#              launchdarkly: the last longer than 2 s false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	donovanhide "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// waits answers the times between the tries of a client whose server is well for its first request only.
func waits(subscribe func(url string)) []time.Duration {
	var mu sync.Mutex
	var tries []time.Time
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if tries = append(tries, time.Now()); len(tries) > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "retry: 20\ndata: hello\n\n")
	}))
	subscribe(web.URL)
	time.Sleep(12 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	var gaps []time.Duration
	for i := range tries[1:] {
		gaps = append(gaps, tries[i+1].Sub(tries[i]))
	}
	return gaps
}

func main() {
	gaps := waits(func(url string) {
		stream, err := donovanhide.Subscribe(url, "")
		check(err)
		go func() {
			for range stream.Events {
			}
		}()
		go func() {
			for range stream.Errors {
			}
		}()
	})
	grow := true
	for i := range gaps[1:] {
		grow = grow && gaps[i+1] > gaps[i]*3/2
	}
	fmt.Printf("donovanhide: each wait at least 1.5 times the one before %v, the last longer than 2 s %v\n", grow, gaps[len(gaps)-1] > 2*time.Second)

	gaps = waits(func(url string) {
		request, err := http.NewRequest(http.MethodGet, url, nil)
		check(err)
		stream, err := launchdarkly.SubscribeWithRequestAndOptions(request, launchdarkly.StreamOptionInitialRetry(100*time.Millisecond),
			launchdarkly.StreamOptionUseBackoff(500*time.Millisecond),
			launchdarkly.StreamOptionErrorHandler(func(error) launchdarkly.StreamErrorHandlerResult {
				return launchdarkly.StreamErrorHandlerResult{}
			}))
		check(err)
		go func() {
			for range stream.Events {
			}
		}()
	})
	fmt.Println("launchdarkly: the last longer than 2 s", gaps[len(gaps)-1] > 2*time.Second)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/donovanhide/eventsource@v0.0.0-20210830082556-c59027999da0 github.com/launchdarkly/eventsource@v1.11.0 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
donovanhide: each wait at least 1.5 times the one before true, the last longer than 2 s true
launchdarkly: the last longer than 2 s false
E
