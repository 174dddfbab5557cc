package pusheradapter_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

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
		notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: srv, Calls: 32})
		first := make(chan error)
		go func() { first <- notifier.Notify(t.Context(), newEvents(320)) }() // as many calls as there may be
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
			if n := connections(srv); n > 64 { // twice the calls at a time
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
