package pusheradapter_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestAnythingButA2xxOr400Or413Or422IsTheEndpointsFailure(t *testing.T) {
	paused := map[int]bool{301: true, 302: true, 303: true, 307: true, 308: true, 401: true, 403: true, 404: true}
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308, 401, 402, 403, 404, 405, 408, 409, 410, 425, 429, 431, 500, 501, 502, 503, 504, 599} {
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

func TestAnErrorSaysWhatToCheck(t *testing.T) {
	for status, advice := range map[int]string{
		300: ": a redirect, which is never followed; check host and scheme",
		308: ": a redirect, which is never followed; check host and scheme",
		400: "",
		401: ": check key, secret and the clock",
		403: ": the app is disabled or over its quota",
		404: ": check app id, host and cluster",
		413: ": too large for it",
		500: "",
	} {
		if got, want := (&pusheradapter.Error{Status: status}).Error(), fmt.Sprintf("pusheradapter: the endpoint answered %d%s", status, advice); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
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
		{429, "7.5", true},
		{429, ".25", true},
		{429, "1e99", false},
		{429, "NaN", false},
		{429, "Inf", false},
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
