package inspector_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

func TestOverview(t *testing.T) {
	t.Run("all is well", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		d.send("room", "m1")
		status, text := d.get("reader", "/")
		d.want("the page", status, text, 200, "All is well", "<dt>Events that wait</dt><dd>1</dd>", "<dt>Dead letters</dt><dd>0</dd>",
			"<dt>Relay</dt><dd>does not run</dd>", "<dt>Breaker</dt><dd>closed</dd>", "<dt>Calls under way</dt><dd>0</dd>", "web-3, since <time", "None since", "You may look, and change nothing.")
	})

	t.Run("it says what wants a person", func(t *testing.T) {
		for _, c := range []struct {
			backlog delivery.Backlog
			says    string
		}{
			{delivery.Backlog{Dead: 2}, "2 events went to the dead letters"},
			{delivery.Backlog{Waiting: 3, Oldest: 11 * time.Second}, "If no other process does, call Tracker.Run."},
			{delivery.Backlog{Ahead: 2 * time.Hour}, "The database’s clock was set back by 2 h."},
		} {
			d := newDesk(t, counting{memstore.New(), c.backlog}, inspector.Options{})
			status, text := d.get("reader", "/")
			d.want(c.says, status, text, 200, c.says)
			if strings.Contains(text, "All is well") {
				t.Errorf("%s: all is well", c.says)
			}
		}
		d := newDesk(t, counting{memstore.New(), delivery.Backlog{Waiting: 3, Oldest: 10 * time.Second, Ahead: 59 * time.Second}}, inspector.Options{})
		status, text := d.get("reader", "/")
		d.want("a short wait", status, text, 200, "All is well", "10 s")
	})

	t.Run("a database that takes no writes is seen, for a minute", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, readOnly{memstore.New()}, inspector.Options{})
			if _, err := d.tracker.Send(t.Context(), delivery.Draft{Conversation: "room", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}); !errors.Is(err, delivery.ErrUnavailable) {
				t.Fatal(err)
			}
			time.Sleep(59 * time.Second)
			status, text := d.get("reader", "/")
			d.want("a failure", status, text, 200, "The database took no writes", "cannot execute INSERT")
			if strings.Contains(text, "All is well") {
				t.Error("all is well")
			}
			time.Sleep(time.Second)
			status, text = d.get("reader", "/")
			d.want("later", status, text, 200, "All is well")
		})
	})

	t.Run("a database that took a write since is well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, readOnly{memstore.New()}, inspector.Options{})
			draft := delivery.Draft{Conversation: "room", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
			if _, err := d.tracker.Send(t.Context(), draft); !errors.Is(err, delivery.ErrUnavailable) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if _, err := d.tracker.MarkRead(t.Context(), delivery.Actor{User: "bob"}, "nothing"); !errors.Is(err, delivery.ErrNotFound) {
				t.Fatal(err)
			}
			status, text := d.get("reader", "/")
			d.want("a write", status, text, 200, "All is well", "cannot execute INSERT")
		})
	})

	t.Run("a relay that runs is seen, and so is its endpoint that fails or is slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, memstore.New(), inspector.Options{})
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() {
				if err := d.tracker.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			hang := make(chan struct{})
			hangs := func() error { <-hang; return nil }
			d.answer.Store(&hangs)
			d.send("room", "m1")
			time.Sleep(4 * time.Second)
			status, text := d.get("reader", "/")
			d.want("a call under way", status, text, 200, "<dt>Relay</dt><dd>runs</dd>", "<dt>Calls under way</dt><dd>1</dd>", "<dd>4 s</dd>")
			fails := func() error { return errors.New("401 invalid key") }
			d.answer.Store(&fails)
			close(hang)
			time.Sleep(time.Second)
			d.send("room", "m2")
			time.Sleep(time.Minute)
			status, text = d.get("reader", "/")
			d.want("an endpoint that fails", status, text, 200, "The notifier’s endpoint fails.", "Call of the notifier failed", "401 invalid key", " times</span>")
			stop()
			running.Wait()
		})
	})
}

func TestOverviewOfALongCount(t *testing.T) {
	bubble := func(name string, f func(t *testing.T, d *desk, store *slowCount)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &slowCount{Store: memstore.New()}
				f(t, newDesk(t, store, inspector.Options{}), store)
			})
		})
	}

	bubble("the first look waits for it, and the next one shows it while the new count goes on", func(t *testing.T, d *desk, store *slowCount) {
		store.takes.Store(int64(5 * time.Second))
		began := time.Now()
		status, text := d.get("reader", "/")
		d.want("the first look", status, text, 200, "<dd>1</dd>")
		if took := time.Since(began); took != 5*time.Second || strings.Contains(text, "A new count") {
			t.Errorf("after %v: %s", took, text)
		}
		time.Sleep(10 * time.Second)
		began = time.Now()
		status, text = d.get("reader", "/")
		d.want("the next look", status, text, 200, "<dd>1</dd>", "As of <time", ">15 s ago</time>. A new count is under way.")
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		time.Sleep(5 * time.Second)
		store.takes.Store(0)
		status, text = d.get("reader", "/")
		d.want("a look at a short count", status, text, 200, "<dd>3</dd>")
	})

	bubble("nobody sees what was counted more than a minute ago", func(t *testing.T, d *desk, store *slowCount) {
		d.get("reader", "/")
		time.Sleep(time.Minute)
		store.takes.Store(int64(5 * time.Second))
		status, text := d.get("reader", "/")
		d.want("a look", status, text, 200, "<dd>2</dd>")
	})

	bubble("all who look at the same time share one", func(t *testing.T, d *desk, store *slowCount) {
		store.takes.Store(int64(5 * time.Second))
		var looks sync.WaitGroup
		for range 20 {
			looks.Go(func() {
				status, text := d.get("reader", "/")
				d.want("a look", status, text, 200, "<dd>1</dd>")
			})
		}
		looks.Wait()
		if n := store.counts.Load(); n != 1 {
			t.Errorf("%d counts", n)
		}
	})

	bubble("one that fails is not shown in place of a new one", func(t *testing.T, d *desk, store *slowCount) {
		store.err = errors.New("no answer")
		if status, _ := d.get("reader", "/"); status != 500 {
			t.Errorf("status %d", status)
		}
		store.err = nil
		store.takes.Store(int64(5 * time.Second))
		status, text := d.get("reader", "/")
		d.want("the next look", status, text, 200, "<dd>2</dd>")
	})
}

// slowCount is a store whose outbox takes long to count, and has as many events as it was counted
// times.
type slowCount struct {
	delivery.Store
	takes  atomic.Int64 // as a time.Duration
	err    error
	counts atomic.Int64
}

func (s *slowCount) Backlog(context.Context) (delivery.Backlog, error) {
	n := int(s.counts.Add(1))
	time.Sleep(time.Duration(s.takes.Load()))
	return delivery.Backlog{Waiting: n}, s.err
}

// readOnly is a store that takes no messages.
type readOnly struct{ delivery.Store }

func (readOnly) Create(context.Context, []delivery.NewMessage, delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	return nil, nil, fmt.Errorf("%w: cannot execute INSERT in a read-only transaction", delivery.ErrUnavailable)
}

// counting is a store whose outbox is said to be a certain one.
type counting struct {
	delivery.Store
	backlog delivery.Backlog
}

func (c counting) Backlog(context.Context) (delivery.Backlog, error) { return c.backlog, nil }
