package browser

import (
	"strings"
	"testing"
)

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
