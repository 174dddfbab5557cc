package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/examples/internal/demo"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// class is a running tutorial, with a Pusher that tests can listen to.
type class struct {
	url    string
	pusher *pushertest.Server
}

func newClass(t *testing.T) *class {
	t.Helper()
	return openClass(t, filepath.Join(t.TempDir(), "tutorial.db"))
}

func openClass(t *testing.T, file string) *class {
	t.Helper()
	channels := pushertest.NewServer(t)
	db, err := demo.OpenDB(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	config := pusheradapter.Config{AppID: channels.AppID, Key: channels.Key, Secret: channels.Secret, Host: channels.Host()}
	handler, relay, err := build(db, &demo.Pusher{Config: config, Origin: "ws://" + channels.Host()}, demo.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { relay(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &class{server.URL, channels}
}

// browser is somebody's, who is signed in unless the name is "".
type browser struct {
	*http.Client
	url string
}

func (c *class) browser(t *testing.T, user string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{&http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, c.url}
	if user != "" {
		code, _, header := b.post(t, "/login/?next=/", "username", user, "password", demo.Password)
		if code != http.StatusFound || header.Get("Location") != "/" {
			t.Fatalf("signing in as %s: %d to %q", user, code, header.Get("Location"))
		}
	}
	return b
}

func (b *browser) do(t *testing.T, r *http.Request) (int, string, http.Header) {
	t.Helper()
	resp, err := b.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func (b *browser) get(t *testing.T, path string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", b.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.do(t, r)
}

func (b *browser) request(t *testing.T, path string, form ...string) *http.Request {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", b.url+path, strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func (b *browser) post(t *testing.T, path string, form ...string) (int, string, http.Header) {
	t.Helper()
	return b.do(t, b.request(t, path, form...))
}

func parse[T any](t *testing.T, text string) (v T) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// next returns the next event that a client sees.
func next(t *testing.T, client *pushertest.Client) (name string, o object) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	event := client.Next(ctx)
	return event.Name, parse[object](t, string(event.Data))
}

// TestMessagesComeInForms of either kind, and a request without one stores nothing.
func TestMessagesComeInForms(t *testing.T) {
	alice := newClass(t).browser(t, "alice")
	_, before, _ := alice.get(t, "/conversations")
	for _, c := range []struct {
		kind, body string
		code       int
	}{
		{"application/json", `{"message": "Hi"}`, http.StatusBadRequest},
		{"application/x-www-form-urlencoded", "socket_id=1.1", http.StatusBadRequest},
		{"multipart/form-data; boundary=b", "--b--\r\n", http.StatusBadRequest},
		{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nin parts\r\n--b--\r\n", http.StatusOK},
	} {
		r := alice.request(t, "/conversation")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
		r.Header.Set("Content-Type", c.kind)
		code, body, _ := alice.do(t, r)
		if _, after, _ := alice.get(t, "/conversations"); code != c.code || (after == before) != (code != http.StatusOK) {
			t.Errorf("%s: %d %s", c.body, code, body)
		}
	}
}

func TestContract(t *testing.T) {
	c := newClass(t)
	alice, bob, nobody := c.browser(t, "alice"), c.browser(t, "bob"), c.browser(t, "")
	tab, other := c.pusher.Dial(t), c.pusher.Dial(t)
	tab.Subscribe(channel)
	other.Subscribe(channel)

	t.Run("GET / shows the page, or leads to the login", func(t *testing.T) {
		if code, body, _ := alice.get(t, "/"); code != http.StatusOK || !strings.Contains(body, "alice") {
			t.Errorf("signed in: %d", code)
		}
		if code, _, header := nobody.get(t, "/"); code != http.StatusFound || header.Get("Location") != "/login/?next=/" {
			t.Errorf("signed out: %d to %q", code, header.Get("Location"))
		}
	})

	t.Run("/login/ shows a form and refuses a wrong password, /logout/ signs out", func(t *testing.T) {
		if code, body, _ := nobody.get(t, "/login/"); code != http.StatusOK || !strings.Contains(body, `name="username"`) || !strings.Contains(body, `name="password"`) || !strings.Contains(body, `type="submit"`) {
			t.Errorf("the form: %d %s", code, body)
		}
		for _, pair := range [][2]string{{"alice", "wrong"}, {"mallory", demo.Password}, {"", ""}} {
			if code, _, _ := nobody.post(t, "/login/", "username", pair[0], "password", pair[1]); code != http.StatusUnauthorized {
				t.Errorf("%q: %d", pair, code)
			}
		}
		carol := c.browser(t, "carol")
		carol.get(t, "/logout/")
		if code, _, _ := carol.get(t, "/conversations"); code != http.StatusUnauthorized {
			t.Errorf("after signing out: %d", code)
		}
	})

	t.Run("no other site and no prefetch signs anybody out", func(t *testing.T) {
		carol := c.browser(t, "carol")
		for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Sec-Purpose", "prefetch"}} {
			for _, method := range []string{"GET", "POST"} {
				if header[0] == "Sec-Purpose" && method == "POST" {
					continue
				}
				r, err := http.NewRequestWithContext(t.Context(), method, c.url+"/logout/", nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set(header[0], header[1])
				if code, _, _ := carol.do(t, r); code != http.StatusForbidden {
					t.Errorf("%s with %q: %d", method, header, code)
				}
			}
		}
		if code, _, _ := carol.get(t, "/conversations"); code != http.StatusOK {
			t.Errorf("afterwards: %d", code)
		}
		if code, _, header := carol.post(t, "/logout/"); code != http.StatusFound || header.Get("Location") != "/login/" {
			t.Errorf("her own: %d to %q", code, header.Get("Location"))
		}
		if code, _, _ := carol.get(t, "/conversations"); code != http.StatusUnauthorized {
			t.Errorf("after that: %d", code)
		}
	})

	t.Run("only those who are signed in may listen at the server's own Pusher", func(t *testing.T) {
		if code, _, _ := nobody.get(t, "/app/pushertest-key"); code != http.StatusUnauthorized {
			t.Errorf("signed out: %d", code)
		}
	})

	t.Run("signing in leads to no other site", func(t *testing.T) {
		for _, elsewhere := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", ":", "evil"} {
			_, _, header := nobody.post(t, "/login/?next="+url.QueryEscape(elsewhere), "username", "carol", "password", demo.Password)
			if header.Get("Location") != "/" {
				t.Errorf("%q leads to %q", elsewhere, header.Get("Location"))
			}
			nobody.get(t, "/logout/")
		}
	})

	var sent object
	t.Run("POST /conversation stores the message and tells everyone", func(t *testing.T) {
		code, body, _ := alice.post(t, "/conversation", "message", "Hello <b>you</b>")
		sent = parse[object](t, body)
		if code != http.StatusOK || sent.ID == "" || sent.Name != "alice" || sent.Message != "Hello <b>you</b>" || sent.Status != "Sent" {
			t.Errorf("%d %+v", code, sent)
		}
		for _, client := range []*pushertest.Client{tab, other} {
			if name, o := next(t, client); name != "an_event" || o != sent {
				t.Errorf("event %s %+v", name, o)
			}
		}
	})

	t.Run("the sender's own mark changes nothing", func(t *testing.T) {
		if code, body, _ := alice.post(t, "/conversations/"+sent.ID+"/delivered", "socket_id", tab.SocketID()); code != http.StatusOK || body != "Awaiting Delivery" {
			t.Errorf("%d %q", code, body)
		}
	})

	delivered := sent
	delivered.Status = "Delivered"
	t.Run("a mark by another is told to all but its socket", func(t *testing.T) {
		if code, body, _ := bob.post(t, "/conversations/"+sent.ID+"/delivered", "socket_id", tab.SocketID()); code != http.StatusOK || body != "ok" {
			t.Errorf("%d %q", code, body)
		}
		if name, o := next(t, other); name != "delivered_message" || o != delivered {
			t.Errorf("event %s %+v", name, o)
		}
		if events := tab.Drain(t.Context()); len(events) != 0 {
			t.Errorf("the socket that marked was told %+v", events)
		}
	})

	t.Run("a repeated mark is ok and tells nobody", func(t *testing.T) {
		if code, body, _ := bob.post(t, "/conversations/"+sent.ID+"/delivered"); code != http.StatusOK || body != "ok" {
			t.Errorf("%d %q", code, body)
		}
		if events := other.Drain(t.Context()); len(events) != 0 {
			t.Errorf("told %+v", events)
		}
	})

	t.Run("GET /conversations lists all, oldest first, with or without a trailing slash", func(t *testing.T) {
		_, body, _ := bob.post(t, "/conversation", "message", "Hi")
		want := []object{delivered, parse[object](t, body)}
		for _, path := range []string{"/conversations", "/conversations/"} {
			if code, body, _ := alice.get(t, path); code != http.StatusOK || !slices.Equal(parse[[]object](t, body), want) {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
	})

	t.Run("a malformed socket id is no reason to refuse a mark", func(t *testing.T) {
		_, body, _ := alice.post(t, "/conversation", "message", "Again")
		m := parse[object](t, body)
		if code, body, _ := bob.post(t, "/conversations/"+m.ID+"/delivered", "socket_id", "undefined"); code != http.StatusOK || body != "ok" {
			t.Errorf("%d %q", code, body)
		}
	})

	t.Run("what is not allowed gets its status", func(t *testing.T) {
		crossOrigin := alice.request(t, "/conversation", "message", "x")
		crossOrigin.Header.Set("Origin", "https://evil.example")
		crossMark := bob.request(t, "/conversations/"+sent.ID+"/delivered")
		crossMark.Header.Set("Sec-Fetch-Site", "cross-site")
		brokenForm := alice.request(t, "/conversation")
		brokenForm.Body = io.NopCloser(strings.NewReader("message=%zz"))
		brokenForm.ContentLength = int64(len("message=%zz"))
		method, err := http.NewRequestWithContext(t.Context(), "GET", c.url+"/conversation", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, refused := range []struct {
			name string
			who  *browser
			r    *http.Request
			want int
		}{
			{"a message of somebody signed out", nobody, nobody.request(t, "/conversation", "message", "x"), 401},
			{"a mark of somebody signed out", nobody, nobody.request(t, "/conversations/"+sent.ID+"/delivered"), 401},
			{"a message from another site", alice, crossOrigin, 403},
			{"a mark from another site", bob, crossMark, 403},
			{"a mark of an unknown message", bob, bob.request(t, "/conversations/nowhere/delivered"), 404},
			{"a mark of an overlong id", bob, bob.request(t, "/conversations/"+strings.Repeat("x", 129)+"/delivered"), 400},
			{"a message with NUL", alice, alice.request(t, "/conversation", "message", "\x00"), 400},
			{"a message that is not UTF-8", alice, alice.request(t, "/conversation", "message", "\xff"), 400},
			{"a message over 64 KiB", alice, alice.request(t, "/conversation", "message", strings.Repeat("x", 65<<10)), 413},
			{"a body over the cap", alice, alice.request(t, "/conversation", "message", strings.Repeat("x", 1<<20)), 413},
			{"a form that is none", alice, brokenForm, 400},
			{"a wrong method", alice, method, 405},
		} {
			if code, body, _ := refused.who.do(t, refused.r); code != refused.want || strings.Contains(body, "xxx") {
				t.Errorf("%s: %d %q, want %d", refused.name, code, body, refused.want)
			}
		}
		if _, body, _ := alice.get(t, "/conversations"); len(parse[[]object](t, body)) != 3 {
			t.Errorf("something of that was stored: %s", body)
		}
	})
}

func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tutorial.db")
	var sent object
	var cookies []*http.Cookie
	t.Run("what a server has stored and whom it has signed in", func(t *testing.T) {
		alice := openClass(t, file).browser(t, "alice")
		for range 2 {
			_, body, _ := alice.post(t, "/conversation", "message", "Hello")
			sent = parse[object](t, body)
		}
		cookies = alice.Jar.Cookies(alice.request(t, "/").URL)
	})
	c := openClass(t, file)
	bob := c.browser(t, "bob")
	client := c.pusher.Dial(t)
	client.Subscribe(channel)
	mark := func(t *testing.T, id string) {
		t.Helper()
		want := object{id, "alice", "Hello", "Delivered"}
		if code, body, _ := bob.post(t, "/conversations/"+id+"/delivered"); code != http.StatusOK || body != "ok" {
			t.Errorf("%d %q", code, body)
		}
		for {
			name, o := next(t, client)
			if name == "an_event" {
				continue // the server before may have left that
			}
			if name != "delivered_message" || o != want {
				t.Errorf("event %s %+v, want %+v", name, o, want)
			}
			return
		}
	}
	t.Run("is marked and told of in full by the next", func(t *testing.T) { mark(t, sent.ID) })
	t.Run("and so if it was listed first", func(t *testing.T) {
		_, body, _ := bob.get(t, "/conversations")
		mark(t, parse[[]object](t, body)[0].ID)
	})
	t.Run("stays signed in with the next, until signing out, even with a cookie that was kept", func(t *testing.T) {
		ask := func(path string) int {
			r, err := http.NewRequestWithContext(t.Context(), "GET", c.url+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, cookie := range cookies {
				r.AddCookie(cookie)
			}
			code, _, _ := c.browser(t, "").do(t, r)
			return code
		}
		for _, step := range []struct {
			path string
			want int
		}{{"/conversations", http.StatusOK}, {"/logout/", http.StatusFound}, {"/conversations", http.StatusUnauthorized}} {
			if code := ask(step.path); code != step.want {
				t.Errorf("%s: %d, want %d", step.path, code, step.want)
			}
		}
	})
}
