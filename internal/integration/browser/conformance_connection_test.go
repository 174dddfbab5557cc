package browser

import (
	"regexp"
	"testing"
)

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
