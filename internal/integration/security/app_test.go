package security

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// present says who is in which conversation. Dan was in acme/room and left, carol came late, eve
// was never anywhere.
var present = map[string][]string{
	"acme/room":    {"alice", "bob", "carol"},
	"acme/direct":  {"alice", "bob"},
	"umbrella/den": {"mallory", "oscar"},
}

// drafts are what was sent, in this order.
var drafts = []delivery.Draft{
	{ID: "room-frozen", Conversation: "acme/room", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "dan"}}},
	{ID: "room-open", Conversation: "acme/room", Sender: "alice", Audience: delivery.Audience{Open: true}},
	{ID: "room-answer", Conversation: "acme/room", Sender: "bob", Audience: delivery.Audience{Recipients: []string{"alice", "dan"}}},
	{ID: "direct", Conversation: "acme/direct", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}},
	{ID: "den-frozen", Conversation: "umbrella/den", Sender: "mallory", Audience: delivery.Audience{Recipients: []string{"oscar"}}},
	{ID: "den-open", Conversation: "umbrella/den", Sender: "oscar", Audience: delivery.Audience{Open: true}},
	{ID: "den-empty", Conversation: "umbrella/den", Sender: "mallory", Audience: delivery.Audience{Recipients: []string{}}},
}

// app is a small app that does as the documentation says, on one database.
type app struct {
	http.Handler
	tracker  *delivery.Tracker
	db       *sql.DB
	database engines.Database
	pusher   *pushertest.Server
	log      book
	options  options
}

// options are what a test has the app do otherwise.
type options struct {
	store     delivery.Store // in place of the database's
	wrap      func(delivery.Store) delivery.Store
	authorize func(user string, to delivery.Action, conversation string) bool
	identify  func(*http.Request) string
	auth      func(*app) http.Handler // in place of the endpoint
	http      deliveryhttp.Options
	pusher    pusheradapter.Options
	config    func(*pusheradapter.Config)
	notifier  delivery.Notifier // in place of pusheradapter's
	pool      func(engines.Database, *testing.T) *sql.DB
}

func newApp(t *testing.T, e engines.Engine, o options) *app {
	t.Helper()
	database := stores.Database(t, e)
	a := &app{db: database.Open(t), database: database, pusher: pushertest.NewServer(t), options: o}
	pool := a.db
	if o.pool != nil {
		pool = o.pool(database, t)
	}
	store := stores.Open(t, e, pool)
	a.options.store = store
	if o.wrap != nil {
		a.options.store = o.wrap(store)
	}
	if err := a.restart(); err != nil {
		t.Fatal(err)
	}
	for _, draft := range drafts {
		if _, err := a.tracker.Send(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return a
}

// restart makes the app's process anew, which then knows nothing but what is in the database.
func (a *app) restart() error {
	o := a.options
	if o.authorize == nil {
		o.authorize = mayIn
	}
	if o.identify == nil {
		o.identify = func(r *http.Request) string { return sessions[r.Header.Get("Session")] }
	}
	identify := func(r *http.Request) (string, error) {
		if r.Header.Get("Session") == "broken" {
			return "", errors.New("the sessions are gone")
		}
		return o.identify(r), nil
	}
	logger := slog.New(slog.NewJSONHandler(&a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config := pusheradapter.Config{AppID: a.pusher.AppID, Key: a.pusher.Key, Secret: a.pusher.Secret, Host: a.pusher.Host()}
	if o.config != nil {
		o.config(&config)
	}
	notifier, err := pusheradapter.New(config, &o.pusher)
	if err != nil {
		return err
	}
	if o.notifier == nil {
		o.notifier = notifier
	}
	a.tracker, err = delivery.New(o.store, o.notifier, &delivery.Options{
		Logger:      logger,
		EventBodies: true,
		Observer: &delivery.Observer{
			Notified: func(_ context.Context, n delivery.NotifiedInfo) { a.note("notified", n.Err) },
			Marked:   func(_ context.Context, m delivery.MarkedInfo) { a.note(m.User+" "+m.Message, m.Err) },
			Buried:   func(_ context.Context, b delivery.BuriedInfo) { a.note("buried", errors.New(b.Reason)) },
		},
		Authorize: func(_ context.Context, user string, to delivery.Action, conversation string) (bool, error) {
			return o.authorize(user, to, conversation), nil
		},
	})
	if err != nil {
		return err
	}
	o.http.Logger = logger
	if o.http.Audience == nil {
		o.http.Audience = func(context.Context, delivery.Draft) (delivery.Audience, error) {
			return delivery.Audience{Open: true}, nil
		}
	}
	api, err := deliveryhttp.New(a.tracker, identify, &o.http)
	if err != nil {
		return err
	}
	auth, err := notifier.AuthHandler(a.tracker, identify, &pusheradapter.AuthOptions{Logger: logger, CrossOrigin: o.http.CrossOrigin})
	if err != nil {
		return err
	}
	if o.auth != nil {
		auth = o.auth(a)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", http.StripPrefix("/api", api))
	mux.Handle("/pusher/auth", auth)
	a.Handler = mux
	return nil
}

// note takes down an error, as an app may that gets one.
func (a *app) note(what string, err error) {
	if err != nil {
		fmt.Fprintf(&a.log, "%s: %v\n%+v\n", what, err, err)
	}
}

// sessions are the users by what their cookies say.
var sessions = map[string]string{
	"5a-alice": "alice", "71-bob": "bob", "c3-carol": "carol", "d9-dan": "dan", "0e-eve": "eve", "f2-mallory": "mallory", "88-oscar": "oscar",
}

// sessionOf is the inverse.
func sessionOf(user string) string {
	for session, of := range sessions {
		if of == user {
			return session
		}
	}
	return ""
}

// mayIn is the app's rule: members may do everything.
func mayIn(user string, _ delivery.Action, conversation string) bool {
	return slices.Contains(present[conversation], user)
}

// mayMark is who may mark what, by what the package promises.
func mayMark(user string, d delivery.Draft) bool {
	switch {
	case user == d.Sender:
		return false
	case d.Open:
		return mayIn(user, delivery.ToMark, d.Conversation)
	}
	return slices.Contains(d.Recipients, user)
}

// mayPlace is who may dismiss up to what, and mark as unread from it on: senders have a badge, too.
func mayPlace(user string, d delivery.Draft) bool { return user == d.Sender || mayMark(user, d) }

// mayDelete is who may delete what.
func mayDelete(user string, d delivery.Draft) bool {
	return user == d.Sender && mayIn(user, delivery.ToSend, d.Conversation)
}

// mayMarkUpTo is the same for all up to one.
func mayMarkUpTo(user string, last delivery.Draft) bool {
	if user == last.Sender {
		return true // who has read what came before, or nothing; that is no secret to a sender
	}
	for _, d := range drafts {
		if d.Conversation == last.Conversation && mayMark(user, d) {
			return true
		}
		if d.ID == last.ID {
			break
		}
	}
	return false
}

// request is one request to the app.
type request struct {
	method, url, body string
	header            http.Header
}

func (q request) String() string {
	return fmt.Sprintf("%s %s %v %.300q", q.method, q.url, q.header, q.body)
}

func (a *app) do(q request) *httptest.ResponseRecorder {
	r := httptest.NewRequest(q.method, q.url, strings.NewReader(q.body))
	r.Header = q.header
	answer := httptest.NewRecorder()
	a.ServeHTTP(answer, r)
	return answer
}

// tables are all that the store keeps.
var tables = []string{
	"delivery_migrations", "delivery_conversations", "delivery_messages", "delivery_states", "delivery_receipts",
	"delivery_readers", "delivery_rosters", "delivery_members", "delivery_failures", "delivery_own", "delivery_outbox", "delivery_dead", "delivery_rules", "delivery_looked",
	"delivery_overdue", "delivery_hours", "delivery_epoch",
}

// dump is everything in the tables, as text.
func (a *app) dump(ctx context.Context) (string, error) {
	var all []string
	for _, table := range tables {
		rows, err := a.db.QueryContext(ctx, "SELECT * FROM "+table)
		if err != nil {
			return "", err
		}
		columns, err := rows.Columns()
		if err != nil {
			return "", err
		}
		for rows.Next() {
			values, to := make([]sql.NullString, len(columns)), make([]any, len(columns))
			for i := range values {
				to[i] = &values[i]
			}
			if err := rows.Scan(to...); err != nil {
				return "", err
			}
			all = append(all, fmt.Sprint(table, values))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return "", err
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n"), nil
}

// book takes down a log.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *book) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
