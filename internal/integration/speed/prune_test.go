package speed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// BenchmarkPrune times marks, 500 a second in ten conversations, alone and while these
// conversations lose 100,000 old messages, each read by one of two recipients.
func BenchmarkPrune(b *testing.B) {
	const old, rooms, rate = 100_000, 10, 500
	for _, kind := range []engines.Kind{engines.Postgres, engines.MySQL, engines.SQLite} {
		e := engines.First(kind)
		b.Run("store="+e.Name, func(b *testing.B) {
			_, store := stores.Migrated(b, e)
			create := func(prefix string, n int, at time.Time) {
				for first := 0; first < n; first += delivery.MaxBatch {
					var messages []delivery.NewMessage
					var marks []delivery.Mark
					for i := first; i < min(first+delivery.MaxBatch, n); i++ {
						id := fmt.Sprint(prefix, i)
						messages = append(messages, delivery.NewMessage{
							Header: delivery.Header{ID: id, Conversation: fmt.Sprint("c", i%rooms), Sender: "ann", SentAt: at},
							Body:   "Hello!", Roster: "them", Members: []string{"ann", "bob", "cem"},
						})
						marks = append(marks, delivery.Mark{Message: id, User: "bob", Status: delivery.Read, At: at})
					}
					if _, _, err := store.Create(b.Context(), messages, delivery.Lease{}); err != nil {
						b.Fatal(err)
					}
					if at.After(time.Now().Add(-time.Hour)) {
						continue // they are to be marked
					}
					if _, _, err := store.Advance(b.Context(), marks, delivery.Lease{}); err != nil {
						b.Fatal(err)
					}
				}
			}
			create("old ", old, time.Now().Add(-48*time.Hour))
			create("new ", 40*rate, time.Now())
			tracker := stores.Tracker(b, store)
			next := 0
			// mark marks until done is closed, and returns the times in order.
			mark := func(done <-chan struct{}) (took []time.Duration) {
				var mu sync.Mutex
				var all sync.WaitGroup
				tick := time.NewTicker(time.Second / rate)
				defer tick.Stop()
				for next < 40*rate {
					select {
					case <-done:
						all.Wait()
						slices.Sort(took)
						return took
					case <-tick.C:
					}
					id := fmt.Sprint("new ", next)
					next++
					all.Go(func() {
						began := time.Now()
						if _, err := tracker.MarkRead(b.Context(), delivery.Actor{User: "bob"}, id); err != nil {
							b.Error(err)
						}
						mu.Lock()
						defer mu.Unlock()
						took = append(took, time.Since(began))
					})
				}
				all.Wait()
				slices.Sort(took)
				return took
			}
			for b.Loop() {
				alone, stop := context.WithTimeout(b.Context(), 5*time.Second)
				before := mark(alone.Done())
				stop()
				done := make(chan struct{})
				var pruned int
				began := time.Now()
				var ended time.Duration
				go func() {
					defer close(done)
					var err error
					if pruned, err = tracker.Prune(b.Context(), time.Now().Add(-24*time.Hour)); err != nil {
						b.Error(err)
					}
					ended = time.Since(began)
				}()
				beside := mark(done)
				<-done
				p := func(took []time.Duration, percent int) float64 {
					return float64(took[len(took)*percent/100].Microseconds()) / 1000
				}
				b.ReportMetric(p(before, 50), "alone-p50-ms")
				b.ReportMetric(p(before, 99), "alone-p99-ms")
				b.ReportMetric(p(beside, 50), "beside-p50-ms")
				b.ReportMetric(p(beside, 99), "beside-p99-ms")
				b.ReportMetric(float64(len(beside))/ended.Seconds(), "marks/s")
				b.ReportMetric(float64(pruned)/ended.Seconds(), "pruned/s")
				b.Logf("pruned %d in %v beside %d marks", pruned, ended, len(beside))
			}
		})
	}
}
