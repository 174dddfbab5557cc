package pushertest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// Fault answers one request in place of the HTTP API. It may answer by itself or call accept, which
// is the API. Its answer is sent when it returns. If it panics with http.ErrAbortHandler, the
// connection is cut. The request's context ends when the caller leaves or the server closes.
type Fault func(w http.ResponseWriter, r *http.Request, accept http.HandlerFunc)

// Script gives the next requests these faults, one each and in this order. They come after the
// faults of earlier calls of Script. A request with a nil fault succeeds.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, faults...)
}

// FaultFunc sets the function that chooses the fault of every request without one in the script. If
// choose returns nil, the request succeeds. If choose is nil, every request does. Calls of choose
// do not overlap, and it must not call the server.
func (s *Server) FaultFunc(choose func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.choose = choose
}

// Status answers with a status and a body, and accepts nothing.
func Status(code int, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.WriteHeader(code)
		io.WriteString(w, body)
	}
}

// RetryAfter answers with a status, such as 429 or 503, and asks the caller to wait for d, rounded
// down to seconds. It accepts nothing.
func RetryAfter(code int, d time.Duration) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Retry-After", strconv.Itoa(int(d/time.Second)))
		w.WriteHeader(code)
	}
}

// ErrorInOK answers 200 with an error in the body, as some self-hosted servers do, and accepts
// nothing.
func ErrorInOK(code int, message string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"error": message, "code": code})
	}
}

// Delay waits for d before the request is handled as usual.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, accept http.HandlerFunc) {
		select {
		case <-time.After(d):
			accept(w, r)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// Hang is a Fault that accepts nothing and never answers. It ends when the caller leaves.
func Hang(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// Cut is a Fault that accepts nothing and cuts the connection.
func Cut(http.ResponseWriter, *http.Request, http.HandlerFunc) {
	panic(http.ErrAbortHandler)
}

// Accepted returns a Fault that handles the request as usual, records and delivers its events, and
// then lets fault withhold or replace the answer. With Accepted(Cut) the connection breaks after
// the events were accepted. With Accepted(Delay(d)) the answer is late.
func Accepted(fault Fault) Fault {
	return func(w http.ResponseWriter, r *http.Request, accept http.HandlerFunc) {
		answer := httptest.NewRecorder()
		accept(answer, r)
		fault(w, r, func(w http.ResponseWriter, _ *http.Request) { replay(answer, w) })
	}
}

func replay(answer *httptest.ResponseRecorder, w http.ResponseWriter) {
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes())
}
