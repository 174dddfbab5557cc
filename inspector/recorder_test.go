package inspector_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

// told is an event that tells of one receipt.
func told(id int64, message, user string) delivery.Event {
	return delivery.Event{ID: id, Kind: delivery.StatusChanged, Conversation: "room", Updates: []delivery.Update{
		{Message: message, Version: id, Receipt: &delivery.Receipt{Recipient: user, Status: delivery.Read}},
	}}
}

func TestRecorder(t *testing.T) {
	ctx := context.Background()

	t.Run("it tells another observer all that it is told, and needs none", func(t *testing.T) {
		next, calls := new(delivery.Observer), 0
		of := reflect.ValueOf(next).Elem()
		for i := range of.NumField() {
			of.Field(i).Set(reflect.MakeFunc(of.Field(i).Type(), func([]reflect.Value) []reflect.Value { calls++; return nil }))
		}
		all := reflect.ValueOf(inspector.NewRecorder().Observer(next)).Elem()
		alone := reflect.ValueOf(inspector.NewRecorder().Observer(nil)).Elem()
		for i := range all.NumField() {
			args := []reflect.Value{reflect.ValueOf(ctx), reflect.Zero(all.Field(i).Type().In(1))}
			all.Field(i).Call(args)
			if !alone.Field(i).IsNil() {
				alone.Field(i).Call(args)
			}
		}
		if calls != all.NumField() {
			t.Errorf("%d of %d functions were called", calls, all.NumField())
		}
	})

	t.Run("it keeps the last 10,000 of each kind, and refused marks beside any number of events", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		o := d.recorder.Observer(nil)
		o.Marked(ctx, delivery.MarkedInfo{Message: "m1", User: "eve", Status: delivery.Read, Err: delivery.ErrNotRecipient})
		notify := func(from, to int64) {
			for id := from; id <= to; id++ {
				o.Notified(ctx, delivery.NotifiedInfo{Events: 1, Batch: []delivery.Event{told(id, fmt.Sprint("of ", id%10_001), "bob")}})
			}
		}
		notify(1, 10_000)
		_, text := d.get("reader", page("of 1"))
		d.want("a full recorder", 200, text, 200, "event 1, version 1")
		notify(10_001, 10_001)
		if _, text := d.get("reader", page("of 1")); strings.Contains(text, "Accepted") {
			t.Errorf("it keeps more:\n%s", text)
		}
		_, text = d.get("reader", page("of 2"))
		d.want("the oldest", 200, text, 200, "event 2, version 2")
		notify(10_002, 25_000)
		_, text = d.get("reader", page(fmt.Sprint("of ", 15_001%10_001)))
		d.want("the oldest, later", 200, text, 200, "event 15001,")
		if _, text := d.get("reader", page(fmt.Sprint("of ", 15_000%10_001))); strings.Contains(text, "event 15000,") {
			t.Errorf("it keeps more later:\n%s", text)
		}
		_, text = d.get("reader", page("m1"))
		d.want("a refused mark", 200, text, 200, "Mark refused", "<code>eve</code>")
	})

	t.Run("what repeats is counted, the newest comes first, and long errors are cut", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		o := d.recorder.Observer(nil)
		for range 3 {
			o.Marked(ctx, delivery.MarkedInfo{Message: "m1", User: "eve", Status: delivery.Read, Err: delivery.ErrNotRecipient})
		}
		o.Marked(ctx, delivery.MarkedInfo{Message: "m1", User: "eve", Status: delivery.Read, Err: fmt.Errorf("%s: %w", strings.Repeat("x", 499)+"ü"+"rest", delivery.ErrForbidden)})
		o.Marked(ctx, delivery.MarkedInfo{Message: "m1", User: "dan", Status: delivery.Read})
		_, text := d.get("reader", page("m1"))
		d.want("the page", 200, text, 200, "3 times</span>", strings.Repeat("x", 499)+"</p>")
		if strings.Contains(text, "dan") || strings.Contains(text, "rest") || strings.Index(text, "xxx") > strings.Index(text, "3 times") {
			t.Errorf("the page is\n%s", text)
		}
	})

	t.Run("it keeps nothing private", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		o := d.recorder.Observer(nil)
		o.Marked(ctx, delivery.MarkedInfo{Message: "m1", User: "eve", Status: delivery.Read, Private: true, Err: delivery.ErrNotRecipient})
		o.Marked(ctx, delivery.MarkedInfo{Message: "m1", User: "dan", Status: delivery.Read, Err: errors.New("connection refused")}) // who may be untracked
		own := delivery.Event{ID: 1, Kind: delivery.OwnChanged, User: "eve", Updates: []delivery.Update{{Message: "m1", Own: &delivery.OwnUpdate{Conversation: "room", Status: delivery.Read}}}}
		o.Notified(ctx, delivery.NotifiedInfo{Events: 1, Batch: []delivery.Event{own}})
		if _, text := d.get("reader", page("m1")); !strings.Contains(text, "Nothing of this message.") {
			t.Errorf("the page is\n%s", text)
		}
	})

	t.Run("failures of the notifier and of the database are those of the process", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		o := d.recorder.Observer(nil)
		o.Wrote(ctx, delivery.WroteInfo{What: delivery.WroteMarks, Items: 5, Err: errors.New("read-only transaction")})
		o.Wrote(ctx, delivery.WroteInfo{What: delivery.WroteSends, Items: 5})
		o.Notified(ctx, delivery.NotifiedInfo{Events: 1, Err: errors.New("401"), Batch: []delivery.Event{told(7, "m1", "bob")}})
		_, text := d.get("reader", "/")
		d.want("the overview", 200, text, 200, "Writing marks failed", "read-only transaction", "Call of the notifier failed", "401")
		if strings.Contains(text, "sends") {
			t.Errorf("a write that went well is a failure:\n%s", text)
		}
		if _, text := d.get("reader", page("m1")); strings.Contains(text, "401") || strings.Contains(text, "event 7") {
			t.Errorf("nobody knows what became of m1:\n%s", text)
		}
	})
}

// A Recorder of 20,000 facts takes at most the memory that the documentation says.
func TestRecorderIsBounded(t *testing.T) {
	for length, most := range map[int]uint64{36: 6 << 20, delivery.MaxID: 20 << 20} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r := inspector.NewRecorder()
		o := r.Observer(nil)
		for i := range int64(25_000) {
			id := fmt.Sprintf("%0*d", length, i)
			var refused error
			err := error(delivery.ErrNotRecipient)
			if length == delivery.MaxID {
				err = fmt.Errorf("%s: %w", id+strings.Repeat("x", 1000), err)
				refused = delivery.Refused(map[int]error{0: delivery.Permanent(err)})
			}
			o.Notified(t.Context(), delivery.NotifiedInfo{Events: 1, Err: refused, Batch: []delivery.Event{told(i, id, id)}})
			o.Marked(t.Context(), delivery.MarkedInfo{Message: id, User: id, Err: err})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		took := after.HeapAlloc - before.HeapAlloc
		runtime.KeepAlive(r)
		t.Logf("ids of %d bytes: %.1f MB", length, float64(took)/(1<<20))
		if took > most {
			t.Errorf("with ids of %d bytes it takes %d bytes", length, took)
		}
	}
}

// A fact keeps the beginning of an error, and nothing of the rest.
func TestRecorderKeepsNoLongErrors(t *testing.T) {
	const facts = 500
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := inspector.NewRecorder()
	o := r.Observer(nil)
	long := func(i int64) error {
		return fmt.Errorf("%d %s: %w", i, strings.Repeat("x", 100<<10), delivery.ErrForbidden)
	}
	for i := range int64(facts) {
		o.Marked(t.Context(), delivery.MarkedInfo{Message: "m1", User: "eve", Err: long(i)})
		refused := delivery.Refused(map[int]error{0: delivery.Permanent(long(i))})
		o.Notified(t.Context(), delivery.NotifiedInfo{Events: 1, Err: refused, Batch: []delivery.Event{told(i, "m1", "bob")}})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	took := after.HeapAlloc - before.HeapAlloc
	runtime.KeepAlive(r)
	t.Logf("%d bytes a fact", took/(2*facts))
	if took > 2*facts*1000 {
		t.Errorf("%d facts take %d bytes", 2*facts, took)
	}
}

func BenchmarkRecorder(b *testing.B) {
	o := inspector.NewRecorder().Observer(nil)
	info := delivery.NotifiedInfo{Events: 10}
	for i := range int64(10) {
		info.Batch = append(info.Batch, told(i, fmt.Sprintf("%036d", i), fmt.Sprintf("%036d", i)))
	}
	for b.Loop() {
		o.Notified(b.Context(), info)
	}
}
