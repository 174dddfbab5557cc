package natsadapter_test

import (
	"context"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/natsadapter"
	"github.com/msgdelivery/delivery/sseadapter"
)

// Every process of an app does this, over one database and one NATS server or cluster.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store := memstore.New() // a sqlstore, which all processes share

	conn, err := nats.Connect("nats://localhost:4222", nats.MaxReconnects(-1))
	if err != nil {
		panic(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		panic(err)
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "DELIVERY", Subjects: []string{natsadapter.DefaultSubject}, MaxAge: 10 * time.Minute,
	})
	if err != nil {
		panic(err)
	}
	bus, err := natsadapter.NewStreamBus(js, nil)
	if err != nil {
		panic(err)
	}
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
