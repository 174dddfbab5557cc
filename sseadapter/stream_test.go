package sseadapter_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/sseadapter"
)

func TestAStreamTellsItsConversationsAndNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		w.send("c1", "m1")
		w.flush()
		tape := w.open("bob", "conversation=c1&conversation=c2", "")
		h, _, rest := w.greeted(tape)
		if h.Versions["c1"] != 1 || h.Versions["c2"] != 0 || len(h.Versions) != 2 || len(rest) != 0 {
			t.Errorf("hello is %+v, and then came %v", h, rest)
		}
		w.read("carol", "", "m1")
		w.send("c2", "m2")
		w.send("c3", "m3")
		w.flush()
		if got := names(t, tape.next()); got != "status m1 message m2" {
			t.Errorf("it told %s", got)
		}
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"} {
			if got := tape.Header().Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
}

func TestTheSocketThatMadeAChangeIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		w.send("c1", "m1")
		w.send("c1", "m2")
		w.flush()
		mine, other := w.open("bob", "conversation=c1", ""), w.open("bob", "conversation=c1", "")
		me, _, _ := w.greeted(mine)
		it, _, _ := w.greeted(other)
		if me.Socket == it.Socket || len(me.Socket) < 20 || len(me.Socket) > delivery.MaxID {
			t.Errorf("the sockets are %q and %q", me.Socket, it.Socket)
		}
		w.read("bob", me.Socket, "m1")
		w.flush()
		w.read("carol", "123.456", "m2")
		w.flush()
		if got := names(t, mine.next()); got != "status m2" {
			t.Errorf("the socket heard %s", got)
		}
		if got := names(t, other.next()); got != "status m1 status m2" {
			t.Errorf("the other socket heard %s", got)
		}
		// The stream was not told of its own change, which counts as told: its client knows by the
		// answer.
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, e := range mine.next() {
			if e.name != "ping" || !strings.HasSuffix(e.id, ".4") {
				t.Errorf("later it heard %+v", e)
			}
		}
		for _, tape := range []*tape{mine, other} {
			if all := tape.Body.String(); strings.Contains(all, "123.456") || strings.Count(all, me.Socket)+strings.Count(all, it.Socket) != 1 {
				t.Errorf("a stream tells a socket that is not its own:\n%s", all)
			}
		}
	})
}

func TestOnlyTheIDOfTheLastPartSaysThatAnEventWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		tape := w.open("bob", "conversation=c1", "")
		_, before, _ := w.greeted(tape)
		event := delivery.Event{ID: 1, Kind: delivery.StatusChanged, Conversation: "c1", From: 1, To: 3000}
		for v := range int64(3000) {
			event.Updates = append(event.Updates, delivery.Update{Message: fmt.Sprintf("message-%040d", v), Version: v + 1, Status: delivery.Read})
		}
		if err := w.bus.Publish(t.Context(), []delivery.Event{event}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		parts := tape.next()
		for i, e := range parts {
			if last := i == len(parts)-1; (e.id != before) != last || last && !strings.HasSuffix(e.id, ".3000") {
				t.Errorf("part %d of %d has the id %s", i+1, len(parts), e.id)
			}
		}
		if len(parts) < 3 {
			t.Errorf("there are %d parts", len(parts))
		}
	})
}

func TestWhoMayOpenAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		long := strings.Repeat("x", delivery.MaxID+1)
		var many []string
		for i := range sseadapter.MaxConversations + 1 {
			many = append(many, fmt.Sprint("conversation=", i))
		}
		for _, test := range []struct {
			name, user, query string
			status            int
			later             bool
		}{
			{"nobody is signed in", "", "conversation=c1", 401, false},
			{"the sign-in fails", "broken", "conversation=c1", 200, true},
			{"the rule says no", "mallory", "conversation=c1", 403, false},
			{"the rule fails", "bob", "conversation=broken", 200, true},
			{"no conversation", "bob", "", 400, false},
			{"an empty conversation", "bob", "conversation=", 400, false},
			{"a conversation twice", "bob", "conversation=c1&conversation=c1", 400, false},
			{"a conversation beyond all limits", "bob", "conversation=" + long, 400, false},
			{"a conversation that is no id", "bob", "conversation=%ff", 403, false},
			{"too many conversations", "bob", strings.Join(many, "&"), 400, false},
		} {
			tape := w.open(test.user, test.query, "")
			if tape.Code != test.status || !tape.hasEnded() || len(tape.next()) != 0 {
				t.Errorf("%s: status %d, ended %t, %s", test.name, tape.Code, tape.hasEnded(), tape.Body)
			}
			if retry := strings.HasPrefix(tape.Body.String(), "retry: "); retry != test.later {
				t.Errorf("%s: the answer is %s", test.name, tape.Body)
			}
		}
	})
}

func TestOfSeveralConversationsThoseThatTheUserMayHearAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		tape := w.open("bob", "conversation=secret&conversation=c1", "7.5.0")
		if h, id, _ := w.greeted(tape); len(h.Versions) != 1 || len(h.Refused) != 1 || h.Refused[0] != "secret" || strings.Count(id, ".") != 2 || !strings.Contains(id, "..") {
			t.Errorf("hello is %+v, its id %s", h, id)
		}
		if err := w.bus.Publish(t.Context(), []delivery.Event{{
			ID: 1, Kind: delivery.MessageSent, Conversation: "secret", From: 1, To: 1, Updates: []delivery.Update{{Message: "m1", Version: 1}},
		}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if events := tape.next(); len(events) != 0 {
			t.Errorf("it heard %v", events)
		}
	})
}

func TestOtherMethodsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		for _, method := range []string{"POST", "HEAD", "OPTIONS"} {
			tape := w.request(method, "bob", "conversation=c1", "")
			if tape.Code != http.StatusMethodNotAllowed || tape.Header().Get("Allow") != "GET" {
				t.Errorf("%s: status %d", method, tape.Code)
			}
		}
	})
}

func TestAQuietStreamPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, &sseadapter.Options{Heartbeat: 10 * time.Second})
		tape := w.open("bob", "conversation=c1", "")
		w.greeted(tape)
		time.Sleep(9 * time.Second)
		w.send("c1", "m1") // puts the ping off
		w.flush()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if got := names(t, tape.next()); got != "message m1" {
			t.Errorf("it told %s", got)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if got := names(t, tape.next()); got != "ping ping" {
			t.Errorf("later it told %s", got)
		}
	})
}

func TestAStreamEndsAtItsAgeSoThatTheUserIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, &sseadapter.Options{Lifetime: time.Hour})
		ages := make(map[time.Duration]bool)
		for range 10 {
			tape := w.open("bob", "conversation=c1", "")
			began := time.Now()
			<-tape.ended
			age := time.Since(began)
			if age < 54*time.Minute || age > 66*time.Minute {
				t.Errorf("it ended after %v", age)
			}
			ages[age.Round(time.Second)] = true
		}
		if len(ages) < 5 {
			t.Errorf("all streams end at the same ages: %v", ages)
		}
	})
}

func TestAUserHasABoundedNumberOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, &sseadapter.Options{Streams: 2})
		first := w.open("bob", "conversation=c1", "")
		w.open("bob", "conversation=c1", "")
		if more := w.open("bob", "conversation=c1", ""); !more.hasEnded() || more.Code != 200 || !strings.HasPrefix(more.Body.String(), "retry: ") {
			t.Errorf("a third stream: status %d, %s", more.Code, more.Body)
		}
		if other := w.open("carol", "conversation=c1", ""); other.hasEnded() {
			t.Error("another user has no stream")
		}
		first.leave()
		<-first.ended
		if again := w.open("bob", "conversation=c1", ""); again.hasEnded() {
			t.Error("there is no stream for one that ended")
		}
	})
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		if err := w.handler.Run(t.Context()); err != sseadapter.ErrRunning {
			t.Errorf("a second Run returned %v", err)
		}
		tape := w.open("bob", "conversation=c1", "")
		stuck := w.open("carol", "conversation=c1", "")
		stuck.jam(true)
		w.send("c1", "m1")
		if err := w.tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		w.stop()
		if !tape.hasEnded() || !stuck.hasEnded() || time.Since(began) > sseadapter.DefaultWriteTimeout {
			t.Errorf("after Run and %v: ended %t and %t", time.Since(began), tape.hasEnded(), stuck.hasEnded())
		}
		if late := w.open("bob", "conversation=c1", ""); !late.hasEnded() || late.Code != 200 || len(late.next()) != 0 {
			t.Errorf("a stream after the end of Run: status %d, %s", late.Code, late.Body)
		}
		w.run()
		if again := w.open("bob", "conversation=c1", ""); again.hasEnded() {
			t.Error("there is no stream in the next Run")
		}
	})
}

func TestArguments(t *testing.T) {
	bus, source := new(delivery.LocalBus), new(delivery.Tracker)
	for field, err := range map[string]error{
		"source":       second(sseadapter.New(nil, bus, identify, nil)),
		"bus":          second(sseadapter.New(source, nil, identify, nil)),
		"identify":     second(sseadapter.New(source, bus, nil, nil)),
		"Heartbeat":    second(sseadapter.New(source, bus, identify, &sseadapter.Options{Heartbeat: -1})),
		"WriteTimeout": second(sseadapter.New(source, bus, identify, &sseadapter.Options{WriteTimeout: -1})),
		"Lifetime":     second(sseadapter.New(source, bus, identify, &sseadapter.Options{Lifetime: -1})),
		"Streams":      second(sseadapter.New(source, bus, identify, &sseadapter.Options{Streams: -1})),
		"Buffer":       second(sseadapter.New(source, bus, identify, &sseadapter.Options{Buffer: -1})),
	} {
		if typed, ok := err.(*sseadapter.ConfigError); !ok || typed.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestOwnEventsReachTheDevicesOfTheirUserAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		w.send("c1", "m1")
		w.flush()
		acting, device := w.open("bob", "conversation=c1", ""), w.open("bob", "conversation=c2&conversation=c1", "")
		elsewhere, other := w.open("bob", "conversation=c2", ""), w.open("carol", "conversation=c1", "")
		me, _, _ := w.greeted(acting)
		for _, tape := range []*tape{device, elsewhere, other} {
			w.greeted(tape)
		}
		through := delivery.MessageRef{Conversation: "c1", ID: "m1"}
		if _, err := w.tracker.Dismiss(t.Context(), delivery.Actor{User: "bob", Socket: me.Socket}, through); err != nil {
			t.Fatal(err)
		}
		w.flush()
		got := device.next()
		if len(got) != 1 || got[0].name != "own" || payload(t, got[0]).Place.Badge != 1 {
			t.Errorf("the device heard %v", got)
		}
		for name, tape := range map[string]*tape{"the acting socket": acting, "a stream without the conversation": elsewhere, "somebody else": other} {
			if got := tape.next(); len(got) != 0 {
				t.Errorf("%s heard %v", name, got)
			}
		}
		w.read("carol", "", "m1")
		w.flush()
		if got := names(t, device.next()); got != "status m1" {
			t.Errorf("after it the device heard %s", got)
		}
	})
}
