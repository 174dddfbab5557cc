package delivery_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// call is a call of the notifier: when it began, and the messages it told of, sorted.
type call struct {
	at       time.Duration
	messages []string
}

// callLog is a notifier whose calls take a time, and that notes when each began and how many there
// were at a time.
type callLog struct {
	began time.Time
	takes func(n int) time.Duration // the n-th call, from 0

	mu        sync.Mutex
	calls     []call
	now, most int
}

func (l *callLog) Notify(_ context.Context, events []delivery.Event) error {
	l.mu.Lock()
	c := call{at: time.Since(l.began)}
	for _, e := range events {
		c.messages = append(c.messages, e.Updates[0].Message)
	}
	slices.Sort(c.messages)
	takes := l.takes(len(l.calls))
	l.calls = append(l.calls, c)
	l.now++
	l.most = max(l.most, l.now)
	l.mu.Unlock()
	time.Sleep(takes)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now--
	return nil
}

// seen returns the calls so far, and how many there were at a time.
func (l *callLog) seen() (calls []call, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls), l.most
}

func every(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

func firstHangs(n int) time.Duration {
	if n == 0 {
		return 5 * time.Second
	}
	return 0
}

func TestRelayGathers(t *testing.T) {
	const patience = 20 * time.Millisecond
	bubble := func(name string, takes func(int) time.Duration, f func(t *testing.T, tracker *delivery.Tracker, log *callLog)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := &callLog{began: time.Now(), takes: takes}
				tracker := newTracker(t, memstore.New(), log, nil)
				stop := run(t, tracker)
				f(t, tracker, log)
				pass(10 * time.Second)
				stop()
			})
		})
	}
	expect := func(t *testing.T, log *callLog, want ...call) {
		t.Helper()
		calls, _ := log.seen()
		if !slices.EqualFunc(calls, want, func(a, b call) bool { return a.at == b.at && slices.Equal(a.messages, b.messages) }) {
			t.Errorf("calls %v, want %v", calls, want)
		}
	}

	bubble("an event alone waits for nobody", every(time.Millisecond), func(t *testing.T, tracker *delivery.Tracker, log *callLog) {
		sendAs(t, tracker, "a")
		pass(time.Millisecond)
		sendAs(t, tracker, "b")
		synctest.Wait()
		expect(t, log, call{0, []string{"a"}}, call{time.Millisecond, []string{"b"}})
	})

	bubble("what comes while a publish is under way goes together when that has ended", every(10*time.Millisecond), func(t *testing.T, tracker *delivery.Tracker, log *callLog) {
		for _, id := range []string{"a", "b", "c"} {
			sendAs(t, tracker, id)
			pass(time.Millisecond)
		}
		pass(time.Second)
		expect(t, log, call{0, []string{"a"}}, call{10 * time.Millisecond, []string{"b", "c"}})
	})

	bubble("a full batch waits for nobody", firstHangs, func(t *testing.T, tracker *delivery.Tracker, log *callLog) {
		sendAs(t, tracker, "first")
		synctest.Wait()
		for _, id := range numbered(10) {
			sendAs(t, tracker, id)
			pass(time.Millisecond)
		}
		expect(t, log, call{0, []string{"first"}}, call{9 * time.Millisecond, numbered(10)})
	})

	bubble("a call that hangs delays others by no more than a moment", firstHangs, func(t *testing.T, tracker *delivery.Tracker, log *callLog) {
		sendAs(t, tracker, "first")
		pass(time.Millisecond)
		sendAs(t, tracker, "a")
		pass(patience / 2)
		sendAs(t, tracker, "b")
		pass(time.Second)
		sendAs(t, tracker, "c")
		pass(patience)
		expect(t, log, call{0, []string{"first"}}, call{time.Millisecond + patience, []string{"a", "b"}},
			call{time.Millisecond + patience/2 + time.Second + patience, []string{"c"}})
	})

	bubble("a stream of events takes few calls, and none of them waits long", every(20*time.Millisecond), func(t *testing.T, tracker *delivery.Tracker, log *callLog) {
		sent := make(map[string]time.Duration)
		for _, id := range numbered(1000) {
			sent[id] = time.Since(log.began)
			sendAs(t, tracker, id)
			pass(time.Millisecond)
		}
		pass(time.Second)
		calls, _ := log.seen()
		if n := len(calls); n > 110 {
			t.Errorf("%d calls for 1000 events", n)
		}
		for _, c := range calls {
			for _, id := range c.messages {
				if waited := c.at - sent[id]; waited > patience {
					t.Errorf("%s waited %v", id, waited)
				}
				delete(sent, id)
			}
		}
		if len(sent) > 0 {
			t.Errorf("%d events were never told", len(sent))
		}
	})

	bubble("a flood is published by ten calls at a time at first, all of them full", every(time.Second), func(t *testing.T, tracker *delivery.Tracker, log *callLog) {
		sendAs(t, tracker, "first")
		synctest.Wait()
		sendAs(t, tracker, numbered(400)...)
		pass(500 * time.Millisecond)
		if _, most := log.seen(); most != 10 {
			t.Errorf("%d calls at a time", most)
		}
		pass(5 * time.Second)
		if calls, _ := log.seen(); len(calls) != 41 {
			t.Errorf("%d calls", len(calls))
		}
	})

	t.Run("what waits for company when Run ends is given back at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log, store := &callLog{began: time.Now(), takes: firstHangs}, memstore.New()
			tracker := newTracker(t, store, log, nil)
			stop := run(t, tracker)
			sendAs(t, tracker, "first")
			synctest.Wait()
			sendAs(t, tracker, "a", "b")
			synctest.Wait()
			go stop()
			synctest.Wait()
			rest, err := store.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: time.Second})
			if err != nil || len(rest) != 2 || rest[0].Attempts != 1 {
				t.Errorf("%d left: %v", len(rest), err)
			}
			pass(10 * time.Second)
		})
	})
}

// settlingStore is a store that notes how many settlements it got in each call, and when, and may
// take a time for them.
type settlingStore struct {
	delivery.Store
	began time.Time
	takes time.Duration

	mu    sync.Mutex
	calls map[time.Duration]int
}

func (s *settlingStore) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	s.mu.Lock()
	s.calls[time.Since(s.began)] += len(settlements)
	s.mu.Unlock()
	time.Sleep(s.takes)
	return s.Store.Settle(ctx, settlements)
}

// sendEach sends so many messages, with pauses, each of which has to be accepted at once.
func sendEach(t *testing.T, tracker *delivery.Tracker, e *endpoint, n int, pause time.Duration) {
	t.Helper()
	for i, id := range numbered(n) {
		sendAs(t, tracker, id)
		synctest.Wait()
		if got := e.accepted(); len(got) != i+1 {
			t.Fatalf("accepted %v after %d were sent", got, i+1)
		}
		time.Sleep(pause)
	}
}

func TestSettlementsGather(t *testing.T) {
	bubble := func(name string, f func(t *testing.T, store *settlingStore)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f(t, &settlingStore{Store: memstore.New(), began: time.Now(), calls: map[time.Duration]int{}})
			})
		})
	}

	bubble("one alone is written at once, those soon after it together", func(t *testing.T, store *settlingStore) {
		e := new(endpoint)
		tracker := newTracker(t, store, e, nil)
		defer run(t, tracker)()
		sendEach(t, tracker, e, 5, time.Millisecond)
		pass(time.Second)
		sendAs(t, tracker, "later")
		synctest.Wait()
		want := map[time.Duration]int{0: 1, 5 * time.Millisecond: 4, 1005 * time.Millisecond: 1}
		if !maps.Equal(store.calls, want) {
			t.Errorf("settled %v, want %v", store.calls, want)
		}
	})

	bubble("no event waits for them", func(t *testing.T, store *settlingStore) {
		e := new(endpoint)
		store.takes = time.Second
		tracker := newTracker(t, store, e, nil)
		defer run(t, tracker)()
		sendEach(t, tracker, e, 30, 0)
	})

	bubble("they don't gather when publishes get short", func(t *testing.T, store *settlingStore) {
		e := new(endpoint)
		sendAs(t, newTracker(t, store, e, nil), numbered(5000)...)
		defer run(t, newTracker(t, store, e, &delivery.Options{NotifyCalls: 32}))()
		synctest.Wait()
		if got := e.accepted(); len(got) != 5000 {
			t.Errorf("%d of 5000 were accepted at once", len(got))
		}
	})

	bubble("a refusal hurries them", func(t *testing.T, store *settlingStore) {
		e := new(endpoint)
		tracker := newTracker(t, store, e, nil)
		defer run(t, tracker)()
		sendAs(t, tracker, "good")
		synctest.Wait()
		e.set(func(context.Context, []delivery.Event) error {
			return delivery.Refused(map[int]error{0: delivery.Permanent(errors.New("no"))})
		})
		sendAs(t, tracker, "bad")
		synctest.Wait()
		if b, err := tracker.Backlog(t.Context()); b.Waiting != 0 || b.Dead != 1 || err != nil {
			t.Errorf("backlog %+v, %v", b, err)
		}
	})

	bubble("a batch that makes the notifier panic is taken apart without waiting", func(t *testing.T, store *settlingStore) {
		e := new(endpoint)
		e.set(func(_ context.Context, events []delivery.Event) error {
			for _, event := range events {
				if event.Updates[0].Message == "bad" {
					panic("bad")
				}
			}
			return nil
		})
		sendAs(t, newTracker(t, store, e, nil), append(numbered(9), "bad")...)
		defer run(t, newTracker(t, store, e, nil))()
		synctest.Wait()
		if got := e.accepted(); !slices.Equal(got, numbered(9)) {
			t.Errorf("accepted %v at once", got)
		}
	})

	bubble("Flush does not wait for a running relay's", func(t *testing.T, store *settlingStore) {
		tracker := newTracker(t, store, new(endpoint), nil)
		defer run(t, tracker)()
		synctest.Wait()
		sendAs(t, newTracker(t, store, new(endpoint), nil), numbered(100)...)
		began := time.Now()
		if err := tracker.Flush(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("Flush took %v: %v", time.Since(began), err)
		}
	})

	bubble("the next call waits until the breaker knows of the last one", func(t *testing.T, store *settlingStore) {
		e := new(endpoint)
		e.set(func(context.Context, []delivery.Event) error {
			time.Sleep(10 * time.Millisecond)
			return delivery.RetryAfter(errors.New("429"), 10*time.Second)
		})
		tracker := newTracker(t, store, e, &delivery.Options{Observer: &delivery.Observer{
			Notified: func(context.Context, delivery.NotifiedInfo) { time.Sleep(time.Millisecond) },
		}})
		defer run(t, tracker)()
		sendAs(t, tracker, "m")
		pass(time.Millisecond)
		sendAs(t, tracker, "n")
		pass(9 * time.Second)
		if n := e.called(); n != 1 {
			t.Errorf("%d calls within the pause that the endpoint asked for", n)
		}
	})

	bubble("the end of Run does not wait for more", func(t *testing.T, store *settlingStore) {
		tracker := newTracker(t, store, new(endpoint), nil)
		stop := run(t, tracker)
		sendAs(t, tracker, "m")
		synctest.Wait()
		sendAs(t, tracker, "n") // is accepted, and gathers
		synctest.Wait()
		began := time.Now()
		stop()
		if b, err := tracker.Backlog(t.Context()); time.Since(began) != 0 || b.Waiting != 0 || err != nil {
			t.Errorf("Run ended after %v, with %+v, %v", time.Since(began), b, err)
		}
	})
}

// When publishes could say out of order that they were answered and that they ended, about one
// round in a thousand hung.
func TestRunEndsInTheMidstOfPublishing(t *testing.T) {
	const events, rounds = 1500, 50
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			store := memstore.New()
			sendAs(t, newTracker(t, store, new(endpoint), nil), numbered(events)...)
			ctx, cancel := context.WithCancel(t.Context())
			var calls atomic.Int64
			last := rand.Int64N(events/10) + 1
			tracker := newTracker(t, store, delivery.NotifierFunc(func(context.Context, []delivery.Event) error {
				if rand.N(3) == 0 {
					time.Sleep(rand.N(3 * time.Millisecond))
				}
				if calls.Add(1) == last {
					cancel()
				}
				return nil
			}), nil)
			if err := tracker.Run(ctx); err != nil { // if it hangs, all goroutines of the bubble do
				t.Error(err)
			}
		})
	}
}
