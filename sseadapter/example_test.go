package sseadapter_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

// One process: a LocalBus between the tracker and the streams.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	bus := new(delivery.LocalBus)
	tracker, err := delivery.New(memstore.New(), delivery.OwnNotifierFunc(bus.Publish), &delivery.Options{OpenConversations: true})
	if err != nil {
		panic(err)
	}
	signedIn := func(r *http.Request) (user string, err error) { return "alice", nil } // by the app's own session
	streams, err := sseadapter.New(tracker, bus, signedIn, nil)
	if err != nil {
		panic(err)
	}
	running.Go(func() { tracker.Run(ctx) })
	running.Go(func() { streams.Run(ctx) })
	server := httptest.NewServer(streams)
	defer server.Close()
	defer stop()

	msg, err := tracker.Send(ctx, delivery.Draft{ID: "m1", Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
	if err != nil {
		panic(err)
	}
	told := func() bool {
		response, err := http.Get(server.URL + "?conversation=c1") // a browser's new EventSource(…)
		if err != nil {
			panic(err)
		}
		defer response.Body.Close()
		name := ""
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			if value, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = value
			}
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			switch {
			case ok && name == "hello":
				if _, err := tracker.MarkRead(ctx, delivery.Actor{User: "bob"}, msg.ID); err != nil {
					panic(err)
				}
			case ok && name == "status":
				fmt.Println(name, strings.Contains(data, `"message":"m1"`), strings.Contains(data, `"status":"read"`))
				return true
			}
		}
		return false // Run had not begun; an EventSource connects again by itself
	}
	for !told() {
	}
	// Output:
	// status true true
}
