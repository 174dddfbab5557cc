package browser

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pusher/pusher-http-go/v5"
)

// TestPusherJS holds pushertest to what the official libraries expect, both as they are: pusher-js in Node.js, and
// pusher-http-go.
func TestPusherJS(t *testing.T) {
	t.Parallel()
	node := startNode(t)
	for _, c := range []struct {
		name string
		test func(*testing.T, *pusherApp)
	}{
		{"a client connects and gets a socket id", connects},
		{"a client that pings gets pongs, and stays connected", pings},
		{"an unknown key is refused for good", unknownKey},
		{"a client that is told to reconnects at once, by a new id, and hears nothing of the meantime", reconnects},
		{"a client whose connection breaks reconnects", reconnectsAfterBreak},
		{"a stale or unknown socket id excludes nobody", staleSocket},

		{"events reach a public channel", func(t *testing.T, a *pusherApp) { receives(t, a, "news") }},
		{"events reach a private channel", func(t *testing.T, a *pusherApp) { receives(t, a, "private-news") }},
		{"events reach a presence channel", func(t *testing.T, a *pusherApp) { receives(t, a, "presence-news") }},
		{"the excluded socket hears nothing on a public channel", func(t *testing.T, a *pusherApp) { excludes(t, a, "news") }},
		{"the excluded socket hears nothing on a private channel", func(t *testing.T, a *pusherApp) { excludes(t, a, "private-news") }},
		{"the excluded socket hears nothing on a presence channel", func(t *testing.T, a *pusherApp) { excludes(t, a, "presence-news") }},
		{"each event of a batch has its own exclusion", batchExcludes},
		{"a batch of ten arrives in order", batchInOrder},
		{"one event reaches several channels", severalChannels},
		{"who unsubscribes hears no more, until subscribing again", unsubscribes},
		{"whom the app forbids a channel is told", forbidden},
		{"who forges a signature is told", forged},

		{"members hear of each other", members},
		{"a member's second connection is no news", secondConnection},
		{"the app can ask for channels and members", queries},
		{"client events reach the others on a private channel", func(t *testing.T, a *pusherApp) { clientEvents(t, a, "private-talk", "") }},
		{"client events on a presence channel tell who sent them", func(t *testing.T, a *pusherApp) { clientEvents(t, a, "presence-talk", "alice") }},
		{"client events on a public channel reach nobody", publicClientEvent},
		{"too many client events are an error", tooManyClientEvents},
		{"a cache channel tells newcomers of its last event, or that there is none", cache},

		{"who signs in hears what is sent to the user, on every connection", signsIn},
		{"whom the app doesn't sign in is told", notSignedIn},
		{"who reconnects is signed in again", signsInAgain},
		{"the app can end a user's connections for good", terminates},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newPusherApp(t, node)) })
	}
}

// events returns the names of the app's events that a client has heard on a channel, by publishing one more.
func (a *pusherApp) events(c *jsClient, channel string) (names []string) {
	a.t.Helper()
	a.publish(channel, "end", "")
	for _, h := range c.upTo(channel, "end") {
		if h.Event != "end" && !strings.HasPrefix(h.Event, "pusher:") {
			names = append(names, h.Event)
		}
	}
	return names
}

// hears checks which events a client has heard on a channel.
func (a *pusherApp) hears(c *jsClient, channel string, want ...string) {
	a.t.Helper()
	if got := a.events(c, channel); !slices.Equal(got, want) {
		a.t.Errorf("%s heard %q on %s, want %q", c.name, got, channel, want)
	}
}

func connects(t *testing.T, a *pusherApp) {
	_, first := a.connect("first", "alice")
	_, second := a.connect("second", "alice")
	if form := regexp.MustCompile(`^\d+\.\d+$`); !form.MatchString(first) || !form.MatchString(second) || first == second {
		t.Errorf("socket ids %q and %q", first, second)
	}
}

func pings(t *testing.T, a *pusherApp) {
	c := a.open("eager", "alice", a.Key, map[string]any{"activityTimeout": 20, "pongTimeout": 20_000})
	c.connected()
	for range 3 {
		var message struct{ Event string }
		for message.Event != "pusher:pong" {
			c.next("connection", "message").into(t, &message)
		}
	}
	c.subscribe("news")
	a.hears(c, "news")
}

func unknownKey(t *testing.T, a *pusherApp) {
	c := a.open("stranger", "alice", "unknown", nil)
	if code := c.errorCode(); code != 4001 {
		t.Errorf("code %d, want 4001", code)
	}
	c.next("connection", "disconnected")
}

// errorCode waits for an error of the connection and returns its code.
func (c *jsClient) errorCode() int {
	c.t.Helper()
	type coded struct{ Data struct{ Code int } }
	var e struct {
		coded       // of a message
		Error coded // of a connection that was closed
	}
	c.next("connection", "error").into(c.t, &e)
	return max(e.Data.Code, e.Error.Data.Code)
}

func reconnects(t *testing.T, a *pusherApp) {
	c, before := a.connect("page", "alice")
	c.subscribe("news")
	c.subscribe("private-news")
	a.hears(c, "news")
	a.server.Disconnect(4200, "come back")
	a.publish("news", "missed", "") // nobody is there
	if after := c.connected(); after == before {
		t.Errorf("the socket id is still %s", after)
	}
	for _, channel := range []string{"news", "private-news"} {
		c.next(channel, "pusher:subscription_succeeded")
		a.publish(channel, "later", "")
		a.hears(c, channel, "later")
	}
}

func reconnectsAfterBreak(t *testing.T, a *pusherApp) {
	c, before := a.connect("page", "alice")
	c.subscribe("private-news")
	a.server.Disconnect(0, "")
	if after := c.connected(); after == before {
		t.Errorf("the socket id is still %s", after)
	}
	c.next("private-news", "pusher:subscription_succeeded")
	a.publish("private-news", "later", "")
	a.hears(c, "private-news", "later")
}

func staleSocket(t *testing.T, a *pusherApp) {
	c, stale := a.connect("page", "alice")
	c.subscribe("news")
	a.server.Disconnect(4200, "come back")
	c.connected()
	c.next("news", "pusher:subscription_succeeded")
	a.publish("news", "stale", stale)
	a.publish("news", "unknown", "1.2")
	a.hears(c, "news", "stale", "unknown")
}

func receives(t *testing.T, a *pusherApp, channel string) {
	c, _ := a.connect("page", "alice")
	c.subscribe(channel)
	data := map[string]any{"text": "<b>“héllo”\u2028 & 😀</b>", "list": []any{1.5, nil, true, ""}}
	a.must(a.Trigger(channel, "greeting", data))
	var got map[string]any
	c.next(channel, "greeting").into(t, &got)
	if fmt.Sprint(got) != fmt.Sprint(data) {
		t.Errorf("data %v, want %v", got, data)
	}
	a.must(a.Trigger(channel, "text", "only a text"))
	var text string
	if c.next(channel, "text").into(t, &text); text != "only a text" {
		t.Errorf("data %q", text)
	}
}

func excludes(t *testing.T, a *pusherApp, channel string) {
	alice, socket := a.connect("alice", "alice")
	bob, _ := a.connect("bob", "bob")
	alice.subscribe(channel)
	bob.subscribe(channel)
	a.publish(channel, "to all", "")
	a.publish(channel, "to all but alice", socket)
	a.hears(alice, channel, "to all")
	a.hears(bob, channel, "to all", "to all but alice")
}

func batchExcludes(t *testing.T, a *pusherApp) {
	alice, hers := a.connect("alice", "alice")
	bob, his := a.connect("bob", "bob")
	alice.subscribe("private-news")
	bob.subscribe("private-news")
	_, err := a.TriggerBatch([]pusher.Event{
		{Channel: "private-news", Name: "to bob", Data: "{}", SocketID: &hers},
		{Channel: "private-news", Name: "to alice", Data: "{}", SocketID: &his},
		{Channel: "private-news", Name: "to both", Data: "{}"},
	})
	a.must(err)
	a.hears(alice, "private-news", "to alice", "to both")
	a.hears(bob, "private-news", "to bob", "to both")
}

func batchInOrder(t *testing.T, a *pusherApp) {
	c, _ := a.connect("page", "alice")
	c.subscribe("news")
	var batch []pusher.Event
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprint("event ", i))
		batch = append(batch, pusher.Event{Channel: "news", Name: names[i], Data: "{}"})
	}
	_, err := a.TriggerBatch(batch)
	a.must(err)
	a.hears(c, "news", names...)
}

func severalChannels(t *testing.T, a *pusherApp) {
	c, _ := a.connect("page", "alice")
	c.subscribe("one")
	c.subscribe("private-two")
	a.must(a.TriggerMulti([]string{"one", "private-two", "nobody-is-here"}, "greeting", "{}"))
	a.hears(c, "one", "greeting")
	a.hears(c, "private-two", "greeting")
}

func unsubscribes(t *testing.T, a *pusherApp) {
	c, _ := a.connect("page", "alice")
	c.subscribe("private-news")
	c.do("unsubscribe", "private-news")
	c.subscribe("other") // the first has no answer, but comes before the second
	a.publish("private-news", "missed", "")
	a.hears(c, "other")
	c.subscribe("private-news")
	a.publish("private-news", "later", "")
	a.hears(c, "private-news", "later")
}

// subscriptionError is the data of pusher:subscription_error and pusher:signin_error.
type subscriptionError struct {
	Type   string
	Status int
}

func forbidden(t *testing.T, a *pusherApp) {
	c, _ := a.connect("page", "alice")
	c.do("subscribe", "private-forbidden")
	var got subscriptionError
	c.next("private-forbidden", "pusher:subscription_error").into(t, &got)
	if want := (subscriptionError{"AuthError", 403}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func forged(t *testing.T, a *pusherApp) {
	c, _ := a.connect("page", "alice")
	for _, channel := range []string{"private-forged", "presence-forged"} {
		c.do("subscribe", channel)
		var got subscriptionError
		c.next(channel, "pusher:subscription_error").into(t, &got)
		if want := (subscriptionError{"AuthError", 401}); got != want {
			t.Errorf("%s: got %+v, want %+v", channel, got, want)
		}
	}
	c.subscribe("news") // the connection is still good
	a.hears(c, "news")
}

// membership is what pusher-js says of a presence channel that it subscribed to.
type membership struct {
	MyID    string
	Count   int
	Members map[string]struct{ Name string }
}

// member is what pusher-js says of somebody who comes or goes.
type member struct {
	ID   string
	Info struct{ Name string }
}

func members(t *testing.T, a *pusherApp) {
	const channel = "presence-room"
	alice, _ := a.connect("alice", "alice")
	bob, _ := a.connect("bob", "bob")
	var got membership
	alice.subscribe(channel).into(t, &got)
	if got.MyID != "alice" || got.Count != 1 {
		t.Errorf("alice found %+v", got)
	}
	bob.subscribe(channel).into(t, &got)
	if got.MyID != "bob" || got.Count != 2 || got.Members["alice"].Name != "ALICE" || got.Members["bob"].Name != "BOB" {
		t.Errorf("bob found %+v", got)
	}
	for _, news := range []string{"pusher:member_added", "pusher:member_removed"} {
		var who member
		if alice.next(channel, news).into(t, &who); who.ID != "bob" || who.Info.Name != "BOB" {
			t.Errorf("%s: %+v, want bob", news, who)
		}
		bob.do("unsubscribe", channel)
	}
}

func secondConnection(t *testing.T, a *pusherApp) {
	const channel = "presence-room"
	alice, _ := a.connect("alice", "alice")
	alice.subscribe(channel)
	one, _ := a.connect("one", "bob")
	two, _ := a.connect("two", "bob")
	var got membership
	one.subscribe(channel)
	if two.subscribe(channel).into(t, &got); got.Count != 2 {
		t.Errorf("with two connections of bob's there are %d members, want 2", got.Count)
	}
	one.do("unsubscribe", channel)
	two.do("unsubscribe", channel)
	var news []string
	for _, h := range alice.upTo(channel, "pusher:member_removed") {
		news = append(news, h.Event)
	}
	if want := []string{"pusher:member_added", "pusher:member_removed"}; !slices.Equal(news, want) {
		t.Errorf("alice heard %q, want %q", news, want)
	}
	a.hears(alice, channel)
}

func queries(t *testing.T, a *pusherApp) {
	for _, user := range []string{"alice", "bob"} {
		c, _ := a.connect(user, user)
		c.subscribe("presence-room")
		c.subscribe("news")
	}
	users, err := a.GetChannelUsers("presence-room")
	a.must(err)
	var ids []string
	for _, user := range users.List {
		ids = append(ids, user.ID)
	}
	slices.Sort(ids)
	if !slices.Equal(ids, []string{"alice", "bob"}) {
		t.Errorf("users %q", ids)
	}
	prefix, info := "presence-", "user_count"
	channels, err := a.Channels(pusher.ChannelsParams{FilterByPrefix: &prefix, Info: &info})
	a.must(err)
	if len(channels.Channels) != 1 || channels.Channels["presence-room"].UserCount != 2 {
		t.Errorf("channels %+v", channels)
	}
}

func clientEvents(t *testing.T, a *pusherApp, channel, sender string) {
	alice, _ := a.connect("alice", "alice")
	bob, _ := a.connect("bob", "bob")
	alice.subscribe(channel)
	bob.subscribe(channel)
	alice.do("trigger", channel, "client-typing", map[string]string{"word": "hel"})
	var data struct{ Word string }
	if bob.next(channel, "client-typing").into(t, &data); data.Word != "hel" {
		t.Errorf("data %+v", data)
	}
	var message struct {
		Event  string
		UserID string `json:"user_id"`
	}
	for message.Event != "client-typing" {
		bob.next("connection", "message").into(t, &message)
	}
	if message.UserID != sender {
		t.Errorf("sent by %q, want %q", message.UserID, sender)
	}
	a.hears(alice, channel)
}

func publicClientEvent(t *testing.T, a *pusherApp) {
	alice, _ := a.connect("alice", "alice")
	bob, _ := a.connect("bob", "bob")
	alice.subscribe("news")
	bob.subscribe("news")
	alice.do("trigger", "news", "client-typing", map[string]string{})
	alice.next("connection", "error")
	a.hears(bob, "news")
}

func tooManyClientEvents(t *testing.T, a *pusherApp) {
	c, _ := a.connect("page", "alice")
	c.subscribe("private-talk")
	for range 30 {
		c.do("trigger", "private-talk", "client-typing", map[string]string{})
	}
	if code := c.errorCode(); code != 4301 {
		t.Errorf("code %d, want 4301", code)
	}
}

func cache(t *testing.T, a *pusherApp) {
	for _, channel := range []string{"cache-news", "private-cache-news", "presence-cache-news"} {
		first, _ := a.connect("first "+channel, "alice")
		first.do("subscribe", channel)
		first.next(channel, "pusher:cache_miss")
		a.must(a.Trigger(channel, "old", map[string]int{"n": 1}))
		a.must(a.Trigger(channel, "last", map[string]int{"n": 2}))

		second, _ := a.connect("second "+channel, "bob")
		second.do("subscribe", channel)
		var data struct{ N int }
		if second.next(channel, "last").into(t, &data); data.N != 2 {
			t.Errorf("data %+v", data)
		}
		a.hears(second, channel)
	}
}

func signsIn(t *testing.T, a *pusherApp) {
	one, _ := a.connect("one", "alice")
	two, _ := a.connect("two", "alice")
	bob, _ := a.connect("bob", "bob")
	for _, c := range []*jsClient{one, two, bob} {
		c.signIn()
	}
	a.must(a.SendToUser("alice", "to alice", map[string]int{"n": 1}))
	a.must(a.SendToUser("bob", "to bob", map[string]int{"n": 2}))
	one.next("user", "to alice")
	two.next("user", "to alice")
	if h := bob.next("user", ""); h.Event != "to bob" {
		t.Errorf("bob heard %s", h)
	}
}

// signIn signs a client in, and waits until it is subscribed to what is sent to the user.
func (c *jsClient) signIn() {
	c.t.Helper()
	c.do("signin")
	c.signedIn()
}

func (c *jsClient) signedIn() {
	c.t.Helper()
	var message struct{ Event, Channel string }
	for message.Event != "pusher_internal:subscription_succeeded" || !strings.HasPrefix(message.Channel, "#server-to-user-") {
		c.next("connection", "message").into(c.t, &message)
	}
}

func notSignedIn(t *testing.T, a *pusherApp) {
	c, _ := a.connect("page", "nobody")
	c.do("signin")
	var got subscriptionError
	c.next("user", "pusher:signin_error").into(t, &got)
	if want := (subscriptionError{"AuthError", 403}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func signsInAgain(t *testing.T, a *pusherApp) {
	c, _ := a.connect("page", "alice")
	c.signIn()
	a.server.Disconnect(4200, "come back")
	c.signedIn()
	a.must(a.SendToUser("alice", "welcome", "{}"))
	c.next("user", "welcome")
}

func terminates(t *testing.T, a *pusherApp) {
	alice, _ := a.connect("alice", "alice")
	bob, _ := a.connect("bob", "bob")
	alice.signIn()
	bob.signIn()
	a.terminate("alice")
	alice.next("connection", "disconnected")
	a.must(a.SendToUser("bob", "still here", "{}"))
	bob.next("user", "still here")
}
