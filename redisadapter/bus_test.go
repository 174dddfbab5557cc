package redisadapter_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/internal/redisserver"
	"github.com/msgdelivery/delivery/redisadapter"
	"github.com/redis/go-redis/v9"
)

// newClient returns a client of the server, as one process has it.
func newClient(t *testing.T, server *redisserver.Server) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { client.Close() })
	return client
}

func TestBus(t *testing.T) {
	deliverytest.TestBus(t, func(t *testing.T) deliverytest.BusEnds {
		server := redisserver.Start(t)
		operator := newClient(t, server)
		return deliverytest.BusEnds{
			Here:  redisadapter.NewBus(newClient(t, server), nil),
			There: redisadapter.NewBus(newClient(t, server), nil),
			Cut: func() {
				if err := operator.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
					t.Error(err)
				}
			},
			Fail: server.Kill,
			Hang: server.Hang,
		}
	})
}

func TestBusIsANotifier(t *testing.T) {
	deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
		server := redisserver.Start(t)
		bus := redisadapter.NewBus(newClient(t, server), nil)
		heard := newHearing(t, redisadapter.NewBus(newClient(t, server), nil))
		return deliverytest.Endpoint{
			Notifier:  delivery.NotifierFunc(bus.Publish),
			Accepted:  func(event delivery.Event) bool { return heard.wait(t, event.ID) },
			Refusable: delivery.Event{ID: 99, Conversation: "c1", Updates: []delivery.Update{{Message: "m"}}}, // of no kind
			Fail:      server.Kill,
			Hang:      server.Hang,
		}
	})
}

// forever is for how long a test waits for what must come, on a machine however busy.
const forever = 5 * time.Minute

// hearing is a subscription that remembers the ids of the events that it heard.
type hearing struct {
	mu    sync.Mutex
	ids   map[int64]bool
	grown chan struct{}
	ended chan error // what Subscribe returned
	delay func()     // before each event
}

// newHearing subscribes until the test's end, and returns once the subscription stands.
func newHearing(t *testing.T, bus delivery.Bus) *hearing {
	t.Helper()
	h := &hearing{ids: make(map[int64]bool), grown: make(chan struct{}), ended: make(chan error, 1)}
	h.subscribe(t, bus)
	return h
}

func (h *hearing) subscribe(t *testing.T, bus delivery.Bus) {
	t.Helper()
	begun := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.ended <- bus.Subscribe(ctx, func(event delivery.Event) {
			if event.Kind == 0 {
				close(begun)
				return
			}
			if h.delay != nil {
				h.delay()
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			h.ids[event.ID] = true
			close(h.grown)
			h.grown = make(chan struct{})
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	select {
	case <-begun:
	case err := <-h.ended:
		t.Fatal(err)
	}
}

// wait reports whether an event was heard.
func (h *hearing) wait(t *testing.T, id int64) bool {
	t.Helper()
	limit := time.After(forever)
	for {
		h.mu.Lock()
		heard, grown := h.ids[id], h.grown
		h.mu.Unlock()
		if heard {
			return true
		}
		select {
		case <-grown:
		case <-limit:
			t.Errorf("event %d was not heard", id)
			return false
		}
	}
}

// event is an event with a body of so many bytes.
func event(id int64, size int) delivery.Event {
	return delivery.Event{
		ID: id, Kind: delivery.MessageSent, Conversation: "c1", From: id, To: id,
		Updates: []delivery.Update{{Message: fmt.Sprint("m", id), Sender: "alice", Version: id, Status: delivery.Sent, Body: strings.Repeat("x", size)}},
	}
}

func TestASlowSubscriberLosesNothingThatRedisKeepsForIt(t *testing.T) {
	server := redisserver.Start(t)
	heard := newHearing(t, redisadapter.NewBus(newClient(t, server), nil))
	heard.delay = func() { time.Sleep(time.Millisecond) }
	bus := redisadapter.NewBus(newClient(t, server), nil)
	for id := range int64(300) {
		if err := bus.Publish(t.Context(), []delivery.Event{event(id+1, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	for id := range int64(300) {
		if !heard.wait(t, id+1) {
			return
		}
	}
}

func TestASubscriberThatIsTooSlowForRedisIsTold(t *testing.T) {
	server := redisserver.Start(t, "--client-output-buffer-limit", "pubsub 1mb 1mb 1")
	heard := newHearing(t, redisadapter.NewBus(newClient(t, server), nil))
	slow := make(chan struct{})
	release := sync.OnceFunc(func() { close(slow) })
	defer release()
	heard.delay = func() { <-slow }
	bus := redisadapter.NewBus(newClient(t, server), nil)
	operator := newClient(t, server)
	for id := int64(1); ; id++ {
		if err := bus.Publish(t.Context(), []delivery.Event{event(id, 60_000)}); err != nil {
			t.Fatal(err)
		}
		subscribers, err := operator.PubSubNumSub(t.Context(), redisadapter.DefaultChannel).Result()
		if err != nil {
			t.Fatal(err)
		}
		if subscribers[redisadapter.DefaultChannel] == 0 {
			break
		}
		if id == 5000 {
			t.Fatal("300 MB were kept for a subscriber that takes nothing")
		}
	}
	release()
	select {
	case err := <-heard.ended:
		if err == nil {
			t.Error("Subscribe returned nil")
		}
	case <-time.After(forever):
		t.Error("Subscribe goes on")
	}
}

func TestASubscriptionWhoseConnectionIsSilentEnds(t *testing.T) {
	const ping = time.Second // a third of what Redis may take for an answer
	server := redisserver.Start(t)
	heard := newHearing(t, redisadapter.NewBus(newClient(t, server), &redisadapter.BusOptions{Ping: ping}))
	select {
	case err := <-heard.ended:
		t.Fatalf("an idle subscription ended: %v", err)
	case <-time.After(9 * ping / 2):
	}
	server.Hang()
	select {
	case err := <-heard.ended:
		if err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("Subscribe returned %v", err)
		}
	case <-time.After(forever):
		t.Error("Subscribe goes on")
	}
}

func TestASubscriptionWhoseConnectionWasReplacedEnds(t *testing.T) {
	server := redisserver.Start(t)
	heard := newHearing(t, redisadapter.NewBus(newClient(t, server), &redisadapter.BusOptions{Ping: time.Second}))
	busy, release := make(chan struct{}), make(chan struct{})
	heard.delay = sync.OnceFunc(func() {
		close(busy)
		<-release
	})
	bus := redisadapter.NewBus(newClient(t, server), nil)
	if err := bus.Publish(t.Context(), []delivery.Event{event(1, 0)}); err != nil {
		t.Fatal(err)
	}
	<-busy
	operator := newClient(t, server)
	subscribers := func() string { // "id=… …", one a line
		list, err := operator.Do(t.Context(), "CLIENT", "LIST", "TYPE", "pubsub").Text()
		if err != nil {
			t.Fatal(err)
		}
		id, _, _ := strings.Cut(list, " ")
		return id
	}
	before := subscribers()
	if err := operator.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	for id := before; id == before || id == ""; id = subscribers() { // a ping finds the connection broken
		time.Sleep(10 * time.Millisecond)
	}
	close(release)
	select {
	case err := <-heard.ended:
		if err == nil || !strings.Contains(err.Error(), "replaced") {
			t.Errorf("Subscribe returned %v", err)
		}
	case <-time.After(forever):
		t.Error("Subscribe goes on")
	}
}

func TestASubscriptionIsNotSilentWhileHearTakesItsTime(t *testing.T) {
	const ping = 500 * time.Millisecond
	server := redisserver.Start(t)
	heard := newHearing(t, redisadapter.NewBus(newClient(t, server), &redisadapter.BusOptions{Ping: ping}))
	heard.delay = sync.OnceFunc(func() { time.Sleep(6 * ping) })
	bus := redisadapter.NewBus(newClient(t, server), nil)
	for id := range int64(2) {
		if err := bus.Publish(t.Context(), []delivery.Event{event(id, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	heard.wait(t, 1)
}

func TestASubscriptionThatIsNeverConfirmedEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go refuseAllButSubscribe(conn)
		}
	}()
	client := redis.NewClient(&redis.Options{Addr: listener.Addr().String()})
	defer client.Close()
	bus := redisadapter.NewBus(client, &redisadapter.BusOptions{Ping: 50 * time.Millisecond})
	ended := make(chan error, 1)
	go func() {
		ended <- bus.Subscribe(t.Context(), func(delivery.Event) { t.Error("it says that it has begun") })
	}()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Subscribe returned nil")
		}
	case <-time.After(forever):
		t.Error("Subscribe goes on")
	}
}

// refuseAllButSubscribe answers the commands of a connection with an error, and SUBSCRIBE not at
// all.
func refuseAllButSubscribe(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() { // "*2", and for each of its two strings "$9" and the string
		var words int
		if _, err := fmt.Sscanf(lines.Text(), "*%d", &words); err != nil {
			return
		}
		var command []string
		for i := range 2 * words {
			if !lines.Scan() {
				return
			}
			if i%2 == 1 {
				command = append(command, lines.Text())
			}
		}
		if strings.EqualFold(command[0], "subscribe") {
			continue
		}
		if _, err := io.WriteString(conn, "-ERR unknown command\r\n"); err != nil {
			return
		}
	}
}

func TestWhatIsNoEventEndsTheSubscription(t *testing.T) {
	server := redisserver.Start(t)
	for _, message := range []string{"", "x", "{}", `[{"id":"x"}]`, `[{"kind":"other"}]`} {
		heard := newHearing(t, redisadapter.NewBus(newClient(t, server), nil))
		if err := newClient(t, server).Publish(t.Context(), redisadapter.DefaultChannel, message).Err(); err != nil {
			t.Fatal(err)
		}
		if err := <-heard.ended; err == nil || strings.Contains(err.Error(), "other") {
			t.Errorf("%q: Subscribe returned %v", message, err)
		}
	}
}

func TestBusesOfOtherChannelsAreApart(t *testing.T) {
	server := redisserver.Start(t)
	mine := newHearing(t, redisadapter.NewBus(newClient(t, server), &redisadapter.BusOptions{Channel: "mine"}))
	for id, channel := range []string{"other", "mine"} {
		bus := redisadapter.NewBus(newClient(t, server), &redisadapter.BusOptions{Channel: channel})
		if err := bus.Publish(t.Context(), []delivery.Event{event(int64(id), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if mine.wait(t, 1); mine.ids[0] {
		t.Error("an event of another channel was heard")
	}
}

func TestWithoutRedisSubscribeFails(t *testing.T) {
	server := redisserver.Start(t)
	server.Kill()
	bus := redisadapter.NewBus(newClient(t, server), nil)
	err := bus.Subscribe(t.Context(), func(delivery.Event) { t.Error("an event came") })
	if err == nil {
		t.Error("it returned nil")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := bus.Subscribe(ctx, func(delivery.Event) { t.Error("an event came") }); err != nil {
		t.Errorf("after the end of ctx it returned %v", err)
	}
	if err := bus.Publish(ctx, []delivery.Event{event(1, 0)}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of ctx Publish returned %v", err)
	}
}
