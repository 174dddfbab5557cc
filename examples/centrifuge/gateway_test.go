package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/centrifugal/centrifuge"
	client "github.com/centrifugal/centrifuge-go"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/internal/redisserver"
	"github.com/msgdelivery/delivery/memstore"
)

// patience is how long something may take on a busy machine.
const patience = 20 * time.Second

// open returns a tracker over memory that tells a node, and the URL of the node's connections. They
// take a user by its word.
func open(t *testing.T, node *centrifuge.Node, rule func(user, conversation string) (bool, error)) (*delivery.Tracker, string) {
	t.Helper()
	tracker, err := delivery.New(memstore.New(), notifier{node}, &delivery.Options{
		Authorize: func(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
			return rule(user, conversation)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	listen(node, tracker)
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	connections := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{CheckOrigin: func(*http.Request) bool { return true }})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections.ServeHTTP(w, r.WithContext(centrifuge.SetCredentials(r.Context(), &centrifuge.Credentials{UserID: r.Header.Get("X-User")})))
	}))
	t.Cleanup(func() {
		_ = node.Shutdown(context.Background())
		server.Close()
	})
	return tracker, "ws" + strings.TrimPrefix(server.URL, "http")
}

func everything(string, string) (bool, error) { return true, nil }

// device is a connection of a user's, and what it hears.
type device struct {
	*client.Client
	id string

	mu    sync.Mutex
	heard []publication
	grown chan struct{}
}

type publication struct {
	channel string
	Event   string
	Data    deliverywire.Payload
}

func connect(t *testing.T, url, user string) *device {
	t.Helper()
	d := &device{grown: make(chan struct{})}
	d.Client = client.NewJsonClient(url, client.Config{Header: http.Header{"X-User": {user}}, HandshakeTimeout: patience})
	t.Cleanup(d.Close)
	connected := make(chan string, 10)
	d.OnConnected(func(e client.ConnectedEvent) { connected <- e.ClientID })
	if err := d.Connect(); err != nil {
		t.Fatal(err)
	}
	d.id = await(t, connected)
	return d
}

// subscribe returns nil once publications of the channel come, or the error that the node answers.
// What it returns as again receives each later time.
func (d *device) subscribe(t *testing.T, channel string) (again chan error, err error) {
	t.Helper()
	s, err := d.NewSubscription(channel)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, 10)
	s.OnSubscribed(func(client.SubscribedEvent) { answers <- nil })
	s.OnError(func(e client.SubscriptionErrorEvent) { answers <- e.Error })
	s.OnUnsubscribed(func(e client.UnsubscribedEvent) { answers <- &client.Error{Code: e.Code, Message: e.Reason} })
	s.OnPublication(func(e client.PublicationEvent) {
		p := publication{channel: channel}
		if err := json.Unmarshal(e.Data, &p); err != nil {
			t.Errorf("%v: %s", err, e.Data)
		}
		if tag := e.Tags["except"]; tag == d.id || strings.Contains(tag, "-") {
			t.Errorf("the tag %q tells the id of a client", tag)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.heard = append(d.heard, p)
		close(d.grown)
		d.grown = make(chan struct{})
	})
	if err := s.Subscribe(); err != nil {
		t.Fatal(err)
	}
	return answers, await(t, answers)
}

func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// hears waits until the device has heard of so many publications, and returns them.
func (d *device) hears(enough func([]publication) bool) (heard []publication, ok bool) {
	limit := time.After(patience)
	for {
		d.mu.Lock()
		heard, grown := slices.Clone(d.heard), d.grown
		d.mu.Unlock()
		if enough(heard) {
			return heard, true
		}
		select {
		case <-grown:
		case <-limit:
			return heard, false
		}
	}
}

// wants fails unless the device hears exactly these events, as "event message", and in this order.
func (d *device) wants(t *testing.T, what string, want ...string) {
	t.Helper()
	heard, _ := d.hears(func(all []publication) bool { return len(all) >= len(want) })
	var got []string
	for _, p := range heard {
		for _, u := range p.Data.Expand() {
			got = append(got, p.Event+" "+u.Message)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s heard %q, want %q", what, got, want)
	}
}

func TestDevicesHear(t *testing.T) {
	node, err := newNode(centrifuge.Config{}, "")
	if err != nil {
		t.Fatal(err)
	}
	tracker, url := open(t, node, everything)
	alice, bob, tablet := connect(t, url, "alice"), connect(t, url, "bob"), connect(t, url, "bob")
	for _, d := range []*device{alice, bob, tablet} {
		user := "user:bob"
		if d == alice {
			user = "user:alice"
		}
		for _, channel := range []string{"conversation:lunch", user} {
			if _, err := d.subscribe(t, channel); err != nil {
				t.Fatal(err)
			}
		}
	}
	step := func(_ any, err error) {
		t.Helper()
		if err == nil {
			err = tracker.Flush(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	send := func(id, socket string) {
		t.Helper()
		step(tracker.Send(t.Context(), delivery.Draft{
			ID: id, Conversation: "lunch", Sender: "alice", Socket: socket, Audience: delivery.Audience{Recipients: []string{"bob"}},
		}))
	}
	send("m1", alice.id)
	step(tracker.MarkRead(t.Context(), delivery.Actor{User: "bob", Socket: bob.id}, "m1"))
	step(tracker.MarkUnread(t.Context(), delivery.Actor{User: "bob", Socket: bob.id}, "m1"))
	send("m2", "")

	t.Run("a sender's device of the tick, and not of its own message", func(t *testing.T) {
		alice.wants(t, "alice", "status m1", "message m2")
	})
	t.Run("a reader's device of messages, and not of its own marks", func(t *testing.T) {
		bob.wants(t, "bob", "message m1", "message m2")
	})
	t.Run("the reader's other device of all, the private mark included", func(t *testing.T) {
		tablet.wants(t, "bob's tablet", "message m1", "status m1", "own m1", "message m2")
	})
}

func TestSubscriptionsAreForThoseWhoMayView(t *testing.T) {
	node, err := newNode(centrifuge.Config{}, "")
	if err != nil {
		t.Fatal(err)
	}
	_, url := open(t, node, func(_, conversation string) (bool, error) {
		if conversation == "broken" {
			return false, errors.New("the database is away")
		}
		return conversation == "lunch" || conversation == "user:alice", nil
	})
	bob := connect(t, url, "bob")
	const denied, failed = 103, 100
	for _, c := range []struct {
		name, channel string
		code          uint32
	}{
		{"a conversation that the user may view", "conversation:lunch", 0},
		{"the user's own channel", "user:bob", 0},
		{"a conversation that the user may not view", "conversation:dinner", denied},
		{"another user's channel", "user:alice", denied},
		{"a channel of no kind", "lunch", denied},
		{"a conversation without an id", "conversation:", denied},
		{"a conversation about which the app's rule fails is asked for again", "conversation:broken", failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := bob.subscribe(t, c.channel)
			var refusal *client.Error
			if errors.As(err, &refusal) != (c.code > 0) || c.code > 0 && refusal.Code != c.code {
				t.Errorf("the answer is %v, want code %d", err, c.code)
			}
		})
	}
}

func TestConnectionsAreForThoseWhoAreSignedIn(t *testing.T) {
	answer := httptest.NewRecorder()
	signedIn(http.NotFoundHandler()).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/connection", nil))
	if answer.Code != http.StatusUnauthorized {
		t.Errorf("the answer is %d, want 401", answer.Code)
	}
}

// shared returns a node that shares channels over Redis.
func shared(t *testing.T, redis *redisserver.Server, config centrifuge.Config) *centrifuge.Node {
	t.Helper()
	node, err := newNode(config, redis.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// TestNotifier has one process publish, and a client of another one hear, over Redis.
func TestNotifier(t *testing.T) {
	deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
		redis := redisserver.Start(t)
		publisher := shared(t, redis, centrifuge.Config{})
		open(t, publisher, everything)
		_, url := open(t, shared(t, redis, centrifuge.Config{}), everything)
		gateway := connect(t, url, "gateway")
		for _, n := range []string{"0", "1", "2"} {
			if _, err := gateway.subscribe(t, "conversation:conversation "+n); err != nil {
				t.Fatal(err)
			}
		}
		bob := connect(t, url, "bob")
		if _, err := bob.subscribe(t, "user:bob"); err != nil {
			t.Fatal(err)
		}
		return deliverytest.Endpoint{
			Notifier: notifier{publisher}, Fail: redis.Kill, Hang: redis.Hang,
			Refusable: delivery.Event{ID: 99, Conversation: "c1", Updates: []delivery.Update{{Message: "m"}}},
			Accepted: func(event delivery.Event) bool {
				hearer, conversation := gateway, event.Conversation
				if event.Kind == delivery.OwnChanged {
					hearer, conversation = bob, event.Updates[0].Own.Conversation
				}
				_, ok := hearer.hears(func(all []publication) bool {
					return slices.ContainsFunc(all, func(p publication) bool {
						return p.Event == event.Kind.String() && p.Data.Conversation == conversation && p.Data.To == event.To &&
							p.Data.Expand()[0].Message == event.Updates[0].Message
					})
				})
				return ok
			},
		}
	})
}

func TestAClientThatMissedSomethingSubscribesAgain(t *testing.T) {
	redis := redisserver.Start(t)
	_, url := open(t, shared(t, redis, centrifuge.Config{ClientPresenceUpdateInterval: time.Second, ClientChannelPositionCheckDelay: time.Second}), everything)
	alice := connect(t, url, "alice")
	again, err := alice.subscribe(t, "conversation:lunch")
	if err != nil {
		t.Fatal(err)
	}
	mute := shared(t, redis, centrifuge.Config{}) // it stores what it publishes, and its messages to the others get lost
	shard, err := centrifuge.NewRedisShard(mute, centrifuge.RedisShardConfig{Address: redis.Addr})
	if err != nil {
		t.Fatal(err)
	}
	broker, err := centrifuge.NewRedisBroker(mute, centrifuge.RedisBrokerConfig{Shards: []*centrifuge.RedisShard{shard}, SkipPubSub: true})
	if err != nil {
		t.Fatal(err)
	}
	mute.SetBroker(broker)
	open(t, mute, everything)
	lost := delivery.Event{
		ID: 1, Kind: delivery.MessageSent, Conversation: "lunch", From: 1, To: 1,
		Updates: []delivery.Update{{Message: "m1", Sender: "bob", Version: 1, Status: delivery.Sent}},
	}
	if err := (notifier{mute}).Notify(t.Context(), []delivery.Event{lost}); err != nil {
		t.Fatal(err)
	}
	if err := await(t, again); err != nil {
		t.Errorf("the subscription ended with %v", err)
	}
	if heard, _ := alice.hears(func([]publication) bool { return true }); len(heard) > 0 {
		t.Errorf("she heard %v of what was lost", heard)
	}
}

func TestEveryIDHasAChannel(t *testing.T) {
	redis := redisserver.Start(t)
	publisher := shared(t, redis, centrifuge.Config{})
	open(t, publisher, everything)
	_, url := open(t, shared(t, redis, centrifuge.Config{}), everything)
	alice := connect(t, url, "alice")
	ids := []string{
		"a", "A", "a ", "a.b", "a:b", "user:alice", "$a", "#a", "&a", "a,b", "{a}", "*", "é", "e\u0301", "\u2028", "\r\n", "\"", "\\",
		strings.Repeat("\x01", delivery.MaxID), strings.Repeat("\u20ac", delivery.MaxID/3), strings.Repeat("x", delivery.MaxID),
	}
	var events []delivery.Event
	for i, id := range ids {
		if _, err := alice.subscribe(t, "conversation:"+id); err != nil {
			t.Fatalf("%q: %v", id, err)
		}
		events = append(events, delivery.Event{
			Kind: delivery.StatusChanged, Conversation: id, From: 1, To: int64(i + 1),
			Updates: []delivery.Update{{Message: id, Version: int64(i + 1), Status: delivery.Read}},
		})
	}
	if err := (notifier{publisher}).Notify(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	heard, _ := alice.hears(func(all []publication) bool { return len(all) >= len(ids) })
	for _, p := range heard {
		if p.channel != "conversation:"+p.Data.Conversation {
			t.Errorf("what is about %q came on %q", p.Data.Conversation, p.channel)
		}
	}
	if len(heard) != len(ids) {
		t.Errorf("%d publications came of %d", len(heard), len(ids))
	}
}

func TestClientsSubscribeAgainAfterARestartOfRedis(t *testing.T) {
	redis := redisserver.Start(t)
	node := shared(t, redis, centrifuge.Config{ClientPresenceUpdateInterval: time.Second, ClientChannelPositionCheckDelay: time.Second})
	_, url := open(t, node, everything)
	alice := connect(t, url, "alice")
	again, err := alice.subscribe(t, "conversation:lunch")
	if err != nil {
		t.Fatal(err)
	}
	event := delivery.Event{
		Kind: delivery.StatusChanged, Conversation: "lunch", From: 1, To: 1,
		Updates: []delivery.Update{{Message: "m1", Version: 1, Status: delivery.Read}},
	}
	redis.Kill()
	if err := (notifier{node}).Notify(t.Context(), []delivery.Event{event}); err == nil {
		t.Error("an event was accepted while Redis was away")
	}
	redis.Restart(t)
	if err := await(t, again); err != nil {
		t.Errorf("the subscription ended with %v", err)
	}
	for limit := time.Now().Add(patience); ; { // the client of Redis takes its time to connect again
		err := (notifier{node}).Notify(t.Context(), []delivery.Event{event})
		if err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
	alice.wants(t, "alice", "status m1")
}
