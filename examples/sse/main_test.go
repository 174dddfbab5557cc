package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

// newServer returns the URL of a running app.
func newServer(t *testing.T) string {
	t.Helper()
	members = []string{"alice", "bob"} // whoever they are in an app that began as a copy
	db, err := sql.Open("sqlite", dsn(filepath.Join(t.TempDir(), "sse.db")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	app, run, err := newApp(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	}()
	server := httptest.NewServer(app)
	t.Cleanup(func() {
		stop()
		<-ended
		server.Close()
	})
	return server.URL
}

// ask makes a request of a user's browser. Its body is JSON, or nil.
func ask(t *testing.T, user, method, url string, body any) *http.Response {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.AddCookie(&http.Cookie{Name: "user", Value: user})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// next returns the data of the next event with the name, or reports that the stream has ended.
func next(t *testing.T, lines *bufio.Scanner, name string, data any) bool {
	t.Helper()
	for found := false; lines.Scan(); {
		if text := lines.Text(); strings.HasPrefix(text, "event: ") {
			found = text == "event: "+name
		} else if text, ok := strings.CutPrefix(text, "data: "); ok && found {
			if err := json.Unmarshal([]byte(text), data); err != nil {
				t.Fatal(err)
			}
			return true
		}
	}
	return false
}

func TestStreams(t *testing.T) {
	url := newServer(t)
	listen := func() (lines *bufio.Scanner, socket string) {
		for { // until streams.Run has begun
			lines := bufio.NewScanner(ask(t, "bob", "GET", url+"/events?conversation=lunch", nil).Body)
			var hello struct{ Socket string }
			if next(t, lines, "hello", &hello) {
				return lines, hello.Socket
			}
		}
	}
	for _, id := range []string{"m1", "m2"} {
		answer := ask(t, "alice", "POST", url+"/api/messages", map[string]string{"conversation": "lunch", "id": id, "body": "Noon?"})
		if answer.StatusCode != http.StatusCreated {
			t.Fatalf("alice's message: %d", answer.StatusCode)
		}
	}
	mark := func(user, message, socket string) int {
		body := map[string]string{"message": message, "status": "read", "socket": socket}
		return ask(t, user, "POST", url+"/api/marks", body).StatusCode
	}

	mine, socket := listen()
	other, _ := listen()
	t.Run("everyone is told of a mark but the socket that made it", func(t *testing.T) {
		var told deliverywire.Payload
		if code := mark("bob", "m1", socket); code != http.StatusOK {
			t.Fatalf("bob's first mark: %d", code)
		}
		if !next(t, other, "status", &told) || told.Updates[0].Message != "m1" || told.Updates[0].Status != delivery.Read {
			t.Errorf("the other tab was told %+v first", told)
		}
		if code := mark("bob", "m2", ""); code != http.StatusOK {
			t.Fatalf("bob's second mark: %d", code)
		}
		if !next(t, mine, "status", &told) || told.Updates[0].Message != "m2" {
			t.Errorf("the tab that marked was told of its own mark: %+v", told)
		}
	})
	t.Run("the sender's own mark is refused", func(t *testing.T) {
		if code := mark("alice", "m1", ""); code != http.StatusForbidden {
			t.Errorf("got %d", code)
		}
	})
	t.Run("nobody else can read or send", func(t *testing.T) {
		for _, user := range []string{"", "mallory"} {
			if code := ask(t, user, "GET", url+"/api/messages?conversation=lunch", nil).StatusCode; code != http.StatusUnauthorized {
				t.Errorf("%q reads: %d", user, code)
			}
		}
		if code := ask(t, "bob", "GET", url+"/api/messages?conversation=dinner", nil).StatusCode; code != http.StatusForbidden {
			t.Errorf("bob reads another conversation: %d", code)
		}
	})
}

func TestPage(t *testing.T) {
	url := newServer(t)
	for _, c := range []struct{ user, want, not string }{
		{"", "Sign in as", "<script"},
		{"mallory", "Sign in as", "<script"},
		{"alice", `new Delivery({ user: "alice",`, "Sign in as"},
	} {
		text, err := io.ReadAll(ask(t, c.user, "GET", url+"/", nil).Body)
		if err != nil || !strings.Contains(string(text), c.want) || strings.Contains(string(text), c.not) {
			t.Errorf("the page of %q: %v\n%s", c.user, err, text)
		}
	}
}
