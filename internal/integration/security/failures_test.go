package security

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
	"github.com/msgdelivery/delivery/sqlstore"
)

// failures are all kinds of them. What an app sees of them is noted.
var failures = map[string]func(t *testing.T, a *app){
	"an endpoint that answers with errors": func(t *testing.T, a *app) {
		for _, status := range []int{400, 401, 403, 404, 413, 418, 429, 500, 502, 503} {
			a.pusher.Script(tattle(status), tattle(status), tattle(status))
			a.send(t)
		}
		a.pusher.Script(pushertest.ErrorInOK(401, "key "+a.pusher.Key+" is wrong"), pushertest.RetryAfter(503, time.Second))
		a.send(t)
		a.send(t)
	},
	"an endpoint that redirects": func(t *testing.T, a *app) {
		for _, status := range []int{301, 302, 307, 308} {
			a.pusher.Script(func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
				http.Redirect(w, r, "http://elsewhere.invalid"+r.URL.String(), status)
			})
			a.send(t)
		}
	},
	"an endpoint that breaks off or hangs": func(t *testing.T, a *app) {
		o := a.options
		o.pusher.Timeout = 50 * time.Millisecond
		a.with(t, o)
		a.pusher.Script(pushertest.Cut, pushertest.Accepted(pushertest.Cut), pushertest.Hang)
		for range 3 {
			a.send(t)
		}
	},
	"an endpoint that is not there": func(t *testing.T, a *app) {
		for _, host := range []string{closedPort(t), "127.0.0.1:1", "no-such-host.invalid"} {
			o := a.options
			o.config = func(c *pusheradapter.Config) { c.Host = host }
			a.with(t, o)
			a.send(t)
		}
	},
	"an endpoint with an unknown certificate, and one without TLS": func(t *testing.T, a *app) {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was called") }))
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		server.StartTLS()
		defer server.Close()
		for _, host := range []string{server.Listener.Addr().String(), a.pusher.Host()} {
			o := a.options
			o.config = func(c *pusheradapter.Config) { c.Host, c.Scheme = host, "https" }
			a.with(t, o)
			var wrong *tls.CertificateVerificationError
			if err := a.send(t); host != a.pusher.Host() && !errors.As(err, &wrong) {
				t.Errorf("got %v", err)
			}
		}
	},
	"a transport that talks": func(t *testing.T, a *app) {
		for _, transport := range []transport{
			func(r *http.Request) (*http.Response, error) { return nil, fmt.Errorf("cannot reach %v", r.URL) },
			func(r *http.Request) (*http.Response, error) {
				return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: net.ErrClosed}
			},
			func(r *http.Request) (*http.Response, error) { panic("cannot reach " + r.URL.String()) },
		} {
			o := a.options
			o.pusher.Transport = transport
			a.with(t, o)
			a.send(t)
		}
	},
	"an encoder that fails or panics": func(t *testing.T, a *app) {
		for _, fail := range []func() error{
			func() error { return errors.New("no channel for it") },
			func() error { return delivery.Permanent(errors.New("no channel for it")) },
			func() error { return []error{}[1] },
		} {
			o := a.options
			o.pusher.Encode = func(context.Context, delivery.Event) ([]pusheradapter.Trigger, error) { return nil, fail() }
			o.pusher.Conversation = pusheradapter.ParseChannel
			a.with(t, o)
			a.send(t)
		}
		letters, err := a.tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
		a.note("dead letters", err)
		for _, d := range letters {
			a.note("dead", errors.New(d.Reason))
			a.note("replay", a.tracker.Replay(t.Context(), d.Event.ID))
		}
	},
	"a relay whose endpoint fails": func(t *testing.T, a *app) {
		a.with(t, a.options) // with a closed breaker
		a.pusher.FaultFunc(func(pushertest.Request) pushertest.Fault { return tattle(500) })
		defer a.pusher.FaultFunc(nil)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- a.tracker.Run(ctx) }()
		calls := len(a.pusher.Requests())
		for range 4 {
			_, err := a.tracker.Send(ctx, newDraft())
			a.note("sending", err)
		}
		for deadline := time.Now().Add(time.Minute); len(a.pusher.Requests()) < calls+6; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Error("the relay does not try again")
				break
			}
		}
		cancel()
		a.note("running", <-ended)
	},
	"refusals and bad requests": func(t *testing.T, a *app) {
		random := newRandom(t)
		for range 300 {
			q := attacker{random}.forbidden()
			q.body = strings.Replace(q.body, "forbidden", canary, 1)
			answer := a.do(q)
			a.note("answered", errors.New(answer.Body.String()))
		}
		for _, body := range []string{
			`{"` + canary + `":1}`, `{"conversation":"acme/room","body":1,"` + canary + `":2}`, canary, `{"conversation":"` + canary + `","body":""}`,
			`{"conversation":"acme/room","body":"` + canary + strings.Repeat("x", 70_000) + `"}`, `{"conversation":"acme/room","id":"direct","body":"` + canary + `"}`,
			`{"conversation":"acme/room","body":"` + canary + `","quorum":-1}`, `{"conversation":"acme/room","body":"` + canary + `\u0000"}`,
		} {
			answer := a.do(request{"POST", "/api/messages", body, http.Header{"Content-Type": {"application/json"}, "Session": {sessionOf("alice")}}})
			if answer.Code/100 != 4 {
				t.Errorf("%.80s: answered %d %s", body, answer.Code, answer.Body)
			}
			a.note("answered", errors.New(answer.Body.String()))
		}
	},
	"a sign-in that is broken": func(t *testing.T, a *app) {
		for _, c := range calls {
			answer := a.do(request{c.method, c.path, "", http.Header{"Session": {"broken"}}})
			a.note("answered", errors.New(answer.Body.String()))
		}
	},
	"a database without its tables": func(t *testing.T, a *app) {
		for _, table := range []string{"delivery_outbox", "delivery_receipts", "delivery_messages"} {
			a.exec(t, "ALTER TABLE "+table+" RENAME TO gone")
			a.everything(t)
			a.exec(t, "ALTER TABLE gone RENAME TO "+table)
		}
	},
	"contexts that have ended": func(t *testing.T, a *app) {
		for _, in := range []time.Duration{0, time.Microsecond, 200 * time.Microsecond} {
			ctx, cancel := context.WithTimeout(t.Context(), in)
			_, err := a.tracker.Send(ctx, newDraft())
			a.note("sending", err)
			_, err = a.tracker.MarkRead(ctx, delivery.Actor{User: "bob"}, "room-frozen")
			a.note("marking", err)
			cancel()
		}
	},
	"a database that lets nobody in, or is not there": func(t *testing.T, a *app) {
		for _, c := range locked(t, a) {
			pool := c.Open(t)
			store, err := sqlstore.New(pool, c.dialect)
			if err != nil {
				t.Fatal(err)
			}
			a.note("validating", sqlstore.Validate(t.Context(), pool, c.dialect))
			a.note("migrating", sqlstore.Migrate(t.Context(), pool, c.dialect))
			o := a.options
			o.store = store
			a.with(t, o)
			a.everything(t)
		}
	},
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// tattle answers with all it was asked.
func tattle(status int) pushertest.Fault {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set("X-Error", r.URL.String())
		http.Error(w, "bad: "+r.URL.String(), status)
	}
}

// with makes the app's process anew, with other options until the end of the test.
func (a *app) with(t *testing.T, o options) {
	t.Helper()
	kept := a.options
	t.Cleanup(func() {
		a.options = kept
		if err := a.restart(); err != nil {
			t.Error(err)
		}
	})
	a.options = o
	if err := a.restart(); err != nil {
		t.Fatal(err)
	}
}

func newDraft() delivery.Draft {
	return delivery.Draft{Conversation: "acme/room", Sender: "alice", Body: canary, Audience: delivery.Audience{Open: true}}
}

// send sends a message and tells of it, and notes and returns why that fails.
func (a *app) send(t *testing.T) error {
	_, err := a.tracker.Send(t.Context(), newDraft())
	err = errors.Join(err, a.tracker.Flush(t.Context()))
	a.note("telling", err)
	time.Sleep(time.Millisecond)
	return err
}

// everything calls all there is to call, and notes what is said.
func (a *app) everything(t *testing.T) {
	a.send(t)
	ctx := t.Context()
	_, err := a.tracker.MarkUpTo(ctx, delivery.Actor{User: "bob"}, delivery.Read, delivery.MessageRef{Conversation: "acme/room", ID: "room-open"})
	a.note("marking up to", err)
	_, err = a.tracker.Unread(ctx, delivery.Actor{User: "bob"}, "acme/room")
	a.note("unread", err)
	_, err = a.tracker.Delete(ctx, delivery.Actor{User: "alice"}, "room-gone")
	a.note("deleting", err)
	_, err = a.tracker.Receipts(ctx, delivery.ReceiptQuery{Message: "room-open"})
	a.note("receipts", err)
	_, err = a.tracker.Backlog(ctx)
	a.note("backlog", err)
	_, err = a.tracker.DeadLetters(ctx, delivery.DeadQuery{})
	a.note("dead letters", err)
	target := target{conversation: "acme/room", messages: []string{"room-frozen"}, status: "read", channel: "private-conv-acme=2Froom"}
	for _, c := range calls {
		q := attacker{}.finish(request{method: c.method, url: c.path, header: http.Header{"Content-Type": {"application/json"}, "Session": {sessionOf("bob")}}}, c, target)
		if answer := a.do(q); answer.Code >= 400 {
			a.note("answered", errors.New(answer.Body.String()))
		}
	}
}

func (a *app) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := a.db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// locked returns the app's database with another password, and at a port where none is.
func locked(t *testing.T, a *app) (databases []struct {
	engines.Database
	dialect sqlstore.Dialect
}) {
	t.Helper()
	add := func(dsn string, dialect sqlstore.Dialect) {
		d := a.database
		d.DSN = dsn
		databases = append(databases, struct {
			engines.Database
			dialect sqlstore.Dialect
		}{d, dialect})
	}
	switch a.database.Kind {
	case engines.SQLite:
		add("file:"+filepath.Join(t.TempDir(), "none", "pass-7e2d"), sqlstore.SQLite)
	case engines.Postgres:
		u, err := url.Parse(a.database.DSN)
		if err != nil {
			t.Fatal("not a URL")
		}
		for _, host := range []string{u.Host, closedPort(t)} {
			u.User, u.Host = url.UserPassword(u.User.Username(), "pass-7e2d"), host
			add(u.String(), sqlstore.Postgres)
		}
	case engines.MySQL:
		c, err := mysql.ParseDSN(a.database.DSN)
		if err != nil {
			t.Fatal("not a DSN")
		}
		for _, host := range []string{c.Addr, closedPort(t)} {
			c.Passwd, c.Addr = "pass-7e2d", host
			add(c.FormatDSN(), sqlstore.MySQL)
		}
	}
	return databases
}

// closedPort is an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
