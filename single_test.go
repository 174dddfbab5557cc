package delivery_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// oneByOne is a SingleStore that may do something before a single mark.
type oneByOne struct {
	*memstore.Store
	before func(context.Context, delivery.Mark) error
}

func (s *oneByOne) Advance(context.Context, []delivery.Mark, delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	return nil, nil, errors.New("a single mark came as a batch")
}

func (s *oneByOne) AdvanceOne(ctx context.Context, mark delivery.Mark, lease delivery.Lease) (delivery.Marked, delivery.Claimed, error) {
	if s.before != nil {
		if err := s.before(ctx, mark); err != nil {
			return delivery.Marked{}, delivery.Claimed{}, err
		}
	}
	return s.Store.AdvanceOne(ctx, mark, lease)
}

func TestSingleMarks(t *testing.T) {
	open := func(t *testing.T, before func(context.Context, delivery.Mark) error, opts *delivery.Options) *delivery.Tracker {
		tracker := newTracker(t, &oneByOne{memstore.New(), before}, new(endpoint), opts)
		sendAs(t, tracker, "m")
		return tracker
	}

	t.Run("a repeated mark allocates nothing", func(t *testing.T) {
		tracker := newTracker(t, memstore.New(), new(endpoint), nil)
		sendAs(t, tracker, "m")
		if allocs := testing.AllocsPerRun(100, func() {
			if _, err := tracker.MarkRead(t.Context(), "m", bob); err != nil {
				t.Fatal(err)
			}
		}); allocs != 0 {
			t.Errorf("%v allocations", allocs)
		}
	})

	t.Run("nobody waits for the mark of another", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tracker := open(t, func(_ context.Context, m delivery.Mark) error {
				if m.User == bob.User {
					time.Sleep(time.Second)
				}
				return nil
			}, nil)
			go tracker.MarkRead(t.Context(), "m", bob)
			synctest.Wait()
			began := time.Now()
			if _, err := tracker.MarkRead(t.Context(), "m", carol); err != nil || time.Since(began) != 0 {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
			pass(time.Second)
		})
	})

	t.Run("the store's error, its word that the outcome is unknown, and its panic reach the caller", func(t *testing.T) {
		broken := errors.New("disk full")
		for _, c := range []struct {
			name   string
			before func(context.Context, delivery.Mark) error
			want   func(error) bool
		}{
			{"error", func(context.Context, delivery.Mark) error { return broken }, func(err error) bool {
				return errors.Is(err, broken) && !errors.Is(err, delivery.ErrOutcomeUnknown)
			}},
			{"unknown", func(context.Context, delivery.Mark) error { return delivery.ErrOutcomeUnknown }, func(err error) bool {
				return errors.Is(err, delivery.ErrOutcomeUnknown)
			}},
			{"panic", func(context.Context, delivery.Mark) error { panic("index out of range") }, func(err error) bool {
				return err != nil && strings.Contains(err.Error(), "index out of range")
			}},
		} {
			if r, err := open(t, c.before, nil).MarkRead(t.Context(), "m", bob); !c.want(err) || r != (delivery.Receipt{}) {
				t.Errorf("%s: %+v, %v", c.name, r, err)
			}
		}
	})

	t.Run("a caller who has left before writes nothing", func(t *testing.T) {
		tracker := open(t, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := tracker.MarkRead(ctx, "m", bob); !errors.Is(err, context.Canceled) || errors.Is(err, delivery.ErrOutcomeUnknown) {
			t.Errorf("got %v", err)
		}
		if m, _ := tracker.Message(t.Context(), "m"); m.Read != 0 {
			t.Error("it was written")
		}
	})

	t.Run("the rule is asked once, and only for who needs it", func(t *testing.T) {
		asked := 0
		tracker := open(t, nil, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) {
			asked++
			return true, nil
		}})
		for _, c := range []struct {
			actor delivery.Actor
			asked int
		}{{alice, 0}, {bob, 1}, {carol, 2}} {
			if _, err := tracker.MarkRead(t.Context(), "m", c.actor); asked != c.asked || (err != nil) != (c.actor == alice) {
				t.Errorf("%s: asked %d times in all, want %d; %v", c.actor.User, asked, c.asked, err)
			}
		}
	})

	t.Run("a running relay publishes the event at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := new(endpoint)
			tracker := newTracker(t, memstore.New(), e, nil)
			sendAs(t, tracker, "m")
			defer run(t, tracker)()
			pass(time.Second)
			before := len(e.accepted())
			if _, err := tracker.MarkRead(t.Context(), "m", bob); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := e.accepted(); len(got) != before+1 {
				t.Errorf("%d events were accepted at once, want 1", len(got)-before)
			}
		})
	})

	t.Run("bad arguments name the field", func(t *testing.T) {
		tracker := open(t, nil, nil)
		for _, c := range []struct {
			field, message string
			actor          delivery.Actor
		}{{"user", "m", delivery.Actor{}}, {"socket", "m", delivery.Actor{User: "bob", Socket: "\xff"}}, {"message", "", bob}} {
			_, err := tracker.MarkRead(t.Context(), c.message, c.actor)
			var invalid *delivery.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != c.field {
				t.Errorf("%s: got %v", c.field, err)
			}
		}
	})
}
