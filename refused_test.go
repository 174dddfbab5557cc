package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// pickyStore refuses every batch that has a bad item in it, as a database does whose constraint or
// trigger fails. What is bad has an id that begins so.
type pickyStore struct {
	delivery.Store
	because error

	mu    sync.Mutex
	calls int
}

func (s *pickyStore) judge(ids ...string) error {
	s.mu.Lock()
	s.calls++
	s.mu.Unlock()
	time.Sleep(time.Millisecond)
	for _, id := range ids {
		if strings.HasPrefix(id, "bad") {
			return s.because
		}
	}
	return nil
}

func (s *pickyStore) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	if err := s.judge(column(messages, func(m delivery.NewMessage) string { return m.ID })...); err != nil {
		return nil, nil, err
	}
	return s.Store.Create(ctx, messages, lease)
}

func (s *pickyStore) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if err := s.judge(column(marks, func(m delivery.Mark) string { return m.User })...); err != nil {
		return nil, nil, err
	}
	return s.Store.Advance(ctx, marks, lease)
}

func (s *pickyStore) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	if err := s.judge(column(upTo, func(u delivery.UpTo) string { return u.User })...); err != nil {
		return nil, nil, err
	}
	return s.Store.AdvanceUpTo(ctx, upTo, limit, lease)
}

func column[T any](items []T, of func(T) string) (texts []string) {
	for _, item := range items {
		texts = append(texts, of(item))
	}
	return texts
}

func TestOneBadItemFailsAlone(t *testing.T) {
	calls := map[string]func(ctx context.Context, tracker *delivery.Tracker, name string) error{
		"sends": func(ctx context.Context, tracker *delivery.Tracker, name string) error {
			_, err := tracker.Send(ctx, delivery.Draft{ID: name, Conversation: "c", Sender: name, Audience: delivery.Audience{Open: true}})
			return err
		},
		"marks": func(ctx context.Context, tracker *delivery.Tracker, name string) error {
			_, err := tracker.MarkRead(ctx, delivery.Actor{User: name}, "m")
			return err
		},
		"up-to marks": func(ctx context.Context, tracker *delivery.Tracker, name string) error {
			_, err := tracker.MarkUpTo(ctx, delivery.Actor{User: name}, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m"})
			return err
		},
	}
	// together has 64 calls meet in a batch, of which some are bad, and returns their errors.
	together := func(t *testing.T, store *pickyStore, call func(context.Context, *delivery.Tracker, string) error, bad func(int) bool) map[string]error {
		tracker := newTracker(t, store, new(endpoint), nil)
		sendAs(t, tracker, "m")
		store.calls = 0
		errs, mu := map[string]error{}, sync.Mutex{}
		var others []func()
		for i := range 64 {
			name := fmt.Sprint("good", i)
			if bad(i) {
				name = fmt.Sprint("bad", i)
			}
			others = append(others, func() {
				err := call(t.Context(), tracker, name)
				mu.Lock()
				defer mu.Unlock()
				errs[name] = err
			})
		}
		behind(func() { call(t.Context(), tracker, "first") }, others...)
		return errs
	}
	because := errors.New("value too long")
	for what, call := range calls {
		t.Run("of "+what+" in a batch, whichever the database refuses, and however many", func(t *testing.T) {
			for _, bad := range []func(int) bool{
				func(i int) bool { return i == 0 },
				func(i int) bool { return i == 63 },
				func(i int) bool { return i%7 == 3 },
				func(i int) bool { return i != 40 },
				func(int) bool { return true },
			} {
				synctest.Test(t, func(t *testing.T) {
					for name, err := range together(t, &pickyStore{Store: memstore.New(), because: because}, call, bad) {
						if refused := errors.Is(err, because); refused != strings.HasPrefix(name, "bad") || !refused && err != nil {
							t.Errorf("%s: %v", name, err)
						}
					}
				})
			}
		})

		t.Run(what+" are not tried apart for what is nobody's fault", func(t *testing.T) {
			for _, fault := range []error{delivery.ErrUnavailable, delivery.ErrOutcomeUnknown} {
				synctest.Test(t, func(t *testing.T) {
					store := &pickyStore{Store: memstore.New(), because: fmt.Errorf("lost: %w", fault)}
					for name, err := range together(t, store, call, func(i int) bool { return i == 5 }) {
						if !errors.Is(err, fault) {
							t.Errorf("%s: %v", name, err)
						}
					}
					if store.calls != 2 { // the first call, and all others at once
						t.Errorf("%v: the store was called %d times", fault, store.calls)
					}
				})
			}
		})
	}
}

func TestManyUpToMarksOfOneUserKeepNobodyElseLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &pickyStore{Store: memstore.New()}
		tracker := newTracker(t, store, new(endpoint), nil)
		sendAs(t, tracker, numbered(100)...)
		upTo := func(user, id string) {
			r, err := tracker.MarkUpTo(t.Context(), delivery.Actor{User: user}, delivery.Read, delivery.MessageRef{Conversation: "c", ID: id})
			if err != nil || user == "bob" && r.Changed != 100 {
				t.Errorf("%s up to %s: %+v, %v", user, id, r, err)
			}
		}
		ids := numbered(100)
		var calls []func()
		for _, id := range ids[:15] { // few enough to share a batch with bob's
			calls = append(calls, func() { upTo("carol", id) })
		}
		calls = append(calls, func() {
			began := time.Now()
			if upTo("bob", ids[99]); time.Since(began) > 8*time.Millisecond { // a call of the store takes 1 ms
				t.Errorf("bob waited %v", time.Since(began))
			}
		})
		began := time.Now()
		behind(func() { upTo("first", ids[0]) }, calls...)
		if took := time.Since(began); took > 16*time.Millisecond {
			t.Errorf("all took %v for 16 calls of the store, though nothing was blocked", took)
		}
	})
}
