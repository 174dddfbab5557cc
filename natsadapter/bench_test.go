package natsadapter_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

// BenchmarkStreamBus measures how long an event takes from Publish to the last of three processes,
// with the stream in files.
func BenchmarkStreamBus(b *testing.B) {
	broker := newBroker(b, nil)
	addStream(b, newStream(b, broker.connect()), nil)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	heard, begun := make(chan int64, 100), make(chan struct{}, 3)
	for range 3 {
		bus := newStreamBus(b, broker.connect(), nil)
		go func() {
			_ = bus.Subscribe(ctx, func(e delivery.Event) {
				if e.Kind == 0 {
					begun <- struct{}{}
					return
				}
				heard <- e.ID
			})
		}()
	}
	for range 3 {
		<-begun
	}
	bus := newStreamBus(b, broker.connect(), nil)
	var took []time.Duration
	id := int64(0)
	for b.Loop() {
		id++
		began := time.Now()
		if err := bus.Publish(ctx, []delivery.Event{event(id, 0)}); err != nil {
			b.Fatal(err)
		}
		for range 3 {
			<-heard
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
