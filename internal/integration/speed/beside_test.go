package speed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

// marker makes bob's marks of the messages "mine 0", "mine 1" and so on, one after another.
type marker struct {
	b       *testing.B
	tracker *delivery.Tracker
	next    int
}

const (
	callers = 32 // beside bob
	block   = 50 // marks of bob's in a row
)

// newMarker returns a marker that can make n marks.
func newMarker(b *testing.B, tracker *delivery.Tracker, n int) *marker {
	m := &marker{b: b, tracker: tracker}
	for i := range n {
		m.send(fmt.Sprint("mine ", i), fmt.Sprint("c", i%100))
	}
	return m
}

func (m *marker) send(id, conversation string) {
	if _, err := m.tracker.Send(m.b.Context(), delivery.Draft{
		ID: id, Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Open: true},
	}); err != nil {
		m.b.Fatal(err)
	}
}

// mark makes a block of marks and returns the median of the times they took.
func (m *marker) mark() time.Duration {
	took := make([]time.Duration, block)
	for i := range took {
		began := time.Now()
		if _, err := m.tracker.MarkRead(m.b.Context(), delivery.Actor{User: "bob"}, fmt.Sprint("mine ", m.next)); err != nil {
			m.b.Fatal(err)
		}
		m.next++
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[block/2]
}

// markBeside makes a block of marks beside callers who make the same call again and again, each at
// most once in the interval. It returns the median, and the interval at which each caller called.
func (m *marker) markBeside(interval time.Duration, call func(ctx context.Context, caller int) error) (time.Duration, time.Duration) {
	ctx, cancel := context.WithCancel(m.b.Context())
	var crowd, ready sync.WaitGroup
	var calls atomic.Int64
	for i := range callers {
		ready.Add(1)
		crowd.Go(func() {
			next := time.Now().Add(interval * time.Duration(i) / callers)
			for n := 0; ctx.Err() == nil; n++ {
				time.Sleep(time.Until(next))
				next = next.Add(interval)
				if err := call(ctx, i); err != nil && ctx.Err() == nil {
					m.b.Error(err)
					cancel()
				}
				calls.Add(1)
				if n == 0 {
					ready.Done()
				}
			}
		})
	}
	ready.Wait()
	began, before := time.Now(), calls.Load()
	p50 := m.mark()
	took, made := time.Since(began), calls.Load()-before
	cancel()
	crowd.Wait()
	return p50, took * callers / time.Duration(max(made, 1))
}

// report reports the median alone as "alone-µs", the one beside the crowd as "name-µs", and the
// median of their ratios as "name-x".
func report(b *testing.B, alone []time.Duration, name string, beside []time.Duration) {
	ratios := make([]float64, len(beside))
	for i := range ratios {
		ratios[i] = float64(beside[i]) / float64(alone[i])
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], name+"-x")
	for name, times := range map[string][]time.Duration{"alone": alone, name: beside} {
		times = slices.Sorted(slices.Values(times))
		b.ReportMetric(float64(times[len(times)/2].Microseconds()), name+"-µs")
	}
}
