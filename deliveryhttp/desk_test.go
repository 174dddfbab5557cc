package deliveryhttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// desk is a handler over memory, and all that a test wants to see of what happens behind it.
type desk struct {
	*deliveryhttp.Handler
	tracker *delivery.Tracker
	store   delivery.Store // under the faults
	told    deliverytest.Recorder

	mu    sync.Mutex
	calls []string           // of the store
	fault deliverytest.Fault // of the store, if set
	log   bytes.Buffer
}

// present are the members of conversations. Dan was one of "room" before, and still is a recipient
// of its first message.
var present = map[string][]string{"room": {"alice", "bob", "carol"}, "den": {"mallory"}}

// rule lets members do everything, and users named "view", "send" and "mark" do that everywhere.
func rule(_ context.Context, user string, to delivery.Action, conversation string) (bool, error) {
	return slices.Contains(present[conversation], user) || user == to.String(), nil
}

// identify believes a header, as no app should.
func identify(r *http.Request) (string, error) {
	if r.Header.Get("X-Sessions") == "down" {
		return "", errors.New("session store down")
	}
	return r.Header.Get("X-User"), nil
}

// everyone leaves every audience open.
func everyone(context.Context, delivery.Draft) (delivery.Audience, error) {
	return delivery.Audience{Open: true}, nil
}

// newDesk returns a desk where the rule holds and audiences are open, if opts say no other.
func newDesk(t *testing.T, opts *deliveryhttp.Options) *desk {
	t.Helper()
	return newDeskOver(t, memstore.New(), opts)
}

func newDeskOver(t *testing.T, store delivery.Store, opts *deliveryhttp.Options) *desk {
	t.Helper()
	return makeDesk(t, store, &delivery.Options{Authorize: rule}, opts)
}

// newOpenDesk returns a desk where conversations are open.
func newOpenDesk(t *testing.T, opts *deliveryhttp.Options) *desk {
	t.Helper()
	return makeDesk(t, memstore.New(), &delivery.Options{OpenConversations: true}, opts)
}

func makeDesk(t *testing.T, store delivery.Store, trackerOpts *delivery.Options, opts *deliveryhttp.Options) *desk {
	t.Helper()
	d := &desk{store: store}
	watched := deliverytest.FailingStore(store, func(method string) error {
		d.mu.Lock()
		d.calls = append(d.calls, method)
		fault := d.fault
		d.mu.Unlock()
		if fault == nil {
			return nil
		}
		return fault(method)
	})
	logger := slog.New(slog.NewTextHandler(d, nil))
	var o deliveryhttp.Options
	if opts != nil {
		o = *opts
	}
	o.Logger, trackerOpts.Logger = logger, logger
	if o.Audience == nil {
		o.Audience = everyone
	}
	var err error
	if d.tracker, err = delivery.New(watched, &d.told, trackerOpts); err != nil {
		t.Fatal(err)
	}
	if d.Handler, err = deliveryhttp.New(d.tracker, identify, &o); err != nil {
		t.Fatal(err)
	}
	return d
}

// Write takes lines of the log.
func (d *desk) Write(line []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.Write(line)
}

func (d *desk) logged() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.log.String()
}

func (d *desk) send(t *testing.T, draft delivery.Draft) delivery.Message {
	t.Helper()
	m, err := d.tracker.Send(t.Context(), draft)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// furnish sends the messages that the tests of access are about.
func (d *desk) furnish(t *testing.T) {
	t.Helper()
	d.send(t, delivery.Draft{Conversation: "room", ID: "frozen", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "dan"}}})
	d.send(t, delivery.Draft{Conversation: "room", ID: "opened", Sender: "alice", Audience: delivery.Audience{Open: true}})
	d.send(t, delivery.Draft{Conversation: "den", ID: "secret", Sender: "mallory", Audience: delivery.Audience{Recipients: []string{}}})
}

// state is all that there is, as text: conversations, receipts, and how many events were ever
// committed.
func (d *desk) state(t *testing.T) string {
	t.Helper()
	if err := d.tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []any
	for _, conversation := range []string{"room", "den", "nowhere"} {
		page, err := d.store.List(t.Context(), delivery.List{Conversation: conversation, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page)
		for _, m := range page.Messages {
			page, err := d.store.Receipts(t.Context(), delivery.ReceiptList{Message: m.ID, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page.Receipts)
		}
	}
	text, err := json.Marshal(append(all, len(d.told.Events())))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// request is one request to the handler. A test changes what it is about.
type request struct {
	user, method, url, body string
	header                  http.Header // replaces what a good request has
}

func (q request) with(name, value string) request {
	q.header = q.header.Clone()
	if q.header == nil {
		q.header = http.Header{}
	}
	q.header[http.CanonicalHeaderKey(name)] = []string{value}
	return q
}

func (q request) String() string { return fmt.Sprintf("%s %s by %q", q.method, q.url, q.user) }

// do has a request answered, and returns the answer and the store's methods that were called for
// it.
func (d *desk) do(q request) (answer *httptest.ResponseRecorder, calls []string) {
	return d.doContext(context.Background(), q)
}

func (d *desk) doContext(ctx context.Context, q request) (answer *httptest.ResponseRecorder, calls []string) {
	r := httptest.NewRequestWithContext(ctx, q.method, q.url, strings.NewReader(q.body))
	if q.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("X-User", q.user)
	for name, values := range q.header {
		r.Header[name] = values
	}
	d.mu.Lock()
	d.calls = nil
	d.mu.Unlock()
	answer = httptest.NewRecorder()
	d.ServeHTTP(answer, r)
	d.mu.Lock()
	defer d.mu.Unlock()
	return answer, d.calls
}

// good has a request answered that should be, and decodes the answer.
func good[T any](t *testing.T, d *desk, q request, status int) T {
	t.Helper()
	answer, _ := d.do(q)
	var out T
	if answer.Code != status {
		t.Errorf("%v: answered %d %s; want %d", q, answer.Code, answer.Body, status)
		return out
	}
	if kind := answer.Header().Get("Content-Type"); kind != "application/json" {
		t.Errorf("%v: Content-Type is %q", q, kind)
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil {
		t.Errorf("%v: answered %s: %v", q, answer.Body, err)
	}
	return out
}

// problem is the body of a refusal.
type problem struct {
	Type, Title, Code, Field, Detail string
	Status                           int
}

// refused checks that an answer is a well-formed problem of that code, and returns it.
func refused(t *testing.T, q request, answer *httptest.ResponseRecorder, status int, code string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(answer.Body.Bytes(), &p); err != nil {
		t.Errorf("%v: answered %d %s: %v", q, answer.Code, answer.Body, err)
		return p
	}
	if answer.Code != status || p.Status != status || p.Code != code {
		t.Errorf("%v: answered %d %s; want %d %s", q, answer.Code, answer.Body, status, code)
	}
	header := answer.Header()
	if header.Get("Content-Type") != "application/problem+json" || header.Get("Cache-Control") != "no-store" ||
		header.Get("X-Content-Type-Options") != "nosniff" || p.Title == "" || !strings.HasSuffix(p.Type, "#"+code) {
		t.Errorf("%v: malformed problem %v %s", q, header, answer.Body)
	}
	return p
}
