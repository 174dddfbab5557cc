package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryotel"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/memstore"
)

// BenchmarkTelemetry compares marks of 256 callers on Postgres with and without telemetry, while
// their events are published, in 15 pairs. "marks-x" is the median ratio. The interval from
// "marks-low-x" to "marks-high-x", in which that median is with 96 %, is to reach 0.97. Of 100
// marks, one belongs to a trace.
func BenchmarkTelemetry(b *testing.B) {
	const pairs = 15
	engine := engines.First(engines.Postgres)
	db := engine.Server(b).Database(b).Open(b)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	stores.Migrate(b, engine, db)
	store := stores.Open(b, engine, db)
	marksPerSecond(b, store, true, "warm up")
	var ratios []float64
	for pair := range pairs {
		rate := map[bool]float64{}
		for _, on := range []bool{pair%2 == 0, pair%2 == 1} {
			rate[on] = marksPerSecond(b, store, on, fmt.Sprint(pair, on))
		}
		ratios = append(ratios, rate[true]/rate[false])
		b.Logf("%6.0f marks/s without telemetry, %6.0f with it", rate[false], rate[true])
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[pairs/2], "marks-x")
	b.ReportMetric(ratios[3], "marks-low-x") // of 15, the 4th and the 12th enclose the median with 96.5 %
	b.ReportMetric(ratios[11], "marks-high-x")
}

// marksPerSecond sends messages whose ids begin with the prefix, and then has each recipient mark
// each of them.
func marksPerSecond(b *testing.B, store delivery.Store, telemetry bool, prefix string) float64 {
	const callers, messages, perMessage = 256, 1600, 50
	tracker := measured(b, store, telemetry)
	ctx, stop := context.WithCancel(b.Context())
	var relay sync.WaitGroup
	relay.Go(func() { must(b, tracker.Run(ctx)) })
	defer relay.Wait()
	defer stop()

	recipients := make([]string, perMessage)
	for i := range recipients {
		recipients[i] = fmt.Sprint("u", i)
	}
	id := func(i int) string { return fmt.Sprint(prefix, i%messages) }
	each := func(calls int, do func(ctx context.Context, i int) error) time.Duration {
		result, err := load.Run(ctx, callers, load.Limit{Calls: calls, For: time.Minute}, new(atomic.Int64), do)
		must(b, err)
		return result.Took
	}
	each(messages, func(ctx context.Context, i int) error {
		draft := delivery.Draft{ID: id(i), Conversation: fmt.Sprint("c", i%100), Sender: "alice", Audience: delivery.Audience{Recipients: recipients}}
		_, err := tracker.Send(ctx, draft)
		return err
	})
	must(b, tracker.Flush(ctx))
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled})
	took := each(messages*perMessage, func(ctx context.Context, i int) error {
		if i%100 == 0 {
			ctx = trace.ContextWithSpanContext(ctx, span)
		}
		_, err := tracker.MarkDelivered(ctx, delivery.Actor{User: recipients[i/messages]}, id(i))
		return err
	})
	must(b, tracker.Flush(ctx))
	return messages * perMessage / took.Seconds()
}

func TestTelemetryHasTrackersToCompare(t *testing.T) {
	for _, telemetry := range []bool{false, true} {
		measured(t, memstore.New(), telemetry)
	}
}

// measured returns a tracker that tells nobody, with or without telemetry.
func measured(b testing.TB, store delivery.Store, telemetry bool) *delivery.Tracker {
	var notifier delivery.Notifier = delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })
	opts := &delivery.Options{OpenConversations: true}
	if telemetry {
		t, err := deliveryotel.New(&deliveryotel.Options{
			MeterProvider:  metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())),
			TracerProvider: sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample()))),
		})
		must(b, err)
		notifier, opts.Observer, opts.Trace = t.Notifier(notifier), t.Observer(), deliveryotel.Trace
	}
	tracker, err := delivery.New(store, notifier, opts)
	must(b, err)
	return tracker
}
