// Custom-notifier tells browsers of changes through server-sent events, without Pusher or another
// server. Start the program, and then, in two terminals:
//
//	curl -N '127.0.0.1:8081/events?conversation=news'
//	curl -d user=bob 127.0.0.1:8081/read
//
// The first event of the stream names its socket. A mark with that socket (-d socket=…) is not told
// to the stream.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

// app is the tracker and the streams, with a bus between them. With several processes the bus has
// to reach all of them, as that of redisadapter does.
func app() (*delivery.Tracker, *sseadapter.Handler, error) {
	bus := new(delivery.LocalBus)
	tracker, err := delivery.New(memstore.New(), delivery.NotifierFunc(bus.Publish), &delivery.Options{OpenConversations: true})
	if err != nil {
		return nil, nil, err
	}
	everyone := func(*http.Request) (string, error) { return "guest", nil } // a real app asks its session
	streams, err := sseadapter.New(tracker, bus, everyone, nil)
	return tracker, streams, err
}

func routes(tracker *delivery.Tracker, streams http.Handler, message string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /events", streams)
	mux.HandleFunc("POST /read", func(w http.ResponseWriter, r *http.Request) {
		// A real app takes the user from its session, never from the form.
		actor := delivery.Actor{User: r.FormValue("user"), Socket: r.FormValue("socket")}
		receipt, err := tracker.MarkRead(r.Context(), actor, message)
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		json.NewEncoder(w).Encode(receipt)
	})
	return mux
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()

	tracker, streams, err := app()
	if err != nil {
		log.Fatal(err)
	}
	msg, err := tracker.Send(ctx, delivery.Draft{Conversation: "news", Sender: "alice", Body: "It works", Audience: delivery.Audience{Open: true}})
	if err != nil {
		log.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { tracker.Run(ctx) })
	running.Go(func() { streams.Run(ctx) })

	server := &http.Server{Addr: *addr, Handler: routes(tracker, streams, msg.ID), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	fmt.Printf("listening on http://%s\n", *addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	running.Wait()
}
