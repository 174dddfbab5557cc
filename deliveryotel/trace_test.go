package deliveryotel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryotel"
)

// notifications returns the spans of calls of the notifier.
func (r *rig) notifications() (spans []trace.ReadOnlySpan) {
	for _, s := range r.spans.Ended() {
		if s.Name() == "delivery.notify" {
			spans = append(spans, s)
		}
	}
	return spans
}

// TestAPublishIsLinkedToTheRequestsOfItsChanges has one process take requests and another publish.
func TestAPublishIsLinkedToTheRequestsOfItsChanges(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	here, there := r.tracker(), r.tracker()
	var requests []oteltrace.SpanContext
	request := func(do func(ctx context.Context) error) {
		ctx, span := r.tracers.Tracer("app").Start(t.Context(), "request")
		defer span.End()
		if err := do(ctx); err != nil {
			t.Error(err)
		}
		requests = append(requests, span.SpanContext())
	}
	request(func(ctx context.Context) error {
		_, err := here.Send(ctx, delivery.Draft{ID: "m1", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		return err
	})
	request(func(ctx context.Context) error {
		_, err := here.MarkRead(ctx, delivery.Actor{User: "bob"}, "m1")
		return err
	})
	if err := there.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var linked []oteltrace.SpanContext
	for _, s := range r.notifications() {
		if s.SpanKind() != oteltrace.SpanKindProducer || s.Status().Code != codes.Unset {
			t.Errorf("the span is of kind %v with the status %v", s.SpanKind(), s.Status())
		}
		for _, l := range s.Links() {
			linked = append(linked, l.SpanContext)
		}
	}
	for _, want := range requests {
		if !slices.ContainsFunc(linked, func(l oteltrace.SpanContext) bool {
			return l.TraceID() == want.TraceID() && l.SpanID() == want.SpanID()
		}) {
			t.Errorf("nothing is linked to %v", want.TraceID())
		}
	}
	if len(linked) != len(requests) {
		t.Errorf("%d links of %d requests", len(linked), len(requests))
	}
}

func TestRequestsThatAreNotSampledLeaveNoTrace(t *testing.T) {
	r := newRig(t, false, trace.NeverSample())
	ctx, span := r.tracers.Tracer("app").Start(t.Context(), "request")
	defer span.End()
	if got := deliveryotel.Trace(ctx) + deliveryotel.Trace(t.Context()); got != "" {
		t.Errorf("the trace is %q", got)
	}
}

func TestATraceFitsIntoAnEvent(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	ctx, span := r.tracers.Tracer("app").Start(t.Context(), "request")
	defer span.End()
	if got := deliveryotel.Trace(ctx); got == "" || len(got) > delivery.MaxTrace {
		t.Errorf("the trace is %q", got)
	}
}

func TestTracesThatAreNoneAreNotLinked(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	var events []delivery.Event
	const valid = "00-%032x-00f067aa0ba902b7-01"
	for i := range 200 {
		events = append(events, delivery.Event{Trace: []string{"", "x", "00-x", fmt.Sprintf(valid, i/2+1), fmt.Sprintf(valid, 1)}})
	}
	if err := r.telemetry.Notifier(delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })).Notify(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if links := r.notifications()[0].Links(); len(links) != 100 {
		t.Errorf("%d links, want 100", len(links))
	}
}

func TestASpanHasABoundedNumberOfLinks(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	r.tracers = trace.NewTracerProvider(trace.WithSpanProcessor(r.spans), trace.WithRawSpanLimits(trace.SpanLimits{LinkCountLimit: -1, AttributeCountLimit: -1, AttributeValueLengthLimit: -1}))
	telemetry, err := deliveryotel.New(&deliveryotel.Options{TracerProvider: r.tracers})
	if err != nil {
		t.Fatal(err)
	}
	var events []delivery.Event
	for i := range 300 {
		events = append(events, delivery.Event{Trace: []string{fmt.Sprintf("00-%032x-00f067aa0ba902b7-01", i+1)}})
	}
	if err := telemetry.Notifier(delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })).Notify(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if links := r.notifications()[0].Links(); len(links) != 128 {
		t.Errorf("%d links, want 128", len(links))
	}
}

func TestSpansAreNamedAndHaveNoIDs(t *testing.T) { synctest.Test(t, testSpans) }

func testSpans(t *testing.T) {
	for _, conventions := range []bool{false, true} {
		r := newRig(t, conventions, trace.AlwaysSample())
		r.scenario()
		want := []string{"delivery.events", "delivery.events.refused"}
		if conventions {
			want = append(want, "messaging.batch.message_count", "messaging.operation.type", "messaging.system")
		}
		statuses := make(map[string]bool)
		for _, s := range r.notifications() {
			var keys []string
			for _, kv := range s.Attributes() {
				keys = append(keys, string(kv.Key))
				if strings.Contains(kv.Value.String(), "id-") {
					t.Errorf("an attribute is %s=%s", kv.Key, kv.Value.String())
				}
			}
			if slices.Sort(keys); !slices.Equal(keys, want) {
				t.Errorf("the attributes are %q, want %q", keys, want)
			}
			statuses[s.Status().Description] = true
		}
		for status := range statuses {
			if !slices.Contains([]string{"", "error", "refused"}, status) {
				t.Errorf("a status is %q", status)
			}
		}
		if len(statuses) != 3 {
			t.Errorf("the statuses are %v", statuses)
		}
	}
}

// picky is a notifier with all that the Tracker looks for.
type picky struct{ delivery.NotifierFunc }

func (picky) CheckConversation(string) error { return &delivery.InvalidError{Field: "conversation"} }
func (picky) TakesOwn() bool                 { return true }

func TestWhatANotifierCanDoIsKept(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	type both interface {
		delivery.CheckingNotifier
		delivery.OwnNotifier
	}
	wrapped := r.telemetry.Notifier(picky{}).(both)
	if wrapped.CheckConversation("c") == nil || !wrapped.TakesOwn() {
		t.Error("it refuses no conversation, or takes no events of a user's own")
	}
	plain := r.telemetry.Notifier(delivery.NotifierFunc(nil)).(both)
	if plain.CheckConversation("c") != nil || plain.TakesOwn() {
		t.Error("it refuses a conversation, or takes events of a user's own")
	}
}

func TestACallThatPanicsIsMeasured(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	n := r.telemetry.Notifier(delivery.NotifierFunc(func(context.Context, []delivery.Event) error { panic("id-bob") }))
	func() {
		defer func() {
			if recover() != "id-bob" {
				t.Error("the panic does not go on")
			}
		}()
		_ = n.Notify(t.Context(), []delivery.Event{{}})
	}()
	if spans := r.notifications(); len(spans) != 1 || spans[0].Status().Description != "error" {
		t.Errorf("the spans are %+v", spans)
	}
	if _, labels := r.collect(); !labels["delivery.result=error"] {
		t.Errorf("the labels are %v", labels)
	}
}
