#!/usr/bin/env bash
# cenkalti/backoff: a long Retry-After ends the retries at once, and a deadline hides what was wrong.
# Version: github.com/cenkalti/backoff/v5 v5.0.3, Retry with its defaults.
# Expected: RetryAfter(n) asks for the next try in n seconds; after a context's deadline the error names the last failure.
# Seen: the default MaxElapsedTime of 15 minutes is compared with the wait that would come: RetryAfter(1000) (16 min 40 s, an
# endpoint's hourly quota) is given up after one call and no time at all, though no limit was set in the program.
# And when the context ends between tries, Retry returns only the context's error: errors.Is does not find the cause, so
# a caller that sorts failures by their cause (permanent, outcome unknown) takes a refused connection for its own timeout.
# Output seen: RetryAfter(1000): calls 1, gave up within 1 s true
#              deadline: context deadline exceeded, cause found false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

func main() {
	calls, began := 0, time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	backoff.Retry(ctx, func() (int, error) { calls++; return 0, backoff.RetryAfter(1000) })
	fmt.Printf("RetryAfter(1000): calls %d, gave up within 1 s %v\n", calls, time.Since(began) < time.Second)

	refused := errors.New("connection refused")
	ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (int, error) { return 0, refused })
	fmt.Printf("deadline: %v, cause found %v\n", err, errors.Is(err, refused))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/cenkalti/backoff/v5@v5.0.3 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
RetryAfter(1000): calls 1, gave up within 1 s true
deadline: context deadline exceeded, cause found false
E
