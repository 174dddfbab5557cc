// Sse is a small chat with ticks to copy from: main.go, delivery.go and page.html are the whole
// program. It tells browsers of changes by server-sent events, without Pusher or another server.
// An app that exists already needs delivery.go and the script of page.html.
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
	"time"
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

func home(w http.ResponseWriter, r *http.Request) {
	user, _ := currentUser(r)
	w.Header().Set("Cache-Control", "no-store") // or the Back button shows the page of a user who has signed out
	page.Execute(w, map[string]any{"User": user, "Members": members})
}

// newApp makes the app. It also returns run, which publishes committed changes until its ctx ends.
func newApp(ctx context.Context, db *sql.DB) (app http.Handler, run func(context.Context) error, err error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /signin", signIn)
	run, err = addDelivery(ctx, mux, db)
	return mux, run, err
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
	fmt.Printf("Listening on http://%s\nSign in as %s in a browser, and as %s in a private window.\n", listener.Addr(), members[0], members[1])
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
