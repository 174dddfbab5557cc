package browser

import (
	"slices"
	"strings"
	"testing"
)

// TestPusherJS holds pushertest to what the official libraries expect, both as they are: pusher-js
// in Node.js, and pusher-http-go.
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

// events returns the names of the app's events that a client has heard on a channel, by publishing
// one more.
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
