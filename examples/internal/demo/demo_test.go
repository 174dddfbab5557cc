package demo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/sqlstore"
)

func openDB(t *testing.T, file string) *DB {
	t.Helper()
	db, err := OpenDB(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpenDB(t *testing.T) {
	t.Run("a file may have any name and its folder need not be there", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "a folder", "50% #1?.db")
		openDB(t, file)
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	})
	t.Run("SQLite is set up for a server", func(t *testing.T) {
		db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000"} {
			var got string
			if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %s, want %s (%v)", pragma, got, want, err)
			}
		}
	})
	t.Run("the library's tables are there", func(t *testing.T) {
		db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
		if err := sqlstore.Validate(t.Context(), db.DB, db.Dialect); err != nil {
			t.Error(err)
		}
	})
}

func TestBindNumbersWhatPostgresWantsNumbered(t *testing.T) {
	for dialect, want := range map[sqlstore.Dialect]string{
		sqlstore.Postgres: "a = $1 AND b = $2", sqlstore.MySQL: "a = ? AND b = ?", sqlstore.SQLite: "a = ? AND b = ?",
	} {
		db := &DB{Dialect: dialect}
		if got := db.bind("a = ? AND b = ?"); got != want {
			t.Errorf("%v: %s, want %s", dialect, got, want)
		}
	}
}

func TestSessionStore(t *testing.T) {
	store := sessionStore{openDB(t, filepath.Join(t.TempDir(), "app.db"))}
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	commit := func(t *testing.T, token, data string, expires time.Time) {
		t.Helper()
		if err := store.Commit(token, []byte(data), expires); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(t *testing.T, token, want string) {
		t.Helper()
		data, found, err := store.Find(token)
		if err != nil || string(data) != want || found != (want != "") {
			t.Errorf("%s: %q, %v, %v, want %q", token, data, found, err, want)
		}
	}
	t.Run("an unknown session is no error", func(t *testing.T) { expect(t, "unknown", "") })
	t.Run("a session is replaced", func(t *testing.T) {
		commit(t, "one", "first\x00", soon)
		commit(t, "one", "second\x00", soon)
		expect(t, "one", "second\x00")
	})
	t.Run("a session ends", func(t *testing.T) {
		commit(t, "late", "data", past)
		expect(t, "late", "")
	})
	t.Run("a session is deleted, and others stay", func(t *testing.T) {
		commit(t, "two", "data", soon)
		if err := store.Delete("one"); err != nil {
			t.Fatal(err)
		}
		expect(t, "one", "")
		expect(t, "two", "data")
	})
}

func TestSocketOrigin(t *testing.T) {
	for api, want := range map[string]string{
		"https://k:s@api-eu.pusher.com/apps/1":   "wss://ws-eu.pusher.com",
		"https://k:s@api.pusherapp.com/apps/1":   "wss://ws.pusherapp.com",
		"http://k:s@127.0.0.1:6001/apps/1":       "ws://127.0.0.1:6001",
		"https://k:s@api.example.com:443/apps/1": "wss://api.example.com:443",
	} {
		config, err := pusheradapter.ParseURL(api)
		if err != nil {
			t.Fatal(err)
		}
		if got := socketOrigin(config); got != want {
			t.Errorf("%s: %s, want %s", config.Host, got, want)
		}
	}
}

func TestServe(t *testing.T) {
	t.Run("the relay outlives the last request", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		var answered atomic.Bool
		handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			stop()
			for { // until the server takes no more connections
				conn, err := net.Dial("tcp", r.Host)
				if err != nil {
					break
				}
				conn.Close()
			}
			answered.Store(true)
		})
		relay := func(ctx context.Context) error {
			<-ctx.Done()
			if !answered.Load() {
				t.Error("the relay was stopped while a request could still commit something")
			}
			return nil
		}
		asked := make(chan error, 1)
		err := Serve(ctx, "127.0.0.1:0", handler, relay, func(url string) {
			go func() {
				answer, err := http.Get(url)
				if err == nil {
					answer.Body.Close()
				}
				asked <- err
			}()
		})
		if err := errors.Join(err, <-asked); err != nil {
			t.Error(err)
		}
	})
	t.Run("a connection on which nothing came does not hold it up", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		relay := func(ctx context.Context) error { <-ctx.Done(); return nil }
		var stopped time.Time
		err := Serve(ctx, "127.0.0.1:0", handler, relay, func(url string) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			answer, err := http.Get(url) // accepted after the other
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			stopped = time.Now()
			stop()
		})
		if took := time.Since(stopped); err != nil || took > 3*time.Second {
			t.Errorf("it took %v: %v", took, err)
		}
	})
	t.Run("a relay that fails ends the server, and is the error", func(t *testing.T) {
		broken := errors.New("broken")
		relay := func(context.Context) error { return broken }
		if err := Serve(t.Context(), "127.0.0.1:0", nil, relay, func(string) {}); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an address that is taken is an error", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		if Serve(t.Context(), taken.Addr().String(), nil, nil, nil) == nil {
			t.Error("no error")
		}
	})
}
