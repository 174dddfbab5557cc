// Package stub is a Pusher Channels HTTP API that accepts everything: it answers each call after a
// set delay and notes when it accepted how much. It runs in a process of its own, so that what it
// costs is not counted as anybody's.
//
// It is no test server: it checks neither signatures nor limits, and nobody can listen to it.
package stub

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Counts is what the stub has accepted since it was last reset.
type Counts struct {
	Calls  int   `json:"calls"`
	Events int   `json:"events"`
	Marks  int   `json:"marks"` // an event that brings several updates tells of as many marks
	Last   int64 `json:"last"`  // when the last mark was accepted, in Unix nanoseconds; 0 if none was
}

// server is the stub itself. Its zero value answers at once.
type server struct {
	mu      sync.Mutex
	delay   time.Duration
	counts  Counts
	at      []int64       // when each mark was accepted
	waiting chan struct{} // closed when a mark is accepted, if anyone waits
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apps/{id}/events", s.accept)
	mux.HandleFunc("POST /apps/{id}/batch_events", s.accept)
	mux.HandleFunc("GET /counts", s.tell)
	mux.HandleFunc("GET /wait", s.wait)
	mux.HandleFunc("POST /reset", s.reset)
	return mux
}

// call is the body of a call of either kind.
type call struct {
	event
	Batch []event `json:"batch"`
}

type event struct {
	Data string `json:"data"`
}

// marks is how many marks the event tells of: each update of ours has a version, and no peer's
// event is for more than one.
func (e event) marks() int { return max(1, strings.Count(e.Data, `"version":`)) }

func (s *server) accept(w http.ResponseWriter, r *http.Request) {
	var c call
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	events := c.Batch
	if events == nil {
		events = []event{c.event}
	}
	s.mu.Lock()
	delay := s.delay
	s.mu.Unlock()
	time.Sleep(delay)
	s.note(events)
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte("{}"))
}

func (s *server) note(events []event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UnixNano()
	s.counts.Calls++
	s.counts.Last = now
	for _, e := range events {
		s.counts.Events++
		for range e.marks() {
			s.at = append(s.at, now)
		}
	}
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}

func (s *server) tell(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	counts := s.counts
	counts.Marks = len(s.at)
	s.mu.Unlock()
	json.NewEncoder(w).Encode(counts)
}

// wait answers when the n-th mark has been accepted: with the time of that.
func (s *server) wait(w http.ResponseWriter, r *http.Request) {
	var n int
	if err := json.Unmarshal([]byte(r.FormValue("marks")), &n); err != nil || n < 1 {
		http.Error(w, "marks is not a positive number", http.StatusBadRequest)
		return
	}
	for {
		s.mu.Lock()
		if len(s.at) >= n {
			at := s.at[n-1]
			s.mu.Unlock()
			json.NewEncoder(w).Encode(at)
			return
		}
		if s.waiting == nil {
			s.waiting = make(chan struct{})
		}
		accepted := s.waiting
		s.mu.Unlock()
		select {
		case <-accepted:
		case <-r.Context().Done():
			return
		}
	}
}

// reset forgets all counts and sets the delay.
func (s *server) reset(w http.ResponseWriter, r *http.Request) {
	delay, err := time.ParseDuration(r.FormValue("delay"))
	if err != nil {
		http.Error(w, "delay is not a duration", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay, s.counts, s.at = delay, Counts{}, nil
}
