#!/usr/bin/env bash
# graph-gophers/dataloader answers one passing database error for ever, and one caller's cancelled context to the others.
# Version: github.com/graph-gophers/dataloader/v7 v7.1.0, NewBatchedLoader with its defaults.
# Expected: a loader caches what it loaded; a failure is asked for again. A caller with a live context gets its value.
# Seen: the error of a key goes into the cache like a value: Load answers "database away" for that message ever after,
# without a call of the batch function, until the program clears the key. And a batch runs with the context of its
# first caller: when that one leaves, the second, whose context has no end, gets "context canceled", and keeps it too.
# With a loader that outlives a request, a message's status stays an error until the process is restarted.
# Output seen: load 1: database away, load 2: database away, load 3: database away, batches 1
#              second caller: context canceled, once more with a fresh context: context canceled
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

	"github.com/graph-gophers/dataloader/v7"
)

func all(n int, r dataloader.Result[string]) (out []*dataloader.Result[string]) {
	for range n {
		out = append(out, &r)
	}
	return out
}

func main() {
	ctx, batches := context.Background(), 0
	status := dataloader.NewBatchedLoader(func(_ context.Context, ids []string) []*dataloader.Result[string] {
		if batches++; batches == 1 {
			return all(len(ids), dataloader.Result[string]{Error: errors.New("database away")})
		}
		return all(len(ids), dataloader.Result[string]{Data: "read"})
	})
	for i := range 3 {
		_, err := status.Load(ctx, "m-1")()
		fmt.Printf("load %d: %v, ", i+1, err)
	}
	fmt.Println("batches", batches)

	status = dataloader.NewBatchedLoader(func(ctx context.Context, ids []string) []*dataloader.Result[string] {
		return all(len(ids), dataloader.Result[string]{Data: "read", Error: ctx.Err()})
	})
	leaving, leave := context.WithCancel(ctx)
	status.Load(leaving, "m-1")
	second := status.Load(ctx, "m-2")
	leave()
	_, err := second()
	fmt.Printf("second caller: %v, ", err)
	_, err = status.Load(ctx, "m-2")()
	fmt.Printf("once more with a fresh context: %v\n", err)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/graph-gophers/dataloader/v7@v7.1.0 2>/dev/null
timeout 300 go run . | tee out
diff out - <<'E'
load 1: database away, load 2: database away, load 3: database away, batches 1
second caller: context canceled, once more with a fresh context: context canceled
E
