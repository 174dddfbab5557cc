package redisadapter_test

import (
	"context"
	"net/http"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/redisadapter"
	"github.com/msgdelivery/delivery/sseadapter"
	"github.com/redis/go-redis/v9"
)

// Every process of an app does this, over one database and one Redis.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store := memstore.New() // a sqlstore, which all processes share

	bus := redisadapter.NewBus(redis.NewClient(&redis.Options{Addr: "localhost:6379"}), nil)
	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(bus.Publish), &delivery.Options{OpenConversations: true})
	if err != nil {
		panic(err)
	}
	signedIn := func(r *http.Request) (user string, err error) { return "alice", nil } // by the app's own session
	streams, err := sseadapter.New(tracker, bus, signedIn, nil)
	if err != nil {
		panic(err)
	}
	go tracker.Run(ctx)
	go streams.Run(ctx)
	http.Handle("GET /events", streams)
}
