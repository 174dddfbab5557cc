package browser

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/need"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// soketi is a server of its own, with an app that takes as many events as come and one that takes 4
// a second.
type soketi struct {
	t         *testing.T
	port      int
	app, slow pusheradapter.Config
}

func startSoketi(t *testing.T) *soketi {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		need.Missing(t, "Node.js", "apt-get install nodejs")
	}
	program := npmFile(t, "@soketi/soketi", "bin/server.js")
	s := &soketi{t: t, port: freePort(t)}
	host := fmt.Sprintf("127.0.0.1:%d", s.port)
	s.app = pusheradapter.Config{AppID: "1001", Key: "the-key", Secret: "the-secret", Host: host}
	s.slow = pusheradapter.Config{AppID: "1002", Key: "slow-key", Secret: "the-secret", Host: host}
	app := func(c pusheradapter.Config, perSecond int) map[string]any {
		return map[string]any{
			"id": c.AppID, "key": c.Key, "secret": c.Secret, "enabled": true, "enableUserAuthentication": true, "webhooks": []any{},
			"maxConnections": -1, "maxBackendEventsPerSecond": perSecond, "maxClientEventsPerSecond": -1, "maxReadRequestsPerSecond": -1,
		}
	}
	config, err := json.Marshal(map[string]any{
		"host": "127.0.0.1", "port": s.port,
		"appManager.array.apps": []any{app(s.app, -1), app(s.slow, 4)},
		// It listens there all the same, and crashes if a part of the object is missing.
		"metrics": map[string]any{
			"enabled": false, "driver": "prometheus", "host": "127.0.0.1", "port": freePort(t), "prometheus": map[string]any{"prefix": "soketi_"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "soketi.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	startDaemon(t, loopback(s.port)+"/ready", syscall.SIGKILL, exec.Command(node, program, "start", "--config="+file))
	return s
}

// connect connects a client of pusher-js, which authorizes at a URL.
func (s *soketi) connect(node *node, name, auth string) (c *jsClient, socketID string) {
	s.t.Helper()
	c = &jsClient{s.t, node, s.t.Name() + " " + name}
	endpoint := map[string]any{"endpoint": auth, "params": map[string]string{"user": name}}
	c.do("connect", s.app.Key, map[string]any{
		"cluster": "unused", "wsHost": "127.0.0.1", "wsPort": s.port, "forceTLS": false, "enabledTransports": []string{"ws"},
		"channelAuthorization": endpoint, "userAuthentication": endpoint,
	})
	s.t.Cleanup(func() { c.do("disconnect") })
	return c, c.connected()
}

// TestSoketi has the adapter, its auth endpoint and pusher-js work with a real soketi.
func TestSoketi(t *testing.T) {
	t.Parallel()
	server := startSoketi(t)
	notifier, err := pusheradapter.New(server.app, nil)
	if err != nil {
		t.Fatal(err)
	}
	tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{
		Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return user != "mallory", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	identify := func(r *http.Request) (string, error) { return r.PostFormValue("user"), nil }
	auth, err := notifier.AuthHandler(tracker, identify, &pusheradapter.AuthOptions{
		Logger: slog.New(slog.DiscardHandler),
		UserInfo: func(_ context.Context, user string) (map[string]any, error) {
			return map[string]any{"name": strings.ToUpper(user)}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	endpoint := httptest.NewServer(auth)
	t.Cleanup(endpoint.Close)
	node := startNode(t)
	alice, _ := server.connect(node, "alice", endpoint.URL)
	bob, bobs := server.connect(node, "bob", endpoint.URL)

	t.Run("members see each other", func(t *testing.T) {
		const channel = "presence-conv-c=3A1"
		alice.subscribe(channel)
		var got membership
		bob.subscribe(channel).into(t, &got)
		if got.MyID != "bob" || got.Count != 2 || got.Members["alice"].Name != "ALICE" || got.Members["bob"].Name != "BOB" {
			t.Errorf("bob found %+v", got)
		}
		var who member
		if alice.next(channel, "pusher:member_added").into(t, &who); who.ID != "bob" || who.Info.Name != "BOB" {
			t.Errorf("alice heard of %+v", who)
		}
	})
	t.Run("a message is seen, and all but the socket that saw it hear of that", func(t *testing.T) {
		const channel = "private-conv-c=3A1"
		alice.subscribe(channel)
		bob.subscribe(channel)
		draft := delivery.Draft{ID: "m1", Conversation: "c:1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
		if _, err := tracker.Send(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		flush(t, tracker)
		bob.next(channel, "message")
		if _, err := tracker.MarkRead(t.Context(), delivery.Actor{User: "bob", Socket: bobs}, "m1"); err != nil {
			t.Fatal(err)
		}
		flush(t, tracker)
		var told struct {
			Updates []struct{ Message, Status string }
		}
		if alice.next(channel, "status").into(t, &told); len(told.Updates) != 1 || told.Updates[0].Message != "m1" || told.Updates[0].Status != "read" {
			t.Errorf("alice heard %+v", told)
		}
		if err := notifier.Notify(t.Context(), []delivery.Event{{ID: 9, Kind: delivery.MessageDeleted, Conversation: "c:1", From: 9, To: 9,
			Updates: []delivery.Update{{Message: "end", Version: 9}}}}); err != nil {
			t.Fatal(err)
		}
		for _, h := range bob.upTo(channel, "deleted") {
			if h.Event == "status" {
				t.Errorf("bob heard %s", h)
			}
		}
	})
	t.Run("a user signs in", func(t *testing.T) {
		bob.do("signin")
		for !strings.Contains(string(bob.next("connection", "message").Data), `"pusher:signin_success"`) {
		}
	})
	t.Run("whom the rule does not let in is told", func(t *testing.T) {
		mallory, _ := server.connect(node, "mallory", endpoint.URL)
		mallory.do("subscribe", "private-conv-c=3A1")
		mallory.next("private-conv-c=3A1", "pusher:subscription_error")
	})
	t.Run("a catch-up of 1,000 receipts arrives", func(t *testing.T) {
		var last delivery.Message
		for range 1000 {
			if last, err = tracker.Send(t.Context(), delivery.Draft{Conversation: "c2", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, tracker)
		alice.subscribe("private-conv-c2")
		if _, err := tracker.MarkUpTo(t.Context(), delivery.Actor{User: "bob"}, delivery.Read, delivery.MessageRef{Conversation: "c2", ID: last.ID}); err != nil {
			t.Fatal(err)
		}
		flush(t, tracker)
		for heard := 0; heard < 1000; {
			var told struct{ Updates []any }
			alice.next("private-conv-c2", "status").into(t, &told)
			heard += len(told.Updates)
		}
	})
	t.Run("an app that takes 4 events a second gets 8", func(t *testing.T) {
		notifier, err := pusheradapter.New(server.slow, nil)
		if err != nil {
			t.Fatal(err)
		}
		var events []delivery.Event
		for i := range 8 {
			events = append(events, delivery.Event{ID: int64(i), Kind: delivery.MessageDeleted, Conversation: fmt.Sprint("c", i), From: 1, To: 1,
				Updates: []delivery.Update{{Message: "m", Version: 1}}})
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := notifier.Notify(ctx, events); err != nil {
			t.Error(err)
		}
	})
	t.Run("a wrong secret is an error, though it is in the body of a 200", func(t *testing.T) {
		wrong := server.app
		wrong.Secret = "another"
		notifier, err := pusheradapter.New(wrong, nil)
		if err != nil {
			t.Fatal(err)
		}
		var answer *pusheradapter.Error
		err = notifier.Notify(t.Context(), []delivery.Event{{Kind: delivery.MessageDeleted, Conversation: "c", From: 1, To: 1,
			Updates: []delivery.Update{{Message: "m", Version: 1}}}})
		if !errors.As(err, &answer) || answer.Status != http.StatusUnauthorized {
			t.Errorf("got %v", err)
		}
	})
	t.Run("it answers as its profile does", func(t *testing.T) { server.answersAs(pushertest.Soketi) })
}

// answersAs compares what soketi answers with what pushertest does.
func (s *soketi) answersAs(profile pushertest.Profile) {
	played, err := pushertest.New(&pushertest.Options{AppID: s.app.AppID, Key: s.app.Key, Secret: s.app.Secret, Profile: profile})
	if err != nil {
		s.t.Fatal(err)
	}
	defer played.Close()
	event := func(channel, data any) map[string]any {
		return map[string]any{"name": "status", "channel": channel, "data": data}
	}
	batch := func(n int) map[string]any {
		var events []any
		for range n {
			events = append(events, event("c", "x"))
		}
		return map[string]any{"batch": events}
	}
	for name, request := range map[string]struct {
		call string
		body any
	}{
		"a small event":               {"events", event("c", "x")},
		"an event of 102,400 bytes":   {"events", event("c", strings.Repeat("x", 102_400))},
		"an event of 102,401 bytes":   {"events", event("c", strings.Repeat("x", 102_401))},
		"a batch of 10":               {"batch_events", batch(10)},
		"a batch of 11":               {"batch_events", batch(11)},
		"an event without a name":     {"events", map[string]any{"channel": "c", "data": "x"}},
		"an event without data":       {"events", event("c", nil)},
		"an event without a channel":  {"events", map[string]any{"name": "status", "data": "x"}},
		"a channel with a comma":      {"events", event("a,b", "x")},
		"a channel with a colon":      {"events", event("a:b", "x")},
		"a channel with a space":      {"events", event("a b", "x")},
		"a channel of 201 characters": {"events", event(strings.Repeat("x", 201), "x")},
	} {
		real, play := s.answer(http.DefaultTransport, request.call, request.body), s.answer(played, request.call, request.body)
		if real != play {
			s.t.Errorf("%s: soketi answers %s, and pushertest %s", name, real, play)
		}
	}
}

// answer makes a signed call, and returns the status and the code in the body.
func (s *soketi) answer(transport http.RoundTripper, call string, body any) string {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	path, sum := "/apps/"+s.app.AppID+"/"+call, md5.Sum(text)
	query := fmt.Sprintf("auth_key=%s&auth_timestamp=%d&auth_version=1.0&body_md5=%s", s.app.Key, time.Now().Unix(), hex.EncodeToString(sum[:]))
	mac := hmac.New(sha256.New, []byte(s.app.Secret))
	fmt.Fprintf(mac, "POST\n%s\n%s", path, query)
	r, err := http.NewRequest("POST", loopback(s.port)+path+"?"+query+"&auth_signature="+hex.EncodeToString(mac.Sum(nil)), bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	var inside struct{ Code int }
	if err != nil || json.Unmarshal(said, &inside) != nil {
		s.t.Fatalf("%s answers %q, %v", path, said, err)
	}
	return fmt.Sprintf("%d with code %d", answer.StatusCode, inside.Code)
}
