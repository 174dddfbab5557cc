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

// slowWriters is a store that takes a second for a batch of marks and works on several at a time.
// Like a database, it leaves out what another batch of that moment holds. Somebody's transaction
// holds the conversation "held" for a while, and sends are as slow as marks once it does.
type slowWriters struct {
	delivery.Store

	mu        sync.Mutex
	writing   map[string]bool // conversations
	batches   int             // under way
	most      int
	held      int
	sends     [][]delivery.NewMessage
	heldUntil time.Time
}

func (s *slowWriters) Writers() int { return 4 }

func (s *slowWriters) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	out := make([]delivery.Marked, len(marks))
	free, conversations := s.begin(ctx, marks, out)
	time.Sleep(time.Second)
	defer s.end(conversations)
	claimed, err := advanceSome(ctx, s.Store, marks, free, out, lease)
	return out, claimed, err
}

func (s *slowWriters) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	if s.heldUntil.IsZero() {
		return s.Store.Create(ctx, messages, lease)
	}
	var conversations []string
	s.mu.Lock()
	s.sends = append(s.sends, messages)
	s.batches++
	s.most = max(s.most, s.batches)
	for _, m := range messages {
		if s.writing[m.Conversation] && m.Conversation != "held" {
			s.held++
		}
		conversations = append(conversations, m.Conversation)
	}
	for _, c := range conversations {
		s.writing[c] = true
	}
	s.mu.Unlock()
	defer s.end(conversations)
	time.Sleep(time.Second)
	out := make([]delivery.Created, len(messages))
	var free []delivery.NewMessage
	var at []int
	for i, m := range messages {
		if m.Conversation == "held" {
			if out[i].Blocked = time.Now().Before(s.heldUntil); out[i].Blocked {
				continue
			}
		}
		free, at = append(free, m), append(at, i)
	}
	if len(free) == 0 {
		return out, nil, nil
	}
	created, claimed, err := s.Store.Create(ctx, free, lease)
	for k, i := range at {
		out[i] = created[k]
	}
	return out, claimed, err
}

func (s *slowWriters) begin(ctx context.Context, marks []delivery.Mark, out []delivery.Marked) (free []int, conversations []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	s.most = max(s.most, s.batches)
	for i, m := range marks {
		found, err := s.Load(ctx, []string{m.Message})
		if err != nil {
			panic(err)
		}
		if len(found) == 0 || !m.Admitted { // nothing to change, and nothing to wait for
			free = append(free, i)
			continue
		}
		if h := found[0].Header; s.writing[h.Conversation] {
			out[i] = delivery.Marked{Header: h, Blocked: true}
			s.held++
		} else {
			free = append(free, i)
			conversations = append(conversations, h.Conversation)
		}
	}
	for _, c := range conversations {
		s.writing[c] = true
	}
	return free, conversations
}

func (s *slowWriters) end(conversations []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches--
	for _, c := range conversations {
		delete(s.writing, c)
	}
}

func TestLanes(t *testing.T) {
	open := func(t *testing.T) (*slowWriters, *delivery.Tracker) {
		store := &slowWriters{Store: memstore.New(), writing: map[string]bool{}}
		return store, newTracker(t, store, new(endpoint), nil)
	}
	send := func(t *testing.T, tracker *delivery.Tracker, n int, conversation func(i int) string) (ids []string) {
		for i := range n {
			m, err := tracker.Send(t.Context(), delivery.Draft{ID: fmt.Sprintf("m%d", i), Conversation: conversation(i), Sender: "alice"})
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
			if store.held > 0 {
				t.Errorf("%d marks were held by another batch", store.held)
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
					if r.Receipt.Message != ids[i] || !r.Changed {
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
					wg.Go(func() { tracker.MarkRead(t.Context(), id, reader) })
					if i == 0 {
						synctest.Wait() // in flight, while the others come
					}
				}
				began := time.Now()
				wg.Wait()
				if took := time.Since(began); store.most != 1 || took != 2*time.Second {
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
				r, err := tracker.MarkRead(t.Context(), id, delivery.Actor{User: user(i)})
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
			if store.held > 20 { // while it is not known yet where they are
				t.Errorf("%d marks were held by another batch", store.held)
			}
		})
	})

	t.Run("marks held by another batch, since their conversation was not known, are tried again where they belong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, other := open(t)
			ids := send(t, other, 64, few)
			tracker := newTracker(t, store, new(endpoint), nil)
			var wg sync.WaitGroup
			for i := range 8 {
				known := delivery.Draft{ID: fmt.Sprintf("known%d", i), Conversation: few(i), Sender: "alice"}
				if _, err := tracker.Send(t.Context(), known); err != nil {
					t.Fatal(err)
				}
				wg.Go(func() { tracker.MarkRead(t.Context(), known.ID, bob) })
			}
			pass(time.Second / 2)
			for i, id := range ids {
				wg.Go(func() {
					reader := delivery.Actor{User: fmt.Sprint("u", i)}
					if r, err := tracker.MarkRead(t.Context(), id, reader); err != nil || r.Status != delivery.Read {
						t.Errorf("%s: %+v, %v", id, r, err)
					}
				})
			}
			wg.Wait()
			if store.held == 0 {
				t.Error("no mark was held: this tests nothing")
			}
		})
	})

	t.Run("a refused mark takes as long as one of a message that does not exist, however busy the conversation is", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store := &slowWriters{Store: memstore.New(), writing: map[string]bool{}}
			tracker := newTracker(t, store, new(endpoint), &delivery.Options{
				Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
					return user[0] == 'u', nil
				},
			})
			ids := send(t, tracker, 200, func(int) string { return "busy" })
			var wg sync.WaitGroup
			for round := range 2 { // the second time the strangers change places
				for i, id := range ids {
					wg.Go(func() { tracker.MarkRead(t.Context(), id, delivery.Actor{User: fmt.Sprint("u", i)}) })
				}
				pass(time.Second / 2)
				var took [2]time.Duration
				for i, id := range []string{ids[0], "missing"} {
					wg.Go(func() {
						began := time.Now()
						_, err := tracker.MarkRead(t.Context(), id, delivery.Actor{User: fmt.Sprint("stranger", (i+round)%2)})
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

	t.Run("sends to different conversations share batches, and one to a conversation that is held delays no other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, tracker := open(t)
			store.heldUntil = time.Now().Add(10 * time.Second)
			var wg sync.WaitGroup
			for i := range 400 {
				if i == 200 {
					pass(3 * time.Second) // those to the conversation that is held wait by now
				}
				conversation, latest := distinct(i%150), 4*time.Second // a batch that is under way, one to share, and as much again
				if i%20 == 0 {
					conversation, latest = "held", time.Minute
				}
				wg.Go(func() {
					began := time.Now()
					m, err := tracker.Send(t.Context(), delivery.Draft{ID: fmt.Sprintf("m%d", i), Conversation: conversation, Sender: "alice"})
					if err != nil || m.Seq == 0 {
						t.Errorf("%+v, %v", m, err)
					}
					if took := time.Since(began); took > latest {
						t.Errorf("a send to %s took %v", conversation, took)
					}
				})
			}
			wg.Wait()
			alone := 0
			for _, batch := range store.sends {
				if !slices.ContainsFunc(batch, func(m delivery.NewMessage) bool { return m.Conversation != "held" }) {
					alone++
				}
			}
			if len(store.sends)-alone > 8*store.Writers() || alone == 0 {
				t.Errorf("%d batches, and %d that waited", len(store.sends)-alone, alone)
			}
			if store.most < store.Writers() || store.held > 0 {
				t.Errorf("%d batches at a time; %d sends met another of their conversation", store.most, store.held)
			}
		})
	})

	t.Run("who leaves while some marks are in flight and others wait is told that the outcome is unknown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, tracker := open(t)
			ids := send(t, tracker, 64, distinct) // too many for one batch
			var wg sync.WaitGroup
			wg.Go(func() { tracker.MarkRead(t.Context(), ids[0], bob) })
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
