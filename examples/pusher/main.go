// Pusher is a small chat with ticks to copy from: the files main.go, standin.go and page.html are
// the whole app. It tells browsers of changes through Pusher Channels, or through the server that
// PUSHER_URL names.
//
//	go run ./examples/pusher
//
// Without PUSHER_URL, standin.go starts a stand-in for Pusher at 127.0.0.1:6001, with a
// new secret at each start. Sign in as alice in a browser, and as bob in a private window.
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
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	_ "modernc.org/sqlite"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
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

// newApp makes the app. The tracker's Run publishes what is committed.
func newApp(ctx context.Context, db *sql.DB, config pusheradapter.Config) (http.Handler, *delivery.Tracker, error) {
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		return nil, nil, err
	}
	notifier, err := pusheradapter.New(config, nil)
	if err != nil {
		return nil, nil, err
	}
	tracker, err := delivery.New(store, notifier, &delivery.Options{Authorize: mayDo})
	if err != nil {
		return nil, nil, err
	}
	auth, err := notifier.AuthHandler(tracker, currentUser, nil)
	if err != nil {
		return nil, nil, err
	}
	api, err := deliveryhttp.New(tracker, currentUser, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		user, _ := currentUser(r)
		w.Header().Set("Cache-Control", "no-store") // or the Back button shows the page of a user who has signed out
		page.Execute(w, map[string]any{"User": user, "Key": config.Key, "Server": socketServer(config)})
	})
	mux.HandleFunc("POST /signin", signIn)
	mux.Handle("/pusher/auth", auth)
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	return mux, tracker, nil
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

func main() {
	addr := flag.String("addr", "127.0.0.1:8082", "listen on this `address`")
	file := flag.String("db", "pusher.db", "keep everything in this SQLite `file`")
	port := flag.String("pusher-port", "6001", "without PUSHER_URL, start the stand-in at this `port` of 127.0.0.1")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	db, err := sql.Open("sqlite", dsn(*file))
	check(err)
	defer db.Close()
	listener, err := net.Listen("tcp", *addr)
	check(err)
	fmt.Printf("Listening on http://%s\nSign in as alice in a browser, and as bob in a private window.\n", listener.Addr())
	pusherURL := os.Getenv("PUSHER_URL") // https://KEY:SECRET@api-eu.pusher.com/apps/ID
	if pusherURL == "" {
		pusherURL, err = standIn("127.0.0.1:" + *port)
		check(err)
		fmt.Printf("A stand-in for Pusher runs here, which your own program can use as well:\nPUSHER_URL=%s\n", pusherURL)
	}
	config, err := pusheradapter.ParseURL(pusherURL)
	check(err)
	fmt.Printf("Browsers connect to it with the key %s\n", config.Key)
	app, tracker, err := newApp(ctx, db, config)
	check(err)
	server := &http.Server{Handler: app, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	go server.Serve(listener)
	check(tracker.Run(ctx))
	server.Close()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
