package pushertest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestFaults(t *testing.T) {
	inBubble(t, "faults come in order, one to a request, then all is well", func(w world) {
		w.srv.Script(pushertest.Status(502, "bad gateway"), nil)
		w.srv.Script(pushertest.Status(503, ""))
		w.wantStatus(w.app.Trigger("c", "one", "d"), "502 - bad gateway")
		w.publish("c", "two", "d")
		w.wantStatus(w.app.Trigger("c", "three", "d"), "503")
		w.publish("c", "four", "d")
		if got := w.srv.Events(); len(got) != 2 || got[0].Name != "two" || got[1].Name != "four" {
			w.Errorf("accepted %+v, want two and four", got)
		}
	})

	inBubble(t, "a function chooses faults where the script has none", func(w world) {
		w.srv.FaultFunc(func(r pushertest.Request) pushertest.Fault {
			if r.Number%2 == 0 && strings.HasSuffix(r.Path, "/events") {
				return pushertest.Status(500, "")
			}
			return nil
		})
		w.srv.Script(pushertest.Status(502, ""))
		w.wantStatus(w.app.Trigger("c", "e", "d"), "502")
		w.wantStatus(w.app.Trigger("c", "e", "d"), "500")
		w.publish("c", "e", "d")
		w.srv.FaultFunc(nil)
		w.publish("c", "e", "d")
	})

	inBubble(t, "RetryAfter tells how many seconds to wait", func(w world) {
		w.srv.Script(pushertest.RetryAfter(http.StatusTooManyRequests, 2500*time.Millisecond))
		answer, err := (&http.Client{Transport: w.srv}).Get("http://pusher.test/apps/1001/channels")
		if err != nil || answer.StatusCode != 429 || answer.Header.Get("Retry-After") != "2" {
			w.Errorf("answer %+v, %v; want 429 and 2 seconds", answer, err)
		}
	})

	inBubble(t, "ErrorInOK refuses behind a 200, which pusher-http-go takes for success", func(w world) {
		w.srv.Script(pushertest.ErrorInOK(413, "too large"))
		answer, err := (&http.Client{Transport: w.srv}).Get("http://pusher.test/apps/1001/channels")
		if err != nil {
			w.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != 200 || string(body) != `{"code":413,"error":"too large"}`+"\n" {
			w.Errorf("answer %d %s", answer.StatusCode, body)
		}
		w.srv.Script(pushertest.ErrorInOK(401, ""))
		w.publish("c", "e", "d")
		if got := w.srv.Events(); len(got) != 0 {
			w.Errorf("accepted %+v, want nothing", got)
		}
	})

	inBubble(t, "Delay comes before the work, Accepted puts it after", func(w world) {
		c := w.dial().Subscribe("c")
		w.srv.Script(pushertest.Delay(time.Second), pushertest.Accepted(pushertest.Delay(time.Second)))
		for _, early := range []bool{false, true} {
			start := time.Now()
			done := make(chan struct{})
			go func() {
				defer close(done)
				w.publish("c", "e", "d")
			}()
			time.Sleep(time.Second - 1)
			if got := len(c.Drain(w.Context())) == 1; got != early {
				w.Errorf("delivered before the delay ended: %t, want %t", got, early)
			}
			<-done
			if took := time.Since(start); took != time.Second {
				w.Errorf("answer took %s, want 1s", took)
			}
			c.Drain(w.Context())
		}
	})

	lost := []struct {
		rule     string
		fault    pushertest.Fault
		accepted bool
	}{
		{"Cut loses the request", pushertest.Cut, false},
		{"Accepted(Cut) loses only the answer", pushertest.Accepted(pushertest.Cut), true},
		{"Hang loses the request", pushertest.Hang, false},
		{"Accepted(Hang) loses only the answer", pushertest.Accepted(pushertest.Hang), true},
		{"a Delay longer than patience loses the request", pushertest.Delay(time.Hour), false},
	}
	check := func(t *testing.T, srv *pushertest.Server, client *http.Client, fault pushertest.Fault, accepted bool) {
		c := srv.Dial(t).Subscribe("c")
		srv.Script(fault)
		if err := publisher(srv, client).Trigger("c", "e", "d"); err == nil {
			t.Error("the caller got an answer")
		}
		if got := len(c.Drain(t.Context())) == 1; got != accepted {
			t.Errorf("event delivered: %t, want %t", got, accepted)
		}
		if got := len(srv.Events()) == 1; got != accepted {
			t.Errorf("event recorded: %t, want %t", got, accepted)
		}
		if r := srv.Requests(); len(r) != 1 || r[0].Status != 0 {
			t.Errorf("recorded %+v, want one request without an answer", r)
		}
	}
	for _, tt := range lost {
		inBubble(t, tt.rule, func(w world) {
			check(w.T, w.srv, &http.Client{Transport: w.srv, Timeout: time.Minute}, tt.fault, tt.accepted)
		})
		t.Run(tt.rule+", on a network too", func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			check(t, pushertest.NewServer(t), &http.Client{Transport: transport, Timeout: 100 * time.Millisecond}, tt.fault, tt.accepted)
		})
	}

	inBubble(t, "a caller that leaves gets its own reason", func(w world) {
		w.srv.Script(pushertest.Hang)
		reason := errors.New("gone home")
		ctx, cancel := context.WithCancelCause(w.Context())
		time.AfterFunc(time.Minute, func() { cancel(reason) })
		r, err := http.NewRequestWithContext(ctx, "GET", "http://pusher.test/apps/1001/channels", nil)
		if err != nil {
			w.Fatal(err)
		}
		if _, err := w.srv.RoundTrip(r); !errors.Is(err, reason) {
			w.Errorf("error %v, want the caller's", err)
		}
	})

	inBubble(t, "Close lets go of those who hang", func(w world) {
		w.srv.Script(pushertest.Hang)
		time.AfterFunc(time.Minute, w.srv.Close)
		if err := w.app.Trigger("c", "e", "d"); !errors.Is(err, io.ErrUnexpectedEOF) {
			w.Errorf("error %v, want a cut connection", err)
		}
		w.wantStatus(w.app.Trigger("c", "e", "d"), "503")
	})

	t.Run("Close lets go of those who hang, on a network too", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		arrived, failed := make(chan struct{}), make(chan error)
		srv.Script(func(w http.ResponseWriter, r *http.Request, accept http.HandlerFunc) {
			close(arrived)
			pushertest.Hang(w, r, accept)
		})
		go func() { failed <- publisher(srv, nil).Trigger("c", "e", "d") }()
		<-arrived
		go srv.Close()
		if err := <-failed; err == nil {
			t.Error("the caller got an answer")
		}
	})
}
