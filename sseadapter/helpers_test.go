package sseadapter_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/sseadapter"
)

// world is an app in a bubble of testing/synctest: a tracker, a bus and a handler that runs. The
// user of a request is named in its header "User".
type world struct {
	*testing.T
	store   *memstore.Store
	bus     delivery.Bus
	tracker *delivery.Tracker
	handler *sseadapter.Handler
	stop    func() // ends the handler's Run, and waits for it
}

// identify is the sign-in of the tests' app.
func identify(r *http.Request) (string, error) {
	if user := r.Header.Get("User"); user != "broken" {
		return user, nil
	}
	return "", errors.New("the session store is down")
}

// mayDo is the rule of the tests' app: mallory may do nothing, and nobody anything in "secret".
func mayDo(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
	if conversation == "broken" {
		return false, errors.New("the database is down")
	}
	return user != "mallory" && conversation != "secret", nil
}

// newWorld returns a world. A nil bus is a LocalBus, and a nil source the tracker.
func newWorld(t *testing.T, bus delivery.Bus, source sseadapter.Source, opts *sseadapter.Options) *world {
	t.Helper()
	w := &world{T: t, store: memstore.New(), bus: bus}
	if w.bus == nil {
		w.bus = new(delivery.LocalBus)
	}
	var err error
	w.tracker, err = delivery.New(w.store, delivery.OwnNotifierFunc(w.bus.Publish), &delivery.Options{Authorize: mayDo})
	if err != nil {
		t.Fatal(err)
	}
	if source == nil {
		source = w.tracker
	}
	var quiet sseadapter.Options
	if opts != nil {
		quiet = *opts
	}
	quiet.Logger = cmp.Or(quiet.Logger, slog.New(slog.DiscardHandler))
	if w.handler, err = sseadapter.New(source, w.bus, identify, &quiet); err != nil {
		t.Fatal(err)
	}
	w.run()
	t.Cleanup(func() { w.stop() })
	return w
}

// run begins the handler's Run.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.handler.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("Run returned %v", err)
		}
	})
	synctest.Wait()
}

// send sends a message of alice's to bob and carol.
func (w *world) send(conversation, id string) {
	w.Helper()
	if _, err := w.tracker.Send(w.Context(), delivery.Draft{
		ID: id, Conversation: conversation, Sender: "alice", Body: "body of " + id,
		Audience: delivery.Audience{Recipients: []string{"bob", "carol"}},
	}); err != nil {
		w.Fatal(err)
	}
}

// read marks a message as read.
func (w *world) read(user, socket, id string) {
	w.Helper()
	if _, err := w.tracker.MarkRead(w.Context(), delivery.Actor{User: user, Socket: socket}, id); err != nil {
		w.Fatal(err)
	}
}

// flush publishes what waits, and waits until the streams have written it.
func (w *world) flush() {
	w.Helper()
	if err := w.tracker.Flush(w.Context()); err != nil {
		w.Fatal(err)
	}
	synctest.Wait()
}

// tape is a ResponseWriter that keeps what is written, and says when a write has no deadline.
type tape struct {
	*httptest.ResponseRecorder
	leave context.CancelFunc
	ended chan struct{} // the handler has returned

	mu       sync.Mutex
	deadline time.Time
	undated  int           // writes that had none
	stuck    bool          // the client reads nothing
	pace     time.Duration // that the client takes for each write
	seen     int           // bytes that next has returned
}

func (w *tape) SetWriteDeadline(at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = at
	return nil
}

func (w *tape) Write(p []byte) (int, error) {
	w.mu.Lock()
	deadline, stuck, pace := w.deadline, w.stuck, w.pace
	if deadline.IsZero() || !deadline.After(time.Now()) {
		w.undated++
	}
	w.mu.Unlock()
	if stuck {
		time.Sleep(time.Until(deadline))
		return 0, os.ErrDeadlineExceeded
	}
	time.Sleep(pace)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ResponseRecorder.Write(p)
}

func (w *tape) FlushError() error { return nil }

// jam has the client read nothing more.
func (w *tape) jam(stuck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck = stuck
}

// slow has the client take its time for each write.
func (w *tape) slow(pace time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pace = pace
}

// event is a server-sent event.
type event struct{ name, id, data string }

// next returns the events that came since the last call.
func (w *tape) next() (events []event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fresh := w.Body.String()[w.seen:]
	w.seen += len(fresh)
	for block := range strings.SplitSeq(strings.TrimSuffix(fresh, "\n\n"), "\n\n") {
		var e event
		for line := range strings.SplitSeq(block, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			switch name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			}
		}
		if e.name != "" {
			events = append(events, e)
		}
	}
	return events
}

// names returns the names of events, and the messages that they tell of.
func names(t *testing.T, events []event) string {
	t.Helper()
	var s []string
	for _, e := range events {
		s = append(s, e.name)
		if e.name != "message" && e.name != "status" {
			continue
		}
		for _, u := range payload(t, e).Expand() {
			s = append(s, u.Message)
		}
	}
	return strings.Join(s, " ")
}

func payload(t *testing.T, e event) (p deliverywire.Payload) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.data), &p); err != nil {
		t.Fatalf("%v: %s", err, e.data)
	}
	return p
}

// hasEnded reports whether the handler has returned.
func (w *tape) hasEnded() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// open opens a stream, and waits until it has nothing more to say.
func (w *world) open(user, query, lastEventID string) *tape {
	return w.request("GET", user, query, lastEventID)
}

func (w *world) request(method, user, query, lastEventID string) *tape {
	w.Helper()
	r := httptest.NewRequest(method, "/events?"+query, nil)
	ctx, cancel := context.WithCancel(r.Context())
	r = r.WithContext(ctx)
	r.Header.Set("User", user)
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	tape := &tape{ResponseRecorder: httptest.NewRecorder(), leave: cancel, ended: make(chan struct{})}
	go func() {
		defer close(tape.ended)
		w.handler.ServeHTTP(tape, r)
	}()
	w.Cleanup(func() {
		cancel()
		<-tape.ended
		if tape.undated > 0 {
			w.Errorf("%d writes had no deadline", tape.undated)
		}
	})
	synctest.Wait()
	return tape
}

// hello is the data of the first event of a stream.
type hello struct {
	Socket   string
	Epoch    string
	Versions map[string]int64
	Refused  []string
}

// greeted returns the first event of a stream, which must be hello, and the others.
func (w *world) greeted(tape *tape) (h hello, id string, rest []event) {
	w.Helper()
	events := tape.next()
	if len(events) == 0 || events[0].name != "hello" {
		w.Fatalf("status %d, the stream begins with %+v", tape.Code, events)
	}
	if err := json.Unmarshal([]byte(events[0].data), &h); err != nil {
		w.Fatal(err)
	}
	return h, events[0].id, events[1:]
}
