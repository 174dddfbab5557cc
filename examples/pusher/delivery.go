package main

import (
	"context"
	"database/sql"
	"net/http"
	"net/url"
	"slices"
	"strings"

	_ "modernc.org/sqlite"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
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
func addDelivery(ctx context.Context, mux *http.ServeMux, db *sql.DB, config pusheradapter.Config) (run func(context.Context) error, err error) {
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		return nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		return nil, err
	}
	notifier, err := pusheradapter.New(config, nil)
	if err != nil {
		return nil, err
	}
	tracker, err := delivery.New(store, notifier, &delivery.Options{Authorize: mayDo})
	if err != nil {
		return nil, err
	}
	auth, err := notifier.AuthHandler(tracker, currentUser, nil)
	if err != nil {
		return nil, err
	}
	api, err := deliveryhttp.New(tracker, currentUser, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		return nil, err
	}
	mux.Handle("/pusher/auth", auth)
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	return tracker.Run, nil
}

// socketServer is where browsers connect to: as options of pusher-js, which protocol.js has too.
func socketServer(config pusheradapter.Config) map[string]any {
	at := url.URL{Host: config.Host}
	port := at.Port()
	host := strings.TrimSuffix(config.Host, ":"+port) // an IPv6 address keeps its brackets
	if cluster, ok := strings.CutPrefix(host, "api"); ok && strings.HasSuffix(host, ".com") && strings.Contains(host, ".pusher") {
		host = "ws" + cluster // api-eu.pusher.com is for the calls of the app, and ws-eu.pusher.com for browsers
	}
	server := map[string]any{"cluster": "-", "wsHost": host, "forceTLS": config.Scheme == "https", "enabledTransports": []string{"ws", "wss"}}
	if port != "" {
		server["wsPort"], server["wssPort"] = port, port
	}
	return server
}

// dsn names a SQLite file for a server: readers do not wait for the writer (WAL), commits survive a
// power cut (FULL), and writers wait for each other (busy_timeout), which they can do if they take
// the lock when they begin (_txlock).
func dsn(file string) string {
	return "file:" + file + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
}
