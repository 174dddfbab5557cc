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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
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
