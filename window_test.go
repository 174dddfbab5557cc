//go:build !race

// The race detector takes minutes over the millions of calls here; other tests of the relay show it
// the same code.

package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// spring is a store whose outbox never runs dry, as long as it flows.
type spring struct {
	delivery.Store
	last  atomic.Int64
	still atomic.Bool
	takes atomic.Int64 // nanoseconds of a Claim
}

func (s *spring) Claim(_ context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	if s.still.Load() {
		return nil, nil
	}
	time.Sleep(time.Duration(s.takes.Load()))
	claimed := make([]delivery.Claimed, limit)
	for i := range claimed {
		id := s.last.Add(1)
		claimed[i] = delivery.Claimed{Lease: lease.Token, Attempts: 1, Event: delivery.Event{
			ID: id, Kind: delivery.MessageSent, Conversation: fmt.Sprint(id % 100), Updates: []delivery.Update{{Message: fmt.Sprint(id)}},
		}}
	}
	return claimed, nil
}

func (s *spring) Settle(_ context.Context, settlements []delivery.Settlement) (int, error) {
	return len(settlements), nil
}

// capacity is an endpoint that bears so much, and notes what it got.
type capacity struct {
	answer func(ctx context.Context, c *capacity) error // to a call, with the lock held at its beginning

	mu sync.Mutex
	counts

	served chan struct{} // holds what it works on
}

// counts are what an endpoint got: now, and since the last reset.
type counts struct {
	now                                 int // calls under way
	most, calls, good, fails, overloads int
}

// seen returns the counts so far.
func (c *capacity) seen() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

func (c *capacity) Notify(ctx context.Context, _ []delivery.Event) error {
	c.mu.Lock()
	c.now++
	c.calls++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	err := c.answer(ctx, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	if err != nil {
		c.fails++
	} else {
		c.good++
	}
	return err
}

// over reports whether more calls are under way than the endpoint bears.
func (c *capacity) over(most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now > most {
		c.overloads++
	}
	return c.now > most
}

// during returns how many calls a second were accepted while the time went by, and all counts.
func (c *capacity) during(d time.Duration) (rate float64, got counts) {
	c.mu.Lock()
	c.counts = counts{now: c.now}
	c.mu.Unlock()
	pass(d)
	got = c.seen()
	return float64(got.good) / d.Seconds(), got
}

func takes(d time.Duration) func(context.Context, *capacity) error {
	return func(context.Context, *capacity) error { time.Sleep(d); return nil }
}

func down(context.Context, *capacity) error { return errors.New("503") }

func hang(ctx context.Context, _ *capacity) error { <-ctx.Done(); return ctx.Err() }

func TestTheNumberOfCallsFollowsTheEndpoint(t *testing.T) {
	const most = 150
	bubble := func(name string, answer func(context.Context, *capacity) error, f func(t *testing.T, c *capacity, store *spring, tracker *delivery.Tracker)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, store := &capacity{answer: answer, served: make(chan struct{}, 50)}, &spring{Store: memstore.New()}
				tracker := newTracker(t, store, c, &delivery.Options{NotifyCalls: most, NotifyEvents: 1})
				stop := run(t, tracker)
				f(t, c, store, tracker)
				stop()
			})
		})
	}

	for _, latency := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
		bubble(fmt.Sprintf("at a latency of %v it grows up to its bound", latency), takes(latency), func(t *testing.T, c *capacity, store *spring, _ *delivery.Tracker) {
			store.takes.Store(int64(5 * time.Millisecond))
			if most := c.seen().now; most > 10 {
				t.Errorf("it began with %d calls", most)
			}
			pass(8*latency + 100*time.Millisecond)
			rate, got := c.during(5 * time.Second)
			if want := most / latency.Seconds(); rate < 0.95*want || got.most != most {
				t.Errorf("%.0f calls a second, up to %d at a time; want %.0f", rate, got.most, want)
			}
		})
	}

	collapses := map[string]func(ctx context.Context, c *capacity) error{
		"fails": func(_ context.Context, c *capacity) error {
			c.over(50)
			c.mu.Lock()
			before := c.overloads
			c.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.overloads > before || c.now > 50 {
				return errors.New("502")
			}
			return nil
		},
		"sheds what is too much": func(_ context.Context, c *capacity) error {
			if c.over(50) {
				return errors.New("503")
			}
			time.Sleep(20 * time.Millisecond)
			return nil
		},
		"gets slow": func(_ context.Context, c *capacity) error {
			time.Sleep(20 * time.Millisecond)
			if c.over(50) {
				time.Sleep(400 * time.Millisecond)
			}
			return nil
		},
	}
	for how, answer := range collapses {
		bubble("an endpoint that "+how+" at more than 50 calls at a time is kept below that", answer, func(t *testing.T, c *capacity, _ *spring, _ *delivery.Tracker) {
			pass(10 * time.Second)
			rate, got := c.during(time.Minute)
			t.Logf("%.0f calls a second, up to %d at a time, %d of %d over, %d failed", rate, got.most, got.overloads, got.calls, got.fails)
			if got.most > 75 || got.overloads > got.calls/50 || got.fails > got.calls/50 || rate < 0.6*50/0.02 {
				t.Error("it was not kept")
			}
		})
	}

	bubble("where calls queue, it stays near what the endpoint works on", func(_ context.Context, c *capacity) error {
		c.served <- struct{}{}
		time.Sleep(20 * time.Millisecond)
		<-c.served
		return nil
	}, func(t *testing.T, c *capacity, _ *spring, _ *delivery.Tracker) {
		pass(10 * time.Second)
		rate, got := c.during(time.Minute)
		t.Logf("%.0f calls a second, up to %d at a time", rate, got.most)
		if got.most > 180 || rate < 0.95*50/0.02 {
			t.Error("it did not")
		}
	})

	for how, state := range map[string]func(context.Context, *capacity) error{"hangs": hang, "is down": down} {
		var ill atomic.Bool
		bubble("an endpoint that "+how+" for minutes is hardly called, and soon fully again", func(ctx context.Context, c *capacity) error {
			if ill.Load() {
				return state(ctx, c)
			}
			return takes(20*time.Millisecond)(ctx, c)
		}, func(t *testing.T, c *capacity, _ *spring, _ *delivery.Tracker) {
			pass(5 * time.Second)
			ill.Store(true)
			pass(10 * time.Second)
			if _, got := c.during(5 * time.Minute); got.calls > 60 || got.most > 1 {
				t.Errorf("%d calls in 5 minutes, %d at a time", got.calls, got.most)
			}
			ill.Store(false)
			for c.seen().good == 0 {
				pass(time.Millisecond)
			}
			const want = most / 0.02
			for c.during(time.Millisecond); c.seen().now < 2; {
				pass(time.Millisecond)
			}
			if pass(10 * time.Millisecond); c.seen().most > 8 {
				t.Errorf("%d calls at a time at first", c.seen().most)
			}
			pass(300 * time.Millisecond)
			if got, _ := c.during(500 * time.Millisecond); got < 0.6*want {
				t.Errorf("%.0f calls a second at once, want 60 %% of %.0f", got, want)
			}
			pass(10 * time.Second)
			if got, _ := c.during(5 * time.Second); got < 0.95*want {
				t.Errorf("%.0f calls a second afterwards, want %.0f", got, want)
			}
		})
	}

	var until atomic.Int64 // the end of the second in which 200 calls are allowed
	var used atomic.Int64
	bubble("an endpoint that allows so many calls a second gets most of them, and few more", func(context.Context, *capacity) error {
		if now := time.Now().UnixNano(); now > until.Load() {
			until.Store(now + int64(time.Second))
			used.Store(0)
		}
		if used.Add(1) > 200 {
			return delivery.RetryAfter(errors.New("429"), time.Second)
		}
		time.Sleep(20 * time.Millisecond)
		return nil
	}, func(t *testing.T, c *capacity, _ *spring, _ *delivery.Tracker) {
		pass(10 * time.Second)
		rate, got := c.during(time.Minute)
		t.Logf("%.0f calls a second, %d of %d refused, up to %d at a time", rate, got.fails, got.calls, got.most)
		if rate < 80 || got.fails > got.calls/20 {
			t.Error("it did not")
		}
	})

	for one, least := range map[int]int{10: 0, 100: most} {
		var n atomic.Int64
		bubble(fmt.Sprintf("one failure in %d leaves it at %d or more", one, least), func(context.Context, *capacity) error {
			time.Sleep(20 * time.Millisecond)
			if n.Add(1)%int64(one) == 0 {
				return errors.New("reset")
			}
			return nil
		}, func(t *testing.T, c *capacity, _ *spring, _ *delivery.Tracker) {
			pass(10 * time.Second)
			_, got := c.during(time.Second)
			if got.most < least || least == 0 && got.most > 20 || got.good < 50 {
				t.Errorf("up to %d at a time, %d accepted", got.most, got.good)
			}
		})
	}

	var bears atomic.Int64
	bears.Store(most)
	bubble("it does not grow where few events come", func(_ context.Context, c *capacity) error {
		if c.over(int(bears.Load())) {
			return errors.New("503")
		}
		time.Sleep(50 * time.Millisecond)
		return nil
	}, func(t *testing.T, c *capacity, store *spring, tracker *delivery.Tracker) {
		for _, bound := range []int64{most, 20} { // in slow start, and later
			bears.Store(bound)
			store.still.Store(bound == most)
			pass(10 * time.Second)
			store.still.Store(true)
			pass(time.Second)
			bears.Store(most)
			for range 2000 {
				if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
					t.Fatal(err)
				}
				pass(10 * time.Millisecond)
			}
			store.still.Store(false)
			tracker.Wake()
			if _, got := c.during(20 * time.Millisecond); got.most < 10 || got.most > 40 {
				t.Errorf("%d calls at once", got.most)
			}
			if _, got := c.during(time.Second); bound == 20 && got.most > 40 {
				t.Errorf("%d calls at a time soon after", got.most)
			}
		}
	})

	var slower atomic.Bool
	bubble("an endpoint that moved away is called as much as before", func(ctx context.Context, c *capacity) error {
		if slower.Load() {
			return takes(100*time.Millisecond)(ctx, c)
		}
		return takes(20*time.Millisecond)(ctx, c)
	}, func(t *testing.T, c *capacity, _ *spring, _ *delivery.Tracker) {
		pass(5 * time.Second)
		slower.Store(true)
		pass(30 * time.Second)
		if rate, got := c.during(5 * time.Second); rate < 0.95*most/0.1 {
			t.Errorf("%.0f calls a second, up to %d at a time", rate, got.most)
		}
	})
}
