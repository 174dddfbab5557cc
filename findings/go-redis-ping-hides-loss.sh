#!/usr/bin/env bash
# A Ping of go-redis' PubSub that finds the connection broken subscribes again on another one, and no Receive returns an error.
# Versions: github.com/redis/go-redis/v9 v9.23.0, github.com/alicebob/miniredis/v2 v2.40.0 as the server on loopback.
# Expected: a subscriber that reads with Receive, as the way to learn of a broken connection, gets an error after the break.
# Seen: the subscriber was busy when its connection was cut, and another goroutine went on with Ping, as keep-alives do. The
# second Ping returns the error of the write, makes a new connection and subscribes. The busy reader then gets a
# *redis.Subscription from Receive, as after Subscribe, and later messages. What was published in between is lost.
# A *redis.Subscription after the first one means that messages may be lost. Without the Pings, Receive returns an error.
# Output seen: without pings: Receive returned an error; with pings: Receive returned *redis.Subscription, *redis.Message "after"
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
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// proxy passes connections on to the server, and can cut those that are open.
type proxy struct {
	listener net.Listener
	server   string

	mu   sync.Mutex
	open []net.Conn
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		check(err)
		p.mu.Lock()
		p.open = append(p.open, client, server)
		p.mu.Unlock()
		go io.Copy(server, client)
		go io.Copy(client, server)
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.open {
		conn.Close()
	}
	p.open = nil
}

// receive says what a subscriber gets whose connection is cut while it is busy.
func receive(pings int) string {
	server, err := miniredis.Run()
	check(err)
	defer server.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer listener.Close()
	between := &proxy{listener: listener, server: server.Addr()}
	go between.serve()
	ctx := context.Background()
	subscriber := redis.NewClient(&redis.Options{Addr: listener.Addr().String()})
	defer subscriber.Close()
	publisher := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer publisher.Close()

	sub := subscriber.Subscribe(ctx, "chat")
	defer sub.Close()
	_, err = sub.Receive(ctx)
	check(err)
	between.cut()
	time.Sleep(200 * time.Millisecond)
	check(publisher.Publish(ctx, "chat", "between").Err())
	for range pings {
		_ = sub.Ping(ctx)
		time.Sleep(200 * time.Millisecond)
	}
	check(publisher.Publish(ctx, "chat", "after").Err())
	var got []string
	for {
		received, err := sub.ReceiveTimeout(ctx, 2*time.Second)
		switch message, ok := received.(*redis.Message); {
		case err != nil && len(got) > 0 && strings.Contains(err.Error(), "timeout"):
			return strings.Join(got, ", ")
		case err != nil:
			return strings.Join(append(got, "an error"), ", ")
		case ok:
			got = append(got, fmt.Sprintf("%T %q", received, message.Payload))
		default:
			got = append(got, fmt.Sprintf("%T", received))
		}
	}
}

func main() {
	fmt.Printf("without pings: Receive returned %s; with pings: Receive returned %s\n", receive(0), receive(2))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/redis/go-redis/v9@v9.23.0 github.com/alicebob/miniredis/v2@v2.40.0 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe 2>err | tee out
diff out - <<'E'
without pings: Receive returned an error; with pings: Receive returned *redis.Subscription, *redis.Message "after"
E
