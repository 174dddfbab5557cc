package deliveryotel_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"runtime"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/msgdelivery/delivery"
)

func TestTimesAreOfTheStepThatReachedTheStatus(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	tracker := r.tracker()
	_, err := tracker.Send(t.Context(), delivery.Draft{ID: "m1", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "cem", "dan", "eve"}}})
	bob, cem := delivery.Actor{User: "bob"}, delivery.Actor{User: "cem"}
	_, err1 := tracker.MarkDelivered(t.Context(), bob, "m1")
	_, err2 := tracker.MarkDelivered(t.Context(), bob, "m1")
	_, err3 := tracker.MarkRead(t.Context(), bob, "m1")
	_, err4 := tracker.MarkRead(t.Context(), cem, "m1") // both at once
	_, err5 := tracker.MarkRead(t.Context(), delivery.Actor{User: "dan", Hide: delivery.HideRead}, "m1")
	_, err6 := tracker.MarkRead(t.Context(), delivery.Actor{User: "eve", Hide: delivery.HideAll}, "m1")
	if err := cmp.Or(err, err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint64{"delivery.time_to_delivered": 2, "delivery.time_to_read": 2} {
		h, ok := r.find(name).(metricdata.Histogram[float64])
		if !ok || len(h.DataPoints) != 1 || h.DataPoints[0].Count != want {
			t.Errorf("%s is %+v, want %d", name, h, want)
		}
	}
	receipts, ok := r.find("delivery.receipts").(metricdata.Sum[int64])
	if !ok || len(receipts.DataPoints) != 2 || receipts.DataPoints[0].Value+receipts.DataPoints[1].Value != 3 {
		t.Errorf("the receipts are %+v", receipts)
	}
}

// find returns the data of a metric.
func (r *rig) find(name string) metricdata.Aggregation {
	r.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(r.Context(), &all); err != nil {
		r.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == name {
				return m.Data
			}
		}
	}
	return nil
}

func TestTheOutboxAndTheBreakerAreRead(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	tracker := r.tracker()
	stop, err := r.telemetry.Watch(tracker)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := tracker.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
	}
	value := func(name string) int64 {
		g, ok := r.find(name).(metricdata.Gauge[int64])
		if !ok || len(g.DataPoints) == 0 {
			return -1
		}
		return g.DataPoints[0].Value
	}
	if n := value("delivery.outbox.waiting"); n != 3 {
		t.Errorf("%d events wait, want 3", n)
	}
	state, ok := r.find("delivery.breaker.state").(metricdata.Gauge[int64])
	if !ok || len(state.DataPoints) != 3 {
		t.Fatalf("the breaker is %+v", state)
	}
	for _, p := range state.DataPoints {
		label, _ := p.Attributes.Value("delivery.breaker")
		if is := label.AsString() == "closed"; is != (p.Value == 1) {
			t.Errorf("the breaker's state %s is %d", label.AsString(), p.Value)
		}
	}
	if n := value("delivery.relay.running"); n != 0 {
		t.Errorf("the relay is %d before Run", n)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- tracker.Run(ctx) }()
	for value("delivery.relay.running") != 1 {
		runtime.Gosched() // a relay that is not seen ends the test by its time
	}
	if end(); <-ended != nil {
		t.Error("Run failed")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := value("delivery.outbox.waiting"); n != -1 {
		t.Errorf("after its end %d events wait", n)
	}
}

// sums returns the values of a counter, by the result.
func (r *rig) sums(name string) map[string]int64 {
	r.Helper()
	sums := make(map[string]int64)
	if data, ok := r.find(name).(metricdata.Sum[int64]); ok {
		for _, p := range data.DataPoints {
			result, _ := p.Attributes.Value("delivery.result")
			sums[result.AsString()] = p.Value
		}
	}
	return sums
}

func TestACallIsCountedWhileItIsUnderWay(t *testing.T) {
	r := newRig(t, false, trace.AlwaysSample())
	during := int64(-1)
	n := r.telemetry.Notifier(delivery.NotifierFunc(func(context.Context, []delivery.Event) error {
		during = r.sums("delivery.notify.calls")[""]
		return nil
	}))
	if err := n.Notify(t.Context(), make([]delivery.Event, 3)); err != nil {
		t.Fatal(err)
	}
	if after := r.sums("delivery.notify.calls")[""]; during != 1 || after != 0 {
		t.Errorf("%d calls during the call, %d after it", during, after)
	}
}

func TestEventsAreCountedByWhatBecameOfThem(t *testing.T) {
	for err, want := range map[error]map[string]int64{
		nil:                     {"ok": 5},
		errors.New("it failed"): {"error": 5},
		delivery.ErrUnavailable: {"error": 5},
		context.Canceled:        {"canceled": 5},
		delivery.Refused(map[int]error{1: errors.New("a"), 3: errors.New("b")}): {"ok": 3, "refused": 2},
	} {
		r := newRig(t, false, trace.AlwaysSample())
		_ = r.telemetry.Notifier(delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return err })).Notify(t.Context(), make([]delivery.Event, 5))
		if got := r.sums("delivery.notify.events"); !maps.Equal(got, want) {
			t.Errorf("%v: the events are %v, want %v", err, got, want)
		}
	}
}
