package sseadapter

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestAReachEndsBeforeTheFirstVersionThatWasNotTold(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var r reach
		told := make(map[int64]bool)
		now := time.Unix(0, 0)
		var stalled time.Time
		for range 30 {
			now = now.Add(time.Second)
			from := 1 + random.Int64N(40)
			to := from + random.Int64N(4)
			before := r.to
			r.add(from, to, now)
			for v := from; v <= to; v++ {
				told[v] = true
			}
			want := int64(0)
			for told[want+1] {
				want++
			}
			beyond := false
			for v := range told {
				beyond = beyond || v > want
			}
			if !beyond {
				stalled = time.Time{}
			} else if want > before || stalled.IsZero() {
				stalled = now
			}
			if r.to != want || r.stalled != stalled {
				t.Fatalf("it ends at %d, stalled at %v, want %d and %v; told %v", r.to, r.stalled, want, stalled, told)
			}
		}
	}
}

func TestAReachIsBounded(t *testing.T) {
	var r reach
	for v := int64(2); v < 1000; v += 2 {
		r.add(v, v, time.Unix(1, 0))
	}
	if len(r.beyond) != maxSpans || r.to != 0 {
		t.Errorf("it remembers %d ranges and ends at %d", len(r.beyond), r.to)
	}
	r.add(1, 1000, time.Unix(2, 0))
	if len(r.beyond) != 0 || r.to != 1000 || !r.stalled.IsZero() {
		t.Errorf("it remembers %d ranges and ends at %d, stalled at %v", len(r.beyond), r.to, r.stalled)
	}
}
