package sseadapter_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/sseadapter"
)

func TestAClientThatConnectsAgainHearsWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		w.send("c1", "m1")
		w.flush()
		tape := w.open("bob", "conversation=c1&conversation=c2", "")
		_, id, _ := w.greeted(tape)
		tape.leave()
		<-tape.ended
		for i := range 700 { // two pages
			w.send("c1", fmt.Sprint("n", i))
		}
		w.send("c2", "m2")
		w.read("carol", "", "m1")
		w.flush()
		for _, way := range []string{"Last-Event-ID", "since"} {
			query, header := "conversation=c1&conversation=c2", id
			if way == "since" {
				query, header = query+"&since="+id, ""
			}
			tape = w.open("bob", query, header)
			h, _, events := w.greeted(tape)
			if h.Versions["c1"] != 1 {
				t.Errorf("%s: hello is %+v", way, h)
			}
			told := make(map[string]string)
			for _, e := range events {
				p := payload(t, e)
				for _, u := range p.Expand() {
					told[u.Message] = fmt.Sprint(e.name, " ", u.Status, " ", u.Read, " ", u.Body)
				}
			}
			if len(told) != 702 || told["m1"] != "status delivered 1 " && told["m1"] != "status sent 1 " || told["n5"] != "message sent 0 body of n5" || told["m2"] != "message sent 0 body of m2" {
				t.Errorf("%s: it told of %d messages: %q, %q, %q", way, len(told), told["m1"], told["n5"], told["m2"])
			}
			if last := events[len(events)-1].id; last != w.position("c1", "c2") {
				t.Errorf("%s: the last id is %s, want %s", way, last, w.position("c1", "c2"))
			}
		}
		if again := w.open("bob", "conversation=c1&conversation=c2", w.position("c1", "c2")); true {
			if _, _, events := w.greeted(again); len(events) != 0 {
				t.Errorf("a client that missed nothing heard %v", events)
			}
		}
	})
}

// position returns the id of a client that knows all there is.
func (w *world) position(conversations ...string) string {
	w.Helper()
	var id string
	for _, c := range conversations {
		page, err := w.tracker.Messages(w.Context(), delivery.Query{Conversation: c, Before: delivery.Latest, Limit: 1})
		if err != nil {
			w.Fatal(err)
		}
		if id == "" {
			id = fmt.Sprint(page.Epoch)
		}
		id += fmt.Sprint(".", page.Version)
	}
	return id
}

func TestWithoutAVersionAConversationBeginsWhereItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		w.send("c1", "m1")
		w.send("c2", "m2")
		w.flush()
		epoch, _, _ := strings.Cut(w.position("c1"), ".")
		tape := w.open("bob", "conversation=c1&conversation=c2", epoch+"..0")
		if h, _, events := w.greeted(tape); h.Versions["c1"] != 1 || h.Versions["c2"] != 0 || names(t, events) != "message m2" {
			t.Errorf("hello is %+v, and then came %s", h, names(t, events))
		}
	})
}

func TestAMalformedIDCountsAsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		w.send("c1", "m1")
		w.send("c1", "m2")
		w.flush()
		good := w.position("c1")
		epoch, _, _ := strings.Cut(good, ".")
		for _, id := range []string{
			"", "x", "1", ".", "..", "1.2.3", epoch, epoch + ".1.1", epoch + ".-1", epoch + ".+1", epoch + ".01", epoch + ". 1", epoch + ".1 ", epoch + ".0x1",
			epoch + ".9223372036854775808", epoch + ".1e1", "-." + "1", "٣.1", strings.Repeat("9", 10_000),
		} {
			tape := w.open("bob", "conversation=c1", id)
			if h, _, events := w.greeted(tape); h.Versions["c1"] != 2 || len(events) != 0 {
				t.Errorf("%.50q: hello is %+v, and then came %s", id, h, names(t, events))
			}
			tape.leave()
			<-tape.ended
		}
		tape := w.open("bob", "conversation=c1&since="+epoch+".1", "malformed")
		if h, _, events := w.greeted(tape); h.Versions["c1"] != 1 || names(t, events) != "message m2" {
			t.Errorf("after a malformed header the query counts: hello is %+v, and then came %s", h, names(t, events))
		}
	})
}

func TestAClientThatTheStoreCannotBringUpToDateStartsOver(t *testing.T) {
	for _, test := range []struct{ name, id, want string }{
		{"it is ahead of the store", "EPOCH.5.1", "reset c1 1"},
		{"the store was restored", "12345.1.1", "reset c1 1 reset c2 1"},
		{"the store was restored, and the client knows of one conversation only", "12345.1.", "reset c1 1 reset c2 1"},
		{"the store was restored, and the client knows of nothing", "12345.0.0", "reset c1 1 reset c2 1"},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil, nil, nil)
			w.send("c1", "m1")
			w.send("c2", "m2")
			w.flush()
			epoch, _, _ := strings.Cut(w.position("c1"), ".")
			tape := w.open("bob", "conversation=c1&conversation=c2", strings.ReplaceAll(test.id, "EPOCH", epoch))
			_, _, events := w.greeted(tape)
			var got []string
			for _, e := range events {
				var r struct {
					Conversation string
					Version      int64
					Epoch        string
				}
				if err := json.Unmarshal([]byte(e.data), &r); err != nil || r.Epoch != epoch {
					t.Errorf("%s: %v, %s", test.name, err, e.data)
				}
				got = append(got, fmt.Sprint(e.name, " ", r.Conversation, " ", r.Version))
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("%s: it told %v", test.name, got)
			}
			if n := len(events); n > 0 && events[n-1].id != w.position("c1", "c2") {
				t.Errorf("%s: the last id is %s", test.name, events[n-1].id)
			}
			w.send("c1", fmt.Sprint("after ", test.name))
			w.flush()
			if got := names(t, tape.next()); got != "message after "+test.name {
				t.Errorf("%s: later it told %s", test.name, got)
			}
		})
	}
}

// restorable is a source whose epoch can be changed, and that may fail in one conversation.
type restorable struct {
	*delivery.Tracker
	epoch atomic.Int64 // 0 is the store's
	fails atomic.Pointer[string]
}

func (r *restorable) Messages(ctx context.Context, q delivery.Query) (delivery.Page, error) {
	if c := r.fails.Load(); c != nil && *c == q.Conversation {
		return delivery.Page{}, delivery.ErrUnavailable
	}
	page, err := r.Tracker.Messages(ctx, q)
	page.Epoch = cmp.Or(r.epoch.Load(), page.Epoch)
	return page, err
}

func (r *restorable) ChangesFor(ctx context.Context, actor delivery.Actor, conversation string, since delivery.Cursor, limit int) (delivery.Page, error) {
	if epoch := r.epoch.Load(); epoch != 0 && since.Epoch != epoch {
		return delivery.Page{Cursor: delivery.Cursor{Epoch: epoch}, Reset: true}, nil
	} else if epoch != 0 {
		now, err := r.Tracker.Messages(ctx, delivery.Query{Conversation: conversation, Before: delivery.Latest, Limit: 1})
		if err != nil {
			return delivery.Page{}, err
		}
		since.Epoch = now.Epoch
	}
	page, err := r.Tracker.ChangesFor(ctx, actor, conversation, since, limit)
	page.Epoch = cmp.Or(r.epoch.Load(), page.Epoch)
	return page, err
}

func TestOpenStreamsNoticeThatTheStoreWasRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := new(restorable)
		w := newWorld(t, nil, source, nil)
		source.Tracker = w.tracker
		w.send("c1", "m1")
		w.flush()
		tape := w.open("bob", "conversation=c1&conversation=c2", "")
		w.greeted(tape)
		source.epoch.Store(777)
		time.Sleep(sseadapter.DefaultHeartbeat + time.Second)
		synctest.Wait()
		var got []string
		for _, e := range tape.next() {
			if e.name != "ping" {
				got = append(got, e.name)
			}
		}
		if fmt.Sprint(got) != "[reset reset hello]" {
			t.Errorf("within a heartbeat it told %v", got)
		}
		late := w.open("carol", "conversation=c1", "")
		w.greeted(late)
		time.Sleep(10 * sseadapter.DefaultHeartbeat)
		synctest.Wait()
		for _, e := range append(tape.next(), late.next()...) {
			if e.name != "ping" {
				t.Errorf("later it told %+v", e)
			}
		}
	})
}

func TestAStartOverThatIsInterruptedBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := new(restorable)
		w := newWorld(t, nil, source, nil)
		source.Tracker = w.tracker
		for _, id := range []string{"m1", "m2"} {
			w.send("c1", id)
			w.send("c2", "other "+id)
		}
		w.flush()
		id := w.position("c1", "c2")
		source.epoch.Store(777)
		failing := "c2"
		source.fails.Store(&failing)
		tape := w.open("bob", "conversation=c1&conversation=c2", id)
		_, id, events := w.greeted(tape)
		for _, e := range events {
			id = e.id
		}
		if got := names(t, events); got != "reset" || !tape.hasEnded() {
			t.Fatalf("it told %s, and has ended: %t", got, tape.hasEnded())
		}
		source.fails.Store(nil)
		_, _, events = w.greeted(w.open("bob", "conversation=c1&conversation=c2", id))
		if got := names(t, events); got != "reset reset" {
			t.Errorf("to a client that comes back it told %s", got)
		}
	})
}

func TestManyStreamsThatCatchUpWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, source := new(lossy), new(leisurely)
		w := newWorld(t, bus, source, nil)
		source.Tracker = w.tracker
		var tapes []*tape
		for i := range 200 {
			tapes = append(tapes, w.open(fmt.Sprint("user ", i), "conversation=c1", ""))
		}
		bus.cut()
		time.Sleep(20 * time.Second)
		synctest.Wait()
		for i, tape := range tapes {
			if tape.hasEnded() {
				t.Fatalf("stream %d has ended", i)
			}
		}
		began := time.Now()
		w.stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("Run returned after %v", took)
		}
	})
}

// leisurely is a source that takes a second for the changes.
type leisurely struct{ *delivery.Tracker }

func (l leisurely) ChangesFor(ctx context.Context, actor delivery.Actor, conversation string, since delivery.Cursor, limit int) (delivery.Page, error) {
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
		return delivery.Page{}, ctx.Err()
	}
	return l.Tracker.ChangesFor(ctx, actor, conversation, since, limit)
}

func TestAClientThatMissedTooMuchStartsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		epoch, _, _ := strings.Cut(w.position("c1"), ".")
		for i := range 5001 {
			w.send("c1", fmt.Sprint("m", i))
		}
		_, _, events := w.greeted(w.open("bob", "conversation=c1", epoch+".1"))
		messages := 0
		for _, e := range events {
			if e.name != "message" {
				t.Errorf("5,000 changes: it told %+v", e)
			}
			messages += len(payload(t, e).Updates)
		}
		if messages != 5000 {
			t.Errorf("5,000 changes: it told %d messages", messages)
		}
		_, _, events = w.greeted(w.open("bob", "conversation=c1", epoch+".0"))
		if last := events[len(events)-1]; last.name != "reset" || last.id != w.position("c1") {
			t.Errorf("5,001 changes: the last event is %+v", last)
		}
	})
}

func TestAnEventThatNeverComesIsCaughtUpWith(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(lossy)
		w := newWorld(t, bus, nil, nil)
		tape := w.open("bob", "conversation=c1", "")
		w.greeted(tape)
		bus.lose(func(e delivery.Event) bool { return e.From == 2 })
		for i := range 4 {
			w.send("c1", fmt.Sprint("m", i+1))
		}
		w.flush()
		events := tape.next()
		if got := names(t, events); got != "message m1 message m3 message m4" {
			t.Errorf("at once it told %s", got)
		}
		if id := events[2].id; !strings.HasSuffix(id, ".1") {
			t.Errorf("the id is %s, although version 2 is missing", id)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		events = tape.next()
		if got := names(t, events); got != "message m2 m3 m4" || events[0].id != w.position("c1") {
			t.Errorf("after 1 s it told %s, with the id %s", got, events[0].id)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := names(t, tape.next()); got != "" {
			t.Errorf("later it told %s", got)
		}
	})
}

func TestAnEventThatWasOvertakenNeedsNoCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(lossy)
		w := newWorld(t, bus, nil, nil)
		tape := w.open("bob", "conversation=c1", "")
		w.greeted(tape)
		var kept []delivery.Event
		bus.lose(func(e delivery.Event) bool {
			kept = append(kept, e)
			return true
		})
		for i := range 5 {
			w.send("c1", fmt.Sprint("m", i+1))
		}
		w.flush()
		bus.lose(nil)
		for _, i := range []int{3, 1, 1, 4, 0, 2, 0} {
			if err := bus.Publish(t.Context(), kept[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		events := tape.next()
		if got := names(t, events); got != "message m4 message m2 message m2 message m5 message m1 message m3" {
			t.Errorf("it told %s", got)
		}
		if id := events[len(events)-1].id; id != w.position("c1") {
			t.Errorf("the last id is %s", id)
		}
	})
}

func TestStreamsCatchUpWhenTheBusIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := new(lossy)
		w := newWorld(t, bus, nil, nil)
		tape := w.open("bob", "conversation=c1&conversation=c2", "")
		w.greeted(tape)
		bus.broken.Store(true)
		bus.cut()
		w.send("c1", "m1")
		w.send("c2", "m2")
		w.flush()
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, e := range tape.next() {
			if e.name != "ping" {
				t.Errorf("without a bus it told %+v", e)
			}
		}
		bus.broken.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := names(t, tape.next()); got != "message m1 message m2 hello" {
			t.Errorf("with the bus it told %s", got)
		}
		bus.lose(func(delivery.Event) bool { return true })
		w.send("c1", "m3")
		w.flush()
		bus.cut()
		time.Sleep(500 * time.Millisecond)
		synctest.Wait()
		if got := names(t, tape.next()); got != "message m3 hello" {
			t.Errorf("half a second after a short loss it told %s", got)
		}
	})
}

// counting is a source that counts what is read of it, and may be behind.
type counting struct {
	*delivery.Tracker
	reads  atomic.Int64
	behind atomic.Pointer[delivery.Page] // the answer, if it is set
}

func (c *counting) ChangesFor(ctx context.Context, actor delivery.Actor, conversation string, since delivery.Cursor, limit int) (delivery.Page, error) {
	c.reads.Add(1)
	if page := c.behind.Load(); page != nil {
		page := *page
		page.Epoch = since.Epoch
		return page, nil
	}
	return c.Tracker.ChangesFor(ctx, actor, conversation, since, limit)
}

func TestASourceThatIsBehindIsAskedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, source := new(lossy), new(counting)
		w := newWorld(t, bus, source, nil)
		source.Tracker = w.tracker
		w.greeted(w.open("bob", "conversation=c1", ""))
		source.behind.Store(new(delivery.Page))
		bus.lose(func(e delivery.Event) bool { return e.From == 1 })
		w.send("c1", "m1")
		w.send("c1", "m2")
		w.flush()
		time.Sleep(10*time.Second + 500*time.Millisecond)
		synctest.Wait()
		if got := source.reads.Load(); got != 10 {
			t.Errorf("it was read %d times in 10 s", got)
		}
	})
}

func TestVersionsOfWhichNothingIsLeftAreToldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := new(counting)
		w := newWorld(t, nil, source, nil)
		source.Tracker = w.tracker
		w.send("c1", "m1")
		w.flush()
		source.behind.Store(&delivery.Page{Cursor: delivery.Cursor{Version: 9}})
		tape := w.open("bob", "conversation=c1", w.position("c1"))
		w.greeted(tape)
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, e := range tape.next() {
			if e.name != "ping" || !strings.HasSuffix(e.id, ".9") {
				t.Errorf("it told %+v", e)
			}
		}
	})
}

func TestAStreamThatCannotCatchUpEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, away := new(lossy), new(unreliable)
		w := newWorld(t, bus, away, nil)
		away.Tracker = w.tracker
		tape := w.open("bob", "conversation=c1", "")
		w.greeted(tape)
		away.away.Store(true)
		bus.cut()
		time.Sleep(time.Second)
		synctest.Wait()
		if !tape.hasEnded() {
			t.Error("it goes on")
		}
		if late := w.open("bob", "conversation=c1", ""); !late.hasEnded() || late.Code != 200 || len(late.next()) != 0 || !strings.HasPrefix(late.Body.String(), "retry: ") {
			t.Errorf("a stream without a store: status %d, %s", late.Code, late.Body)
		}
	})
}

// unreliable is a source that may be away.
type unreliable struct {
	*delivery.Tracker
	away atomic.Bool
}

func (u *unreliable) Messages(ctx context.Context, q delivery.Query) (delivery.Page, error) {
	if u.away.Load() {
		return delivery.Page{}, delivery.ErrUnavailable
	}
	return u.Tracker.Messages(ctx, q)
}

func (u *unreliable) ChangesFor(ctx context.Context, actor delivery.Actor, conversation string, since delivery.Cursor, limit int) (delivery.Page, error) {
	if u.away.Load() {
		return delivery.Page{}, delivery.ErrUnavailable
	}
	return u.Tracker.ChangesFor(ctx, actor, conversation, since, limit)
}

func TestAClientThatConnectsAgainHearsWhatItsUsersOtherDevicesMarkedAndOfNoOtherUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		w.send("c1", "m1")
		w.flush()
		id := w.position("c1")
		w.send("c1", "m2")
		for _, message := range []string{"m1", "m2"} {
			w.read("bob", "", message)
		}
		w.flush()
		for user, want := range map[string]delivery.Status{"bob": delivery.Read, "carol": delivery.Sent, "alice": 0} {
			told := make(map[string]delivery.Status)
			_, _, events := w.greeted(w.open(user, "conversation=c1", id))
			for _, e := range events {
				for _, u := range payload(t, e).Expand() {
					told[u.Message] = 0
					if r := u.Receipt; r != nil && r.Recipient != user {
						t.Errorf("%s heard of the receipt %+v", user, r)
					} else if r != nil {
						told[u.Message] = r.Status
					}
				}
			}
			if len(told) != 2 || told["m1"] != want || told["m2"] != want {
				t.Errorf("%s heard %v, want %v for both", user, told, want)
			}
		}
	})
}
