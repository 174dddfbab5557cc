package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	store := newSessionStore(openDB(t, filepath.Join(t.TempDir(), "app.db")))
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

func TestSessionStoreRemembersForAMoment(t *testing.T) {
	// Two processes over one database, in a bubble so that moments pass.
	test := func(name string, run func(t *testing.T, here, there *sessionStore)) {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "app.db")
			synctest.Test(t, func(t *testing.T) {
				db := openDB(t, file)
				here, there := newSessionStore(db), newSessionStore(db)
				if err := there.Commit("one", []byte("data"), time.Now().Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				run(t, here, there)
			})
		})
	}
	found := func(t *testing.T, s *sessionStore, want string) {
		t.Helper()
		if data, ok, err := s.Find("one"); err != nil || string(data) != want || ok != (want != "") {
			t.Errorf("found %q, %v, %v, want %q", data, ok, err, want)
		}
	}
	remove := func(t *testing.T, s *sessionStore) {
		t.Helper()
		if err := s.Delete("one"); err != nil {
			t.Fatal(err)
		}
	}
	test("a session that ends here is over at once", func(t *testing.T, here, _ *sessionStore) {
		found(t, here, "data")
		remove(t, here)
		found(t, here, "")
	})
	test("a session that ends in another process is over when the moment is", func(t *testing.T, here, there *sessionStore) {
		found(t, here, "data")
		remove(t, there)
		time.Sleep(moment - time.Nanosecond)
		found(t, here, "data")
		time.Sleep(time.Nanosecond)
		found(t, here, "")
	})
	test("a session that changes here is the new one at once", func(t *testing.T, here, _ *sessionStore) {
		found(t, here, "data")
		if err := here.Commit("one", []byte("more"), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		found(t, here, "more")
	})
	test("a session is not remembered beyond its own end", func(t *testing.T, here, there *sessionStore) {
		if err := there.Commit("one", []byte("short"), time.Now().Add(2*time.Second)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2*time.Second - time.Nanosecond)
		found(t, here, "short")
		time.Sleep(time.Nanosecond)
		found(t, here, "")
	})
	test("a search that a sign-out overtakes leaves nothing behind", func(t *testing.T, here, _ *sessionStore) {
		_, changes := here.recall("one")
		remove(t, here)
		here.remember("one", foundSession{[]byte("data"), time.Now().Add(moment)}, changes)
		found(t, here, "")
	})
	test("a sign-out that fails, perhaps after it was done, is looked up again", func(t *testing.T, here, there *sessionStore) {
		found(t, here, "data")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if here.DeleteCtx(ctx, "one") == nil {
			t.Fatal("no error")
		}
		remove(t, there)
		found(t, here, "")
	})
	test("there is an end to what it remembers", func(t *testing.T, here, _ *sessionStore) {
		for n := range maxRecent + 1 {
			here.remember(strconv.Itoa(n), foundSession{nil, time.Now().Add(moment)}, 0)
		}
		if n := len(here.recent); n > maxRecent {
			t.Errorf("%d sessions", n)
		}
	})
}

func TestAccounts(t *testing.T) {
	accounts := func(t *testing.T, db *DB) *httptest.Server {
		a := NewAccounts(db, "test_session", false)
		mux := http.NewServeMux()
		mux.HandleFunc("/in", func(w http.ResponseWriter, r *http.Request) {
			if ok, err := a.SignIn(r, "alice", Password); err != nil || !ok {
				t.Errorf("signing in: %v, %v", ok, err)
			}
		})
		mux.HandleFunc("/out", func(w http.ResponseWriter, r *http.Request) {
			if err := a.SignOut(r); err != nil {
				t.Error(err)
			}
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			user, err := a.Identify(r)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, user)
		})
		server := httptest.NewServer(a.Load(mux))
		t.Cleanup(server.Close)
		return server
	}
	// ask makes a request with a cookie, and returns the text and the cookie of the answer.
	ask := func(t *testing.T, url string, cookie *http.Cookie) (string, *http.Cookie) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cookie != nil {
			r.AddCookie(cookie)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d, %v", url, answer.StatusCode, err)
		}
		for _, c := range answer.Cookies() {
			cookie = c
		}
		return string(text), cookie
	}
	expect := func(t *testing.T, server *httptest.Server, cookie *http.Cookie, want string) {
		t.Helper()
		if user, _ := ask(t, server.URL, cookie); user != want {
			t.Errorf("it is %q who asks, want %q", user, want)
		}
	}

	t.Run("a session outlives the server, and ends at once for a cookie that somebody kept", func(t *testing.T) {
		db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
		_, cookie := ask(t, accounts(t, db).URL+"/in", nil)
		again := accounts(t, db)
		expect(t, again, cookie, "alice")
		ask(t, again.URL+"/out", cookie)
		expect(t, again, cookie, "")
	})
	t.Run("the database holds nothing to sign in with", func(t *testing.T) {
		db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
		server := accounts(t, db)
		_, cookie := ask(t, server.URL+"/in", nil)
		var token string
		if err := db.QueryRowContext(t.Context(), "SELECT token FROM demo_sessions").Scan(&token); err != nil {
			t.Fatal(err)
		}
		expect(t, server, cookie, "alice")
		expect(t, server, &http.Cookie{Name: cookie.Name, Value: token}, "")
	})
	t.Run("a session that cannot be read is nobody's, and no obstacle to signing in", func(t *testing.T) {
		db := openDB(t, filepath.Join(t.TempDir(), "app.db"))
		_, cookie := ask(t, accounts(t, db).URL+"/in", nil)
		if _, err := db.ExecContext(t.Context(), "UPDATE demo_sessions SET data = 'Z29i'"); err != nil {
			t.Fatal(err)
		}
		server := accounts(t, db)
		expect(t, server, cookie, "")
		_, cookie = ask(t, server.URL+"/in", cookie)
		expect(t, server, cookie, "alice")
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
