package inspector_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

// desk is an app whose notifier refuses what its refusal says, with an inspector at a prefix.
type desk struct {
	t        *testing.T
	tracker  *delivery.Tracker
	store    delivery.Store
	answer   atomic.Pointer[func() error] // of the notifier, if it is a failure
	refusal  func(delivery.Event) error
	mu       sync.Mutex
	resolved []delivery.ResolvedInfo
	recorder *inspector.Recorder
	http.Handler
}

const prefix = "/ops/delivery"

// access is what the gate says of the person in the header of that name.
var access = map[string]inspector.Access{"reader": inspector.MayLook, "actor": inspector.MayAct, "nobody": inspector.NoAccess, "odd": 7}

func gate(r *http.Request) (inspector.Access, error) {
	person := r.Header.Get("Person")
	if person == "broken" {
		return inspector.MayAct, errors.New("the sessions are gone")
	}
	return access[person], nil
}

func newDesk(t *testing.T, store delivery.Store, opts inspector.Options) *desk {
	t.Helper()
	d := &desk{t: t, store: store, recorder: inspector.NewRecorder()}
	notifier := delivery.NotifierFunc(func(_ context.Context, events []delivery.Event) error {
		if answer := d.answer.Load(); answer != nil {
			if err := (*answer)(); err != nil {
				return err
			}
		}
		refused := map[int]error{}
		for i, e := range events {
			if d.refusal != nil {
				if err := d.refusal(e); err != nil {
					refused[i] = err
				}
			}
		}
		return delivery.Refused(refused)
	})
	var err error
	d.tracker, err = delivery.New(store, notifier, &delivery.Options{
		OpenConversations: true, EventBodies: true, Logger: slog.New(slog.DiscardHandler),
		Observer: d.recorder.Observer(&delivery.Observer{Resolved: func(ctx context.Context, i delivery.ResolvedInfo) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.resolved = append(d.resolved, i)
		}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	opts.Logger = slog.New(slog.DiscardHandler)
	opts.Recorder = d.recorder
	opts.Process = "web-3"
	h, err := inspector.New(d.tracker, gate, &opts)
	if err != nil {
		t.Fatal(err)
	}
	d.Handler = http.StripPrefix(prefix, h)
	return d
}

// told returns what the observer was told of replays and discards.
func (d *desk) told() []delivery.ResolvedInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.resolved)
}

const secret = "the words of a message"

// send sends a message of alice's to bob and carol.
func (d *desk) send(conversation, id string) {
	d.t.Helper()
	_, err := d.tracker.Send(d.t.Context(), delivery.Draft{
		ID: id, Conversation: conversation, Sender: "alice", Body: secret, Audience: delivery.Audience{Recipients: []string{"bob", "carol"}},
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) flush() {
	d.t.Helper()
	if err := d.tracker.Flush(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// bury sends messages whose events go to the dead letters, with the ids from 1 on.
func (d *desk) bury(conversation string, ids ...string) {
	d.t.Helper()
	d.refusal = func(delivery.Event) error { return delivery.Permanent(errors.New("the channel's name is too long")) }
	for _, id := range ids {
		d.send(conversation, id)
	}
	d.flush()
	d.refusal = nil
}

func (d *desk) dead() (ids []int64) {
	d.t.Helper()
	letters, err := d.tracker.DeadLetters(d.t.Context(), delivery.DeadQuery{Limit: delivery.MaxBatch})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, l := range letters {
		ids = append(ids, l.Event.ID)
	}
	return ids
}

// get asks for a page, and returns its status and text. No page shows a body.
func (d *desk) get(person, page string) (int, string) {
	d.t.Helper()
	return d.do(person, "GET", page, nil)
}

func (d *desk) post(person, page string, form url.Values, header ...string) (int, string) {
	d.t.Helper()
	return d.do(person, "POST", page, form, append([]string{"Sec-Fetch-Site", "same-origin"}, header...)...)
}

func (d *desk) do(person, method, page string, form url.Values, header ...string) (int, string) {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), method, prefix+page, strings.NewReader(form.Encode()))
	r.Header.Set("Person", person)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	d.ServeHTTP(answer, r)
	text, err := io.ReadAll(answer.Result().Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if strings.Contains(string(text), secret) {
		d.t.Errorf("%s %s shows a body", method, page)
	}
	return answer.Code, string(text)
}

func (d *desk) want(what string, got int, text string, status int, parts ...string) {
	d.t.Helper()
	if got != status {
		d.t.Errorf("%s: status %d, want %d:\n%s", what, got, status, text)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			d.t.Errorf("%s: no %q in\n%s", what, part, text)
		}
	}
}

func form(ids ...int64) url.Values {
	v := url.Values{}
	for _, id := range ids {
		v.Add("event", fmt.Sprint(id))
	}
	return v
}

func TestNew(t *testing.T) {
	tracker := newDesk(t, memstore.New(), inspector.Options{}).tracker
	if _, err := inspector.New(nil, gate, nil); err == nil {
		t.Error("New takes no tracker")
	}
	if _, err := inspector.New(tracker, nil, nil); err == nil {
		t.Error("New takes no gate")
	}
	if _, err := inspector.New(tracker, gate, nil); err != nil {
		t.Error(err)
	}
}

func TestHandler(t *testing.T) {
	paths := []string{"/", "/dead", "/message?id=m1", "/confirm?do=replay&event=1", "/replay", "/discard", "/style.css", "/icon.svg", "/nowhere", ""}

	t.Run("who may not look learns nothing, not even which pages there are", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{Actions: true})
		d.bury("room", "m1")
		for _, person := range []string{"nobody", "unknown", "odd"} {
			for _, at := range paths {
				for _, method := range []string{"GET", "POST", "DELETE"} {
					if status, text := d.do(person, method, at, form(1)); status != 403 || text != "You may not look at this.\n" {
						t.Errorf("%s, %s %s: status %d, %q", person, method, at, status, text)
					}
				}
			}
		}
		if status, text := d.get("broken", "/"); status != 500 || strings.Contains(text, "sessions") {
			t.Errorf("a gate that fails: status %d, %q", status, text)
		}
		if got := d.dead(); !slices.Equal(got, []int64{1}) {
			t.Errorf("dead letters %v", got)
		}
	})

	t.Run("every answer keeps browsers from storing, framing and running it", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{Actions: true})
		d.bury("room", "m1")
		for _, person := range []string{"nobody", "reader", "actor", "broken"} {
			for _, at := range paths {
				r := httptest.NewRequestWithContext(t.Context(), "GET", prefix+at, nil)
				r.Header.Set("Person", person)
				answer := httptest.NewRecorder()
				d.ServeHTTP(answer, r)
				for name, part := range map[string]string{
					"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
					"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
				} {
					if got := answer.Header().Get(name); got != part {
						t.Errorf("%s, %s: %s is %q", person, at, name, got)
					}
				}
				if strings.Contains(answer.Body.String(), "<script") || strings.Contains(answer.Body.String(), "style=") {
					t.Errorf("%s, %s: a script or a style that the policy forbids:\n%s", person, at, answer.Body)
				}
			}
		}
	})

	t.Run("unknown pages are 404, and other methods 405", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{Actions: true})
		for _, at := range []string{"/nowhere", "/dead/", "/Dead", "/%64ead", "//", "/./dead", "/layout.html", "/dead.html", "/web/style.css"} {
			status, text := d.get("reader", at)
			d.want(at, status, text, 404, "There is no such page.")
		}
		for _, at := range paths[:8] {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"} {
				post := at == "/replay" || at == "/discard"
				if post == (method == "POST") && (post || method == "GET" || method == "HEAD") {
					continue
				}
				r := httptest.NewRequestWithContext(t.Context(), method, prefix+at, nil)
				r.Header.Set("Person", "actor")
				answer := httptest.NewRecorder()
				d.ServeHTTP(answer, r)
				want := "GET, HEAD"
				if post {
					want = "POST"
				}
				if answer.Code != 405 || answer.Header().Get("Allow") != want {
					t.Errorf("%s %s: status %d, Allow %q", method, at, answer.Code, answer.Header().Get("Allow"))
				}
			}
		}
	})

	t.Run("a HEAD is a GET", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		for at, want := range map[string]int{"/": 200, "/dead": 200, "/style.css": 200, "/nowhere": 404, "/replay": 405} {
			if status, text := d.do("reader", "HEAD", at, nil); status != want {
				t.Errorf("HEAD %s: status %d, want %d:\n%s", at, status, want, text)
			}
		}
	})

	t.Run("it works under any prefix", func(t *testing.T) {
		tracker := newDesk(t, memstore.New(), inspector.Options{}).tracker
		h, err := inspector.New(tracker, func(*http.Request) (inspector.Access, error) { return inspector.MayLook, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"", "/inspect", "/a/b/c", "/with%20space"} {
			server := httptest.NewServer(http.StripPrefix(at, h))
			defer server.Close()
			if strings.Contains(at, "%") {
				server.Config.Handler = http.StripPrefix("/with space", h)
			}
			for _, page := range []string{at, at + "/"} {
				answer, err := server.Client().Get(server.URL + page)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != 200 || answer.Request.URL.EscapedPath() != at+"/" && at != "" {
					t.Fatalf("%s: %v, %v, at %s", page, answer.Status, err, answer.Request.URL)
				}
				for _, match := range regexp.MustCompile(`(?:href|action|src)="([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
					to, err := answer.Request.URL.Parse(match[1])
					if err != nil {
						t.Fatal(err)
					}
					linked, err := server.Client().Get(to.String())
					if err != nil {
						t.Fatal(err)
					}
					linked.Body.Close()
					if linked.StatusCode != 200 {
						t.Errorf("%s links to %s: %s", page, to, linked.Status)
					}
				}
			}
		}
	})

	t.Run("a path that is all prefix leads nowhere else", func(t *testing.T) {
		h, err := inspector.New(newDesk(t, memstore.New(), inspector.Options{}).tracker, gate, nil)
		if err != nil {
			t.Fatal(err)
		}
		for whole, want := range map[string]string{"/inspect": "./inspect/", "//evil.example": "./evil.example/", "/a/b?c=d": "./b/", "http://evil.example/x": "./x/"} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", whole, nil)
			r.URL.Path, r.URL.RawPath = "", ""
			r.Header.Set("Person", "reader")
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, r)
			if got := answer.Header().Get("Location"); answer.Code != http.StatusTemporaryRedirect || got != want {
				t.Errorf("%s: status %d, to %q", whole, answer.Code, got)
			}
		}
	})
}

func TestOverview(t *testing.T) {
	t.Run("all is well", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		d.send("room", "m1")
		status, text := d.get("reader", "/")
		d.want("the page", status, text, 200, "All is well", "<dt>Events that wait</dt><dd>1</dd>", "<dt>Dead letters</dt><dd>0</dd>",
			"<dt>Relay</dt><dd>does not run</dd>", "<dt>Breaker</dt><dd>closed</dd>", "<dt>Calls under way</dt><dd>0</dd>", "web-3, since <time", "None since", "You may look, and change nothing.")
	})

	t.Run("it says what wants a person", func(t *testing.T) {
		for _, c := range []struct {
			backlog delivery.Backlog
			says    string
		}{
			{delivery.Backlog{Dead: 2}, "2 events went to the dead letters"},
			{delivery.Backlog{Waiting: 3, Oldest: time.Hour}, "Some process must call Tracker.Run."},
			{delivery.Backlog{Ahead: 2 * time.Hour}, "The database’s clock was set back by 2 h."},
		} {
			d := newDesk(t, counting{memstore.New(), c.backlog}, inspector.Options{})
			status, text := d.get("reader", "/")
			d.want(c.says, status, text, 200, c.says)
			if strings.Contains(text, "All is well") {
				t.Errorf("%s: all is well", c.says)
			}
		}
		d := newDesk(t, counting{memstore.New(), delivery.Backlog{Waiting: 3, Oldest: 29 * time.Second, Ahead: 59 * time.Second}}, inspector.Options{})
		status, text := d.get("reader", "/")
		d.want("a short wait", status, text, 200, "All is well", "29 s")
	})

	t.Run("a relay that runs is seen, and so is its endpoint that fails or is slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, memstore.New(), inspector.Options{})
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() {
				if err := d.tracker.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			hang := make(chan struct{})
			hangs := func() error { <-hang; return nil }
			d.answer.Store(&hangs)
			d.send("room", "m1")
			time.Sleep(4 * time.Second)
			status, text := d.get("reader", "/")
			d.want("a call under way", status, text, 200, "<dt>Relay</dt><dd>runs</dd>", "<dt>Calls under way</dt><dd>1</dd>", "<dd>4 s</dd>")
			fails := func() error { return errors.New("401 invalid key") }
			d.answer.Store(&fails)
			close(hang)
			time.Sleep(time.Second)
			d.send("room", "m2")
			time.Sleep(time.Minute)
			status, text = d.get("reader", "/")
			d.want("an endpoint that fails", status, text, 200, "The notifier’s endpoint fails.", "Call of the notifier failed", "401 invalid key", " times</span>")
			stop()
			running.Wait()
		})
	})
}

// counting is a store whose outbox is said to be a certain one.
type counting struct {
	delivery.Store
	backlog delivery.Backlog
}

func (c counting) Backlog(context.Context) (delivery.Backlog, error) { return c.backlog, nil }
