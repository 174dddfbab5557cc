package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// slowWrite is what a batch takes, just short of the second after which others stop waiting for it.
const slowWrite = 900 * time.Millisecond

// slowWriters is a store that takes a second for a batch of sends or marks and works on several at
// a time. Like a database, it leaves out what another batch of that moment has locked, and what is
// in the conversation "locked" for a while.
type slowWriters struct {
	delivery.Store

	mu      sync.Mutex
	writing map[string]bool // conversations
	batches int             // under way
	most    int             // of them, at a time
	tries   int             // batches so far
	met     int             // items that met another batch in their conversation
	until   time.Time       // "locked" is
}

func newSlowWriters() *slowWriters {
	return &slowWriters{Store: memstore.New(), writing: map[string]bool{}}
}

func (s *slowWriters) Writers() int { return 4 }

func (s *slowWriters) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	headers := make([]delivery.Header, len(marks))
	conversations := make([]string, len(marks))
	for i, m := range marks {
		found, err := s.Load(ctx, []string{m.Message})
		if err != nil {
			return nil, nil, err
		}
		if len(found) > 0 && m.Admitted { // else there is nothing to change, and nothing to lock
			headers[i], conversations[i] = found[0].Header, found[0].Conversation
		}
	}
	out := make([]delivery.Marked, len(marks))
	free, end := s.begin(conversations)
	defer end()
	for i := range out {
		out[i] = delivery.Marked{Header: headers[i], Blocked: true}
	}
	claimed, err := advanceSome(ctx, s.Store, marks, free, out, lease)
	return out, claimed, err
}

func (s *slowWriters) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	conversations := make([]string, len(messages))
	for i, m := range messages {
		conversations[i] = m.Conversation
	}
	free, end := s.begin(conversations)
	defer end()
	out := make([]delivery.Created, len(messages))
	some := make([]delivery.NewMessage, len(free))
	for i := range out {
		out[i].Blocked = true
	}
	for k, i := range free {
		some[k] = messages[i]
	}
	created, claimed, err := s.Store.Create(ctx, some, lease)
	for k, i := range free {
		if err == nil {
			out[i] = created[k]
		}
	}
	return out, claimed, err
}

// begin takes a second, and returns the indexes of the items that can be written until end. An item
// without a conversation always can.
func (s *slowWriters) begin(conversations []string) (free []int, end func()) {
	s.mu.Lock()
	s.batches++
	s.tries++
	s.most = max(s.most, s.batches)
	mine := map[string]bool{}
	for i, c := range conversations {
		switch {
		case c == "locked" && time.Now().Before(s.until):
			continue
		case s.writing[c] && !mine[c]:
			s.met++
			continue
		case c != "":
			s.writing[c], mine[c] = true, true
		}
		free = append(free, i)
	}
	s.mu.Unlock()
	if len(free) > 0 {
		time.Sleep(slowWrite)
	}
	return free, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.batches--
		for c := range mine {
			delete(s.writing, c)
		}
	}
}

func TestBatches(t *testing.T) {
	open := func(t *testing.T) (*slowWriters, *delivery.Tracker) {
		store := newSlowWriters()
		return store, newTracker(t, store, new(endpoint), nil)
	}
	send := func(t *testing.T, tracker *delivery.Tracker, n int, conversation func(i int) string) (ids []string) {
		for i := range n {
			m, err := tracker.Send(t.Context(), delivery.Draft{ID: fmt.Sprintf("m%d", i), Conversation: conversation(i), Sender: "alice", Audience: delivery.Audience{Open: true}})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, m.ID)
		}
		return ids
	}
	const many = 256 // each writer's part of those is a crowd
	distinct := func(i int) string { return fmt.Sprintf("c%d", i) }
	few := func(i int) string { return distinct(i % 8) }

	t.Run("a store with several writers gets batches at the same time, and those of a conversation one by one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, tracker := open(t)
			ids := send(t, tracker, many, distinct)
			var wg sync.WaitGroup
			for u := range 3 {
				wg.Go(func() {
					results, err := tracker.Mark(t.Context(), delivery.Actor{User: fmt.Sprintf("u%d", u)}, delivery.Read, ids...)
					if err != nil || slices.ContainsFunc(results, func(r delivery.MarkResult) bool { return !r.Changed }) {
						t.Errorf("%+v, %v", results, err)
					}
				})
			}
			wg.Wait()
			if store.most != store.Writers() {
				t.Errorf("%d batches at a time, want %d", store.most, store.Writers())
			}
			if store.met > 0 {
				t.Errorf("%d marks met another batch", store.met)
			}
		})
	})

	t.Run("each mark of a call has its own result, whatever the order of their conversations", func(t *testing.T) {
		for _, n := range []int{20, 200} { // one batch, and several
			synctest.Test(t, func(t *testing.T) {
				_, tracker := open(t)
				ids := send(t, tracker, n, func(i int) string { return fmt.Sprint("c", 9-i%10) })
				results, err := tracker.Mark(t.Context(), bob, delivery.Read, ids...)
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range results {
					if r.Own.Message != ids[i] || !r.Changed {
						t.Errorf("of %d, the result of %s is %+v", n, ids[i], r)
					}
				}
			})
		}
	})

	t.Run("a few marks share a batch, whatever their conversations, and again after a crowd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, tracker := open(t)
			ids := send(t, tracker, many, distinct)
			few := func(reader delivery.Actor) {
				t.Helper()
				store.most = 0
				var wg sync.WaitGroup
				for i, id := range ids[:11] {
					wg.Go(func() { tracker.MarkRead(t.Context(), reader, id) })
					if i == 0 {
						synctest.Wait() // in flight, while the others come
					}
				}
				began := time.Now()
				wg.Wait()
				if took := time.Since(began); store.most != 1 || took != 2*slowWrite {
					t.Errorf("%d batches at a time, in %v", store.most, took)
				}
			}
			few(bob)
			if _, err := tracker.Mark(t.Context(), carol, delivery.Read, ids...); err != nil || store.most != store.Writers() {
				t.Errorf("%d batches at a time: %v", store.most, err)
			}
			few(delivery.Actor{User: "dave"})
		})
	})

	// unknown has messages marked, one after another, in a process that knows none of them.
	unknown := func(t *testing.T, store *slowWriters, ids []string, user func(i int) string) {
		tracker := newTracker(t, store, new(endpoint), nil)
		var wg sync.WaitGroup
		for i, id := range ids {
			wg.Go(func() {
				r, err := tracker.MarkRead(t.Context(), delivery.Actor{User: user(i)}, id)
				if err != nil || r.Status != delivery.Read {
					t.Errorf("%s: %+v, %v", id, r, err)
				}
			})
			if pass(10 * time.Millisecond); i < 8 {
				pass(2 * time.Second) // what came first has been written when the others come
			}
		}
		wg.Wait()
	}

	t.Run("many marks of messages that the process does not know go in several batches at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, tracker := open(t)
			unknown(t, store, send(t, tracker, 300, distinct), func(i int) string { return fmt.Sprint("u", i) })
			if store.most != store.Writers() {
				t.Errorf("%d batches at a time, want %d", store.most, store.Writers())
			}
		})
	})

	t.Run("marks of messages that the process does not know go where their user marked last", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, tracker := open(t)
			everywhere := func(int) string { return "c" }
			unknown(t, store, send(t, tracker, 1000, everywhere), func(i int) string { return fmt.Sprint("u", i%8) })
			if store.met > 20 { // while it is not known yet where they are
				t.Errorf("%d marks met another batch", store.met)
			}
		})
	})

	t.Run("marks that met another batch, since their conversation was not known, are tried again where they belong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, other := open(t)
			ids := send(t, other, 64, few)
			tracker := newTracker(t, store, new(endpoint), nil)
			var wg sync.WaitGroup
			for i := range 8 {
				known := delivery.Draft{ID: fmt.Sprintf("known%d", i), Conversation: few(i), Sender: "alice", Audience: delivery.Audience{Open: true}}
				if _, err := tracker.Send(t.Context(), known); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() { tracker.MarkRead(t.Context(), bob, known.ID) })
			}
			pass(time.Second / 2)
			began := time.Now()
			for i, id := range ids {
				wg.Go(func() {
					reader := delivery.Actor{User: fmt.Sprint("u", i)}
					if r, err := tracker.MarkRead(t.Context(), reader, id); err != nil || r.Status != delivery.Read {
						t.Errorf("%s: %+v, %v", id, r, err)
					}
				})
			}
			wg.Wait()
			if store.met == 0 {
				t.Error("no mark met another batch: this tests nothing")
			}
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("%d marks, of which %d met another batch, took %v", len(ids), store.met, took)
			}
		})
	})

	t.Run("a refused mark takes as long as one of a message that does not exist, however busy the conversation is", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := newSlowWriters()
			tracker := newTracker(t, store, new(endpoint), &delivery.Options{
				Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
					return user[0] == 'u', nil
				},
			})
			ids := send(t, tracker, 200, func(int) string { return "busy" })
			var wg sync.WaitGroup
			for round := range 2 { // the second time the strangers change places
				for i, id := range ids {
					wg.Go(func() { tracker.MarkRead(t.Context(), delivery.Actor{User: fmt.Sprint("u", i)}, id) })
				}
				pass(time.Second / 2)
				var took [2]time.Duration
				for i, id := range []string{ids[0], "missing"} {
					wg.Go(func() {
						began := time.Now()
						_, err := tracker.MarkRead(t.Context(), delivery.Actor{User: fmt.Sprint("stranger", (i+round)%2)}, id)
						if took[i] = time.Since(began); err == nil {
							t.Error("a stranger marked")
						}
					})
				}
				wg.Wait()
				if took[0] != took[1] || took[0] > time.Second {
					t.Errorf("it took %v, and %v where there is no message", took[0], took[1])
				}
			}
		})
	})

	t.Run("sends to different conversations share batches, and those to a locked conversation delay no other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, tracker := open(t)
			store.until = time.Now().Add(20 * time.Second)
			var wg sync.WaitGroup
			for i := range 400 { // of each half, three writers' shares are not all there is to take
				if i == 200 {
					pass(3 * time.Second) // those to the locked conversation are tried again by now
				}
				conversation, latest := distinct(i%180), 4*time.Second // a batch that is under way, one to share, and as much again
				if i%20 == 0 {
					conversation, latest = "locked", 25*time.Second
				}
				wg.Go(func() {
					began := time.Now()
					m, err := tracker.Send(t.Context(), delivery.Draft{ID: fmt.Sprintf("m%d", i), Conversation: conversation, Sender: fmt.Sprint("u", i), Audience: delivery.Audience{Open: true}})
					if err != nil || m.Seq == 0 {
						t.Errorf("%+v, %v", m, err)
					}
					if took := time.Since(began); took > latest {
						t.Errorf("a send to %s took %v", conversation, took)
					}
				})
			}
			wg.Wait()
			if store.most < store.Writers() || store.met > 0 {
				t.Errorf("%d batches at a time; %d sends met another of their conversation", store.most, store.met)
			}
		})
	})

	t.Run("whatever waits for a locked conversation is known not to be written when its caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, tracker := open(t)
			ids := send(t, tracker, 1, func(int) string { return "locked" })
			store.until = time.Now().Add(time.Hour)
			for what, call := range map[string]func(context.Context) error{
				"a send": func(ctx context.Context) error {
					_, err := tracker.Send(ctx, delivery.Draft{Conversation: "locked", Sender: "alice", Audience: delivery.Audience{Open: true}})
					return err
				},
				"a mark": func(ctx context.Context) error {
					_, err := tracker.MarkRead(ctx, bob, ids[0])
					return err
				},
			} {
				for limit, want := range map[time.Duration]time.Duration{0: delivery.DefaultWriteTimeout, 10 * time.Second: 10 * time.Second} {
					ctx, began := t.Context(), time.Now()
					if limit > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, limit)
						defer cancel()
					}
					err := call(ctx)
					if took := time.Since(began); took > want+time.Second || took < want {
						t.Errorf("%s ended after %v, want %v", what, took, want)
					}
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("%s: %v", what, err)
					}
					pass(time.Minute)
				}
			}
			store.until = time.Now()
			if m, err := tracker.Message(t.Context(), ids[0]); err != nil || m.Version != 1 {
				t.Errorf("%+v, %v", m, err)
			}
		})
	})

	t.Run("who leaves while some marks are in flight and others wait is told that the outcome is unknown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, tracker := open(t)
			ids := send(t, tracker, 64, distinct) // too many for one batch
			var wg sync.WaitGroup
			wg.Go(func() { tracker.MarkRead(t.Context(), bob, ids[0]) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := tracker.Mark(ctx, carol, delivery.Read, ids...); !errors.Is(err, delivery.ErrOutcomeUnknown) {
				t.Errorf("got %v", err)
			}
			wg.Wait()
		})
	})
}
