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

// tallyStore takes a second for a write, and counts the writes and what is in them.
type tallyStore struct {
	delivery.Store

	mu           sync.Mutex
	writes       int
	marks, sends int
}

func (s *tallyStore) Create(ctx context.Context, m []delivery.NewMessage, l delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	s.count(0, len(m))
	return s.Store.Create(ctx, m, l)
}

func (s *tallyStore) Advance(ctx context.Context, m []delivery.Mark, l delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	s.count(len(m), 0)
	return s.Store.Advance(ctx, m, l)
}

func (s *tallyStore) count(marks, sends int) {
	s.mu.Lock()
	s.writes, s.marks, s.sends = s.writes+1, s.marks+marks, s.sends+sends
	s.mu.Unlock()
	time.Sleep(time.Second)
}

// behind runs calls that meet in one batch: they all wait for another one, which is under way.
func behind(first func(), calls ...func()) {
	var wg sync.WaitGroup
	wg.Go(first)
	synctest.Wait()
	for _, call := range calls {
		wg.Go(call)
		synctest.Wait() // in this order
	}
	wg.Wait()
}

func TestRepeatsShareAWrite(t *testing.T) {
	bubble := func(name string, opts *delivery.Options, f func(t *testing.T, store *tallyStore, tracker *delivery.Tracker)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &tallyStore{Store: memstore.New()}
				for _, id := range []string{"m", "n", "other"} {
					if _, err := newTracker(t, store, new(endpoint), nil).Send(t.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
						t.Fatal(err)
					}
				}
				store.writes, store.marks, store.sends = 0, 0, 0
				f(t, store, newTracker(t, store, new(endpoint), opts))
			})
		})
	}
	short := func(results []delivery.MarkResult, err error) string {
		text := fmt.Sprintf("%v", err)
		for _, r := range results {
			text += fmt.Sprintf(" %s %v@%d,%v,%v", r.Message, r.Own.Status, r.Own.Version, r.Changed, r.Err)
		}
		return text
	}
	other := func(tracker *delivery.Tracker) func() {
		return func() { tracker.MarkRead(context.Background(), carol, "other") }
	}

	bubble("one message 500 times in one call is one mark with one result",
		nil, func(t *testing.T, store *tallyStore, tracker *delivery.Tracker) {
			results, err := tracker.Mark(t.Context(), bob, delivery.Read, slices.Repeat([]string{"m"}, delivery.MaxBatch)...)
			if err != nil || len(results) != 1 || results[0].Message != "m" || !results[0].Changed || results[0].Own.Version != 4 {
				t.Errorf("%d results, %+v, %v", len(results), results, err)
			}
			if store.writes != 1 || store.marks != 1 {
				t.Errorf("%d writes of %d marks", store.writes, store.marks)
			}
		})

	bubble("one message 500 times weighs as one mark in a batch, so that others wait for no more than that",
		nil, func(t *testing.T, store *tallyStore, tracker *delivery.Tracker) {
			behind(other(tracker),
				func() {
					tracker.Mark(t.Context(), bob, delivery.Read, slices.Repeat([]string{"m"}, delivery.MaxBatch)...)
				},
				func() { tracker.MarkRead(t.Context(), carol, "n") })
			if store.writes != 2 || store.marks != 3 {
				t.Errorf("%d writes of %d marks", store.writes, store.marks)
			}
		})

	bubble("a call has a result for each of its messages, refusals included, where it was named first",
		nil, func(t *testing.T, store *tallyStore, tracker *delivery.Tracker) {
			got := short(tracker.Mark(t.Context(), bob, delivery.Read, "n", "m", "n", "none", "", "m", "none", "n"))
			want := fmt.Sprintf("<nil> n read@4,true,<nil> m read@5,true,<nil> none Status(0)@0,false,%v "+
				" Status(0)@0,false,delivery: message is empty", delivery.ErrNotFound)
			if got != want || store.marks != 3 {
				t.Errorf("%d marks\n got %s\nwant %s", store.marks, got, want)
			}
		})

	bubble("a user's equal marks in a batch are one, and the first caller's changed it, whatever their sockets",
		nil, func(t *testing.T, store *tallyStore, tracker *delivery.Tracker) {
			var got [4]string
			var calls []func()
			for i := range got {
				calls = append(calls, func() {
					actor := delivery.Actor{User: "bob", Socket: fmt.Sprint("1.", i)}
					got[i] = short(tracker.Mark(t.Context(), actor, delivery.Read, "m", "m"))
				})
			}
			behind(other(tracker), calls...)
			for i, is := range got {
				if want := fmt.Sprintf("<nil> m read@5,%v,<nil>", i == 0); is != want {
					t.Errorf("call %d: %s, want %s", i, is, want)
				}
			}
			if store.writes != 2 || store.marks != 2 {
				t.Errorf("%d writes of %d marks", store.writes, store.marks)
			}
		})

	bubble("marks as delivered and as read in a batch take their own steps, in order, and what repeats or goes back takes none",
		nil, func(t *testing.T, store *tallyStore, tracker *delivery.Tracker) {
			var got [6]string
			var calls []func()
			for i, status := range []delivery.Status{delivery.Delivered, delivery.Delivered, delivery.Read, delivery.Delivered, delivery.Read, delivery.Delivered} {
				calls = append(calls, func() { got[i] = short(tracker.Mark(t.Context(), bob, status, "m")) })
			}
			behind(other(tracker), calls...)
			want := [6]string{
				"<nil> m delivered@5,true,<nil>", "<nil> m delivered@5,false,<nil>", "<nil> m read@6,true,<nil>",
				"<nil> m read@6,false,<nil>", "<nil> m read@6,false,<nil>", "<nil> m read@6,false,<nil>",
			}
			if got != want || store.writes != 3 {
				t.Errorf("%d writes\n got %q\nwant %q", store.writes, got, want)
			}
		})

	bubble("a refusal is a refusal for each who asks, and one mark to the store",
		nil, func(t *testing.T, store *tallyStore, tracker *delivery.Tracker) {
			var calls []func()
			for range 5 {
				calls = append(calls, func() {
					results, err := tracker.Mark(t.Context(), alice, delivery.Read, "m", "m")
					if err != nil || len(results) != 1 || results[0].Err != delivery.ErrOwnMessage {
						t.Errorf("%+v, %v", results, err)
					}
				})
			}
			behind(other(tracker), calls...)
			if store.marks != 2 {
				t.Errorf("%d marks", store.marks)
			}
		})

	bubble("sends with one id in a batch are one, and other content under it is a conflict",
		nil, func(t *testing.T, store *tallyStore, tracker *delivery.Tracker) {
			send := func(id, body string, want error) func() {
				return func() {
					m, err := tracker.Send(t.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Body: body, Audience: delivery.Audience{Recipients: []string{"bob"}}})
					if !errors.Is(err, want) || err == nil && (m.Seq != 5 || m.Body != "hi") {
						t.Errorf("%q: %+v, %v", body, m, err)
					}
				}
			}
			behind(func() {
				tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
			},
				send("x", "hi", nil), send("x", "hi", nil), send("x", "ho", delivery.ErrConflict), send("x", "hi", nil))
			if store.writes != 2 || store.sends != 2 {
				t.Errorf("%d writes of %d messages", store.writes, store.sends)
			}
		})
}
