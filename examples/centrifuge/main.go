// Centrifuge is a small chat with ticks whose browsers hear of changes by WebSockets of the library
// centrifuge, instead of Pusher: gateway.go has what joins the two, and page.html the browser's
// side. Its other parts are those of examples/sse.
//
//	npm install centrifuge
//	go run ./examples/centrifuge -centrifuge-js node_modules/centrifuge/dist/centrifuge.js
//
// Sign in as alice in a browser, and as bob in a private window. To run several processes, give
// each of them the same Redis server by -redis.
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

	"github.com/centrifugal/centrifuge"
	_ "modernc.org/sqlite"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliveryjs"
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

func home(w http.ResponseWriter, r *http.Request) {
	user, _ := currentUser(r)
	w.Header().Set("Cache-Control", "no-store") // or the Back button shows the page of a user who has signed out
	page.Execute(w, map[string]any{"User": user, "Members": members})
}

// newNode returns a node that does not run yet. If redis is set, the node shares its channels with
// other processes there.
func newNode(config centrifuge.Config, redis string) (*centrifuge.Node, error) {
	node, err := centrifuge.New(config)
	if err != nil {
		return nil, err
	}
	if redis != "" {
		shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: redis, IOTimeout: time.Second})
		if err != nil {
			return nil, err
		}
		broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}})
		if err != nil {
			return nil, err
		}
		node.SetBroker(broker)
	}
	return node, nil
}

// listen has the tracker's rule asked for each subscription.
func listen(node *centrifuge.Node, tracker *delivery.Tracker) {
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(e centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			go func() { answer(admit(tracker, client, e.Channel)) }() // the rule may take its time
		})
	})
}

// signedIn tells centrifuge who a connection's user is.
func signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := currentUser(r)
		if err != nil || user == "" {
			http.Error(w, "sign in first", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: user})))
	})
}

// newApp makes the app over a node that does not run yet. It also returns run, which publishes
// committed changes until its ctx ends.
func newApp(ctx context.Context, db *sql.DB, node *centrifuge.Node) (app *http.ServeMux, run func(context.Context) error, err error) {
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		return nil, nil, err
	}
	store, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		return nil, nil, err
	}
	tracker, err := delivery.New(store, notifier{node}, &delivery.Options{Authorize: mayDo})
	if err != nil {
		return nil, nil, err
	}
	api, err := deliveryhttp.New(tracker, currentUser, &deliveryhttp.Options{Audience: audience})
	if err != nil {
		return nil, nil, err
	}
	listen(node, tracker)
	if err := node.Run(); err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", home)
	mux.HandleFunc("POST /signin", signIn)
	mux.Handle("GET /connection", signedIn(centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{})))
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	return mux, tracker.Run, nil
}

// dsn names a SQLite file for a server: readers do not wait for the writer (WAL), commits survive a
// power cut (FULL), and writers wait for each other (busy_timeout), which they can do if they take
// the lock when they begin (_txlock).
func dsn(file string) string {
	return "file:" + file + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate"
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8082", "listen on this `address`")
	file := flag.String("db", "centrifuge.db", "keep everything in this SQLite `file`")
	script := flag.String("centrifuge-js", "centrifuge.js", "serve this `file` of the npm package centrifuge to the page")
	redis := flag.String("redis", "", "share channels with other processes by the Redis server at this `address`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	_, err := os.Stat(*script)
	check(err)
	db, err := sql.Open("sqlite", dsn(*file))
	check(err)
	defer db.Close()
	node, err := newNode(centrifuge.Config{UserConnectionLimit: 20}, *redis)
	check(err)
	app, run, err := newApp(ctx, db, node)
	check(err)
	app.HandleFunc("GET /centrifuge.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, *script) })
	listener, err := net.Listen("tcp", *addr)
	check(err)
	fmt.Printf("Listening on http://%s\nSign in as alice in a browser, and as bob in a private window.\n", listener.Addr())
	server := &http.Server{Handler: app, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	go server.Serve(listener)
	check(run(ctx))
	node.Shutdown(context.Background())
	server.Close()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
