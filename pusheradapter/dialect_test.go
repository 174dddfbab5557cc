package pusheradapter_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

var profiles = map[string]pushertest.Profile{
	"Pusher": pushertest.Pusher, "Reverb": pushertest.Reverb, "Sockudo": pushertest.Sockudo, "soketi": pushertest.Soketi,
}

// newServer returns a server that plays a profile, and the options by which a Notifier calls it.
func newServer(t *testing.T, profile pushertest.Profile) (*pushertest.Server, *pusheradapter.Options) {
	t.Helper()
	srv, err := pushertest.New(&pushertest.Options{Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv, &pusheradapter.Options{Transport: srv}
}

func TestNotifierWithEveryServer(t *testing.T) {
	for name, profile := range profiles {
		t.Run(name, func(t *testing.T) {
			deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
				srv, opts := newServer(t, profile)
				always := func(fault pushertest.Fault) func() {
					return func() { srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return fault }) }
				}
				return deliverytest.Endpoint{
					Notifier:  newNotifier(t, srv, opts),
					Accepted:  func(event delivery.Event) bool { return accepted(t, srv, event) },
					Refusable: newEvent(strings.Repeat("/", delivery.MaxID), 1),
					Fail:      always(pushertest.Status(500, "")),
					Hang:      always(pushertest.Hang),
				}
			})
		})
	}
}

func TestACatchUpReachesEveryServer(t *testing.T) {
	for name, most := range map[string]struct{ first, after int }{"Pusher": {1, 1}, "Sockudo": {1, 1}, "soketi": {1, 1}, "Reverb": {12, 9}} {
		t.Run(name, func(t *testing.T) {
			srv, opts := newServer(t, profiles[name])
			taken := int64(0) // bytes of requests
			opts.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
				answer, err := srv.RoundTrip(r)
				if err == nil && answer.StatusCode == http.StatusOK {
					taken += r.ContentLength
				}
				return answer, err
			})
			notifier := newNotifier(t, srv, opts)
			event := catchUp(1000, func(i int) string { return fmt.Sprintf("0195526f-0000-7000-8000-%012d", i) })
			for _, most := range []int{most.first, most.after} {
				before := len(srv.Requests())
				taken = 0
				if err := notifier.Notify(t.Context(), []delivery.Event{event}); err != nil {
					t.Fatal(err)
				}
				if !accepted(t, srv, event) {
					t.Error("not all of it was accepted")
				}
				n := len(srv.Requests()) - before
				t.Logf("%d requests, %d bytes in those that were taken", n, taken)
				if n > most || taken > 80_000 {
					t.Errorf("%d requests, %d bytes, want at most %d of 80,000", n, taken, most)
				}
				event.ID++
			}
		})
	}
}

func TestABadEventIsRefusedAloneByEveryServer(t *testing.T) {
	for name, profile := range profiles {
		t.Run(name, func(t *testing.T) {
			srv, opts := newServer(t, profile)
			opts.Transport = spoiling{srv} // the server finds no name in the event about c2
			refused := refusals(t, newNotifier(t, srv, opts).Notify(t.Context(), newEvents(5)))
			if len(refused) != 1 || refused[2] == nil || isPermanent(refused[2]) || len(srv.Events()) != 4 {
				t.Errorf("refused %v, accepted %d", refused, len(srv.Events()))
			}
		})
	}
}

func TestASmallLimitIsFoundAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := pushertest.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		proxy := &limiting{next: srv, bytes: 6_000}
		notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: proxy})
		tell := func() (requests int) {
			t.Helper()
			before := proxy.requests
			event := catchUp(300, func(i int) string { return fmt.Sprint("m", i) })
			if err := notifier.Notify(t.Context(), []delivery.Event{event}); err != nil || !accepted(t, srv, event) {
				t.Fatal(err)
			}
			return proxy.requests - before
		}
		first, second := tell(), tell()
		if second >= first {
			t.Errorf("%d requests at first, and %d when the limit was known", first, second)
		}
		proxy.bytes = 1 << 20
		time.Sleep(11 * time.Minute)
		if later := tell(); later != 1 {
			t.Errorf("%d requests once the limit was raised", later)
		}
	})
}

func TestAnEventIsMadeAsSmallAsOneReceipt(t *testing.T) {
	srv, _ := newServer(t, pushertest.Pusher)
	proxy := &limiting{next: srv, bytes: 640}
	notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: proxy})
	event := catchUp(20, func(i int) string { return fmt.Sprintf("message-%0100d", i) })
	if err := notifier.Notify(t.Context(), []delivery.Event{event}); err != nil || !accepted(t, srv, event) {
		t.Errorf("got %v", err)
	}
	proxy.bytes = 300
	event.ID++
	if refused := refusals(t, notifier.Notify(t.Context(), []delivery.Event{event})); !isPermanent(refused[0]) {
		t.Errorf("refused: %v", refused)
	}
}

func TestAPoisonedEventDoesNotLowerTheLimit(t *testing.T) {
	srv, _ := newServer(t, pushertest.Pusher)
	event := newEvent("c1", 1)
	for v := int64(2); v < 60; v++ {
		event.Updates = append(event.Updates, newEvent("c1", v).Updates...)
	}
	event.To = 59
	proxy := &limiting{next: srv, bytes: 1 << 20, poison: `\"m30\"`}
	notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: proxy})
	if refused := refusals(t, notifier.Notify(t.Context(), []delivery.Event{event})); !isPermanent(refused[0]) {
		t.Errorf("refused: %v", refused)
	}
	before := proxy.requests
	if before > 10 {
		t.Errorf("one receipt that is refused took %d requests", before)
	}
	large := catchUp(120, func(i int) string { return fmt.Sprintf("x%040d", i) })
	if err := notifier.Notify(t.Context(), []delivery.Event{large}); err != nil || proxy.requests != before+1 {
		t.Errorf("%v, a large event took %d requests", err, proxy.requests-before)
	}
}

func TestEventsOfSeveralChannelsShareARequestThatTheEndpointTakes(t *testing.T) {
	srv, opts := newServer(t, pushertest.Reverb)
	notifier := newNotifier(t, srv, opts)
	if err := notifier.Notify(t.Context(), []delivery.Event{catchUp(300, func(i int) string { return fmt.Sprintf("m%040d", i) })}); err != nil {
		t.Fatal(err)
	}
	before := len(srv.Requests())
	var events []delivery.Event
	for i := range 10 {
		event := catchUp(20, func(i int) string { return fmt.Sprintf("m%040d", i) })
		event.Conversation, event.ID = fmt.Sprint("c", i), int64(i)
		events = append(events, event)
	}
	if err := notifier.Notify(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	requests := srv.Requests()[before:]
	for _, r := range requests {
		if r.Status != http.StatusOK {
			t.Errorf("a request was answered %d", r.Status)
		}
	}
	if n := len(requests); n < 2 || n > 4 {
		t.Errorf("ten events of 1.7 KB took %d requests", n)
	}
}

func TestEventsStayApartWhenTheyAreMadeSmaller(t *testing.T) {
	srv, opts := newServer(t, pushertest.Reverb)
	first, second := catchUp(200, func(i int) string { return fmt.Sprintf("a%040d", i) }), catchUp(200, func(i int) string { return fmt.Sprintf("b%040d", i) })
	second.ID, second.From, second.To = 8, first.To+100, first.To+299 // not one event with the first
	for i := range second.Updates {
		second.Updates[i].Sender, second.Updates[i].Version = "carol", second.From+int64(i)
	}
	if err := newNotifier(t, srv, opts).Notify(t.Context(), []delivery.Event{first, second}); err != nil {
		t.Fatal(err)
	}
	if !accepted(t, srv, first) || !accepted(t, srv, second) {
		t.Error("an event arrived changed")
	}
}

func TestAnAppsOwnDataIsNotMadeSmaller(t *testing.T) {
	srv, opts := newServer(t, pushertest.Reverb)
	opts.Encode = pusheradapter.EncodePrivate // as an app's own
	refused := refusals(t, newNotifier(t, srv, opts).Notify(t.Context(), []delivery.Event{catchUp(130, func(i int) string { return fmt.Sprintf("m%040d", i) })}))
	if !isPermanent(refused[0]) || len(srv.Events()) != 0 {
		t.Errorf("refused %v, accepted %d", refused, len(srv.Events()))
	}
}

func TestTheSameEventsHaveTheSameKey(t *testing.T) {
	srv, _ := newServer(t, pushertest.Sockudo)
	keys := &limiting{next: srv, bytes: 1 << 20}
	notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: keys})
	events := newEvents(3)
	other := newEvents(3)
	other[0].ID = 77 // the same data, and yet another event
	replayed := newEvents(3)
	replayed[0].Updates[0].Version = 9
	for _, told := range [][]delivery.Event{events, events, other, events[:1], replayed} {
		if err := notifier.Notify(t.Context(), told); err != nil {
			t.Fatal(err)
		}
	}
	if k := keys.keys; len(k) != 5 || k[0] == "" || k[0] != k[1] || k[2] == k[0] || k[3] == k[0] || k[4] == k[0] {
		t.Errorf("the keys are %q", k)
	}
	if n := len(srv.Events()); n != 10 {
		t.Errorf("%d events were published, want the repeated three once", n)
	}
}
