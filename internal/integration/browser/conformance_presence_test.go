package browser

import (
	"slices"
	"testing"

	"github.com/pusher/pusher-http-go/v5"
)

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
