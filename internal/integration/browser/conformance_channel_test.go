package browser

import (
	"fmt"
	"testing"

	"github.com/pusher/pusher-http-go/v5"
)

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
