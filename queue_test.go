package delivery

import (
	"fmt"
	"slices"
	"testing"
)

func TestQueue(t *testing.T) {
	t.Run("an event larger than a batch may be has its turn, however many small ones come", func(t *testing.T) {
		q := newQueue(10)
		q.open = true
		put := func(conversation string, bytes int) {
			q.put([]leased{{Claimed: Claimed{Event: Event{Conversation: conversation, Kind: StatusChanged}}, bytes: bytes}}, 10_000)
		}
		for i := range 14 {
			if i == 5 {
				put("large", 300<<10)
			}
			put(fmt.Sprint("c", i), 500)
		}
		for range 10 {
			for _, h := range q.take(10, 256<<10) {
				if h.Event.Conversation == "large" {
					return
				}
				put(h.Event.Conversation, 500)
			}
		}
		t.Error("it was not taken in 10 batches")
	})

	t.Run("a claim is made for 1/4 of the goal at least, and a full batch at most", func(t *testing.T) {
		for _, c := range []struct {
			open               bool
			claimed, own, goal int
			want               int
		}{
			{false, 0, 0, 100, 0},
			{true, 0, 0, 100, 100},
			{true, 75, 0, 100, 25},
			{true, 76, 0, 100, 0},
			{true, 200, 0, 100, 0},
			{true, 75, 90, 100, 25}, // own events do not count
			{true, 0, 0, 10_000, MaxBatch},
		} {
			q := newQueue(10)
			q.open = true
			for i := range c.claimed + c.own {
				q.put([]leased{{Claimed: Claimed{Event: Event{Conversation: "c", Kind: StatusChanged}}, claimed: i < c.claimed}}, 10_000)
			}
			if q.open = c.open; q.room(c.goal) != c.want {
				t.Errorf("%+v: %d", c, q.room(c.goal))
			}
		}
	})

	t.Run("it takes all that was claimed, and of its own more where few wait", func(t *testing.T) {
		q := newQueue(10)
		put := func(n int, conversation string, claimed bool) (taken int) {
			h := leased{Claimed: Claimed{Event: Event{Conversation: conversation, Kind: StatusChanged}}, claimed: claimed}
			return n - len(q.put(slices.Repeat([]leased{h}, n), 20))
		}
		if n := put(1, "c", true) + put(1, "c", false); n != 0 {
			t.Errorf("closed, it takes %d", n)
		}
		q.open = true
		for _, c := range []struct {
			n            int
			conversation string
			claimed      bool
			want         int
		}{
			{600, "c", false, 20 + MaxBatch},
			{600, "c", true, 600},
			{12, "d", false, 10}, // its share
			{1, "c", false, 0},
			{1, "d", true, 1},
		} {
			if n := put(c.n, c.conversation, c.claimed); n != c.want {
				t.Errorf("%+v: it takes %d", c, n)
			}
		}
	})

	t.Run("one failure in fifty is no congestion, and two are", func(t *testing.T) {
		for failures, cut := range []bool{false, false, true} {
			w := newWindow(1024)
			w.size, w.slow = 50, 50
			var flights []flight
			for range 50 {
				flights = append(flights, w.begin())
			}
			for i, f := range flights {
				if 10 <= i && i < 10+failures {
					w.end(f, failed)
				} else {
					w.end(f, wentWell)
				}
			}
			if got := w.limit(); got < 50 != cut {
				t.Errorf("after %d failures %d calls may be under way", failures, got)
			}
		}
	})

	t.Run("the window starts over when the breaker opens, whichever call that was", func(t *testing.T) {
		w := newWindow(1024)
		w.size, w.slow = 100, 100
		var flights []flight
		for range 100 {
			flights = append(flights, w.begin())
		}
		for _, f := range flights[:97] {
			w.end(f, wentWell)
		}
		for _, f := range flights[97:99] {
			w.end(f, failed)
		}
		w.shrink(70)
		w.end(flights[99], brokeDown)
		if got := w.limit(); got != leastWindow {
			t.Errorf("%d calls may be under way", got)
		}
		if w.slow < 70 {
			t.Errorf("it grows fast to %v calls only, want the 70 of the cut before", w.slow)
		}
	})
}
