#!/usr/bin/env bash
# JetStream acknowledges an event that it does not store, if another subject, or a deleted message, had its id.
# Versions: github.com/nats-io/nats-server/v2 v2.15.3 and github.com/nats-io/nats.go v1.55.0, in one process.
# Expected: Nats-Msg-Id keeps a repeated publish of one event from being stored twice. One event for two recipients
# ("receipts.alice", "receipts.bob") is two messages; and what was deleted or purged can be published again.
# Seen: the id counts for the whole stream during its Duplicates window (2 minutes by default). The publish for bob gets a
# positive ack that names alice's message and is not stored: bob's subject stays empty. After a purge, or a delete of the
# message, the same publish is acknowledged with an error of nil, and the stream stays empty.
# An outbox that takes the ack for success deletes its row: put the subject into the id.
# Output seen: for bob: error <nil>, sequence 1, duplicate true, stored for bob 0
#              after purge: error <nil>, duplicate true, messages 0
#              after delete: error <nil>, duplicate true, messages 0
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

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: "data", NoLog: true, NoSigs: true})
	check(err)
	go s.Start()
	defer s.Shutdown()
	s.ReadyForConnections(10 * time.Second)
	conn, err := nats.Connect(s.ClientURL())
	check(err)
	js, err := jetstream.New(conn)
	check(err)
	ctx := context.Background()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "RECEIPTS", Subjects: []string{"receipts.>"}})
	check(err)
	messages := func(subject string) uint64 {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
		check(err)
		if subject != "" {
			return info.State.Subjects[subject]
		}
		return info.State.Msgs
	}

	_, err = js.Publish(ctx, "receipts.alice", []byte("read"), jetstream.WithMsgID("event-1"))
	check(err)
	ack, err := js.Publish(ctx, "receipts.bob", []byte("read"), jetstream.WithMsgID("event-1"))
	check(err)
	fmt.Printf("for bob: error %v, sequence %d, duplicate %v, stored for bob %d\n", err, ack.Sequence, ack.Duplicate, messages("receipts.bob"))
	check(stream.Purge(ctx))
	ack, err = js.Publish(ctx, "receipts.alice", []byte("read"), jetstream.WithMsgID("event-1"))
	check(err)
	fmt.Printf("after purge: error %v, duplicate %v, messages %d\n", err, ack.Duplicate, messages(""))
	ack, err = js.Publish(ctx, "receipts.alice", []byte("read"), jetstream.WithMsgID("event-2"))
	check(err)
	check(stream.DeleteMsg(ctx, ack.Sequence))
	ack, err = js.Publish(ctx, "receipts.alice", []byte("read"), jetstream.WithMsgID("event-2"))
	check(err)
	fmt.Printf("after delete: error %v, duplicate %v, messages %d\n", err, ack.Duplicate, messages(""))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/nats-io/nats-server/v2@v2.15.3 github.com/nats-io/nats.go@v1.55.0 2>/dev/null
timeout 600 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
for bob: error <nil>, sequence 1, duplicate true, stored for bob 0
after purge: error <nil>, duplicate true, messages 0
after delete: error <nil>, duplicate true, messages 0
E
