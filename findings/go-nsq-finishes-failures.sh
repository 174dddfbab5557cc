#!/usr/bin/env bash
# go-nsq tells the server that a message is finished after its handler has failed five times.
# Version: github.com/nsqio/go-nsq, newest (v1.1.0), with an nsqd of 30 lines on loopback that sends one message.
# Expected: a handler that answers an error has not handled the message; it is delivered until it succeeds, as NSQ's
# "at least once" says, or ends where somebody sees it.
# Seen: with the default MaxAttempts of 5 the sixth delivery does not reach the handler: the client logs "giving up" and
# sends FIN, the same command as for a success, and nsqd deletes the message. Its statistics count it as finished.
# An endpoint that is away for five tries loses every event of that time, unless the handler has LogFailedMessage.
# Output seen: deliveries 6, handler calls 5 (all failed), the server was told FIN, finished 1 by the client's count
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nsqio/go-nsq"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// serve is an nsqd with one message. It answers the number of deliveries when the message is finished.
func serve(listener net.Listener) int {
	conn, err := listener.Accept()
	check(err)
	frame := func(kind uint32, data []byte) {
		head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(len(data)+4)), kind)
		_, err := conn.Write(append(head, data...))
		check(err)
	}
	attempts := 0
	deliver := func() {
		attempts++
		m := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
		m = binary.BigEndian.AppendUint16(m, uint16(attempts))
		frame(2, append(append(m, "0123456789abcdef"...), `{"message":"m-1","status":"read"}`...))
	}
	in := bufio.NewReader(conn)
	_, err = in.Discard(len("  V2"))
	check(err)
	for {
		line, err := in.ReadString('\n')
		check(err)
		switch command := strings.Fields(line); command[0] {
		case "IDENTIFY":
			size := make([]byte, 4)
			_, err = io.ReadFull(in, size)
			check(err)
			_, err = in.Discard(int(binary.BigEndian.Uint32(size)))
			check(err)
			frame(0, []byte(`{"max_rdy_count":2500,"version":"1.3.0","msg_timeout":60000}`))
		case "SUB":
			frame(0, []byte("OK"))
		case "RDY":
			if attempts == 0 && command[1] != "0" {
				deliver()
			}
		case "REQ":
			deliver()
		case "FIN":
			return attempts
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	finished := make(chan int)
	go func() { finished <- serve(listener) }()

	config := nsq.NewConfig()
	config.MaxBackoffDuration, config.DefaultRequeueDelay = 0, 0 // or the tries take minutes
	consumer, err := nsq.NewConsumer("receipts", "publisher", config)
	check(err)
	consumer.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	var calls atomic.Int32
	consumer.AddHandler(nsq.HandlerFunc(func(*nsq.Message) error {
		calls.Add(1)
		return errors.New("the endpoint answers 503")
	}))
	check(consumer.ConnectToNSQD(listener.Addr().String()))
	fmt.Printf("deliveries %d, handler calls %d (all failed), the server was told FIN, finished %d by the client's count\n",
		<-finished, calls.Load(), consumer.Stats().MessagesFinished)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/nsqio/go-nsq@v1.1.0 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
deliveries 6, handler calls 5 (all failed), the server was told FIN, finished 1 by the client's count
E
