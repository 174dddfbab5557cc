package delivery_test

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

type traceKey struct{}

// traced is a ctx with a trace.
func traced(ctx context.Context, trace string) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// newTraced returns a tracker that takes traces from the ctx of calls.
func newTraced(t *testing.T) (*delivery.Tracker, *deliverytest.Recorder) {
	t.Helper()
	recorder := new(deliverytest.Recorder)
	tracker, err := delivery.New(memstore.New(), recorder, &delivery.Options{OpenConversations: true, Trace: func(ctx context.Context) string {
		trace, _ := ctx.Value(traceKey{}).(string)
		return trace
	}})
	if err != nil {
		t.Fatal(err)
	}
	return tracker, recorder
}

func TestAnEventHasTheTraceOfTheCallThatMadeItsChange(t *testing.T) {
	ctx := t.Context()
	tracker, recorder := newTraced(t)
	bob := delivery.Actor{User: "bob"}
	_, send := tracker.Send(traced(ctx, "send"), delivery.Draft{ID: "m1", Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
	_, mark := tracker.MarkDelivered(traced(ctx, "mark"), bob, "m1")
	_, upTo := tracker.MarkUpTo(traced(ctx, "up to"), bob, delivery.Read, delivery.MessageRef{Conversation: "c1", ID: "m1"})
	_, gone := tracker.Delete(traced(ctx, "delete"), bob, "m1")
	if err := cmp.Or(send, mark, upTo, gone, tracker.Flush(ctx)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range recorder.Events() {
		got = append(got, strings.Join(e.Trace, ","))
	}
	if want := []string{"send", "mark", "up to", "delete"}; !reflect.DeepEqual(got, want) {
		t.Errorf("the traces are %q, want %q", got, want)
	}
}

func TestATraceThatIsTooLongOrNoTextIsDropped(t *testing.T) {
	tracker, recorder := newTraced(t)
	fits := strings.Repeat("x", delivery.MaxTrace)
	for i, trace := range []string{fits, fits + "x", "\xff", "a\x00b", ""} {
		draft := delivery.Draft{ID: fmt.Sprint("m", i), Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Open: true}}
		if _, err := tracker.Send(traced(t.Context(), trace), draft); err != nil {
			t.Errorf("%q: %v", trace, err)
		}
	}
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, e := range recorder.Events() {
		if i == 0 && !reflect.DeepEqual(e.Trace, []string{fits}) || i > 0 && e.Trace != nil {
			t.Errorf("event %d has the traces %q", i, e.Trace)
		}
	}
}

func TestAnEventKeepsTheFirstTracesInOrder(t *testing.T) {
	var e delivery.Event
	for i := range 3 * delivery.MaxTraces {
		e.AddTrace(fmt.Sprintf("t%03d", (i*7)%(3*delivery.MaxTraces)))
		e.AddTrace("")
		e.AddTrace("t007")
	}
	var want []string
	for i := range delivery.MaxTraces {
		want = append(want, fmt.Sprintf("t%03d", i))
	}
	if !reflect.DeepEqual(e.Trace, want) {
		t.Errorf("got %q", e.Trace)
	}
}
