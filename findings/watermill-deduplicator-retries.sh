#!/usr/bin/env bash
# watermill's Deduplicator remembers a message before it is handled or published, so its retry is dropped as a duplicate.
# Version: github.com/ThreeDotsLabs/watermill v1.5.1, message/router/middleware, Deduplicator with its defaults.
# Expected: what failed may be tried again. A router nacks a message whose handler failed, and its broker sends the
# message once more; an outbox repeats a Publish that answered an error.
# Seen as middleware: the first delivery fails in the handler, the second answers nil without calling the handler, so it
# is acknowledged and lost. Seen as publisher decorator: Publish fails with the broker's error, the repeated Publish
# answers nil, and the broker never got the message: an outbox would delete its row.
# Output seen: handler: first "database away", second <nil>, handled 0 times
#              publish: first "broker away", second <nil>, at the broker 0
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

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

// broker fails its first call.
type broker struct{ calls, stored int }

func (b *broker) Publish(_ string, messages ...*message.Message) error {
	if b.calls++; b.calls == 1 {
		return errors.New("broker away")
	}
	b.stored += len(messages)
	return nil
}
func (b *broker) Close() error { return nil }

func main() {
	calls, handled := 0, 0
	handle := (&middleware.Deduplicator{}).Middleware(func(*message.Message) ([]*message.Message, error) {
		if calls++; calls == 1 {
			return nil, errors.New("database away")
		}
		handled++
		return nil, nil
	})
	event := func() *message.Message { return message.NewMessage("e-1", []byte(`{"message":"m-1","status":"read"}`)) }
	_, first := handle(event())
	_, second := handle(event())
	fmt.Printf("handler: first %q, second %v, handled %d times\n", first, second, handled)

	b := &broker{}
	publisher, err := (&middleware.Deduplicator{}).PublisherDecorator()(b)
	if err != nil {
		panic(err)
	}
	first = publisher.Publish("receipts", event())
	second = publisher.Publish("receipts", event())
	fmt.Printf("publish: first %q, second %v, at the broker %d\n", first, second, b.stored)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/ThreeDotsLabs/watermill@v1.5.1 2>/dev/null
timeout 300 go run . 2>/dev/null | tee out
diff out - <<'E'
handler: first "database away", second <nil>, handled 0 times
publish: first "broker away", second <nil>, at the broker 0
E
