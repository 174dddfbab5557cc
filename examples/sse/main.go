// Sse is a small chat with ticks to copy from: this file and page.html are the whole program. It
// tells browsers of changes by server-sent events, without Pusher or another server.
//
//	go run ./examples/sse
//
// Sign in as alice in a browser, and as bob in a private window.
package main

import (
	"context"
	"database/sql"
	_ "embed"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	_ "modernc.org/sqlite"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/sqlstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

//go:embed page.html
var html string

var page = template.Must(template.New("page").Parse(html))

// The app's own rules: one conversation, whose members may do everything in it.
var members = []string{"alice", "bob"}

func mayDo(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
	return conversation == "lunch" && slices.Contains(members, user), nil
}

func audience(context.Context, delivery.Draft) (delivery.Audience, error) {
	return delivery.Audience{Recipients: members}, nil
}

// The app's own sign-in. This one is a toy: a real app asks for a password, and the cookie names a
// session that nobody can guess.
func currentUser(r *http.Request) (string, error) {
	cookie, err := r.Cookie("user")
	if err != nil || !slices.Contains(members, cookie.Value) {
		return "", nil
	}
	return cookie.Value, nil
}

func signIn(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{ // #nosec G124 -- not Secure, because this page comes by plain HTTP
		Name: "user", Value: r.FormValue("user"), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func home(w http.ResponseWriter, r *http.Request) {
	user, _ := currentUser(r)
	w.Header().Set("Cache-Control", "no-store") // or the Back button shows the page of a user who has signed out
	page.Execute(w, map[string]string{"User": user})
}

// newApp makes the app. What it returns as run publishes what is committed until ctx ends.
func newApp(ctx context.Context, db *sql.DB) (app http.Handler, run func(context.Context), err error) {
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		return nil, nil, err
	}
	bus := new(delivery.LocalBus) // one process; several need a bus between them, such as redisadapter's
	tracker, err := delivery.New(store, delivery.OwnNotifierFunc(bus.Publish), &delivery.Options{Authorize: mayDo})
	if err != nil {
		return nil, nil, err
	}
	streams, err := sseadapter.New(tracker, bus, currentUser, nil)
	if err != nil {
		return nil, nil, err
	}
	api, err := deliveryhttp.New(tracker, currentUser, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /signin", signIn)
	mux.Handle("GET /events", streams)
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	return mux, func(ctx context.Context) {
		var running sync.WaitGroup
		running.Go(func() { check(streams.Run(ctx)) })
		running.Go(func() { check(tracker.Run(ctx)) })
		running.Wait()
	}, nil
}

// dsn names a SQLite file for a server: readers do not wait for the writer (WAL), commits survive a
// power cut (FULL), and writers wait for each other (busy_timeout), which they can do if they take
// the lock when they begin (_txlock).
func dsn(file string) string {
	return "file:" + file + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8081", "listen on this `address`")
	file := flag.String("db", "sse.db", "keep everything in this SQLite `file`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	db, err := sql.Open("sqlite", dsn(*file))
	check(err)
	defer db.Close()
	app, run, err := newApp(ctx, db)
	check(err)
	listener, err := net.Listen("tcp", *addr)
	check(err)
	fmt.Printf("Listening on http://%s\nSign in as alice in a browser, and as bob in a private window.\n", listener.Addr())
	server := &http.Server{Handler: app, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	go server.Serve(listener)
	run(ctx)
	server.Close()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
