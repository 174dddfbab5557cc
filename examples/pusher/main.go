// Pusher is a small chat with ticks to copy from. The whole app is main.go, delivery.go, standin.go
// and page.html. It tells browsers of changes through Pusher Channels, or through the server that
// PUSHER_URL names. An app that exists already needs delivery.go and the script of page.html.
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
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/msgdelivery/delivery/pusheradapter"
)

//go:embed page.html
var html string

var page = template.Must(template.New("page").Parse(html))

// The app's users, who are the members of its one conversation.
var members = []string{"alice", "bob"}

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

// newApp makes the app. It also returns run, which publishes committed changes until its ctx ends.
func newApp(ctx context.Context, db *sql.DB, config pusheradapter.Config) (app http.Handler, run func(context.Context) error, err error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		user, _ := currentUser(r)
		w.Header().Set("Cache-Control", "no-store") // or the Back button shows the page of a user who has signed out
		page.Execute(w, map[string]any{"User": user, "Members": members, "Key": config.Key, "Server": socketServer(config)})
	})
	mux.HandleFunc("POST /signin", signIn)
	run, err = addDelivery(ctx, mux, db, config)
	return mux, run, err
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
	fmt.Printf("Listening on http://%s\nSign in as %s in a browser, and as %s in a private window.\n", listener.Addr(), members[0], members[1])
	pusherURL := os.Getenv("PUSHER_URL") // https://KEY:SECRET@api-eu.pusher.com/apps/ID
	if pusherURL == "" {
		pusherURL, err = standIn("127.0.0.1:" + *port)
		check(err)
		fmt.Printf("A stand-in for Pusher runs here, which your own program can use as well:\nPUSHER_URL=%s\n", pusherURL)
	}
	config, err := pusheradapter.ParseURL(pusherURL)
	check(err)
	fmt.Printf("Browsers connect to it with the key %s\n", config.Key)
	app, run, err := newApp(ctx, db, config)
	check(err)
	server := &http.Server{Handler: app, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	go server.Serve(listener)
	check(run(ctx))
	server.Close()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
