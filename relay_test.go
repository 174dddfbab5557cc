package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// endpoint is a notifier whose answers the test decides.
type endpoint struct {
	mu     sync.Mutex
	answer func(ctx context.Context, events []delivery.Event) error
	calls  int
	got    []delivery.Event // accepted
}

func (e *endpoint) set(answer func(ctx context.Context, events []delivery.Event) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

func (e *endpoint) Notify(ctx context.Context, events []delivery.Event) error {
	e.mu.Lock()
	answer := e.answer
	e.calls++
	e.mu.Unlock()
	var err error
	if answer != nil {
		err = answer(ctx, events)
	}
	var refused *delivery.RefusedError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, event := range events {
		if refused == nil || refused.ByIndex[i] == nil {
			e.got = append(e.got, event)
		}
	}
	return err
}

// accepted returns the ids of the messages whose events were accepted, in order, sorted.
func (e *endpoint) accepted() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var ids []string
	for _, event := range e.got {
		ids = append(ids, event.Updates[0].Message)
	}
	slices.Sort(ids)
	return ids
}

func (e *endpoint) called() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls
}

// pass lets fake time go by, and then everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func failing(context.Context, []delivery.Event) error { return errors.New("503") }

func sendAs(t *testing.T, tracker *delivery.Tracker, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, err := tracker.Send(t.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("m%05d", i)
	}
	return ids
}

func TestRun(t *testing.T) {
	bubble := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}

	bubble("what this process commits is published at once", func(t *testing.T) {
		e := new(endpoint)
		tracker := newTracker(t, memstore.New(), e, nil)
		defer run(t, tracker)()
		began := time.Now()
		sendAs(t, tracker, "m")
		synctest.Wait()
		if got := e.accepted(); !slices.Equal(got, []string{"m"}) || time.Since(began) != 0 {
			t.Errorf("accepted %v after %v", got, time.Since(began))
		}
		if b, _ := tracker.Backlog(t.Context()); b.Waiting != 0 {
			t.Errorf("backlog %+v", b)
		}
	})

	bubble("what a process without a relay commits is found within the poll interval", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		defer run(t, newTracker(t, store, e, nil))()
		sendAs(t, newTracker(t, store, new(endpoint), nil), "m")
		pass(250 * time.Millisecond)
		if got := e.accepted(); !slices.Equal(got, []string{"m"}) {
			t.Errorf("accepted %v", got)
		}
	})

	bubble("Wake has the outbox looked at at once", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		tracker := newTracker(t, store, e, nil)
		defer run(t, tracker)()
		sendAs(t, newTracker(t, store, new(endpoint), nil), "m")
		began := time.Now()
		tracker.Wake()
		synctest.Wait()
		if got := e.accepted(); len(got) != 1 || time.Since(began) != 0 {
			t.Errorf("accepted %v", got)
		}
	})

	bubble("a second Run of one Tracker is refused, a later one is not", func(t *testing.T) {
		tracker := newTracker(t, memstore.New(), new(endpoint), nil)
		stop := run(t, tracker)
		if err := tracker.Run(t.Context()); !errors.Is(err, delivery.ErrRunning) {
			t.Errorf("got %v", err)
		}
		stop()
		run(t, tracker)()
	})

	bubble("a backlog is drained without waiting for polls, each event once", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		sendAs(t, newTracker(t, store, new(endpoint), nil), numbered(5000)...)
		began := time.Now()
		var stops []func()
		for range 3 {
			stops = append(stops, run(t, newTracker(t, store, e, nil)))
		}
		synctest.Wait()
		if got := e.accepted(); !slices.Equal(got, numbered(5000)) || time.Since(began) > pollInterval {
			t.Errorf("accepted %d after %v", len(got), time.Since(began))
		}
		for _, stop := range stops {
			stop()
		}
	})

	bubble("what a dead process held is published when its lease has run out", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		sendAs(t, newTracker(t, store, e, nil), "m")
		if claimed, err := store.Claim(t.Context(), 1, delivery.Lease{Token: 1, For: time.Minute}); len(claimed) != 1 || err != nil {
			t.Fatal(claimed, err)
		}
		defer run(t, newTracker(t, store, e, nil))()
		pass(59 * time.Second)
		if got := e.accepted(); len(got) != 0 {
			t.Errorf("accepted %v under another's lease", got)
		}
		pass(time.Second + pollInterval)
		if got := e.accepted(); len(got) != 1 {
			t.Errorf("accepted %v", got)
		}
	})

	bubble("an outage keeps every event, calls seldom, dead-letters nothing, and ends by itself", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		e.set(failing)
		var states []delivery.BreakerState
		tracker := newTracker(t, store, e, &delivery.Options{Observer: &delivery.Observer{
			BreakerChanged: func(_ context.Context, b delivery.BreakerInfo) { states = append(states, b.State) },
		}})
		defer run(t, tracker)()
		sendAs(t, tracker, numbered(500)...)
		pass(10 * time.Minute)
		b, err := tracker.Backlog(t.Context())
		if err != nil || b.Waiting != 500 || b.Dead != 0 || b.Breaker == delivery.BreakerClosed {
			t.Errorf("backlog %+v, %v", b, err)
		}
		if n := e.called(); n > 100 {
			t.Errorf("%d calls in ten minutes of outage", n)
		}
		e.set(nil)
		pass(time.Minute)
		if got := e.accepted(); !slices.Equal(got, numbered(500)) {
			t.Errorf("%d accepted after the outage", len(got))
		}
		if !slices.Equal(states, []delivery.BreakerState{delivery.BreakerOpen, delivery.BreakerClosed}) {
			t.Errorf("breaker went %v", states)
		}
	})

	bubble("the backlog says whether this process runs the relay, and how many calls are under way", func(t *testing.T) {
		e := new(endpoint)
		answered := make(chan struct{})
		e.set(func(context.Context, []delivery.Event) error { <-answered; return nil })
		tracker := newTracker(t, memstore.New(), e, &delivery.Options{NotifyEvents: 1})
		expect := func(running bool, calls int) {
			t.Helper()
			synctest.Wait()
			if b, err := tracker.Backlog(t.Context()); err != nil || b.Running != running || b.Calls != calls {
				t.Errorf("backlog %+v, %v", b, err)
			}
		}
		expect(false, 0)
		stop := run(t, tracker)
		expect(true, 0)
		sendAs(t, tracker, "m", "n", "o")
		expect(true, 3)
		close(answered)
		expect(true, 0)
		stop()
		expect(false, 0)
	})

	bubble("a few failures don't open the breaker", func(t *testing.T) {
		e := new(endpoint)
		var n int
		e.set(func(context.Context, []delivery.Event) error {
			if n++; n <= 3 {
				return errors.New("503")
			}
			return nil
		})
		tracker := newTracker(t, memstore.New(), e, &delivery.Options{Observer: &delivery.Observer{
			BreakerChanged: func(_ context.Context, b delivery.BreakerInfo) { t.Errorf("breaker went %v", b.State) },
		}})
		defer run(t, tracker)()
		sendAs(t, tracker, "m")
		pass(5 * time.Second)
		if got := e.accepted(); len(got) != 1 {
			t.Errorf("accepted %v", got)
		}
	})

	bubble("a pause the endpoint asks for is kept, within bounds", func(t *testing.T) {
		for ask, want := range map[time.Duration]time.Duration{
			30 * time.Second: 30 * time.Second,
			time.Millisecond: time.Second,
			-time.Hour:       time.Second,
			24 * time.Hour:   10 * time.Minute,
		} {
			e := new(endpoint)
			var first, second time.Time
			e.set(func(context.Context, []delivery.Event) error {
				if first.IsZero() {
					first = time.Now()
					return delivery.RetryAfter(errors.New("429"), ask)
				}
				second = time.Now()
				return nil
			})
			tracker := newTracker(t, memstore.New(), e, nil)
			stop := run(t, tracker)
			sendAs(t, tracker, "m")
			pass(20 * time.Minute)
			if paused := second.Sub(first); paused < want || paused > want+2*pollInterval {
				t.Errorf("asked for %v, paused %v, want %v", ask, paused, want)
			}
			stop()
		}
	})

	bubble("a refused event comes again a few times, then is buried, and the others go through", func(t *testing.T) {
		e := new(endpoint)
		var tries int
		e.set(func(_ context.Context, events []delivery.Event) error {
			refused := map[int]error{}
			for i, event := range events {
				if event.Updates[0].Message == "bad" {
					tries++
					refused[i] = errors.New("no such channel")
				}
			}
			return delivery.Refused(refused)
		})
		var buried []string
		tracker := newTracker(t, memstore.New(), e, &delivery.Options{Observer: &delivery.Observer{
			Buried: func(_ context.Context, b delivery.BuriedInfo) {
				buried = append(buried, b.Event.Updates[0].Message+": "+b.Reason)
			},
		}})
		defer run(t, tracker)()
		sendAs(t, tracker, "bad", "good")
		pass(time.Minute)
		if got := e.accepted(); !slices.Equal(got, []string{"good"}) || tries != 3 || !slices.Equal(buried, []string{"bad: no such channel"}) {
			t.Errorf("accepted %v, %d tries, buried %v", got, tries, buried)
		}
	})

	bubble("a permanent refusal is buried at once", func(t *testing.T) {
		e := new(endpoint)
		e.set(func(context.Context, []delivery.Event) error {
			return delivery.Refused(map[int]error{0: delivery.Permanent(errors.New("too large"))})
		})
		tracker := newTracker(t, memstore.New(), e, nil)
		defer run(t, tracker)()
		sendAs(t, tracker, "m")
		synctest.Wait()
		if dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{}); len(dead) != 1 || err != nil || dead[0].Reason != "too large" || dead[0].Attempts != 1 {
			t.Errorf("dead %+v, %v", dead, err)
		}
	})

	bubble("poison never blocks what stands behind it", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		e.set(func(_ context.Context, events []delivery.Event) error {
			refused := map[int]error{}
			for i, event := range events {
				if strings.HasPrefix(event.Updates[0].Message, "poison") {
					refused[i] = errors.New("no")
				}
			}
			return delivery.Refused(refused)
		})
		before := newTracker(t, store, e, nil)
		for i := range 500 {
			sendAs(t, before, fmt.Sprint("poison", i))
		}
		sendAs(t, before, numbered(1000)...)
		tracker := newTracker(t, store, e, nil)
		defer run(t, tracker)()
		synctest.Wait()
		if got := e.accepted(); !slices.Equal(got, numbered(1000)) {
			t.Errorf("%d accepted before any retry was due", len(got))
		}
		pass(time.Minute)
		if b, _ := tracker.Backlog(t.Context()); b.Dead != 500 || b.Waiting != 0 {
			t.Errorf("backlog %+v", b)
		}
	})

	bubble("a notifier that panics is contained, and only its event is buried", func(t *testing.T) {
		e := new(endpoint)
		e.set(func(_ context.Context, events []delivery.Event) error {
			for _, event := range events {
				if event.Updates[0].Message == "bomb" {
					panic("boom")
				}
			}
			return nil
		})
		store := memstore.New()
		sendAs(t, newTracker(t, store, e, nil), "a", "bomb", "z")
		tracker := newTracker(t, store, e, nil)
		defer run(t, tracker)()
		pass(time.Minute)
		dead, _ := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
		if got := e.accepted(); !slices.Equal(got, []string{"a", "z"}) || len(dead) != 1 || dead[0].Event.Updates[0].Message != "bomb" {
			t.Errorf("accepted %v, dead %+v", got, dead)
		}
	})

	bubble("an event that seems to kill its holders is buried", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		sendAs(t, newTracker(t, store, e, nil), "m")
		for range 20 {
			if claimed, err := store.Claim(t.Context(), 1, delivery.Lease{Token: 1, For: time.Second}); len(claimed) != 1 || err != nil {
				t.Fatal(claimed, err)
			}
			pass(time.Second)
		}
		tracker := newTracker(t, store, e, nil)
		defer run(t, tracker)()
		pass(time.Second)
		if b, _ := tracker.Backlog(t.Context()); b.Dead != 1 || e.called() != 0 {
			t.Errorf("backlog %+v, %d calls", b, e.called())
		}
	})

	bubble("a hanging notifier is given up within 1/3 of the lease, and the event comes again", func(t *testing.T) {
		e := new(endpoint)
		var hung time.Duration
		e.set(func(ctx context.Context, _ []delivery.Event) error {
			began := time.Now()
			<-ctx.Done()
			hung = time.Since(began)
			e.set(nil)
			return ctx.Err()
		})
		tracker := newTracker(t, memstore.New(), e, &delivery.Options{Lease: 9 * time.Second})
		defer run(t, tracker)()
		sendAs(t, tracker, "m")
		pass(5 * time.Second)
		if got := e.accepted(); len(got) != 1 || hung != 3*time.Second {
			t.Errorf("accepted %v after hanging %v", got, hung)
		}
	})

	bubble("when Run ends, what is in flight is finished and the rest is given back", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		e.set(func(context.Context, []delivery.Event) error {
			time.Sleep(time.Second)
			return nil
		})
		tracker := newTracker(t, store, e, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- tracker.Run(ctx) }()
		synctest.Wait()
		sendAs(t, tracker, numbered(600)...) // 100 in flight, and more in the queue
		synctest.Wait()
		began := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(began) > time.Second {
			t.Errorf("Run ended after %v: %v", time.Since(began), err)
		}
		rest, err := store.Claim(t.Context(), 1000, delivery.Lease{Token: 1, For: time.Second})
		if err != nil || len(rest)+len(e.accepted()) != 600 || len(e.accepted()) > 100 || len(e.accepted()) == 0 {
			t.Errorf("%d accepted, %d left: %v", len(e.accepted()), len(rest), err)
		}
		for _, c := range rest {
			if c.Attempts != 1 {
				t.Fatalf("giving back counted as an attempt: %d", c.Attempts)
			}
		}
	})

	bubble("a notifier that hangs at the end delays it by 1/3 of the lease at most", func(t *testing.T) {
		e := new(endpoint)
		e.set(func(ctx context.Context, _ []delivery.Event) error { <-ctx.Done(); return ctx.Err() })
		tracker := newTracker(t, memstore.New(), e, &delivery.Options{Lease: 3 * time.Second})
		stop := run(t, tracker)
		sendAs(t, tracker, "m")
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v", took)
		}
	})

	bubble("events that nobody publishes are warned of, once, with the remedy", func(t *testing.T) {
		var log bytes.Buffer
		store := memstore.New()
		tracker := newTracker(t, store, new(endpoint), &delivery.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 5 {
			sendAs(t, tracker, fmt.Sprint(time.Now().UnixNano()))
			pass(11 * time.Second)
		}
		synctest.Wait()
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "Tracker.Run") {
			t.Errorf("logged %q", got)
		}
	})
}

const pollInterval = 250 * time.Millisecond

func TestFlush(t *testing.T) {
	t.Run("it returns the endpoint's failure and keeps the events", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := new(endpoint)
			e.set(failing)
			tracker := newTracker(t, memstore.New(), e, nil)
			sendAs(t, tracker, "m")
			if err := tracker.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "503") {
				t.Errorf("got %v", err)
			}
			e.set(nil)
			pass(time.Second)
			if err := tracker.Flush(t.Context()); err != nil || len(e.accepted()) != 1 {
				t.Errorf("got %v, accepted %v", err, e.accepted())
			}
		})
	})

	t.Run("events cut off by the caller's context are due again at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := new(endpoint)
			e.set(func(ctx context.Context, _ []delivery.Event) error { <-ctx.Done(); return ctx.Err() })
			tracker := newTracker(t, memstore.New(), e, nil)
			sendAs(t, tracker, "m")
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := tracker.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			e.set(nil)
			if err := tracker.Flush(t.Context()); err != nil || len(e.accepted()) != 1 {
				t.Errorf("got %v, accepted %v", err, e.accepted())
			}
		})
	})
}

func TestReplay(t *testing.T) {
	t.Run("a dead letter is replayed with the present state, and again as fresh as new", func(t *testing.T) {
		e := new(endpoint)
		e.set(func(context.Context, []delivery.Event) error {
			return delivery.Refused(map[int]error{0: delivery.Permanent(errors.New("no"))})
		})
		tracker := newTracker(t, memstore.New(), e, nil)
		sendAs(t, tracker, "m")
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := tracker.MarkDelivered(t.Context(), bob, "m"); err != nil {
			t.Fatal(err)
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.set(nil)
		if _, err := tracker.MarkRead(t.Context(), bob, "m"); err != nil {
			t.Fatal(err)
		}
		dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
		if err != nil || len(dead) != 2 {
			t.Fatal(dead, err)
		}
		if err := tracker.Replay(t.Context(), dead[0].Event.ID, dead[1].Event.ID); err != nil {
			t.Fatal(err)
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(e.got) != 3 {
			t.Fatalf("accepted %+v", e.got)
		}
		for _, event := range e.got {
			u := event.Updates[0]
			if u.Status != delivery.Read || u.Version != 3 || u.Receipt != nil && u.Receipt.Status != delivery.Read {
				t.Errorf("told an old state: %+v", event)
			}
		}
		if b, _ := tracker.Backlog(t.Context()); b.Dead != 0 || b.Waiting != 0 {
			t.Errorf("backlog %+v", b)
		}
	})

	t.Run("its updates stand in order of their present versions", func(t *testing.T) {
		e := new(endpoint)
		tracker := newTracker(t, memstore.New(), e, nil)
		sendAs(t, tracker, "m", "n")
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.set(func(context.Context, []delivery.Event) error {
			return delivery.Refused(map[int]error{0: delivery.Permanent(errors.New("no"))})
		})
		if _, err := tracker.Mark(t.Context(), bob, delivery.Delivered, "m", "n"); err != nil {
			t.Fatal(err)
		}
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.set(nil)
		if _, err := tracker.MarkRead(t.Context(), bob, "m"); err != nil {
			t.Fatal(err)
		}
		dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
		if err != nil || len(dead) != 1 {
			t.Fatal(dead, err)
		}
		if err := tracker.Replay(t.Context(), dead[0].Event.ID); err != nil {
			t.Fatal(err)
		}
		e.got = nil
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, event := range e.got {
			if u := event.Updates; event.ID == dead[0].Event.ID && (len(u) != 2 || u[0].Message != "n" || u[1].Message != "m" || u[0].Version >= u[1].Version) {
				t.Errorf("updates %+v", u)
			}
		}
		if len(e.got) != 2 {
			t.Errorf("accepted %+v", e.got)
		}
	})

	t.Run("an unknown id is not found, and the others are moved all the same", func(t *testing.T) {
		e := new(endpoint)
		e.set(func(_ context.Context, events []delivery.Event) error {
			all := map[int]error{}
			for i := range events {
				all[i] = delivery.Permanent(errors.New("no"))
			}
			return delivery.Refused(all)
		})
		tracker := newTracker(t, memstore.New(), e, nil)
		sendAs(t, tracker, "m", "n")
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		dead, _ := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
		if len(dead) != 2 {
			t.Fatalf("dead %+v", dead)
		}
		if err := tracker.Replay(t.Context(), 12345, dead[0].Event.ID); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if err := tracker.Discard(t.Context(), dead[1].Event.ID, dead[0].Event.ID); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		if b, _ := tracker.Backlog(t.Context()); b.Dead != 0 || b.Waiting != 1 {
			t.Errorf("backlog %+v", b)
		}
		for name, call := range map[string]func(context.Context, ...int64) error{"Replay": tracker.Replay, "Discard": tracker.Discard} {
			var invalid *delivery.InvalidError
			if err := call(t.Context(), make([]int64, delivery.MaxBatch+1)...); !errors.As(err, &invalid) || invalid.Field != "ids" {
				t.Errorf("%s of too many ids: %v", name, err)
			}
		}
	})
}

// counted is a store that counts what the relay asks of it, and whose Backlog takes its time.
type counted struct {
	*memstore.Store
	claims, claimed, most atomic.Int64 // calls, events, and the largest limit
	backlog               time.Duration
}

func (c *counted) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := c.Store.Claim(ctx, limit, lease)
	c.claims.Add(1)
	c.most.Store(max(c.most.Load(), int64(limit)))
	c.claimed.Add(int64(len(claimed)))
	return claimed, err
}

func (c *counted) Backlog(ctx context.Context) (delivery.Backlog, error) {
	select {
	case <-time.After(c.backlog):
	case <-ctx.Done():
	}
	return c.Store.Backlog(ctx)
}

// slowSettler is a store that serves so many writers, and whose settlements take long.
type slowSettler struct {
	*memstore.Store
	writers   int
	now, most atomic.Int64 // settlements at a time
}

func (s *slowSettler) Writers() int { return s.writers }

func (s *slowSettler) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	time.Sleep(100 * time.Millisecond)
	return s.Store.Settle(ctx, settlements)
}

func TestRelayUnderStrain(t *testing.T) {
	bubble := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}

	bubble("failures that were under way together count as one blip", func(t *testing.T) {
		e := new(endpoint)
		release := make(chan struct{})
		e.set(func(context.Context, []delivery.Event) error { <-release; return errors.New("connection reset") })
		tracker := newTracker(t, memstore.New(), e, nil)
		sendAs(t, tracker, numbered(160)...)
		defer run(t, tracker)()
		e.set(nil) // well again
		close(release)
		pass(time.Second)
		if got := e.accepted(); len(got) != 160 {
			t.Errorf("%d of 160 accepted a second after the blip", len(got))
		}
	})

	bubble("while the endpoint is tried again, the outbox is left alone", func(t *testing.T) {
		e, store := new(endpoint), &counted{Store: memstore.New()}
		e.set(failing)
		tracker := newTracker(t, store, e, nil)
		sendAs(t, tracker, numbered(5000)...)
		defer run(t, tracker)()
		pass(5 * time.Second)
		var hangs atomic.Int64
		e.set(func(ctx context.Context, _ []delivery.Event) error { hangs.Add(1); <-ctx.Done(); return ctx.Err() })
		for hangs.Load() == 0 {
			pass(100 * time.Millisecond)
		}
		store.claims.Store(0)
		pass(4 * time.Second)
		if n := store.claims.Load(); hangs.Load() != 1 || n != 0 {
			t.Errorf("%d claims during %d tries", n, hangs.Load())
		}
	})

	bubble("no more is claimed than can be published in time", func(t *testing.T) {
		e, store := new(endpoint), &counted{Store: memstore.New()}
		e.set(func(context.Context, []delivery.Event) error { time.Sleep(2 * time.Second); return nil })
		tracker := newTracker(t, store, e, nil)
		sendAs(t, tracker, numbered(5000)...)
		defer run(t, tracker)()
		pass(30 * time.Second)
		if accepted, claimed := len(e.accepted()), int(store.claimed.Load()); accepted < 2000 || claimed > accepted+500 {
			t.Errorf("%d claimed for %d accepted", claimed, accepted)
		}
	})

	bubble("a backlog is claimed in parts of some size, and none is too large", func(t *testing.T) {
		e, store := new(endpoint), &counted{Store: memstore.New()}
		e.set(func(context.Context, []delivery.Event) error { time.Sleep(20 * time.Millisecond); return nil })
		tracker := newTracker(t, store, e, nil)
		sendAs(t, tracker, numbered(4000)...)
		defer run(t, tracker)()
		pass(2 * time.Second)
		if n, claims := len(e.accepted()), store.claims.Load(); n != 4000 || claims > 60 || store.most.Load() > delivery.MaxBatch {
			t.Errorf("%d accepted in %d claims of up to %d", n, claims, store.most.Load())
		}
	})

	bubble("settlements are written as many at a time as the store takes", func(t *testing.T) {
		for _, writers := range []int{1, 2} {
			store := &slowSettler{Store: memstore.New(), writers: writers}
			tracker := newTracker(t, store, new(endpoint), nil)
			sendAs(t, tracker, numbered(2000)...)
			stop := run(t, tracker)
			pass(5 * time.Second)
			stop()
			if b, err := tracker.Backlog(t.Context()); b.Waiting != 0 || err != nil || int(store.most.Load()) != writers {
				t.Errorf("with %d writers up to %d at a time, %d events left, %v", writers, store.most.Load(), b.Waiting, err)
			}
		}
	})

	bubble("a backlog that takes long to count delays nothing", func(t *testing.T) {
		e, store := new(endpoint), &counted{Store: memstore.New(), backlog: 20 * time.Second}
		defer run(t, newTracker(t, store, e, nil))()
		pass(11 * time.Second)
		sendAs(t, newTracker(t, store, e, nil), "m")
		pass(pollInterval)
		if len(e.accepted()) != 1 {
			t.Error("not published while the backlog was counted")
		}
	})

	bubble("a relay that ends gives its queue to the others at once", func(t *testing.T) {
		e, store := new(endpoint), memstore.New()
		e.set(func(context.Context, []delivery.Event) error { time.Sleep(4 * time.Second); return nil })
		ending := newTracker(t, store, e, nil)
		stop := run(t, ending)
		sendAs(t, ending, numbered(400)...)
		synctest.Wait()
		other := new(endpoint)
		defer run(t, newTracker(t, store, other, nil))()
		go stop()
		pass(2 * pollInterval)
		if len(other.accepted()) == 0 {
			t.Error("nothing came to the other relay while the first one finished")
		}
		pass(10 * time.Second)
	})

	bubble("an event that cannot be read goes to the dead letters, and stays there", func(t *testing.T) {
		e, store := new(endpoint), &scrambled{Store: memstore.New()}
		tracker := newTracker(t, store, e, nil)
		sendAs(t, tracker, "m1", "m2")
		if err := tracker.Flush(t.Context()); err != nil || !slices.Equal(e.accepted(), []string{"m2"}) {
			t.Errorf("accepted %v, %v", e.accepted(), err)
		}
		dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{})
		if err != nil || len(dead) != 1 || dead[0].Reason != "cannot be read" {
			t.Fatalf("dead %+v, %v", dead, err)
		}
		e.set(func(_ context.Context, events []delivery.Event) error {
			return delivery.Refused(map[int]error{0: delivery.Permanent(errors.New("not this one"))})
		})
		sendAs(t, tracker, "m3")
		if err := tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.set(nil)
		other, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{After: dead[0].Event.ID})
		if err != nil || len(other) != 1 {
			t.Fatalf("dead %+v, %v", other, err)
		}
		if err := tracker.Replay(t.Context(), dead[0].Event.ID, other[0].Event.ID); err == nil {
			t.Error("it was replayed")
		}
		if err := tracker.Flush(t.Context()); err != nil || !slices.Contains(e.accepted(), "m3") {
			t.Errorf("beside it was accepted %v, %v", e.accepted(), err)
		}
	})
}

// scrambled is a store that cannot read the event of the message m1.
type scrambled struct{ *memstore.Store }

func (s *scrambled) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := s.Store.Claim(ctx, limit, lease)
	for i := range claimed {
		claimed[i].Event = scramble(claimed[i].Event)
	}
	return claimed, err
}

func (s *scrambled) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	dead, err := s.Store.Dead(ctx, after, limit)
	for i := range dead {
		dead[i].Event = scramble(dead[i].Event)
	}
	return dead, err
}

func scramble(e delivery.Event) delivery.Event {
	if e.Updates[0].Message == "m1" {
		return delivery.Event{ID: e.ID}
	}
	return e
}
