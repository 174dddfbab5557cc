#!/usr/bin/env bash
# watermill's Deduplicator with its defaults drops most of a row of different messages as duplicates.
# Version: github.com/ThreeDotsLabs/watermill v1.5.1, message/router/middleware.Deduplicator{}.
# Expected: a deduplicator drops repeats. Its docs say that the default hash, Adler-32, is for "fast tagging" and that
# collisions cannot be avoided "entirely", which sounds like one in 2^32.
# Seen: Adler-32 adds bytes up, so short texts that differ in digits collide all the time ("m-131" and "m-212" are one).
# Of 1,000 read receipts for messages m-0 to m-999, 424 reach the handler; the other 576 are acknowledged unhandled.
# With KeyFactory: NewMessageHasherSHA256 all 1,000 do.
# Output seen: default 424 of 1000
#              sha256 1000 of 1000
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

func main() {
	for _, c := range []struct {
		name string
		key  middleware.MessageHasher
	}{{"default", nil}, {"sha256", middleware.NewMessageHasherSHA256(1 << 20)}} {
		handled := 0
		handle := (&middleware.Deduplicator{KeyFactory: c.key}).Middleware(func(*message.Message) ([]*message.Message, error) {
			handled++
			return nil, nil
		})
		for i := range 1000 {
			id := fmt.Sprintf("m-%d", i)
			if _, err := handle(message.NewMessage(id, []byte(`{"message":"`+id+`","status":"read"}`))); err != nil {
				panic(err)
			}
		}
		fmt.Println(c.name, handled, "of 1000")
	}
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/ThreeDotsLabs/watermill@v1.5.1 2>/dev/null
timeout 300 go run . 2>/dev/null | tee out
diff out - <<'E'
default 424 of 1000
sha256 1000 of 1000
E
