package demo

import (
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// desk is a server with nothing but accounts and sockets.
type desk struct {
	*httptest.Server
	secure bool
}

func newDesk(t *testing.T, secure bool) *desk {
	t.Helper()
	accounts := NewAccounts(openDB(t, filepath.Join(t.TempDir(), "app.db")), "test_session", secure)
	pusher, err := OpenPusher("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pusher.Close)
	mux := http.NewServeMux()
	mux.Handle("GET /app/{key}", pusher.Sockets(accounts))
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		switch ok, err := accounts.SignIn(r, r.PostFormValue("username"), r.PostFormValue("password")); {
		case errors.Is(err, ErrTooMany):
			w.WriteHeader(http.StatusTooManyRequests)
		case err != nil:
			t.Error(err)
		case !ok:
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	d := &desk{httptest.NewServer(accounts.Load(mux)), secure}
	t.Cleanup(d.Close)
	return d
}

func (d *desk) signIn(t *testing.T, user, password string) (*http.Client, *http.Response) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	answer, err := client.PostForm(d.URL+"/login", url.Values{"username": {user}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return client, answer
}

func TestSignInHasALimit(t *testing.T) {
	d := newDesk(t, false)
	try := func(user, password string, want int) {
		t.Helper()
		if _, answer := d.signIn(t, user, password); answer.StatusCode != want {
			t.Errorf("%q with %q: %d, want %d", user, password, answer.StatusCode, want)
		}
	}
	for range 3 {
		try("alice", Password, http.StatusOK) // which does not count
	}
	for range maxAttempts {
		try("alice", "wrong", http.StatusUnauthorized)
	}
	try("alice", "wrong", http.StatusTooManyRequests)
	try("alice", Password, http.StatusTooManyRequests)
	try("bob", Password, http.StatusOK)
	for _, name := range strings.Split("a b c d e f g h i j", " ") {
		try(name, "wrong", http.StatusUnauthorized)
	}
	try("k", "wrong", http.StatusTooManyRequests) // all names that are no user's are one
}

func TestAttempts(t *testing.T) {
	var a attempts
	now := time.Now()
	for range maxAttempts {
		if _, ok := a.begin("alice", now); !ok {
			t.Fatal("refused too early")
		}
	}
	if _, ok := a.begin("alice", now.Add(attemptMinute-1)); ok {
		t.Error("one more in the same minute")
	}
	end, ok := a.begin("alice", now.Add(attemptMinute))
	if !ok {
		t.Fatal("refused in the next minute")
	}
	if end(true); a.counts["alice"] != 0 {
		t.Errorf("a right password counts %d", a.counts["alice"])
	}
	for i := range maxAddresses + 10 {
		a.begin(strings.Repeat("x", i+1), now.Add(attemptMinute))
	}
	if len(a.counts) > maxAddresses {
		t.Errorf("%d names are counted", len(a.counts))
	}
}

func TestCookiesAreSecureBehindTLS(t *testing.T) {
	for _, secure := range []bool{false, true} {
		_, answer := newDesk(t, secure).signIn(t, "alice", Password)
		if cookie := answer.Header.Get("Set-Cookie"); strings.Contains(cookie, "Secure") != secure {
			t.Errorf("secure %v: %s", secure, cookie)
		}
	}
}

func TestSocketsAreForUsers(t *testing.T) {
	d := newDesk(t, false)
	dial := func(client *http.Client) (status int) {
		conn, answer, err := websocket.Dial(t.Context(), d.URL+"/app/pushertest-key", &websocket.DialOptions{HTTPClient: client})
		if err == nil {
			t.Cleanup(func() { conn.CloseNow() })
		} else if answer == nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	if status := dial(http.DefaultClient); status != http.StatusUnauthorized {
		t.Errorf("signed out: %d", status)
	}
	alice, _ := d.signIn(t, "alice", Password)
	bob, _ := d.signIn(t, "bob", Password)
	for range maxSockets {
		if status := dial(alice); status != http.StatusSwitchingProtocols {
			t.Fatalf("alice: %d", status)
		}
	}
	if status := dial(alice); status != http.StatusTooManyRequests {
		t.Errorf("one more of alice: %d", status)
	}
	if status := dial(bob); status != http.StatusSwitchingProtocols {
		t.Errorf("bob: %d", status)
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	for _, c := range []struct {
		name, db, pusher string
		flags, want      Flags
	}{
		{"secrets may come from there, where no other user sees them", "postgres://u:secret@host/x", "https://k:secret@host/apps/1", Flags{},
			Flags{DB: "postgres://u:secret@host/x", Pusher: "https://k:secret@host/apps/1"}},
		{"the command line comes first", "postgres://u:secret@host/x", "https://k:secret@host/apps/1", Flags{DB: "here.db", Pusher: "p"}, Flags{DB: "here.db", Pusher: "p"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("DELIVERY_DB", c.db)
			t.Setenv("DELIVERY_PUSHER", c.pusher)
			if err := c.flags.fill("chat"); err != nil || c.flags != c.want {
				t.Errorf("got %+v, %v", c.flags, err)
			}
		})
	}
	t.Run("without any, the file is in a folder of the user's own", func(t *testing.T) {
		t.Setenv("DELIVERY_DB", "")
		var f Flags
		if err := f.fill("chat"); err != nil || !strings.HasPrefix(f.DB, home) || strings.HasPrefix(f.DB, os.TempDir()+"/delivery") {
			t.Errorf("%q, %v", f.DB, err)
		}
	})
}
