#!/usr/bin/env bash
# A kafka-go Writer that is made as a struct spreads one conversation over all partitions, and answers nil for what is lost.
# Versions: github.com/segmentio/kafka-go v0.4.51; github.com/twmb/franz-go/pkg/kfake and kgo v1.22.3 as broker and reader.
# Expected: messages with the same Key go to one partition, so that its readers get "sent, delivered, read" in this order,
# and WriteMessages answers nil when a broker has the message, as with NewWriter, whose default is RequireAll.
# Seen: kafka.Writer{Addr: ..., Topic: ...}, the form that its docs recommend, has a round-robin balancer that does not look
# at the Key, and RequiredAcks 0, which means that no broker is asked. Six events of one conversation land in six
# partitions; with a broker that breaks the connection on each produce request WriteMessages answers nil three times.
# Output seen: 6 events with the key conv-1 in 6 partitions
#              broker that refuses: acks asked for 0 errors <nil> <nil> <nil>
#              with Balancer Hash and RequireAll: 6 events in 1 partition, refused: error true
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
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// try writes six events with one key, and three to a broker that takes nothing. It answers the number of partitions.
func try(w *kafka.Writer) (partitions int, acks int32, errs []error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(6, "receipts"))
	check(err)
	defer cluster.Close()
	w.Addr, w.Topic, w.BatchTimeout, w.MaxAttempts = kafka.TCP(cluster.ListenAddrs()...), "receipts", time.Millisecond, 3
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	event := kafka.Message{Key: []byte("conv-1"), Value: []byte("read")}
	for range 6 {
		check(w.WriteMessages(ctx, event))
	}
	reader, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("receipts"))
	check(err)
	defer reader.Close()
	seen := map[int32]bool{}
	for n := 0; n < 6; {
		fetches := reader.PollFetches(ctx)
		check(ctx.Err())
		fetches.EachRecord(func(r *kgo.Record) { n++; seen[r.Partition] = true })
	}
	var asked atomic.Int32
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		asked.Store(int32(r.(*kmsg.ProduceRequest).Acks))
		return nil, errors.New("disk is gone"), true
	})
	for range 3 {
		errs = append(errs, w.WriteMessages(ctx, event))
		time.Sleep(200 * time.Millisecond)
	}
	return len(seen), asked.Load(), errs
}

func main() {
	partitions, acks, errs := try(&kafka.Writer{})
	fmt.Println("6 events with the key conv-1 in", partitions, "partitions")
	fmt.Println("broker that refuses: acks asked for", acks, "errors", errs[0], errs[1], errs[2])
	partitions, _, errs = try(&kafka.Writer{Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll})
	fmt.Println("with Balancer Hash and RequireAll: 6 events in", partitions, "partition, refused: error", errs[0] != nil)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/segmentio/kafka-go@v0.4.51 github.com/twmb/franz-go@v1.22.3 \
  github.com/twmb/franz-go/pkg/kfake@v0.0.0-20260918054303-01f206a7e32c 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
6 events with the key conv-1 in 6 partitions
broker that refuses: acks asked for 0 errors <nil> <nil> <nil>
with Balancer Hash and RequireAll: 6 events in 1 partition, refused: error true
E
