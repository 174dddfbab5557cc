package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// newServer returns the URL of a running app that speaks to a Pusher server.
func newServer(t *testing.T, pusher *pushertest.Server) string {
	t.Helper()
	members = []string{"alice", "bob"} // whoever they are in an app that began as a copy
	db, err := sql.Open("sqlite", dsn(filepath.Join(t.TempDir(), "pusher.db")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	config := pusheradapter.Config{AppID: pusher.AppID, Key: pusher.Key, Secret: pusher.Secret, Host: pusher.Host()}
	app, run, err := newApp(t.Context(), db, config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- run(ctx) }()
	server := httptest.NewServer(app)
	t.Cleanup(func() {
		server.Close()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

// post makes a request of a user's browser, and returns its status.
func post(t *testing.T, user, address, contentType, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	r.AddCookie(&http.Cookie{Name: "user", Value: user})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// nextStatus returns the message that the next status event of a client is about.
func nextStatus(t *testing.T, client *pushertest.Client) string {
	t.Helper()
	for {
		if event := client.Next(t.Context()); event.Name == "status" {
			var told deliverywire.Payload
			if err := json.Unmarshal([]byte(event.Data), &told); err != nil {
				t.Fatal(err)
			}
			return told.Updates[0].Message
		}
	}
}

func TestPusher(t *testing.T) {
	pusher := pushertest.NewServer(t)
	app := newServer(t, pusher)
	mine, other := pusher.Dial(t).Subscribe("private-conv-lunch"), pusher.Dial(t).Subscribe("private-conv-lunch")
	for _, id := range []string{"m1", "m2"} {
		if code := post(t, "alice", app+"/api/messages", "application/json", `{"conversation":"lunch","id":"`+id+`","body":"Noon?"}`); code != http.StatusCreated {
			t.Fatalf("alice's message: %d", code)
		}
	}
	mark := func(user, message, socket string) int {
		return post(t, user, app+"/api/marks", "application/json", fmt.Sprintf(`{"message":%q,"status":"read","socket":%q}`, message, socket))
	}
	t.Run("everyone is told of a mark but the socket that made it", func(t *testing.T) {
		if code := mark("bob", "m1", mine.SocketID()); code != http.StatusOK {
			t.Fatalf("bob's first mark: %d", code)
		}
		if told := nextStatus(t, other); told != "m1" {
			t.Errorf("the other tab was told of %s first", told)
		}
		if code := mark("bob", "m2", ""); code != http.StatusOK {
			t.Fatalf("bob's second mark: %d", code)
		}
		if told := nextStatus(t, mine); told != "m2" {
			t.Errorf("the tab that marked was told of its own mark of %s", told)
		}
	})
	t.Run("the sender's own mark is refused", func(t *testing.T) {
		if code := mark("alice", "m1", ""); code != http.StatusForbidden {
			t.Errorf("got %d", code)
		}
	})
	t.Run("members alone enter the channel", func(t *testing.T) {
		form := url.Values{"socket_id": {mine.SocketID()}, "channel_name": {"private-conv-lunch"}}.Encode()
		for user, want := range map[string]int{"bob": http.StatusOK, "": http.StatusUnauthorized, "mallory": http.StatusUnauthorized} {
			if code := post(t, user, app+"/pusher/auth", "application/x-www-form-urlencoded", form); code != want {
				t.Errorf("%q: %d, want %d", user, code, want)
			}
		}
	})
}

func TestSocketServer(t *testing.T) {
	for pusherURL, want := range map[string]string{
		"https://k:s@api-eu.pusher.com/apps/1":  `{"cluster":"-","enabledTransports":["ws","wss"],"forceTLS":true,"wsHost":"ws-eu.pusher.com"}`,
		"https://k:s@push.example.com/apps/1":   `{"cluster":"-","enabledTransports":["ws","wss"],"forceTLS":true,"wsHost":"push.example.com"}`,
		"https://k:s@api.pusherapp.com/apps/1":  `{"cluster":"-","enabledTransports":["ws","wss"],"forceTLS":true,"wsHost":"ws.pusherapp.com"}`,
		"http://k:s@[::1]:6001/apps/1":          `{"cluster":"-","enabledTransports":["ws","wss"],"forceTLS":false,"wsHost":"[::1]","wsPort":"6001","wssPort":"6001"}`,
		"https://k:s@[2001:db8::1]/apps/1":      `{"cluster":"-","enabledTransports":["ws","wss"],"forceTLS":true,"wsHost":"[2001:db8::1]"}`,
		"http://k:s@127.0.0.1:6001/apps/1":      `{"cluster":"-","enabledTransports":["ws","wss"],"forceTLS":false,"wsHost":"127.0.0.1","wsPort":"6001","wssPort":"6001"}`,
		"https://k:s@push.example.com:1/apps/1": `{"cluster":"-","enabledTransports":["ws","wss"],"forceTLS":true,"wsHost":"push.example.com","wsPort":"1","wssPort":"1"}`,
	} {
		config, err := pusheradapter.ParseURL(pusherURL)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(socketServer(config)); err != nil || string(got) != want {
			t.Errorf("%s: %s, %v; want %s", pusherURL, got, err, want)
		}
	}
}

// A page of any site can make requests of this machine. None may publish events.
func TestStandInHasASecret(t *testing.T) {
	pusherURL, err := standIn("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config, err := pusheradapter.ParseURL(pusherURL)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(config pusheradapter.Config) error {
		notifier, err := pusheradapter.New(config, nil)
		if err != nil {
			t.Fatal(err)
		}
		return notifier.Notify(t.Context(), []delivery.Event{{
			ID: 1, Kind: delivery.MessageSent, Conversation: "lunch", Updates: []delivery.Update{{Message: "m1", Version: 1, Status: delivery.Sent}},
		}})
	}
	if err := publish(config); err != nil {
		t.Errorf("with the secret: %v", err)
	}
	config.Secret = pushertest.NewServer(t).Secret
	if err := publish(config); err == nil {
		t.Error("the secret is the one that everybody knows")
	}
}

func TestStandInTakesPagesOfThisMachine(t *testing.T) {
	pusherURL, err := standIn("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config, err := pusheradapter.ParseURL(pusherURL)
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]int{
		"http://127.0.0.1:8082": http.StatusSwitchingProtocols,
		"http://localhost:3000": http.StatusSwitchingProtocols,
		"https://example.com":   http.StatusForbidden,
	} {
		opts := &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}}
		ws, answer, err := websocket.Dial(t.Context(), "ws://"+config.Host+"/app/"+config.Key, opts)
		if err == nil {
			ws.CloseNow()
		}
		if answer == nil || answer.StatusCode != want {
			t.Errorf("%s: %v, want %d", origin, err, want)
		}
	}
}
