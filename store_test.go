package delivery_test

import (
	"context"
	"database/sql"
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

// rowLocks is a store in which someone's transaction has locked a conversation until a time.
type rowLocks struct {
	delivery.Store
	conversation string
	until        time.Time

	mu    sync.Mutex
	tries int // batches
}

func (s *rowLocks) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	s.mu.Lock()
	s.tries++
	s.mu.Unlock()
	out := make([]delivery.Marked, len(marks))
	headers, err := s.headers(ctx, column(marks, func(m delivery.Mark) string { return m.Message }))
	if err != nil {
		return nil, nil, err
	}
	var free []int
	for i, m := range marks {
		if h := headers[m.Message]; s.locked(h) {
			out[i] = delivery.Marked{Header: h, Blocked: true}
		} else {
			free = append(free, i)
		}
	}
	claimed, err := advanceSome(ctx, s.Store, marks, free, out, lease)
	return out, claimed, err
}

func (s *rowLocks) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	headers, err := s.headers(ctx, column(upTo, func(u delivery.UpTo) string { return u.Message }))
	if err != nil {
		return nil, nil, err
	}
	out := make([]delivery.MarkedUpTo, len(upTo))
	var free []delivery.UpTo
	var at []int
	for i, u := range upTo {
		if h := headers[u.Message]; s.locked(h) {
			out[i] = delivery.MarkedUpTo{Header: h, Blocked: true}
		} else {
			free, at = append(free, u), append(at, i)
		}
	}
	marked, claimed, err := s.Store.AdvanceUpTo(ctx, free, limit, lease)
	for k, m := range marked {
		out[at[k]] = m
	}
	return out, claimed, err
}

func (s *rowLocks) locked(h delivery.Header) bool {
	return h.Conversation == s.conversation && time.Now().Before(s.until)
}

// advanceSome has the store advance the marks at these indexes, and puts their results where they
// belong.
func advanceSome(ctx context.Context, store delivery.Store, marks []delivery.Mark, at []int, out []delivery.Marked, lease delivery.Lease) ([]delivery.Claimed, error) {
	var some []delivery.Mark
	for _, i := range at {
		some = append(some, marks[i])
	}
	results, claimed, err := store.Advance(ctx, some, lease)
	for k, i := range at {
		if err == nil {
			out[i] = results[k]
		}
	}
	return claimed, err
}

func (s *rowLocks) headers(ctx context.Context, ids []string) (map[string]delivery.Header, error) {
	found, err := s.Load(ctx, ids)
	headers := map[string]delivery.Header{}
	for _, m := range found {
		headers[m.ID] = m.Header
	}
	return headers, err
}

func TestLockedConversation(t *testing.T) {
	const locked = 10 * time.Second
	soon := locked + 200*time.Millisecond
	open := func(t *testing.T, opts *delivery.Options) (*rowLocks, *delivery.Tracker) {
		store := &rowLocks{Store: memstore.New(), conversation: "locked", until: time.Now().Add(locked)}
		sender := newTracker(t, store, new(endpoint), nil)
		for _, id := range []string{"locked", "free"} {
			if _, err := sender.Send(t.Context(), delivery.Draft{ID: id, Conversation: id, Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
				t.Fatal(err)
			}
		}
		return store, newTracker(t, store, new(endpoint), opts)
	}

	t.Run("its marks wait, with few tries, and delay no others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			store, tracker := open(t, nil)
			began := time.Now()
			var wg sync.WaitGroup
			for i := range 50 {
				actor := delivery.Actor{User: fmt.Sprint("u", i)}
				wg.Go(func() {
					results, err := tracker.Mark(t.Context(), actor, delivery.Read, "locked", "free")
					if err != nil || !results[0].Changed || !results[1].Changed {
						t.Errorf("%s: %+v, %v", actor.User, results, err)
					}
					if waited := time.Since(began); waited < locked || waited > soon {
						t.Errorf("%s waited %v", actor.User, waited)
					}
				})
				wg.Go(func() {
					r, err := tracker.MarkUpTo(t.Context(), actor, delivery.Delivered, delivery.MessageRef{Conversation: "locked", ID: "locked"})
					if waited := time.Since(began); err != nil || r.Changed > 1 || waited < locked || waited > soon {
						t.Errorf("an up-to mark by %s: %+v, %v after %v", actor.User, r, err, waited)
					}
				})
			}
			synctest.Wait()
			if m, _ := tracker.Message(t.Context(), "free"); m.Read != 50 {
				t.Errorf("%d of 50 marks of the free conversation went through", m.Read)
			}
			if _, err := tracker.MarkRead(t.Context(), delivery.Actor{User: "late"}, "free"); err != nil || time.Since(began) != 0 {
				t.Errorf("a later mark of the free one took %v: %v", time.Since(began), err)
			}
			wg.Wait()
			if most := 50 * int(locked/(50*time.Millisecond)); store.tries > most {
				t.Errorf("%d tries, want at most %d", store.tries, most)
			}
		})
	})

	t.Run("a mark of a message that the process does not know waits, and then asks the app's rule", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			welcome := func(context.Context, string, delivery.Action, string) (bool, error) { return true, nil }
			_, tracker := open(t, &delivery.Options{Authorize: welcome})
			began := time.Now()
			if r, err := tracker.MarkRead(t.Context(), bob, "locked"); err != nil || r.Status != delivery.Read || time.Since(began) > soon {
				t.Errorf("%+v, %v after %v", r, err, time.Since(began))
			}
		})
	})
}

func TestFailingStore(t *testing.T) {
	broken := errors.New("connection refused")
	bubble := func(name string, f func(t *testing.T, store *faultyStore, tracker *delivery.Tracker)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &faultyStore{Store: memstore.New()}
				tracker := newTracker(t, store, new(endpoint), nil)
				sendAs(t, tracker, "m")
				f(t, store, tracker)
			})
		})
	}

	bubble("its error reaches the caller of a mark and of a send", func(t *testing.T, store *faultyStore, tracker *delivery.Tracker) {
		store.fault = func(context.Context) error { return broken }
		if _, err := tracker.MarkRead(t.Context(), bob, "m"); !errors.Is(err, broken) {
			t.Errorf("mark: %v", err)
		}
		if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); !errors.Is(err, broken) {
			t.Errorf("send: %v", err)
		}
	})

	bubble("its panic is an unknown outcome for those who wait, and no more", func(t *testing.T, store *faultyStore, tracker *delivery.Tracker) {
		store.fault = func(context.Context) error { panic("index out of range") }
		if _, err := tracker.MarkRead(t.Context(), bob, "m"); !errors.Is(err, delivery.ErrOutcomeUnknown) {
			t.Errorf("got %v, though the store may have written", err)
		}
		store.fault = nil
		if _, err := tracker.MarkRead(t.Context(), bob, "m"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})

	bubble("a caller who leaves during the write is told that the outcome is unknown", func(t *testing.T, store *faultyStore, tracker *delivery.Tracker) {
		store.fault = func(context.Context) error { time.Sleep(time.Second); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := tracker.MarkRead(ctx, carol, "m")
		if !errors.Is(err, delivery.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		pass(time.Second)
		store.fault = nil
		if receipt, err := tracker.MarkRead(t.Context(), carol, "m"); err != nil || receipt.Status != delivery.Read {
			t.Errorf("repeating it: %+v, %v", receipt, err)
		}
	})
}

func TestAWriteEndsWithItsCallers(t *testing.T) {
	writes := map[string]func(context.Context, *delivery.Tracker) error{
		"a mark": func(ctx context.Context, tracker *delivery.Tracker) error {
			_, err := tracker.MarkRead(ctx, bob, "m")
			return err
		},
		"a send": func(ctx context.Context, tracker *delivery.Tracker) error {
			_, err := tracker.Send(ctx, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
			return err
		},
		"an up-to mark": func(ctx context.Context, tracker *delivery.Tracker) error {
			_, err := tracker.MarkUpTo(ctx, bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m"})
			return err
		},
	}
	for _, test := range []struct {
		name             string
		opts             *delivery.Options
		deadline, leaves time.Duration // of the caller; 0 is never
		want             time.Duration
	}{
		{"at the caller's deadline", nil, 5 * time.Second, 0, 5 * time.Second},
		{"at the caller's deadline, though it is late", nil, time.Minute, 0, time.Minute},
		{"when the caller leaves", nil, time.Minute, 2 * time.Second, 2 * time.Second},
		{"after a while, if the caller has no deadline", nil, 0, 0, delivery.DefaultWriteTimeout},
		{"after as long as the options say", &delivery.Options{WriteTimeout: 3 * time.Second}, 0, 0, 3 * time.Second},
	} {
		for what, write := range writes {
			t.Run(what+" ends "+test.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &faultyStore{Store: memstore.New()}
					tracker := newTracker(t, store, new(endpoint), test.opts)
					sendAs(t, tracker, "m")
					const fine, slow, silent = 0, 1, 2
					var mood atomic.Int32
					mood.Store(slow)
					took, hole := make(chan time.Duration, 1), make(chan struct{})
					store.fault = func(ctx context.Context) error {
						switch mood.Load() {
						case slow:
							began := time.Now()
							<-ctx.Done()
							took <- time.Since(began)
							return ctx.Err()
						case silent:
							<-hole
							return errors.New("too late")
						}
						return nil
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if test.deadline > 0 {
						ctx, cancel = context.WithTimeout(ctx, test.deadline)
						defer cancel()
					}
					if test.leaves > 0 {
						time.AfterFunc(test.leaves, cancel)
					}
					if err := write(ctx, tracker); err == nil {
						t.Error("no error")
					}
					if took := <-took; took != test.want {
						t.Errorf("it ends after %v, want %v", took, test.want)
					}

					// A store that hangs on, as some drivers do, keeps nobody for longer.
					mood.Store(silent)
					began := time.Now()
					ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
					defer cancel()
					if err := write(ctx, tracker); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, delivery.ErrOutcomeUnknown) {
						t.Errorf("from a store that hangs: %v", err)
					}
					time.Sleep(time.Until(began.Add(6 * time.Second)))
					mood.Store(fine)
					if err := write(t.Context(), tracker); err != nil || time.Since(began) > 6*time.Second {
						t.Errorf("the next one: %v after %v", err, time.Since(began))
					}
					close(hole)
				})
			})
		}
	}
}

func TestACallWithoutADeadlineWaitsForNoOtherCallersDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faultyStore{Store: memstore.New()}
		tracker := newTracker(t, store, new(endpoint), nil)
		sendAs(t, tracker, "m", "n", "o")
		store.fault = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		patient, cancel := context.WithTimeout(t.Context(), time.Hour)
		mark := func(ctx context.Context, id string) func() {
			return func() { tracker.MarkRead(ctx, bob, id) }
		}
		go mark(patient, "m")()
		synctest.Wait()
		began := time.Now()
		go mark(patient, "n")()
		mark(t.Context(), "o")()
		if took := time.Since(began); took > delivery.DefaultWriteTimeout {
			t.Errorf("it took %v", took)
		}
		cancel()
	})
}

type faultyStore struct {
	delivery.Store
	fault func(context.Context) error
}

func (s *faultyStore) Create(ctx context.Context, m []delivery.NewMessage, l delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	if s.fault != nil {
		if err := s.fault(ctx); err != nil {
			return nil, nil, err
		}
	}
	return s.Store.Create(ctx, m, l)
}

func (s *faultyStore) AdvanceUpTo(ctx context.Context, u []delivery.UpTo, limit int, l delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	if s.fault != nil {
		if err := s.fault(ctx); err != nil {
			return nil, nil, err
		}
	}
	return s.Store.AdvanceUpTo(ctx, u, limit, l)
}

func (s *faultyStore) Advance(ctx context.Context, m []delivery.Mark, l delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if s.fault != nil {
		if err := s.fault(ctx); err != nil {
			return nil, nil, err
		}
	}
	return s.Store.Advance(ctx, m, l)
}

// shortLived is a store whose transaction fails at its second write.
type shortLived struct {
	delivery.Store
	writes int
}

func (s *shortLived) InTx(delivery.DBTX) delivery.Store { return s }

func (s *shortLived) Advance(ctx context.Context, m []delivery.Mark, l delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if s.writes++; s.writes == 2 {
		return nil, nil, errors.New("deadlock")
	}
	return s.Store.Advance(ctx, m, l)
}

func TestMarkTxFailsAsAWhole(t *testing.T) {
	store := &shortLived{Store: memstore.New()}
	for _, id := range []string{"m", "n"} {
		if _, err := newTracker(t, store, new(endpoint), nil).Send(t.Context(), delivery.Draft{ID: id, Conversation: id, Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
	}
	// Marks that the rule lets in once the store has asked for it are a write of their own.
	tracker := newTracker(t, store, new(endpoint), &delivery.Options{
		Authorize: func(context.Context, string, delivery.Action, string) (bool, error) { return true, nil },
	})
	if results, err := tracker.MarkTx(t.Context(), new(sql.Tx), bob, delivery.Read, "m", "n"); err == nil {
		t.Errorf("the transaction is dead, and the call says %+v", results)
	}
}
