package pushertest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// history is how many requests and events are remembered; when it is full, the older half is
// forgotten.
const history = 8_192

// Request is one call of the HTTP API, refused and faulty ones included.
type Request struct {
	Number     int // 1 for the server's first request
	Time       time.Time
	Method     string
	Path       string
	RemoteAddr string // tells connections apart; empty for requests by way of RoundTrip
	Status     int    // what was answered; 0 while there is no answer, and forever after a Cut or Hang
}

// Event is an event that the HTTP API accepted and delivered to the subscribers, even if a fault
// withheld the answer of the call.
type Event struct {
	Request  int // the number of the request that published it
	Time     time.Time
	Name     string
	Channels []string
	Data     string
	SocketID string // the excluded connection, or ""
}

// Requests returns the calls of the HTTP API in order of arrival. At least the latest 4,096 are
// kept.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	requests := make([]Request, len(s.requests))
	for i, r := range s.requests {
		requests[i] = *r
	}
	return requests
}

// Events returns the accepted events in order. At least the latest 4,096 are kept.
func (s *Server) Events() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// WaitEvents waits until n events have been accepted since the server was made, and then returns
// the result of Events. If ctx ends first, the error says how many there were.
func (s *Server) WaitEvents(ctx context.Context, n int) ([]Event, error) {
	for {
		s.mu.Lock()
		events, total, more := slices.Clone(s.events), s.accepted, s.more
		s.mu.Unlock()
		if total >= n {
			return events, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return events, fmt.Errorf("pushertest: waiting for %d events, have %d: %w", n, total, context.Cause(ctx))
		}
	}
}

// arrived notes a request, which Close then waits for, and chooses its fault. It returns nil if the
// server is closed.
func (s *Server) arrived(r *http.Request) (*Request, Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	s.active.Add(1)
	s.arrivals++
	request := &Request{
		Number: s.arrivals, Time: time.Now(), Method: r.Method, Path: r.URL.Path, RemoteAddr: r.RemoteAddr,
	}
	s.requests = remember(s.requests, request)
	if len(s.script) > 0 {
		fault := s.script[0]
		s.script = s.script[1:]
		return request, fault
	}
	if s.choose != nil {
		return request, s.choose(*request)
	}
	return request, nil
}

func (s *Server) answered(r *Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Status = status
}

// record notes an accepted event. The caller holds s.mu.
func (s *Server) record(e Event) {
	s.events = remember(s.events, e)
	s.accepted++
	close(s.more)
	s.more = make(chan struct{})
}

func remember[T any](list []T, item T) []T {
	if len(list) == history {
		list = slices.Delete(list, 0, history/2)
	}
	return append(list, item)
}
