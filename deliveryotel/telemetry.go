package deliveryotel

import (
	"context"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/msgdelivery/delivery"
)

// scope is the name of the instrumentation.
const scope = "github.com/msgdelivery/delivery/deliveryotel"

// Options adjust a [Telemetry]. The zero value of each field means its default.
type Options struct {
	// MeterProvider and TracerProvider default to the global ones.
	MeterProvider  metric.MeterProvider
	TracerProvider trace.TracerProvider

	// MessagingConventions adds the metrics messaging.client.operation.duration and
	// messaging.client.sent.messages, and attributes of the spans, as OpenTelemetry's semantic
	// conventions for messaging define them. These conventions are not stable yet, so their names
	// may change in any version.
	MessagingConventions bool
}

// Telemetry measures trackers. It is safe for concurrent use.
type Telemetry struct {
	meter       metric.Meter
	tracer      trace.Tracer
	conventions bool
	instruments
}

// New returns a [Telemetry]. A nil opts means all defaults.
func New(opts *Options) (*Telemetry, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	t := &Telemetry{meter: o.MeterProvider.Meter(scope), tracer: o.TracerProvider.Tracer(scope), conventions: o.MessagingConventions}
	if err := t.instruments.make(t.meter, t.conventions); err != nil {
		return nil, err
	}
	return t, nil
}

// Observer returns what [delivery.Options.Observer] takes. To use another Observer too, call both
// from an Observer of your own.
func (t *Telemetry) Observer() *delivery.Observer {
	return &delivery.Observer{
		Sent: func(ctx context.Context, s delivery.SentInfo) {
			t.sends.Add(ctx, 1, labels{result: class(s.Err), inTx: yes(s.InTx)}.set())
		},
		Marked: t.marked,
		Failed: func(ctx context.Context, f delivery.FailedInfo) {
			t.failures.Add(ctx, 1, labels{result: class(f.Err)}.set())
		},
		Deleted: func(ctx context.Context, d delivery.DeletedInfo) {
			t.deletions.Add(ctx, 1, labels{result: class(d.Err), inTx: yes(d.InTx)}.set())
		},
		Wrote: func(ctx context.Context, w delivery.WroteInfo) {
			set := labels{batch: batches[w.What], result: class(w.Err)}.set()
			t.batchSize.Record(ctx, int64(w.Items), set)
			t.batchDuration.Record(ctx, w.Took.Seconds(), set)
		},
		LeaseLost: func(ctx context.Context, l delivery.LeaseLostInfo) { t.leasesLost.Add(ctx, int64(l.Events)) },
		Buried:    func(ctx context.Context, _ delivery.BuriedInfo) { t.deadLetters.Add(ctx, 1) },
		BreakerChanged: func(ctx context.Context, b delivery.BreakerInfo) {
			t.breakerChanges.Add(ctx, 1, labels{breaker: b.State.String()}.set())
		},
	}
}

func (t *Telemetry) marked(ctx context.Context, m delivery.MarkedInfo) {
	t.marks.Add(ctx, 1, labels{result: class(m.Err), inTx: yes(m.InTx), status: m.Status.String(), upTo: yes(m.UpTo)}.set())
	if m.Changed == 0 || m.Private {
		return
	}
	inTx := labels{inTx: yes(m.InTx)}.set()
	t.receipts.Add(ctx, int64(m.Changed), labels{status: m.Status.String(), inTx: yes(m.InTx)}.set())
	if m.UpTo {
		return
	}
	r := m.Receipt
	if r.Status == delivery.Delivered || r.DeliveredAt.Equal(r.ReadAt) { // reached in this step
		t.timeToDelivered.Record(ctx, r.DeliveredAt.Sub(m.SentAt).Seconds(), inTx)
	}
	if r.Status == delivery.Read {
		t.timeToRead.Record(ctx, r.ReadAt.Sub(m.SentAt).Seconds(), inTx)
	}
}

// Watch measures the tracker's outbox, breaker and relay at each collection, until stop is called.
// Each collection calls [delivery.Tracker.Backlog], and waits for the store's answer.
func (t *Telemetry) Watch(tracker *delivery.Tracker) (stop func() error, err error) {
	g, err := makeGauges(t.meter)
	if err != nil {
		return nil, err
	}
	registration, err := t.meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		b, err := tracker.Backlog(ctx)
		if err != nil {
			return err
		}
		o.ObserveInt64(g.waiting, int64(b.Waiting))
		o.ObserveInt64(g.dead, int64(b.Dead))
		o.ObserveFloat64(g.age, b.Oldest.Seconds())
		o.ObserveFloat64(g.ahead, b.Ahead.Seconds())
		for _, state := range []delivery.BreakerState{delivery.BreakerClosed, delivery.BreakerOpen, delivery.BreakerHalfOpen} {
			is := int64(0)
			if state == b.Breaker {
				is = 1
			}
			o.ObserveInt64(g.breaker, is, labels{breaker: state.String()}.set())
		}
		running := int64(0)
		if b.Running {
			running = 1
		}
		o.ObserveInt64(g.running, running)
		return nil
	}, g.waiting, g.dead, g.age, g.ahead, g.breaker, g.running)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}
