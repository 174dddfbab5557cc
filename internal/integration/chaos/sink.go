package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// Sink is a Pusher server that can be made to fail, and that writes down what it accepted.
type Sink struct {
	api     *pushertest.Server
	front   *httptest.Server // that listens
	journal *Journal
	weather atomic.Pointer[Weather]

	accepted  atomic.Int64 // updates
	swallowed atomic.Int64 // updates accepted in calls whose answer was withheld: at least as many as events
	failed    atomic.Int64 // updates of calls that were neither accepted nor refused
	calls     atomic.Int64

	mu       sync.Mutex
	random   *rand.Rand
	arrivals map[*Weather][]time.Time // of calls
	arrived  int64                    // updates
	counts   []count                  // of accepted updates, as they grew
	longest  time.Duration            // that a call was held back
}

// Weather is how the sink fails.
type Weather struct {
	Fail     float64          // the share of calls that meet Fault, which accepts nothing
	Fault    pushertest.Fault // Unavailable if nil
	CutAfter float64          // the share of other calls that are accepted and then cut
	Poison   int              // the status that poison gets, and a batch with it; 0 if it is good
	Delay    time.Duration    // of every call
	Enough   int64            // updates, after which calls wait until More is closed; 0 if there is no end to them
	More     <-chan struct{}
}

// Unavailable answers 503.
var Unavailable = pushertest.Status(http.StatusServiceUnavailable, "")

// newSink returns a sink that accepts everything until it is told otherwise.
func newSink(t testing.TB, dir string, seed uint64) *Sink {
	t.Helper()
	api, err := pushertest.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sink{api: api, random: rand.New(rand.NewPCG(seed, 1)), arrivals: map[*Weather][]time.Time{}}
	if s.journal, err = newJournal(filepath.Join(dir, "sink.jsonl")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.journal.close() })
	s.become(Weather{})
	s.front = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.front.Start()
	t.Cleanup(func() {
		s.front.CloseClientConnections()
		s.api.Close()
		s.front.Close()
	})
	return s
}

// url is where a node finds the sink.
func (s *Sink) url() string {
	return fmt.Sprintf("http://%s:%s@%s/apps/%s", s.api.Key, s.api.Secret, s.front.Listener.Addr(), s.api.AppID)
}

// become changes how the sink fails, and returns a key for met.
func (s *Sink) become(w Weather) *Weather {
	s.weather.Store(&w)
	return &w
}

// serve answers a call of the HTTP API.
func (s *Sink) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	weather := s.weather.Load()
	began := time.Now()
	s.calls.Add(1)
	s.mu.Lock()
	s.arrivals[weather] = append(s.arrivals[weather], began)
	fail, cut := s.random.Float64() < weather.Fail, s.random.Float64() < weather.CutAfter
	enough := weather.Enough > 0 && s.arrived >= weather.Enough
	s.arrived += int64(updates(body))
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.longest = max(s.longest, time.Since(began))
	}()
	if weather.Delay > 0 {
		wait(r, weather.Delay)
	}
	if enough {
		select {
		case <-weather.More:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if fail {
		s.failed.Add(int64(updates(body)))
		fault := weather.Fault
		if fault == nil {
			fault = Unavailable
		}
		fault(w, r, s.api.ServeHTTP)
		return
	}
	if weather.Poison != 0 && bytes.Contains(body, []byte("private-conv-"+poison)) {
		w.WriteHeader(weather.Poison)
		return
	}
	answer := httptest.NewRecorder()
	s.api.ServeHTTP(answer, r)
	if answer.Code == http.StatusOK {
		s.journal.write(Accepted{now(), body})
		s.count(updates(body))
		if cut {
			s.swallowed.Add(int64(updates(body)))
			panic(http.ErrAbortHandler)
		}
	}
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}

// count is how many updates had been accepted at a time.
type count struct {
	at       time.Time
	accepted int
}

func (s *Sink) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts = append(s.counts, count{time.Now(), int(s.accepted.Add(int64(n)))})
}

// timeOf is when the n-th update was accepted.
func (s *Sink) timeOf(n int) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.counts {
		if c.accepted >= n {
			return c.at
		}
	}
	return time.Time{}
}

// wait holds a call back, until its caller leaves.
func wait(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// slowest is for how long a call was held back at most, until it was answered or the caller left.
func (s *Sink) slowest() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.longest
}

// met returns when the calls arrived that met a weather.
func (s *Sink) met(w *Weather) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrivals[w])
}

// tooMany answers 429 with a Retry-After of that text.
func tooMany(retryAfter func() string) pushertest.Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Retry-After", retryAfter())
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// dripping answers with a byte at a time.
func dripping(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	for w.WriteHeader(http.StatusOK); ; http.NewResponseController(w).Flush() {
		w.Write([]byte(" "))
		wait(r, 50*time.Millisecond)
	}
}

// endless answers 502 with a body that never ends.
func endless(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
	w.WriteHeader(http.StatusBadGateway)
	for piece := bytes.Repeat([]byte(" "), 16<<10); ; {
		if _, err := w.Write(piece); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

func inSeconds(n int) func() string { return func() string { return strconv.Itoa(n) } }

func inDate(n int) func() string {
	return func() string { return time.Now().Add(time.Duration(n) * time.Second).UTC().Format(http.TimeFormat) }
}

// trigger is an event as Pusher's HTTP API takes it.
type trigger struct {
	Name     string   `json:"name"`
	Channel  string   `json:"channel"`
	Channels []string `json:"channels"`
	Data     string   `json:"data"`
	SocketID string   `json:"socket_id"`
}

// decodeCall returns the triggers in the body of a call, each with its Channel.
func decodeCall(body []byte) ([]trigger, error) {
	var call struct {
		trigger
		Batch []trigger `json:"batch"`
	}
	if err := json.Unmarshal(body, &call); err != nil {
		return nil, err
	}
	if call.Batch != nil {
		return call.Batch, nil
	}
	if len(call.Channels) == 1 {
		call.Channel = call.Channels[0]
	}
	return []trigger{call.trigger}, nil
}

// updates counts the updates in the body of a call, at little cost: each has a version, in JSON
// within JSON.
func updates(body []byte) int { return bytes.Count(body, []byte(`\"version\":`)) }
