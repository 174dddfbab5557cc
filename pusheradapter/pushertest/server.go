package pushertest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
)

// Options are the settings of New. A nil *Options or a zero field means the defaults.
type Options struct {
	// AppID, Key and Secret are the app's credentials. AppID and Key consist of letters, digits, -
	// and _. They default to "1001", "pushertest-key" and "pushertest-secret".
	AppID, Key, Secret string

	// Profile is the server whose limits and answers are played. Defaults to [Pusher].
	Profile Profile
}

// Server is a Pusher Channels server for tests and local work. Its methods may be called from many
// goroutines at once.
type Server struct {
	// URL is the base of the HTTP API, "http://127.0.0.1:PORT". Only NewServer listens and sets it.
	URL string

	// AppID, Key and Secret are the app's credentials. Do not change them.
	AppID, Key, Secret string

	http   *httptest.Server // nil unless NewServer made it
	ctx    context.Context  // ends with Close
	stop   context.CancelFunc
	active sync.WaitGroup // requests and connections

	mu       sync.Mutex // never held while waiting for anything
	closed   bool
	conns    map[string]*conn // by socket id
	lastConn int
	idPrefix uint32
	profile  Profile
	repeats  map[string]any      // what requests with an X-Idempotency-Key were answered
	channels map[string]*channel // with subscribers only
	cache    map[string]cached

	script   []Fault
	choose   func(Request) Fault
	requests []*Request
	arrivals int
	events   []Event
	accepted int
	more     chan struct{} // closed and replaced when an event is accepted
}

var credentialPattern = regexp.MustCompile(`\A[A-Za-z0-9_-]+\z`)

// New returns a server that does not listen. Mount it as the handler of /apps/, on a loopback
// address only, or use it as the http.RoundTripper of a client. New starts no goroutine. A server
// that is made inside a bubble of testing/synctest works in that bubble.
func New(opts *Options) (*Server, error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	s := &Server{
		AppID:    cmp.Or(o.AppID, "1001"),
		Key:      cmp.Or(o.Key, "pushertest-key"),
		Secret:   cmp.Or(o.Secret, "pushertest-secret"),
		conns:    map[string]*conn{},
		idPrefix: rand.Uint32(), // #nosec G404 -- a test server lets in who has the secret, not who guesses ids
		profile:  o.Profile,
		repeats:  map[string]any{},
		channels: map[string]*channel{},
		cache:    map[string]cached{},
		more:     make(chan struct{}),
	}
	if !credentialPattern.MatchString(s.AppID) {
		return nil, fmt.Errorf("pushertest: AppID %q has other characters than letters, digits, - and _", s.AppID)
	}
	if !credentialPattern.MatchString(s.Key) {
		return nil, errors.New("pushertest: Key has other characters than letters, digits, - and _")
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// TB is what this package needs of a *testing.T, *testing.B or testing.TB.
type TB interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Fatalf(format string, args ...any)
}

// NewServer returns a server with default credentials whose HTTP API listens on a free port of
// 127.0.0.1. It is closed when the test ends.
func NewServer(t TB) *Server {
	t.Helper()
	s, err := New(nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	t.Cleanup(s.Close)
	return s
}

// Host is the URL without its scheme, as the Host field of pusher-http-go wants it.
func (s *Server) Host() string { return strings.TrimPrefix(s.URL, "http://") }

// Disconnect ends all connections with a close code. If code is 0 there is no close code, as when a
// network breaks. Browsers connect again at once after codes 4200 to 4299, never after 4000 to
// 4099, and after 1 s otherwise.
func (s *Server) Disconnect(code int, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		if code == 0 {
			s.end(c, nil)
		} else {
			s.end(c, &CloseError{code, reason})
		}
	}
}

// Close ends all connections with code 1001, cuts requests that a fault holds back, and waits for
// calls of ServeConn and ServeHTTP to return. A client that has stopped reading delays that by 5 s.
// Calling Close again does nothing.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Disconnect(closeGoingAway, "server closed")
	s.stop()
	if s.http != nil {
		s.http.Close()
	}
	s.active.Wait()
}

// RoundTrip implements [http.RoundTripper]: it passes a request to the HTTP API in this process,
// whatever the request's host. If a fault cuts the connection, the error is io.ErrUnexpectedEOF.
func (s *Server) RoundTrip(r *http.Request) (answer *http.Response, err error) {
	var body []byte
	if r.Body != nil {
		defer r.Body.Close()
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	in := r.Clone(r.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	defer func() {
		if v := recover(); v == http.ErrAbortHandler {
			answer, err = nil, cmp.Or(context.Cause(r.Context()), io.ErrUnexpectedEOF)
		} else if v != nil {
			panic(v)
		}
	}()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, in)
	answer = w.Result()
	answer.Request = r
	return answer, nil
}
