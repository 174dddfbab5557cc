#!/usr/bin/env bash
# JetStream's BackOff does not apply to Nak: five tries are used up within milliseconds, and the message lies there for ever.
# Versions: github.com/nats-io/nats-server/v2 v2.15.3 and github.com/nats-io/nats.go v1.55.0, in one process.
# Expected: a consumer with BackOff 1 s, 5 s, 30 s and MaxDeliver 5 tries a failing message over more than half a minute.
# Seen: BackOff is the list of ack timeouts only. Nak, what a handler calls when the endpoint answers 503, has the message
# sent again at once, and each such delivery counts: MaxDeliver is reached within a second, on the first hiccup of
# the endpoint. After that the consumer reports nothing pending, the message stays in its work queue, no later Consume
# gets it, and the only trace is an advisory on a subject that nobody listens to by default. NakWithDelay waits.
# Output seen: 5 deliveries within 1 s true
#              left: in the stream 1, pending for the consumer 0, got by a second Consume 0
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
	"sync/atomic"
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
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "RECEIPTS", Subjects: []string{"receipts"}, Retention: jetstream.WorkQueuePolicy})
	check(err)
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "publisher", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5,
		BackOff: []time.Duration{time.Second, 5 * time.Second, 30 * time.Second},
	})
	check(err)
	_, err = js.Publish(ctx, "receipts", []byte("read m-1"))
	check(err)

	var deliveries atomic.Int32
	began := time.Now()
	done := make(chan time.Duration, 1)
	consume, err := consumer.Consume(func(m jetstream.Msg) {
		if deliveries.Add(1) == 5 {
			done <- time.Since(began)
		}
		m.Nak()
	})
	check(err)
	fmt.Println(5, "deliveries within 1 s", <-done < time.Second)
	time.Sleep(2 * time.Second)
	consume.Stop()

	deliveries.Store(0)
	consume, err = consumer.Consume(func(jetstream.Msg) { deliveries.Add(1) })
	check(err)
	time.Sleep(8 * time.Second) // longer than the second wait of the list
	consume.Stop()
	info, err := stream.Info(ctx)
	check(err)
	state, err := consumer.Info(ctx)
	check(err)
	fmt.Printf("left: in the stream %d, pending for the consumer %d, got by a second Consume %d\n",
		info.State.Msgs, state.NumPending+uint64(state.NumAckPending), deliveries.Load())
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/nats-io/nats-server/v2@v2.15.3 github.com/nats-io/nats.go@v1.55.0 2>/dev/null
timeout 600 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
5 deliveries within 1 s true
left: in the stream 1, pending for the consumer 0, got by a second Consume 0
E
