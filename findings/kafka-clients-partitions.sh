#!/usr/bin/env bash
# Three Kafka clients for Go put the same key into different partitions, so two services break the order of a conversation.
# Versions: github.com/IBM/sarama v1.61.1, github.com/twmb/franz-go v1.22.3, github.com/segmentio/kafka-go v0.4.51;
# beside them npm kafkajs 2.2.4.
# Expected: a key decides the partition, whichever client writes: a service that writes "sent" and another that writes
# "read" with the key conv-1 share a partition, and its readers see them in order.
# Seen: sarama's default hash is FNV-1a; franz-go and kafkajs do as the Java client does (murmur2); kafka-go has a type for
# either, and CRC-32 as librdkafka has. Of 100 keys over 6 partitions sarama and franz-go agree on 20, little more than by chance.
# A consumer that joins, or compacts, by key finds half of a conversation. sarama's order is kafka-go's Hash, exactly.
# Output seen: conv-1: sarama 3, franz-go 2, kafka-go Hash 3, Murmur2 2, CRC32 2, kafkajs 2
#              conv-2: sarama 0, franz-go 4, kafka-go Hash 0, Murmur2 4, CRC32 2, kafkajs 4
#              same partition for sarama and franz-go: 20 of 100 keys
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

npm init -y >/dev/null
timeout 300 npm install --silent --no-audit --no-fund --ignore-scripts kafkajs@2.2.4 >/dev/null 2>&1
cat >main.js <<'JS'
const partition = require('kafkajs').Partitioners.DefaultPartitioner();
const partitionMetadata = [0, 1, 2, 3, 4, 5].map((partitionId) => ({ partitionId, leader: 1 }));
for (const key of process.argv.slice(2)) console.log(partition({ topic: 'receipts', partitionMetadata, message: { key } }));
JS
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os/exec"
	"strings"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	partitions := []int{0, 1, 2, 3, 4, 5}
	hashed := func(key string) int {
		p, err := sarama.NewConfig().Producer.Partitioner("receipts").Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(key)}, 6)
		if err != nil {
			panic(err)
		}
		return int(p)
	}
	franz := func(key string) int { // with the hash that a client uses by default
		return kgo.StickyKeyPartitioner(nil).ForTopic("receipts").Partition(&kgo.Record{Key: []byte(key)}, 6)
	}
	out, err := exec.Command("node", "main.js", "conv-1", "conv-2").Output()
	if err != nil {
		panic(err)
	}
	for i, key := range []string{"conv-1", "conv-2"} {
		m := kafka.Message{Key: []byte(key)}
		fmt.Printf("%s: sarama %d, franz-go %d, kafka-go Hash %d, Murmur2 %d, CRC32 %d, kafkajs %s\n", key, hashed(key), franz(key),
			(&kafka.Hash{}).Balance(m, partitions...), kafka.Murmur2Balancer{}.Balance(m, partitions...),
			kafka.CRC32Balancer{}.Balance(m, partitions...), strings.Fields(string(out))[i])
	}
	same := 0
	for i := range 100 {
		if key := fmt.Sprint("conv-", i); hashed(key) == franz(key) {
			same++
		}
	}
	fmt.Println("same partition for sarama and franz-go:", same, "of 100 keys")
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/IBM/sarama@v1.61.1 github.com/twmb/franz-go@v1.22.3 github.com/segmentio/kafka-go@v0.4.51 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
conv-1: sarama 3, franz-go 2, kafka-go Hash 3, Murmur2 2, CRC32 2, kafkajs 2
conv-2: sarama 0, franz-go 4, kafka-go Hash 0, Murmur2 4, CRC32 2, kafkajs 4
same partition for sarama and franz-go: 20 of 100 keys
E
