package pusheradapter_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestEveryoneButTheExcludedSocketIsTold(t *testing.T) {
	srv := pushertest.NewServer(t)
	notifier := newNotifier(t, srv, nil)
	channel, err := pusheradapter.PrivateChannel("team:42")
	if err != nil {
		t.Fatal(err)
	}
	own, other := srv.Dial(t).Subscribe(channel), srv.Dial(t).Subscribe(channel)

	// One alone, and two in a batch with an exclusion each.
	event := newEvent("team:42", 1)
	event.Except = own.SocketID()
	if err := notifier.Notify(t.Context(), []delivery.Event{event}); err != nil {
		t.Fatal(err)
	}
	second, third := newEvent("team:42", 2), newEvent("team:42", 3)
	second.Except, third.Except = other.SocketID(), own.SocketID()
	if err := notifier.Notify(t.Context(), []delivery.Event{second, third}); err != nil {
		t.Fatal(err)
	}
	if got := versions(t, own.Drain(t.Context())); !slices.Equal(got, []int64{2}) {
		t.Errorf("the excluded socket was told of versions %v, want 2", got)
	}
	if got := versions(t, other.Drain(t.Context())); !slices.Equal(got, []int64{1, 3}) {
		t.Errorf("the other socket was told of versions %v, want 1 and 3", got)
	}
}

// versions returns the versions that messages tell of.
func versions(t *testing.T, messages []pushertest.Message) []int64 {
	t.Helper()
	var versions []int64
	for _, m := range messages {
		var p deliverywire.Payload
		if err := json.Unmarshal([]byte(m.Data), &p); err != nil {
			t.Fatal(err)
		}
		for _, u := range p.Expand() {
			versions = append(versions, u.Version)
		}
	}
	return versions
}

func TestMalformedSocketIDsExcludeNobody(t *testing.T) {
	for _, id := range []string{"1", "1.", ".1", "1.1\n", " 1.1", "1.1.1", "a.b", "1.1:private-x", "１.１", strings.Repeat("1", 21) + ".1", "\x00", "-1.1"} {
		srv := pushertest.NewServer(t)
		notifier := newNotifier(t, srv, nil)
		good := newEvent("c1", 2)
		good.Except = "123.456"
		bad := newEvent("c1", 1)
		bad.Except = id
		if err := notifier.Notify(t.Context(), []delivery.Event{bad, good}); err != nil {
			t.Errorf("%q in a batch: %v", id, err)
		}
		if err := notifier.Notify(t.Context(), []delivery.Event{bad}); err != nil {
			t.Errorf("%q alone: %v", id, err)
		}
		var excluded []string
		for _, e := range srv.Events() {
			excluded = append(excluded, e.SocketID)
		}
		if !slices.Equal(excluded, []string{"", "123.456", ""}) {
			t.Errorf("%q: excluded %q", id, excluded)
		}
	}
}

func TestCallsCarryUpToTenEvents(t *testing.T) {
	for _, test := range []struct{ events, calls int }{{0, 0}, {1, 1}, {2, 1}, {10, 1}, {11, 2}, {95, 10}} {
		srv := pushertest.NewServer(t)
		if err := newNotifier(t, srv, nil).Notify(t.Context(), newEvents(test.events)); err != nil {
			t.Errorf("%d events: %v", test.events, err)
		}
		requests := srv.Requests()
		if len(requests) != test.calls || len(srv.Events()) != test.events {
			t.Errorf("%d events: %d calls carried %d, want %d calls", test.events, len(requests), len(srv.Events()), test.calls)
		}
	}
}

func TestEventsOfOneConversationArriveInOrder(t *testing.T) {
	srv := pushertest.NewServer(t)
	notifier := newNotifier(t, srv, nil)
	tab := srv.Dial(t).Subscribe("private-conv-busy")
	var events []delivery.Event
	var want []int64
	for version := range int64(57) {
		events = append(events, newEvent("busy", version+1), newEvent(fmt.Sprint("c", version), 1))
		want = append(want, version+1)
	}
	if err := notifier.Notify(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if got := versions(t, tab.Drain(t.Context())); !slices.Equal(got, want) {
		t.Errorf("arrived: %v", got)
	}
	if n := len(srv.Requests()); n != 12 {
		t.Errorf("%d calls, want 12", n)
	}
}

func TestOneRefusedTriggerIsIsolated(t *testing.T) {
	for status, permanent := range map[int]bool{http.StatusBadRequest: false, http.StatusRequestEntityTooLarge: true} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			srv := pushertest.NewServer(t)
			// The batch is refused, and then, alone, the trigger of event 3.
			srv.Script(pushertest.Status(status, "no"), nil, nil, nil, pushertest.Status(status, "no"))
			refused := refusals(t, newNotifier(t, srv, nil).Notify(t.Context(), newEvents(10)))
			var answer *pusheradapter.Error
			if len(refused) != 1 || !errors.As(refused[3], &answer) || answer.Status != status {
				t.Errorf("refused: %v", refused)
			}
			if isPermanent(refused[3]) != permanent {
				t.Errorf("permanent: %v", !permanent)
			}
			var channels []string
			for _, e := range srv.Events() {
				channels = append(channels, e.Channels...)
			}
			if len(channels) != 9 || slices.Contains(channels, "private-conv-c3") {
				t.Errorf("accepted: %v", channels)
			}
		})
	}
	t.Run("hidden in a 200", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		srv.Script(pushertest.ErrorInOK(413, "no"), pushertest.ErrorInOK(413, "no"))
		refused := refusals(t, newNotifier(t, srv, nil).Notify(t.Context(), newEvents(2)))
		if len(refused) != 1 || !isPermanent(refused[0]) || len(srv.Events()) != 1 {
			t.Errorf("refused: %v", refused)
		}
	})
}

func TestAFailureOfTheEndpointWinsOverRefusals(t *testing.T) {
	srv := pushertest.NewServer(t)
	notifier := newNotifier(t, srv, nil)
	t.Run("while the batch is sent one by one", func(t *testing.T) {
		srv.Script(pushertest.Status(400, ""), pushertest.Status(400, ""), nil, pushertest.Status(500, ""))
		before := len(srv.Requests())
		if err := notifier.Notify(t.Context(), newEvents(10)); !isPlain(err) {
			t.Errorf("got %v", err)
		}
		if n := len(srv.Requests()) - before; n != 4 {
			t.Errorf("%d calls, want it to stop after 4", n)
		}
	})
	t.Run("with an event that cannot be encoded", func(t *testing.T) {
		srv.Script(pushertest.Status(500, ""))
		events := newEvents(2)
		events[0].Conversation = strings.Repeat("/", 128)
		if err := notifier.Notify(t.Context(), events); !isPlain(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestCallsAtATimeAreBounded(t *testing.T) {
	srv := pushertest.NewServer(t)
	transport := &gate{arrived: make(chan struct{}), open: make(chan struct{}), base: http.DefaultTransport}
	notifier := newNotifier(t, srv, &pusheradapter.Options{Transport: transport, Calls: 32})
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			if err := notifier.Notify(t.Context(), newEvents(400)); err != nil {
				t.Error(err)
			}
		})
	}
	for range 32 {
		<-transport.arrived
	}
	close(transport.open)
	go func() {
		for range transport.arrived {
		}
	}()
	wait.Wait()
	close(transport.arrived)
	if transport.most != 32 {
		t.Errorf("%d calls at a time, want 32", transport.most)
	}
	if len(srv.Events()) != 1200 {
		t.Errorf("%d events accepted", len(srv.Events()))
	}
}

// gate holds calls back until it is open, and counts how many there are at a time.
type gate struct {
	arrived, open chan struct{}
	base          http.RoundTripper

	mu        sync.Mutex
	now, most int
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.now--
		g.mu.Unlock()
	}()
	g.arrived <- struct{}{}
	<-g.open
	return g.base.RoundTrip(r)
}

func TestAFailureEndsThePublication(t *testing.T) {
	srv := pushertest.NewServer(t)
	srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return pushertest.Status(503, "") })
	if err := newNotifier(t, srv, &pusheradapter.Options{Calls: 32}).Notify(t.Context(), newEvents(1000)); !isPlain(err) {
		t.Errorf("got %v", err)
	}
	if n := len(srv.Requests()); n > 32 { // those under way when the first failed
		t.Errorf("%d calls", n)
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("secret") }

func TestAPanickingTransportIsAFailureOfTheEndpoint(t *testing.T) {
	config := pusheradapter.Config{AppID: "1", Key: "key", Secret: "secret", Host: "127.0.0.1"}
	n, err := pusheradapter.New(config, &pusheradapter.Options{Transport: panicking{}})
	if err != nil {
		t.Fatal(err)
	}
	var failed *pusheradapter.Error
	if err := n.Notify(t.Context(), newEvents(1)); !errors.As(err, &failed) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
