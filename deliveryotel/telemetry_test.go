package deliveryotel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	client "github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryotel"
	"github.com/msgdelivery/delivery/memstore"
)

// rig is an app whose telemetry a test reads.
type rig struct {
	*testing.T
	telemetry *deliveryotel.Telemetry
	reader    *metric.ManualReader
	registry  *client.Registry // of Prometheus
	spans     *tracetest.SpanRecorder
	tracers   *trace.TracerProvider
	store     *memstore.Store
	notify    func(context.Context, []delivery.Event) error // nil accepts all
}

func newRig(t *testing.T, conventions bool, sampler trace.Sampler) *rig {
	t.Helper()
	r := &rig{T: t, reader: metric.NewManualReader(), spans: tracetest.NewSpanRecorder(), store: memstore.New(), registry: client.NewRegistry()}
	r.tracers = trace.NewTracerProvider(trace.WithSpanProcessor(r.spans), trace.WithSampler(sampler))
	exporter, err := prometheus.New(prometheus.WithRegisterer(r.registry))
	if err != nil {
		t.Fatal(err)
	}
	r.telemetry, err = deliveryotel.New(&deliveryotel.Options{
		MeterProvider: metric.NewMeterProvider(metric.WithReader(r.reader), metric.WithReader(exporter)), TracerProvider: r.tracers, MessagingConventions: conventions,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tracker returns a tracker of one process.
func (r *rig) tracker() *delivery.Tracker {
	r.Helper()
	tracker, err := delivery.New(r.store, r.telemetry.Notifier(delivery.NotifierFunc(func(ctx context.Context, events []delivery.Event) error {
		if r.notify == nil {
			return nil
		}
		return r.notify(ctx, events)
	})), &delivery.Options{
		Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return user != "id-mallory", nil
		},
		Observer: r.telemetry.Observer(), Trace: deliveryotel.Trace, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.Fatal(err)
	}
	return tracker
}

// scenario makes everything happen that is measured. It takes some minutes of the test's bubble.
func (r *rig) scenario() {
	r.Helper()
	ctx := r.Context()
	tracker := r.tracker()
	if _, err := r.telemetry.Watch(tracker); err != nil {
		r.Fatal(err)
	}
	send := func(id, body string, audience delivery.Audience) {
		_, _ = tracker.Send(ctx, delivery.Draft{ID: "id-" + id, Conversation: "id-c", Sender: "id-alice", Body: body, Audience: audience})
	}
	bob := delivery.Audience{Recipients: []string{"id-bob"}}
	send("m1", "", bob)
	send("m1", "other", bob)
	send("m2", "", bob)
	send("m3", "", delivery.Audience{Open: true})
	send("m4", "", bob)
	for _, user := range []string{"id-alice", "id-carol", "id-bob", "id-mallory"} {
		_, _ = tracker.Mark(ctx, delivery.Actor{User: user}, delivery.Delivered, "id-m1", "id-m3", "id-nothing")
	}
	_, _ = tracker.MarkRead(ctx, delivery.Actor{User: "id-bob"}, "id-m1")
	_, _ = tracker.MarkUpTo(ctx, delivery.Actor{User: "id-bob"}, delivery.Read, delivery.MessageRef{Conversation: "id-c", ID: "id-m4"})
	for _, user := range []string{"id-bob", "id-carol"} {
		_ = tracker.Fail(ctx, delivery.Failure{Message: "id-m4", Recipient: user, Code: "id-code"})
	}
	_, _ = tracker.Delete(ctx, delivery.Actor{User: "id-alice"}, "id-m4", "id-nothing")
	send("m4", "", bob)
	r.notify = func(context.Context, []delivery.Event) error { return errors.New("the endpoint of id-bob failed") }
	for range 10 {
		_ = tracker.Flush(ctx)
		time.Sleep(time.Minute)
	}
	r.notify = func(_ context.Context, events []delivery.Event) error {
		return delivery.Refused(map[int]error{0: delivery.Permanent(errors.New("id-c is too long"))})
	}
	_ = tracker.Flush(ctx)
	time.Sleep(time.Minute)
	r.notify = nil
	r.telemetry.Observer().LeaseLost(ctx, delivery.LeaseLostInfo{Events: 1})
	send("m5", "", bob)
	if err := tracker.Flush(ctx); err != nil {
		r.Fatal(err)
	}
}

// collect returns each metric as a line: name, kind, unit and the keys of its labels.
func (r *rig) collect() (lines []string, labels map[string]bool) {
	r.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(r.Context(), &all); err != nil {
		r.Fatal(err)
	}
	labels = make(map[string]bool)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			kind, sets := points(m.Data)
			keys := make(map[string]bool)
			for _, set := range sets {
				for _, kv := range set.ToSlice() {
					keys[string(kv.Key)] = true
					labels[string(kv.Key)+"="+kv.Value.String()] = true
				}
			}
			if m.Description == "" {
				r.Errorf("%s has no description", m.Name)
			}
			lines = append(lines, fmt.Sprint(m.Name, " ", kind, " ", m.Unit, " ", strings.Join(slices.Sorted(maps.Keys(keys)), ",")))
		}
	}
	slices.Sort(lines)
	return lines, labels
}

func points(data metricdata.Aggregation) (kind string, sets []attribute.Set) {
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		kind = "up-down counter"
		if d.IsMonotonic {
			kind = "counter"
		}
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Gauge[int64]:
		kind = "gauge"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Gauge[float64]:
		kind = "gauge"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[int64]:
		kind = "histogram"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[float64]:
		kind = "histogram"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	default:
		kind = fmt.Sprintf("%T", data)
	}
	return kind, sets
}

// pinned are the metrics that dashboards and alerts of users rest on.
var pinned = []string{
	"delivery.batch.duration histogram s delivery.batch,delivery.result",
	"delivery.batch.size histogram {item} delivery.batch,delivery.result",
	"delivery.breaker.changes counter {change} delivery.breaker",
	"delivery.breaker.state gauge {state} delivery.breaker",
	"delivery.dead_letters counter {event} ",
	"delivery.deletions counter {message} delivery.in_tx,delivery.result",
	"delivery.failures counter {receipt} delivery.result",
	"delivery.leases.lost counter {event} ",
	"delivery.marks counter {mark} delivery.in_tx,delivery.result,delivery.status,delivery.up_to",
	"delivery.notify.calls up-down counter {call} ",
	"delivery.notify.duration histogram s delivery.result",
	"delivery.notify.events counter {event} delivery.result",
	"delivery.outbox.age gauge s ",
	"delivery.outbox.ahead gauge s ",
	"delivery.outbox.dead gauge {event} ",
	"delivery.outbox.waiting gauge {event} ",
	"delivery.receipts counter {receipt} delivery.in_tx,delivery.status",
	"delivery.relay.running gauge {relay} ",
	"delivery.sends counter {message} delivery.in_tx,delivery.result",
	"delivery.time_to_delivered histogram s delivery.in_tx",
	"delivery.time_to_read histogram s delivery.in_tx",
}

// pinnedConventions are those that the conventions add.
var pinnedConventions = []string{
	"messaging.client.operation.duration histogram s messaging.operation.name,messaging.system",
	"messaging.client.sent.messages counter {message} messaging.operation.name,messaging.system",
}

func TestEveryNameUnitAndLabelIsPinned(t *testing.T) { synctest.Test(t, testNames) }

func testNames(t *testing.T) {
	for _, conventions := range []bool{false, true} {
		r := newRig(t, conventions, trace.AlwaysSample())
		r.scenario()
		want := pinned
		if conventions {
			want = slices.Concat(pinned, pinnedConventions)
		}
		got, labels := r.collect()
		if !slices.Equal(got, want) {
			t.Errorf("the metrics are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, label := range []string{
			"ok", "own_message", "not_recipient", "forbidden", "not_found", "conflict", "gone", "error", "refused",
		} {
			if !labels["delivery.result="+label] {
				t.Errorf("nothing has the result %s", label)
			}
		}
		for label := range labels {
			if strings.Contains(label, "id-") {
				t.Errorf("a label is %s", label)
			}
		}
	}
}

func TestErrorsHaveClasses(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	o := r.telemetry.Observer()
	for _, err := range []error{
		fmt.Errorf("sending: %w: %w", delivery.ErrOutcomeUnknown, context.Canceled), delivery.ErrTxConflict, fmt.Errorf("%w: x", delivery.ErrUnavailable),
		context.Canceled, context.DeadlineExceeded, &delivery.InvalidError{Field: "id-field"}, errors.New("id-something"),
	} {
		o.Sent(t.Context(), delivery.SentInfo{Err: err})
	}
	_, labels := r.collect()
	want := []string{"canceled", "error", "invalid", "outcome_unknown", "tx_conflict", "unavailable"}
	var got []string
	for label := range labels {
		if class, ok := strings.CutPrefix(label, "delivery.result="); ok {
			got = append(got, class)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the classes are %q, want %q", got, want)
	}
}
