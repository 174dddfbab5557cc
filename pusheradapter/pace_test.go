package pusheradapter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// throttle is an endpoint that takes a number of events a second, and answers 429 to the others. It
// runs in a bubble of testing/synctest.
type throttle struct {
	next       *pushertest.Server
	perSecond  int
	retryAfter string

	mu     sync.Mutex
	second time.Time
	taken  int
}

func (l *throttle) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(5 * time.Millisecond)
	body, again, err := readAgain(r)
	if err != nil {
		return nil, err
	}
	events := 1
	var batch struct{ Batch []json.RawMessage }
	if strings.HasSuffix(r.URL.Path, "/batch_events") {
		if err := json.Unmarshal(body, &batch); err != nil {
			return nil, err
		}
		events = len(batch.Batch)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now().Truncate(time.Second); now != l.second {
		l.second, l.taken = now, 0
	}
	if l.taken+events > l.perSecond {
		header := http.Header{}
		if l.retryAfter != "" {
			header.Set("Retry-After", l.retryAfter)
		}
		return &http.Response{StatusCode: 429, Header: header, Body: http.NoBody, Request: r}, nil
	}
	l.taken += events
	return l.next.RoundTrip(again)
}

func TestAnEndpointThatTakesFewEventsASecondGetsAsManyAsItTakes(t *testing.T) {
	for _, retryAfter := range []string{"", "0.5", "1"} {
		for _, perSecond := range []int{3, 5} {
			synctest.Test(t, func(t *testing.T) {
				srv, err := pushertest.New(nil)
				if err != nil {
					t.Fatal(err)
				}
				endpoint := &throttle{next: srv, perSecond: perSecond, retryAfter: retryAfter}
				notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: endpoint})
				tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				const events = 600
				for i := range events {
					draft := delivery.Draft{ID: fmt.Sprint("m", i), Conversation: fmt.Sprint("c", i), Sender: "alice", Audience: delivery.Audience{Open: true}}
					if _, err := tracker.Send(t.Context(), draft); err != nil {
						t.Fatal(err)
					}
				}
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- tracker.Run(ctx) }()
				time.Sleep(100 * time.Second)
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				began := srv.Events()[0].Time
				distinct, accepted, later := make(map[string]bool), 0.0, 0.0
				for _, e := range srv.Events() {
					if e.Time.Sub(began) >= 10*time.Second { // the first calls find out
						accepted++
						if !distinct[e.Data] {
							later++
						}
					}
					distinct[e.Data] = true
				}
				spent := srv.Events()[len(srv.Events())-1].Time.Sub(began).Seconds() - 10
				accepted, later = accepted/spent, later/spent
				t.Logf("%d/s, Retry-After %q: %.2f/s accepted, %.2f/s for the first time", perSecond, retryAfter, accepted, later)
				if accepted < 0.9*float64(perSecond) || later < 0.8*float64(perSecond) { // what comes when a call's time is over is told again
					t.Errorf("%.2f events a second were accepted, %.2f for the first time", accepted, later)
				}
			})
		}
	}
}
