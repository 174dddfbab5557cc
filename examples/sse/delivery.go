package main

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"slices"

	_ "modernc.org/sqlite"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/sqlstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

// mayDo says whether a user may view, send or mark in a conversation. Here the members may do
// everything in the one conversation that there is.
func mayDo(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
	return conversation == "lunch" && slices.Contains(members, user), nil
}

// audience says who gets a message that is sent now.
func audience(_ context.Context, message delivery.Draft) (delivery.Audience, error) {
	return delivery.Audience{Recipients: members}, nil // the sender is left out
}

// addDelivery makes or upgrades the library's tables in db, and adds to mux the routes that the
// page calls. They ask currentUser who is signed in. addDelivery returns run, which publishes
// committed changes until its ctx ends.
func addDelivery(ctx context.Context, mux *http.ServeMux, db *sql.DB) (run func(context.Context) error, err error) {
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		return nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		return nil, err
	}
	bus := new(delivery.LocalBus) // one process; several need a bus between them, such as redisadapter's
	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(bus.Publish), &delivery.Options{Authorize: mayDo})
	if err != nil {
		return nil, err
	}
	streams, err := sseadapter.New(tracker, bus, currentUser, nil)
	if err != nil {
		return nil, err
	}
	api, err := deliveryhttp.New(tracker, currentUser, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		return nil, err
	}
	mux.Handle("GET /events", streams)
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	return func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		ended := make(chan error)
		go func() { ended <- streams.Run(ctx) }()
		go func() { ended <- tracker.Run(ctx) }()
		err := <-ended
		stop()
		return errors.Join(err, <-ended)
	}, nil
}

// dsn names a SQLite file for a server: readers do not wait for the writer (WAL), commits survive a
// power cut (FULL), and writers wait for each other (busy_timeout), which they can do if they take
// the lock when they begin (_txlock).
func dsn(file string) string {
	return "file:" + file + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
}
