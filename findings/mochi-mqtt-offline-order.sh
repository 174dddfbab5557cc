#!/usr/bin/env bash
# mochi-mqtt delivers what waited for an offline client in any order within one second.
# Versions: github.com/mochi-mqtt/server/v2 v2.7.9 with its defaults; github.com/eclipse/paho.mqtt.golang v1.5.1 as clients.
# Expected: a topic is ordered (MQTT 4.6): what one client published with QoS 1 reaches a subscriber in the same order, also
# one that was away and comes back to its session.
# Seen: while bob is connected his 50 messages come in order. If he was away, they are taken from a map and sorted by the
# second in which they arrived (the lower 16 bits of it): messages of one second come in another order each time, so
# "read up to 3" can be the last of 50. Nothing is lost and nothing is marked.
# Output seen: online: received 50, in order true
#              away: received 50, in order false
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
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

	options := func(id string) *paho.ClientOptions {
		return paho.NewClientOptions().AddBroker("tcp://" + listener.Addr().String()).SetClientID(id)
	}
	received := make(chan int, 100)
	connect := func() paho.Client {
		client := paho.NewClient(options("bob").SetCleanSession(false).SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			n, err := strconv.Atoi(string(m.Payload()))
			check(err)
			received <- n
		}))
		wait(client.Connect())
		return client
	}
	alice := paho.NewClient(options("alice"))
	wait(alice.Connect())
	publish := func() {
		for i := range 50 {
			wait(alice.Publish("receipts/bob", 1, false, strconv.Itoa(i)))
		}
	}
	show := func(name string) {
		var numbers []int
		for end := time.After(10 * time.Second); len(numbers) < 50 && end != nil; {
			select {
			case n := <-received:
				numbers = append(numbers, n)
			case <-end:
				end = nil
			}
		}
		fmt.Printf("%s: received %d, in order %v\n", name, len(numbers), slices.IsSorted(numbers))
	}

	bob := connect()
	wait(bob.Subscribe("receipts/bob", 1, nil))
	publish()
	show("online")
	bob.Disconnect(500)
	for online := true; online; {
		client, _ := server.Clients.Get("bob")
		online = !client.Closed()
		time.Sleep(10 * time.Millisecond)
	}
	publish()
	connect()
	show("away")
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/mochi-mqtt/server/v2@v2.7.9 github.com/eclipse/paho.mqtt.golang@v1.5.1 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
online: received 50, in order true
away: received 50, in order false
E
