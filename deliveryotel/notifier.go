package deliveryotel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/msgdelivery/delivery"
)

const (
	maxLinks    = 128
	traceparent = "traceparent"
)

// Trace is for [delivery.Options.Trace]. It returns the traceparent of the span in ctx, or "" if
// the span is not sampled.
func Trace(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparent]
}

// Notifier returns a [delivery.Notifier] that measures the calls of another one. It refuses the
// conversations that the other one refuses, and takes OwnChanged events if the other one does.
func (t *Telemetry) Notifier(n delivery.Notifier) delivery.Notifier { return &notifier{t, n} }

type notifier struct {
	*Telemetry
	inner delivery.Notifier
}

var (
	_ delivery.CheckingNotifier = (*notifier)(nil)
	_ delivery.OwnNotifier      = (*notifier)(nil)
)

// CheckConversation implements [delivery.CheckingNotifier].
func (n *notifier) CheckConversation(conversation string) error {
	if checking, ok := n.inner.(delivery.CheckingNotifier); ok {
		return checking.CheckConversation(conversation)
	}
	return nil
}

// TakesOwn implements [delivery.OwnNotifier].
func (n *notifier) TakesOwn() bool {
	own, ok := n.inner.(delivery.OwnNotifier)
	return ok && own.TakesOwn()
}

// Notify implements [delivery.Notifier].
func (n *notifier) Notify(ctx context.Context, events []delivery.Event) (err error) {
	attributes := []attribute.KeyValue{attribute.Int("delivery.events", len(events))}
	if n.conventions {
		attributes = append(attributes, conventional, attribute.String("messaging.operation.type", "send"),
			attribute.Int("messaging.batch.message_count", len(events)))
	}
	ctx, span := n.tracer.Start(ctx, "delivery.notify", trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithLinks(links(events)...), trace.WithAttributes(attributes...))
	n.notifyCalls.Add(ctx, 1)
	began, returned := time.Now(), false
	defer func() {
		if !returned {
			err = errPanic // which goes on
		}
		n.told(ctx, span, len(events), time.Since(began), err)
	}()
	err = n.inner.Notify(ctx, events)
	returned = true
	return err
}

var (
	errPanic     = errors.New("the notifier panicked")
	conventional = attribute.String("messaging.system", "delivery")
)

// told measures a call that has ended.
func (n *notifier) told(ctx context.Context, span trace.Span, events int, took time.Duration, err error) {
	defer span.End()
	n.notifyCalls.Add(ctx, -1)
	result, blamed, rest := class(err), 0, ok // of the call, and of the events that are not blamed
	var refusal *delivery.RefusedError
	switch {
	case errors.As(err, &refusal):
		result, blamed = refused, len(refusal.ByIndex)
	case err != nil && result != canceled:
		result, rest = failed, failed
	default:
		rest = result
	}
	n.notifyDuration.Record(ctx, took.Seconds(), labels{result: result}.set())
	if blamed > 0 {
		n.notifyEvents.Add(ctx, int64(blamed), labels{result: refused}.set())
	}
	if events > blamed {
		n.notifyEvents.Add(ctx, int64(events-blamed), labels{result: rest}.set())
	}
	if err != nil {
		span.SetStatus(codes.Error, result) // the error's text may have ids
	}
	span.SetAttributes(attribute.Int("delivery.events.refused", blamed))
	if n.conventions {
		set := metric.WithAttributes(conventional, attribute.String("messaging.operation.name", "notify"))
		n.operation.Record(ctx, took.Seconds(), set)
		n.sentMessages.Add(ctx, int64(events), set)
	}
}

// links are the spans in whose contexts the changes were made, each once.
func links(events []delivery.Event) (links []trace.Link) {
	known := make(map[string]bool)
	for _, e := range events {
		for _, text := range e.Trace {
			if known[text] || len(links) == maxLinks {
				continue
			}
			known[text] = true
			ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{traceparent: text})
			if of := trace.SpanContextFromContext(ctx); of.IsValid() {
				links = append(links, trace.Link{SpanContext: of})
			}
		}
	}
	return links
}
