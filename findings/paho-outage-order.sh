#!/usr/bin/env bash
# paho.mqtt.golang sends what was published during an outage in any order, and drops QoS 0 of that time with a nil error.
# Versions: github.com/eclipse/paho.mqtt.golang v1.5.1 with its defaults; github.com/mochi-mqtt/server/v2 v2.7.9 as broker.
# Expected: messages of one topic arrive in the order in which they were published; OrderMatters is true by default. What
# cannot be sent is an error.
# Seen: while the client reconnects IsConnected is true, and each message goes into the default store, a map: after the
# reconnect its keys are sent in the order in which Go walks a map, so "read up to 1" can be the last of 20 marks.
# mqtt.NewOrderedMemoryStore keeps the order. A QoS 0 publish of that time is done at once with error nil, and is nowhere.
# Output seen: network away: connected true, QoS 0 done true, error <nil>
#              default store: received 20 of 20 with QoS 1 and 0 of 1 with QoS 0, in order false
#              ordered store: received 20 of 20 with QoS 1 and 0 of 1 with QoS 0, in order true
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
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func wait(token paho.Token) {
	token.Wait()
	check(token.Error())
}

func main() {
	server := mqtt.New(&mqtt.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	check(server.AddHook(new(auth.AllowHook), nil))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	check(server.AddListener(listeners.NewNet("tcp", listener)))
	check(server.Serve())
	address := listener.Addr().String()

	received := make(chan string, 100)
	bob := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID("bob"))
	wait(bob.Connect())
	wait(bob.Subscribe("receipts", 1, func(_ paho.Client, m paho.Message) { received <- string(m.Payload()) }))

	name := os.Args[1]
	var conn net.Conn
	var away atomic.Bool
	refused := make(chan bool, 100)
	options := paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID("alice").SetMaxReconnectInterval(time.Second)
	options.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (_ net.Conn, err error) {
		if away.Load() {
			refused <- true
			return nil, errors.New("no network")
		}
		conn, err = net.Dial("tcp", address)
		return conn, err
	})
	if name == "ordered store" {
		options.SetStore(paho.NewOrderedMemoryStore())
	}
	alice := paho.NewClient(options)
	wait(alice.Connect())
	wait(alice.Publish("receipts", 1, false, "hello"))
	for <-received != "hello" {
	}
	away.Store(true)
	check(conn.(*net.TCPConn).CloseRead())
	<-refused // she is trying to reconnect
	lost := alice.Publish("receipts", 0, false, "lost")
	done := lost.WaitTimeout(time.Second)
	if name == "default store" {
		fmt.Printf("network away: connected %v, QoS 0 done %v, error %v\n", alice.IsConnected(), done, lost.Error())
	}
	for i := range 20 {
		alice.Publish("receipts", 1, false, strconv.Itoa(i))
	}
	away.Store(false)
	var marks []int
	zero := 0
	for end := time.After(5 * time.Second); end != nil; {
		select {
		case text := <-received:
			if n, err := strconv.Atoi(text); err == nil {
				marks = append(marks, n)
			} else {
				zero++
			}
		case <-end:
			end = nil
		}
	}
	fmt.Printf("%s: received %d of 20 with QoS 1 and %d of 1 with QoS 0, in order %v\n", name, len(marks), zero, slices.IsSorted(marks))
	alice.Disconnect(100)
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/eclipse/paho.mqtt.golang@v1.5.1 github.com/mochi-mqtt/server/v2@v2.7.9 2>/dev/null
timeout 300 go build -o probe .
for store in 'default store' 'ordered store'; do timeout 30 ./probe "$store"; done | tee out
diff out - <<'E'
network away: connected true, QoS 0 done true, error <nil>
default store: received 20 of 20 with QoS 1 and 0 of 1 with QoS 0, in order false
ordered store: received 20 of 20 with QoS 1 and 0 of 1 with QoS 0, in order true
E
