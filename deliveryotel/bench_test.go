package deliveryotel_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryotel"
	"github.com/msgdelivery/delivery/memstore"
)

// BenchmarkMarks compares marks of 256 callers without and with telemetry, on a store in memory,
// where nothing else takes time.
func BenchmarkMarks(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("telemetry=%t", on), func(b *testing.B) { benchmarkMarks(b, on) })
	}
}

func benchmarkMarks(b *testing.B, on bool) {
	var notifier delivery.Notifier = delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })
	opts := &delivery.Options{OpenConversations: true}
	ctx := b.Context()
	if on {
		tracers := trace.NewTracerProvider(trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(0.01))))
		telemetry, err := deliveryotel.New(&deliveryotel.Options{
			MeterProvider: metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())), TracerProvider: tracers,
		})
		if err != nil {
			b.Fatal(err)
		}
		notifier, opts.Observer, opts.Trace = telemetry.Notifier(notifier), telemetry.Observer(), deliveryotel.Trace
	}
	tracker, err := delivery.New(memstore.New(), notifier, opts)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tracker.Run(ctx)
	}()
	for i := range 256 {
		draft := delivery.Draft{ID: fmt.Sprint("m", i), Conversation: fmt.Sprint("c", i%64), Sender: "alice", Audience: delivery.Audience{Open: true}}
		if _, err := tracker.Send(ctx, draft); err != nil {
			b.Fatal(err)
		}
	}
	b.SetParallelism(128)
	users := make(chan int, 1)
	users <- 0
	began := time.Now()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		n := <-users
		users <- n + 1
		for i := 0; pb.Next(); i++ {
			actor := delivery.Actor{User: fmt.Sprint("u", n, "-", i/256)}
			if _, err := tracker.MarkRead(ctx, actor, fmt.Sprint("m", i%256)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "marks/s")
	stop()
	<-done
}
