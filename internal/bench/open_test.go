package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// BenchmarkOpen measures how long marks take that come at random moments, so many a second, to the
// commit on Postgres: the curve that docs/scale.md simulates.
func BenchmarkOpen(b *testing.B) {
	p := peer.OursUnpublished(engines.Postgres)
	for _, rate := range []float64{1000, 4000, 8000, 12_000, 16_000} {
		b.Run(fmt.Sprintf("rate=%.0f", rate), func(b *testing.B) {
			at, err := tested.place(b.Context(), p)
			must(b, err)
			must(b, tested.warm(b.Context(), p, at, 64, -1, func(marker peer.Marker) error {
				var (
					wg    sync.WaitGroup
					mu    sync.Mutex
					waits []time.Duration
					first error
				)
				due := time.Now()
				for range b.N {
					due = due.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
					time.Sleep(time.Until(due))
					i := int(at.next.Add(1) - 1)
					wg.Go(func() {
						began := time.Now()
						err := marker.Mark(context.WithoutCancel(b.Context()), i)
						mu.Lock()
						defer mu.Unlock()
						waits = append(waits, time.Since(began))
						if first == nil {
							first = err
						}
					})
				}
				wg.Wait()
				slices.Sort(waits)
				b.ReportMetric(float64(load.Quantile(waits, 0.5).Microseconds()), "p50-µs")
				b.ReportMetric(float64(load.Quantile(waits, 0.99).Microseconds()), "p99-µs")
				return first
			}))
		})
	}
}
