package pusheradapter_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestAnythingButA2xxOr400Or413IsTheEndpointsFailure(t *testing.T) {
	paused := map[int]bool{301: true, 302: true, 303: true, 307: true, 308: true, 401: true, 403: true, 404: true}
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 408, 409, 410, 422, 425, 429, 431, 500, 501, 502, 503, 504, 599} {
		for name, fault := range map[string]pushertest.Fault{
			"as status":       pushertest.Status(status, `{"error":"canary-of-the-body"}`),
			"hidden in a 200": pushertest.ErrorInOK(status, "canary-of-the-body"),
		} {
			if status < 400 && name != "as status" {
				continue
			}
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				srv := pushertest.NewServer(t)
				srv.Script(fault)
				err := newNotifier(t, srv, nil).Notify(t.Context(), newEvents(3))
				var answer *pusheradapter.Error
				if !isPlain(err) || !errors.As(err, &answer) || answer.Status != status {
					t.Fatalf("got %v", err)
				}
				if asksForPause(err) != (paused[status] || status == 300 || status == 304) {
					t.Errorf("asks for a pause: %v", asksForPause(err))
				}
				if leak(err, "canary", srv.Key, srv.Secret) != nil {
					t.Errorf("tells too much: %v", err)
				}
				if n := len(srv.Requests()); n != 1 {
					t.Errorf("%d calls", n)
				}
			})
		}
	}
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	for _, test := range []struct {
		status int
		header string
		want   bool
	}{
		{429, "7", true},
		{503, "7", true},
		{503, " 7 ", true},
		{429, "0", true},
		{429, "Fri, 31 Dec 2099 23:59:59 GMT", true},
		{429, "Fri, 31 Dec 1999 23:59:59 GMT", true},
		{429, "", false},
		{429, "-7", false},
		{429, "soon", false},
		{429, "7.5", false},
		{429, "99999999999999999999", false},
		{500, "7", false},
	} {
		srv := pushertest.NewServer(t)
		srv.Script(func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Retry-After", test.header)
			w.WriteHeader(test.status)
		})
		err := newNotifier(t, srv, nil).Notify(t.Context(), newEvents(1))
		if !isPlain(err) || asksForPause(err) != test.want {
			t.Errorf("%d with %q: %v, asks for a pause: %v", test.status, test.header, err, asksForPause(err))
		}
	}
}

func TestEvery2xxIsAccepted(t *testing.T) {
	for _, status := range []int{200, 201, 202, 204, 205, 299} {
		for _, body := range []string{"", "{}", "ok", `"ok"`, "[]", "null", "7", `{"channels":[]}`, `{"batch":7}`, `{"code":200}`, `{"code":"500"}`, "<html>", "{", strings.Repeat("x", 1<<20)} {
			if body != "" && (status == 204 || status == 205) {
				continue
			}
			for _, n := range []int{1, 2} {
				srv := pushertest.NewServer(t)
				srv.Script(pushertest.Status(status, body))
				if err := newNotifier(t, srv, nil).Notify(t.Context(), newEvents(n)); err != nil {
					t.Errorf("%d with %.20q for %d events: %v", status, body, n, err)
				}
			}
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var strayed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{elsewhere.URL, "/apps/1001/events", "", "::bad::", "http://[::1"} {
			srv := pushertest.NewServer(t)
			srv.Script(func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			})
			err := newNotifier(t, srv, nil).Notify(t.Context(), newEvents(1))
			var answer *pusheradapter.Error
			if !isPlain(err) || !errors.As(err, &answer) || answer.Status != status {
				t.Errorf("%d to %q: %v", status, location, err)
			}
			if n := len(srv.Requests()); n != 1 {
				t.Errorf("%d to %q: %d calls", status, location, n)
			}
		}
	}
	if strayed.Load() != 0 {
		t.Errorf("%d calls went elsewhere", strayed.Load())
	}
}

func TestEndlessAnswersAreCutOff(t *testing.T) {
	for _, status := range []int{200, 500} {
		ended := make(chan int, 1)
		endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			chunk := []byte(strings.Repeat("x", 1<<16))
			sent := 0
			for sent < 1<<30 {
				n, err := w.Write(chunk)
				sent += n
				if err != nil {
					break
				}
			}
			ended <- sent
		}))
		if err := newNotifierAt(t, endless.URL).Notify(t.Context(), newEvents(1)); (err == nil) != (status == 200) {
			t.Errorf("%d: %v", status, err)
		}
		if sent := <-ended; sent > 64<<20 { // what the buffers on the way take, and no more
			t.Errorf("%d: %d bytes were sent", status, sent)
		}
		endless.Close()
	}
}

func TestAnswersThatBreakOff(t *testing.T) {
	for status, want := range map[int]int{
		200: 0, // accepted, or an error in what did not come
		500: 500,
		413: 413,
	} {
		breaking := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"code":`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}))
		err := newNotifierAt(t, breaking.URL).Notify(t.Context(), newEvents(1))
		var answer *pusheradapter.Error
		if !errors.As(err, &answer) || answer.Status != want {
			t.Errorf("%d: %v", status, err)
		}
		breaking.Close()
	}
}

func TestCallsThatHangEndInTime(t *testing.T) {
	for name, fault := range map[string]pushertest.Fault{
		"before an answer": pushertest.Hang,
		"after acceptance": pushertest.Accepted(pushertest.Hang),
		"for an hour":      pushertest.Delay(time.Hour),
	} {
		for _, timeout := range []time.Duration{0, time.Second} {
			t.Run(fmt.Sprint(name, ", timeout ", timeout), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv, err := pushertest.New(nil)
					if err != nil {
						t.Fatal(err)
					}
					defer srv.Close()
					srv.Script(fault)
					notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: srv, Timeout: timeout})
					began := time.Now()
					err = notifier.Notify(t.Context(), newEvents(2))
					if !isPlain(err) || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v", err)
					}
					want := timeout
					if want == 0 {
						want = pusheradapter.DefaultTimeout
					}
					if took := time.Since(began); took != want {
						t.Errorf("took %v, want %v", took, want)
					}
				})
			})
		}
	}
}

func TestNotifyReturnsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := pushertest.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return pushertest.Hang })
		notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: srv})

		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		time.AfterFunc(time.Second, cancel)
		err = notifier.Notify(ctx, newEvents(1000)) // far more than may be under way at a time
		if !isPlain(err) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v, want a second", took)
		}
		before := len(srv.Requests())
		if err := notifier.Notify(ctx, newEvents(1)); !isPlain(err) || !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		if len(srv.Requests()) != before {
			t.Error("a call was made for a context that had ended")
		}
	})
}

func TestNotifyReturnsWhileItWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := pushertest.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return pushertest.Delay(4 * time.Second) })
		notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: srv})
		first := make(chan error)
		go func() { first <- notifier.Notify(t.Context(), newEvents(160)) }() // as many calls as there may be
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := notifier.Notify(ctx, newEvents(1)); !isPlain(err) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the one that waits: %v", err)
		}
		if err := <-first; err != nil {
			t.Errorf("those before it: %v", err)
		}
	})
}

func TestConnectionsAreReused(t *testing.T) {
	for name, fault := range map[string]pushertest.Fault{
		"when all goes well":    nil,
		"when calls are denied": pushertest.Status(401, strings.Repeat("x", 10_000)),
	} {
		t.Run(name, func(t *testing.T) {
			srv := pushertest.NewServer(t)
			srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return fault })
			notifier := newNotifier(t, srv, nil)
			for range 50 {
				_ = notifier.Notify(t.Context(), newEvents(1))
			}
			if n := connections(srv); n != 1 {
				t.Errorf("50 calls took %d connections", n)
			}
			var wait sync.WaitGroup
			for range 32 {
				wait.Go(func() {
					for range 20 {
						_ = notifier.Notify(t.Context(), newEvents(1))
					}
				})
			}
			wait.Wait()
			if n := connections(srv); n > 32 { // twice the calls at a time
				t.Errorf("32 callers took %d connections", n)
			}
		})
	}
}

func connections(srv *pushertest.Server) int {
	addresses := make(map[string]bool)
	for _, r := range srv.Requests() {
		addresses[r.RemoteAddr] = true
	}
	return len(addresses)
}

func TestAConnectionThatWasDroppedMeanwhileIsNoFailure(t *testing.T) {
	srv := pushertest.NewServer(t)
	notifier := newNotifier(t, srv, nil)
	for i := range 20 {
		srv.Script(nil, pushertest.Cut) // the second call on each connection meets its end
		for range 2 {
			if err := notifier.Notify(t.Context(), newEvents(1)); err != nil {
				t.Fatalf("round %d: %v", i, err)
			}
		}
	}
}

func TestNothingListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	config := pusheradapter.Config{AppID: "1", Key: "topkey", Secret: "topsecret", Host: listener.Addr().String()}
	notifier, err := pusheradapter.New(config, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = notifier.Notify(t.Context(), newEvents(1))
	if !isPlain(err) || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
	if found := leak(err, "topkey", "topsecret", "auth_signature", "body_md5"); found != nil {
		t.Errorf("tells too much: %v", found)
	}
}

func TestNoErrorTellsASecret(t *testing.T) {
	tests := map[string]func(*http.Request) error{
		"an error with the URL": func(r *http.Request) error { return fmt.Errorf("cannot post to %v", r.URL) },
		"a url.Error": func(r *http.Request) error {
			return &url.Error{Op: "Post", URL: r.URL.String(), Err: io.ErrUnexpectedEOF}
		},
		"a url.Error inside": func(r *http.Request) error {
			return fmt.Errorf("proxy: %w", &url.Error{Op: "Post", URL: r.URL.String(), Err: io.EOF})
		},
		"a url.Error in a url.Error":       func(r *http.Request) error { return &url.Error{Err: &url.Error{URL: r.URL.String(), Err: io.EOF}} },
		"a url.Error among others":         func(r *http.Request) error { return errors.Join(io.EOF, &url.Error{URL: r.URL.String(), Err: io.EOF}) },
		"a url.Error without a cause":      func(r *http.Request) error { return fmt.Errorf("%w %w", errors.New(r.URL.String()), io.EOF) },
		"the query escaped":                func(r *http.Request) error { return errors.New(url.QueryEscape(r.URL.RawQuery)) },
		"the query parsed":                 func(r *http.Request) error { return fmt.Errorf("%v", r.URL.Query()) },
		"the deadline, with the URL":       func(r *http.Request) error { return fmt.Errorf("%v: %w", r.URL, context.DeadlineExceeded) },
		"the end, with the key":            func(r *http.Request) error { return fmt.Errorf("%v: %w", "topkey", context.Canceled) },
		"the secret, wherever it had been": func(*http.Request) error { return errors.New("topsecret") },
	}
	for name, fail := range tests {
		t.Run(name, func(t *testing.T) {
			var signature string
			transport := roundTripper(func(r *http.Request) (*http.Response, error) {
				signature = r.URL.Query().Get("auth_signature")
				return nil, fail(r)
			})
			config := pusheradapter.Config{AppID: "1", Key: "topkey", Secret: "topsecret", Host: "example.com"}
			notifier, err := pusheradapter.New(config, &pusheradapter.Options{Transport: transport})
			if err != nil {
				t.Fatal(err)
			}
			err = notifier.Notify(t.Context(), newEvents(1))
			if !isPlain(err) || len(signature) != 64 {
				t.Fatalf("got %v, signature %q", err, signature)
			}
			if found := leak(err, signature, "topkey", "topsecret"); found != nil {
				t.Errorf("tells too much: %v", found)
			}
			if strings.Contains(name, "deadline") && !errors.Is(err, context.DeadlineExceeded) || strings.Contains(name, "end") && !errors.Is(err, context.Canceled) {
				t.Errorf("forgets what it was: %v", err)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestManyCallersAtOnce(t *testing.T) {
	srv := pushertest.NewServer(t)
	notifier := newNotifier(t, srv, nil)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 20 {
				event := newEvent(fmt.Sprint("c", i), int64(j+1))
				if err := notifier.Notify(t.Context(), []delivery.Event{event, newEvent("all", int64(j+1))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := len(srv.Events()); n != 320 {
		t.Errorf("%d events accepted", n)
	}
}
