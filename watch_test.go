package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// sick is a store whose outbox fails as a test wants it, and which writes all the same.
type sick struct {
	delivery.Store
	claim, settle, backlog func() error
	ahead                  time.Duration
}

func (s *sick) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	if s.claim != nil {
		if err := s.claim(); err != nil {
			return nil, err
		}
	}
	return s.Store.Claim(ctx, limit, lease)
}

func (s *sick) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	if s.settle != nil {
		if err := s.settle(); err != nil {
			return 0, err
		}
	}
	return s.Store.Settle(ctx, settlements)
}

func (s *sick) Backlog(ctx context.Context) (delivery.Backlog, error) {
	if s.backlog != nil {
		if err := s.backlog(); err != nil {
			return delivery.Backlog{}, err
		}
	}
	b, err := s.Store.Backlog(ctx)
	b.Ahead = s.ahead
	return b, err
}

func TestTheLogSaysWhatStopsTheRelay(t *testing.T) {
	broken := func() error { return errors.New("prepared statement does not exist") }
	silent := func(t *testing.T) func() error {
		hole := make(chan struct{})
		t.Cleanup(func() { close(hole) })
		return func() error { <-hole; return errors.New("too late") }
	}
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, store *sick, e *endpoint)
		want  string
	}{
		{"claims fail", func(_ *testing.T, store *sick, _ *endpoint) { store.claim = broken }, "claiming events failed"},
		{"claims do not return", func(t *testing.T, store *sick, _ *endpoint) { store.claim = silent(t) }, "claiming events failed"},
		{"settlements fail", func(_ *testing.T, store *sick, _ *endpoint) { store.settle = broken }, "settling events failed"},
		{"settlements do not return", func(t *testing.T, store *sick, _ *endpoint) { store.settle = silent(t) }, "settling events failed"},
		{"the backlog cannot be counted", func(_ *testing.T, store *sick, _ *endpoint) { store.backlog = broken }, "counting the events that wait failed"},
		{"the clock was set back", func(_ *testing.T, store *sick, _ *endpoint) { store.ahead = time.Hour }, "clock was set back"},
		{"all calls hang", func(t *testing.T, _ *sick, e *endpoint) {
			hang := silent(t)
			e.set(func(context.Context, []delivery.Event) error { return hang() })
		}, "all calls of the notifier have exceeded their time limit"},
		{"the endpoint refuses all", func(_ *testing.T, _ *sick, e *endpoint) { e.set(failing) }, "not being published"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				e, store := new(endpoint), &sick{Store: memstore.New()}
				tracker := newTracker(t, store, e, &delivery.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				test.spoil(t, store, e)
				said := func() int {
					synctest.Wait()
					return strings.Count(log.String(), test.want)
				}
				stop := run(t, tracker)
				send := func(d time.Duration) {
					for began := time.Now(); time.Since(began) < d; pass(time.Second) {
						sendAs(t, tracker, numbered(20)...)
						_, _ = tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
						_, _ = tracker.Send(t.Context(), delivery.Draft{Conversation: "d", Sender: "alice", Audience: delivery.Audience{Open: true}})
					}
				}
				send(45 * time.Second)
				if n := said(); n != 1 {
					t.Errorf("after 45 s the log says it %d times:\n%s", n, log.String())
				}
				send(time.Minute)
				if n := said(); n != 2 {
					t.Errorf("a minute later the log has said it %d times:\n%s", n, log.String())
				}
				go stop()
			})
		})
	}
}

func TestTheLogSaysWhatToDoAboutAnOldBacklog(t *testing.T) {
	for name, test := range map[string]struct {
		running   bool
		want, not string
	}{
		"no relay runs":      {false, "call Tracker.Run in some process", "endpoint fails"},
		"the endpoint fails": {true, "see whether the notifier's endpoint fails", "Tracker.Run"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				e := new(endpoint)
				e.set(failing)
				tracker := newTracker(t, memstore.New(), e, &delivery.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				if test.running {
					defer run(t, tracker)()
				}
				for range 45 {
					sendAs(t, tracker, "m", "n")
					pass(time.Second)
				}
				if !strings.Contains(log.String(), test.want) || strings.Contains(log.String(), test.not) {
					t.Errorf("the log says\n%s", log.String())
				}
			})
		})
	}
}

func TestACleanStopLogsNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := &sick{Store: memstore.New()}
		tracker := newTracker(t, store, new(endpoint), &delivery.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ended, stopped := context.WithCancel(t.Context())
		looking := make(chan struct{}, 1)
		store.backlog = func() error { looking <- struct{}{}; <-ended.Done(); return ended.Err() } // a count that the end cuts off
		stop := run(t, tracker)
		<-looking
		go stop()
		synctest.Wait()
		stopped()
		if synctest.Wait(); log.Len() > 0 {
			t.Errorf("the log says\n%s", log.String())
		}
	})
}
