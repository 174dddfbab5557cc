#!/usr/bin/env bash
# A JetStream publish whose connection broke waits for its whole timeout, though the client is connected again at once.
# Versions: github.com/nats-io/nats-server/v2 v2.15.3 and github.com/nats-io/nats.go v1.55.0, in one process.
# Expected: the connection breaks when the message is on its way. The publish fails then, or is sent again once the client has
# reconnected: no answer can come for what was sent on the old connection.
# Seen: the client reconnects within milliseconds, and the publish goes on waiting until its context ends, 3 s here. The error is a
# deadline, as of a server that is slow; nothing says that the connection broke. An outbox whose publishers wait like this stands
# still for the length of its timeout at each restart of the server. Watch Conn.StatusChanged, and end the context.
# Output seen: reconnected within 1 s: true
#              publish: context deadline exceeded, after the whole timeout: true
#              stored: 0
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
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

// pass is a network that breaks a connection when the message is on its way.
func pass(client net.Conn, to string) {
	upstream, err := net.Dial("tcp", to)
	check(err)
	go func() { io.Copy(client, upstream); client.Close() }()
	defer client.Close()
	defer upstream.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err != nil || bytes.Contains(buffer[:n], []byte("read m-1")) {
			return
		}
		upstream.Write(buffer[:n])
	}
}

func main() {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: "data", NoLog: true, NoSigs: true})
	check(err)
	go s.Start()
	defer s.Shutdown()
	s.ReadyForConnections(10 * time.Second)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go pass(client, s.Addr().String())
		}
	}()
	again := make(chan struct{}, 1)
	conn, err := nats.Connect("nats://"+listener.Addr().String(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond),
		nats.ReconnectHandler(func(*nats.Conn) { again <- struct{}{} }))
	check(err)
	js, err := jetstream.New(conn)
	check(err)
	ctx := context.Background()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "RECEIPTS", Subjects: []string{"receipts"}})
	check(err)

	began := time.Now()
	done := make(chan error)
	limited, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	go func() {
		_, err := js.Publish(limited, "receipts", []byte("read m-1"))
		done <- err
	}()
	<-again
	fmt.Println("reconnected within 1 s:", time.Since(began) < time.Second)
	err = <-done
	fmt.Printf("publish: %v, after the whole timeout: %v\n", err, time.Since(began) > 2900*time.Millisecond)
	info, err := stream.Info(ctx)
	check(err)
	fmt.Println("stored:", info.State.Msgs)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/nats-io/nats-server/v2@v2.15.3 github.com/nats-io/nats.go@v1.55.0 2>/dev/null
timeout 600 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
reconnected within 1 s: true
publish: context deadline exceeded, after the whole timeout: true
stored: 0
E
