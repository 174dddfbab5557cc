#!/usr/bin/env bash
# go-retryablehttp's RetryWaitMax is no maximum: a server's Retry-After goes past it, and holds the caller for hours.
# Version: github.com/hashicorp/go-retryablehttp v0.7.8, NewClient() with RetryWaitMax 100 ms.
# Expected: "RetryWaitMax: maximum time to wait", so a publish takes at most RetryMax times that.
# Seen: on 429 and 503 the wait is the header's number of seconds, whatever RetryWaitMax says: a Retry-After of 4 s
# sleeps 4 s here, one of 86400 a day, inside a call that most callers give no deadline. The POST is sent again although
# it may have been carried out: each 5xx does that up to 4 times by default.
# For events that are published by workers this stops the workers; clamp in Backoff, and give each call a deadline.
# Output seen: status 200 after 4 s, the server got the same POST 2 times
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
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

func main() {
	var posts atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if posts.Add(1) == 1 {
			w.Header().Set("Retry-After", "4")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.RetryWaitMin, client.RetryWaitMax = 10*time.Millisecond, 100*time.Millisecond
	began := time.Now()
	response, err := client.Post(web.URL, "application/json", []byte(`{"message":"m-1","status":"read"}`))
	if err != nil {
		panic(err)
	}
	fmt.Printf("status %d after %d s, the server got the same POST %d times\n",
		response.StatusCode, int(time.Since(began).Seconds()), posts.Load())
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/hashicorp/go-retryablehttp@v0.7.8 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
status 200 after 4 s, the server got the same POST 2 times
E
