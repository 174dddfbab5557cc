package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/msgdelivery/delivery/examples/internal/demo"
)

// startChat serves a chat with an empty database until the test ends, and returns its URL.
func startChat(t *testing.T, pusherJS string) string {
	t.Helper()
	db, err := demo.OpenDB(t.Context(), filepath.Join(t.TempDir(), "chat.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return serve(t, db, pusherJS)
}

// serve serves a chat with that database until the test ends, and returns its URL.
func serve(t *testing.T, db *demo.DB, pusherJS string) string {
	t.Helper()
	pusher, err := demo.OpenPusher("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pusher.Close)
	handler, relay, err := build(db, pusher, demo.Flags{PusherJS: pusherJS})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- relay(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// browser is a user's browser: it keeps cookies and follows no redirect.
type browser struct {
	t      *testing.T
	url    string
	client *http.Client
}

func newBrowser(t *testing.T, url string) browser {
	jar, _ := cookiejar.New(nil)
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return browser{t, url, &http.Client{Jar: jar, CheckRedirect: stay}}
}

func signedIn(t *testing.T, url, user string) browser {
	t.Helper()
	b := newBrowser(t, url)
	if status, _ := b.post("/login", form("username", user, "password", demo.Password)); status != http.StatusSeeOther {
		t.Fatalf("signing in as %s: status %d", user, status)
	}
	return b
}

func (b browser) get(path string) (status int, body string) {
	b.t.Helper()
	return b.do(http.MethodGet, path, "", nil)
}

func (b browser) post(path string, content content, header ...string) (status int, body string) {
	b.t.Helper()
	return b.do(http.MethodPost, path, content.text, append([]string{"Content-Type", content.kind, "Sec-Fetch-Site", "same-origin"}, header...))
}

func (b browser) do(method, path, body string, header []string) (int, string) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// content is the body of a request.
type content struct{ kind, text string }

func form(pairs ...string) content {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	return content{"application/x-www-form-urlencoded", values.Encode()}
}

func object(v map[string]any) content {
	text, _ := json.Marshal(v)
	return content{"application/json", string(text)}
}

const direct = "direct:alice:bob"

func TestChatKeepsOut(t *testing.T) {
	url := startChat(t, "")
	nobody := newBrowser(t, url)
	alice, carol := signedIn(t, url, "alice"), signedIn(t, url, "carol")
	if status, body := alice.post("/api/messages", object(map[string]any{"id": "m1", "conversation": direct, "body": "a secret"})); status != http.StatusCreated {
		t.Fatalf("sending: status %d: %s", status, body)
	}
	send := object(map[string]any{"conversation": direct, "body": "hello"})
	mark := object(map[string]any{"messages": []string{"m1"}, "status": "read"})
	channel := form("socket_id", "1.2", "channel_name", "private-conv-direct=3Aalice=3Abob")

	t.Run("who is signed out is sent to the login page", func(t *testing.T) {
		if status, _ := nobody.get("/"); status != http.StatusSeeOther {
			t.Errorf("status %d", status)
		}
	})
	t.Run("who is signed out gets 401 from what is for programs", func(t *testing.T) {
		for _, status := range statuses(
			nobody.getting("/api/messages?conversation="+direct), nobody.posting("/api/messages", send),
			nobody.posting("/api/marks/batch", mark), nobody.posting("/pusher/auth", channel),
		) {
			if status != http.StatusUnauthorized {
				t.Errorf("status %d, want 401", status)
			}
		}
	})
	t.Run("who is not a member sees and sends nothing", func(t *testing.T) {
		for _, status := range statuses(
			carol.getting("/api/messages?conversation="+direct), carol.getting("/api/changes?conversation="+direct+"&since=0"),
			carol.posting("/api/messages", send),
		) {
			if status != http.StatusForbidden {
				t.Errorf("status %d, want 403", status)
			}
		}
		if status, _ := carol.get("/api/receipts?message=m1"); status != http.StatusNotFound {
			t.Errorf("receipts: status %d, want 404", status)
		}
		if _, page := carol.get("/"); strings.Contains(page, "direct") || !strings.Contains(page, "everyone") {
			t.Error("carol's page has other conversations than hers")
		}
	})
	t.Run("who is not a member does not get into the channel", func(t *testing.T) {
		if status, _ := carol.post("/pusher/auth", channel); status != http.StatusForbidden {
			t.Errorf("status %d, want 403", status)
		}
		if status, _ := alice.post("/pusher/auth", channel); status != http.StatusOK {
			t.Errorf("a member: status %d, want 200", status)
		}
	})
	t.Run("who is not a member cannot mark", func(t *testing.T) {
		_, body := carol.post("/api/marks/batch", mark)
		if !strings.Contains(body, `"not_found"`) {
			t.Errorf("answer %s", body)
		}
	})
	t.Run("posts from other sites are refused", func(t *testing.T) {
		for path, content := range map[string]content{
			"/login": form("username", "alice", "password", demo.Password), "/logout": form(),
			"/api/messages": send, "/api/marks/batch": mark, "/pusher/auth": channel,
		} {
			if status, _ := alice.post(path, content, "Sec-Fetch-Site", "cross-site"); status != http.StatusForbidden {
				t.Errorf("%s: status %d, want 403", path, status)
			}
		}
	})
	t.Run("carol alone inspects what the library does, without a body", func(t *testing.T) {
		for path, want := range map[string]string{"/inspect/": "All is well", "/inspect/dead": "There are no dead letters.", "/inspect/funnel": "Last 24 hours", "/inspect/message?id=m1": "delivered to 0 of 1"} {
			if status, page := carol.get(path); status != http.StatusOK || !strings.Contains(page, want) || strings.Contains(page, "a secret") {
				t.Errorf("%s: status %d:\n%s", path, status, page)
			}
			for _, status := range statuses(alice.getting(path), nobody.getting(path)) {
				if status != http.StatusForbidden {
					t.Errorf("%s: status %d, want 403", path, status)
				}
			}
		}
		if status, _ := carol.get("/inspect"); status/100 != 3 {
			t.Errorf("/inspect: status %d", status)
		}
	})
	t.Run("a wrong password is refused, and the name shown as text", func(t *testing.T) {
		for _, user := range []string{"alice", `"><script>`} {
			status, body := nobody.post("/login", form("username", user, "password", "wrong"))
			if status != http.StatusUnauthorized || strings.Contains(body, "<script>") {
				t.Errorf("status %d: %s", status, body)
			}
		}
	})
	t.Run("a link, which another site could have, signs nobody out", func(t *testing.T) {
		if status, _ := alice.get("/logout"); status != http.StatusMethodNotAllowed {
			t.Errorf("status %d, want 405", status)
		}
		if status, _ := alice.get("/api/messages?conversation=" + direct); status != http.StatusOK {
			t.Errorf("afterwards: status %d, want 200", status)
		}
	})
	t.Run("who signs out is out", func(t *testing.T) {
		if status, _ := alice.post("/logout", form()); status != http.StatusSeeOther {
			t.Errorf("status %d", status)
		}
		if status, _ := alice.get("/api/messages?conversation=" + direct); status != http.StatusUnauthorized {
			t.Errorf("afterwards: status %d, want 401", status)
		}
	})
}

func (b browser) getting(path string) func() int {
	return func() int { status, _ := b.get(path); return status }
}

func (b browser) posting(path string, content content) func() int {
	return func() int { status, _ := b.post(path, content); return status }
}

func statuses(calls ...func() int) (all []int) {
	for _, call := range calls {
		all = append(all, call())
	}
	return all
}

func TestPagesKeepToTheirPolicy(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pusher.min.js")
	if err := os.WriteFile(file, []byte("// pusher-js\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := startChat(t, file)
	alice := signedIn(t, url, "alice")
	inline := regexp.MustCompile(`(?i)<script(>| [^>]*>[^<]|[^>]*[^"]>)|<style|\sstyle=|\son[a-z]+=|javascript:`)

	for _, at := range []string{"/", "/login"} {
		t.Run("the page at "+at+" has a strict policy and nothing inline", func(t *testing.T) {
			answer, err := alice.client.Get(url + at)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			page, _ := io.ReadAll(answer.Body)
			policy := answer.Header.Get("Content-Security-Policy")
			for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
				if !strings.Contains(policy, part) {
					t.Errorf("the policy has no %s: %s", part, policy)
				}
			}
			if strings.Contains(policy, "unsafe") {
				t.Errorf("policy %s", policy)
			}
			if found := inline.Find(page); found != nil {
				t.Errorf("the page holds %s", found)
			}
		})
	}
	t.Run("the page loads pusher-js if the server has it", func(t *testing.T) {
		if _, page := alice.get("/"); !strings.Contains(page, `<script src="/pusher.js">`) {
			t.Error("the page does not")
		}
		if status, body := alice.get("/pusher.js"); status != http.StatusOK || body != "// pusher-js\n" {
			t.Errorf("status %d: %s", status, body)
		}
	})
	t.Run("every file that the page and its modules name is there", func(t *testing.T) {
		_, page := alice.get("/")
		names := regexp.MustCompile(`"(/web/[a-z.]+)"`).FindAllStringSubmatch(page, -1)
		imports := regexp.MustCompile(`from '(\S+)'`)
		seen := map[string]bool{}
		for len(names) > 0 {
			name := names[0][1]
			names = names[1:]
			if seen[name] {
				continue
			}
			seen[name] = true
			status, body := alice.get(name)
			if status != http.StatusOK && status != http.StatusFound { // a module's version
				t.Errorf("%s: status %d", name, status)
			}
			for _, found := range imports.FindAllStringSubmatch(body, -1) {
				if !path.IsAbs(found[1]) {
					found[1] = path.Join(path.Dir(name), found[1])
				}
				names = append(names, found)
			}
		}
		if !seen["/web/log.js"] || !seen["/delivery/delivery.js"] {
			t.Errorf("found only %v", seen)
		}
	})
	t.Run("the session's cookie is out of reach for scripts and other sites", func(t *testing.T) {
		answer, err := newBrowser(t, url).client.PostForm(url+"/login", map[string][]string{"username": {"bob"}, "password": {demo.Password}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		cookie := answer.Header.Get("Set-Cookie")
		if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
			t.Errorf("cookie %s", cookie)
		}
	})
	t.Run("the health check tells strangers no more than that there is health", func(t *testing.T) {
		if status, body := newBrowser(t, url).get("/healthz"); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%d: %s", status, body)
		}
	})
	t.Run("the health check counts the outbox for those who are signed in", func(t *testing.T) {
		var health struct {
			Waiting     *int
			DeadLetters *int     `json:"dead_letters"`
			Oldest      *float64 `json:"oldest_seconds"`
			Breaker     string
		}
		_, body := alice.get("/healthz")
		if err := json.Unmarshal([]byte(body), &health); err != nil || health.Waiting == nil || health.DeadLetters == nil || health.Oldest == nil || health.Breaker != "closed" {
			t.Errorf("%v: %s", err, body)
		}
	})
}

// tab is a connection to the Pusher server, as a page has it.
type tab struct {
	t      *testing.T
	conn   *websocket.Conn
	socket string
}

// listen connects a browser, which subscribes to the channel of the direct conversation.
func (b browser) listen() tab {
	b.t.Helper()
	conn, _, err := websocket.Dial(b.t.Context(), b.url+"/app/pushertest-key?protocol=7", &websocket.DialOptions{HTTPClient: b.client})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.CloseNow() })
	tab := tab{b.t, conn, ""}
	var hello struct {
		SocketID string `json:"socket_id"`
	}
	tab.next("pusher:connection_established", &hello)
	tab.socket = hello.SocketID

	const channel = "private-conv-direct=3Aalice=3Abob"
	_, signed := b.post("/pusher/auth", form("socket_id", tab.socket, "channel_name", channel))
	var data map[string]string
	if err := json.Unmarshal([]byte(signed), &data); err != nil {
		b.t.Fatal(err)
	}
	data["channel"] = channel
	if err := wsjson.Write(b.t.Context(), conn, map[string]any{"event": "pusher:subscribe", "data": data}); err != nil {
		b.t.Fatal(err)
	}
	tab.next("pusher_internal:subscription_succeeded", &struct{}{})
	return tab
}

// next reads the next message, which must be of that name.
func (tab tab) next(name string, data any) {
	tab.t.Helper()
	var frame struct{ Event, Data string }
	ctx, cancel := context.WithTimeout(tab.t.Context(), 10*time.Second)
	defer cancel()
	if err := wsjson.Read(ctx, tab.conn, &frame); err != nil {
		tab.t.Fatalf("waiting for %s: %v", name, err)
	}
	if frame.Event != name {
		tab.t.Fatalf("got %s %s, want %s", frame.Event, frame.Data, name)
	}
	if err := json.Unmarshal([]byte(frame.Data), data); err != nil {
		tab.t.Fatal(err)
	}
}

func TestOthersHearOfWhatATabDid(t *testing.T) {
	url := startChat(t, "")
	alice, bob := signedIn(t, url, "alice"), signedIn(t, url, "bob")
	hers, his := alice.listen(), bob.listen()
	type event struct {
		From, To int64
		Updates  []struct{ Message, Status, Body string }
	}

	alice.post("/api/messages", object(map[string]any{"id": "m1", "conversation": direct, "body": "hello", "socket": hers.socket}))
	var sent event
	his.next("message", &sent)
	if sent.Updates[0].Message != "m1" || sent.Updates[0].Body != "" {
		t.Errorf("bob heard %+v, want the message's id and not its text", sent)
	}

	bob.post("/api/marks/batch", object(map[string]any{"messages": []string{"m1"}, "status": "delivered", "socket": his.socket}))
	var marked event
	hers.next("status", &marked) // and not the message that she sent
	if marked.Updates[0].Status != "delivered" || marked.From != sent.To+1 {
		t.Errorf("alice heard %+v after %+v", marked, sent)
	}

	alice.post("/api/messages", object(map[string]any{"id": "m2", "conversation": direct, "body": "again", "socket": hers.socket}))
	his.next("message", &sent) // and not the mark that he made
	if sent.Updates[0].Message != "m2" {
		t.Errorf("bob heard %+v", sent)
	}
}

func TestTheChatStartsWhereItStopped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "folder", "chat?.db")
	var alice browser

	start := func() (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		out, in := io.Pipe()
		ended := make(chan error)
		go func() { ended <- demo.Run(ctx, demo.Flags{Addr: "127.0.0.1:0", DB: file}, in, build) }()
		lines := bufio.NewReader(out)
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		go io.Copy(io.Discard, lines)
		url, ok := strings.CutPrefix(strings.TrimSpace(line), "Listening on ")
		if !ok {
			t.Fatalf("first line %q", line)
		}
		alice.url = url
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}

	stop := start()
	alice = signedIn(t, alice.url, "alice")
	alice.post("/api/messages", object(map[string]any{"id": "m1", "conversation": "everyone", "body": "still here"}))
	alice.listen() // a connection that stays open keeps nothing from stopping
	stop()

	stop = start()
	defer stop()
	if status, body := alice.get("/api/messages?conversation=everyone"); status != http.StatusOK || !strings.Contains(body, "still here") {
		t.Errorf("after the restart: status %d: %s", status, body)
	}
}
