package pushertest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
	"github.com/pusher/pusher-http-go/v5"
)

func TestConnecting(t *testing.T) {
	inBubble(t, "an unknown key is turned away with 4001", func(w world) {
		if end := w.srv.ServeConn(w.Context(), stuckConn{}, "other"); end == nil || end.Code != 4001 {
			w.Errorf("ended with %v, want 4001", end)
		}
	})

	inBubble(t, "a closed server turns everybody away", func(w world) {
		w.srv.Close()
		if end := w.srv.ServeConn(w.Context(), stuckConn{}, w.srv.Key); end == nil || end.Code != 1001 {
			w.Errorf("ended with %v, want 1001", end)
		}
	})

	inBubble(t, "no more connections at a time than MaxConnections, and each that ends makes room", func(w world) {
		first := w.dial()
		for range pushertest.MaxConnections - 1 {
			w.dial()
		}
		if end := w.srv.ServeConn(w.Context(), stuckConn{}, w.srv.Key); end == nil || end.Code != 4100 {
			w.Errorf("one more ended with %v, want 4100", end)
		}
		first.Close()
		synctest.Wait()
		w.dial().Subscribe("room")
	})

	inBubble(t, "no more subscriptions of a connection than MaxSubscriptions, and each that ends makes room", func(w world) {
		c := w.dial()
		for i := range pushertest.MaxSubscriptions {
			c.Subscribe(fmt.Sprint("room", i))
		}
		if err := c.TrySubscribe("one-more"); err == nil {
			w.Error("one more was let in")
		}
		c.Unsubscribe("room0")
		c.Subscribe("one-more")
	})

	inBubble(t, "Disconnect ends every connection with its code", func(w world) {
		a, b := w.dial().Subscribe("room"), w.dial()
		w.srv.Disconnect(4200, "reconnect")
		for _, c := range []*pushertest.Client{a, b} {
			var end error = c.Closed(w.Context())
			if closed := (*pushertest.CloseError)(nil); !errors.As(end, &closed) || *closed != (pushertest.CloseError{Code: 4200, Reason: "reconnect"}) {
				w.Errorf("ended with %v, want 4200", end)
			}
		}
		list, err := w.app.Channels(pusher.ChannelsParams{})
		if err != nil || len(list.Channels) != 0 {
			w.Errorf("channels %+v, %v; want none", list, err)
		}
	})

	inBubble(t, "Disconnect without a code ends connections without one", func(w world) {
		c := w.dial()
		w.srv.Disconnect(0, "")
		if end := c.Closed(w.Context()); end != nil {
			w.Errorf("ended with %v, want nothing", end)
		}
	})

	inBubble(t, "what was sent before the end can still be read", func(w world) {
		c := w.dial().Subscribe("room")
		w.publish("room", "last", "d")
		w.srv.Disconnect(4200, "")
		c.Closed(w.Context())
		if m := c.Next(w.Context()); m.Name != "last" {
			w.Errorf("received %+v, want the last event", m)
		}
	})

	inBubble(t, "a client that doesn't read is cut off and holds up nobody", func(w world) {
		reader := w.dial()
		reader.UserID = "reader"
		reader.Subscribe("presence-room")
		var end *pushertest.CloseError
		done := make(chan struct{})
		slow := &slowConn{subscribed: make(chan struct{})}
		go func() {
			defer close(done)
			end = w.srv.ServeConn(w.Context(), slow, w.srv.Key)
		}()
		<-slow.subscribed
		for i := range 2_000 {
			w.publish("public", fmt.Sprint(i), "d")
		}
		start := time.Now()
		<-done
		if end == nil || end.Code != 4100 {
			w.Errorf("the slow client's connection ended with %v, want 4100", end)
		}
		if waited := time.Since(start); waited > 5*time.Second {
			w.Errorf("ending the connection took %s", waited)
		}
		w.publish("presence-room", "e", "d")
		w.wantNames(reader, "e")
	})
}

func TestSubscribing(t *testing.T) {
	for _, channel := range []string{"plain", "private-x", "presence-x", "private-encrypted-x"} {
		inBubble(t, "a client subscribes to "+channel+" and unsubscribes", func(w world) {
			c := w.dial().Subscribe(channel)
			w.publishRaw(channel, "one")
			c.Unsubscribe(channel)
			w.publishRaw(channel, "two")
			w.wantNames(c, "one")
		})
	}

	inBubble(t, "a forged authorization is refused", func(w world) {
		c := w.dial()
		c.Authorize = func(string, string) (pushertest.Authorization, error) {
			return pushertest.Authorization{Auth: w.srv.Key + ":00", ChannelData: `{"user_id":"1"}`}, nil
		}
		for _, channel := range []string{"private-x", "presence-x"} {
			if err := c.TrySubscribe(channel); err == nil {
				w.Errorf("subscribed to %s", channel)
			}
		}
		c.Subscribe("plain") // which needs none
	})

	inBubble(t, "another connection's authorization is refused", func(w world) {
		a, b := w.dial(), w.dial()
		b.Authorize = func(_, channel string) (pushertest.Authorization, error) { return a.Authorize(a.SocketID(), channel) }
		if err := b.TrySubscribe("private-x"); err == nil {
			w.Error("subscribed with another's authorization")
		}
	})

	inBubble(t, "an endpoint's refusal is reported", func(w world) {
		refused := errors.New("refused")
		c := w.dial()
		c.Authorize = func(string, string) (pushertest.Authorization, error) { return pushertest.Authorization{}, refused }
		if err := c.TrySubscribe("private-x"); !errors.Is(err, refused) {
			w.Errorf("error %v, want the endpoint's", err)
		}
	})

	inBubble(t, "the signatures of pusher-http-go are accepted", func(w world) {
		c := w.dial()
		c.Authorize = func(id, channel string) (a pushertest.Authorization, err error) {
			form := []byte("socket_id=" + id + "&channel_name=" + channel)
			answer, err := w.app.AuthorizePrivateChannel(form)
			if channel == "presence-x" {
				answer, err = w.app.AuthorizePresenceChannel(form, pusher.MemberData{UserID: "7", UserInfo: map[string]string{"n": "x"}})
			}
			return a, errors.Join(err, json.Unmarshal(answer, &a))
		}
		c.Subscribe("private-x").Subscribe("presence-x")
	})

	inBubble(t, "subscribing twice is an error", func(w world) {
		if err := w.dial().Subscribe("plain").TrySubscribe("plain"); err == nil {
			w.Error("subscribed twice")
		}
	})

	for _, channel := range []string{"", "a b", "#server-to-user-1", "#server-to-user-"} {
		inBubble(t, fmt.Sprintf("the channel %q is refused", channel), func(w world) {
			if err := w.dial().TrySubscribe(channel); err == nil {
				w.Error("subscribed")
			}
		})
	}
}

func TestPresence(t *testing.T) {
	inBubble(t, "others see a user come and go, not the connections", func(w world) {
		join := func(id string) *pushertest.Client {
			c := w.dial()
			c.UserID = id
			return c.Subscribe("presence-p")
		}
		a := join("1")
		b1 := join("2")
		b2 := join("2")
		want := pushertest.Message{Name: "pusher_internal:member_added", Channel: "presence-p", Data: `{"user_id":"2"}`}
		if got := a.Next(w.Context()); got != want {
			w.Errorf("received %+v, want %+v", got, want)
		}
		w.wantNames(b1)
		b1.Close()
		w.wantNames(a)
		b2.Unsubscribe("presence-p")
		want.Name = "pusher_internal:member_removed"
		if got := a.Next(w.Context()); got != want {
			w.Errorf("received %+v, want %+v", got, want)
		}
		w.wantNames(a)
		w.wantNames(b2)
	})

	inBubble(t, "a newcomer is told who is there", func(w world) {
		first := w.dial()
		first.UserID = "1"
		first.Subscribe("presence-p")
		c := w.dial()
		a, err := c.Authorize(c.SocketID(), "presence-p")
		if err != nil {
			w.Fatal(err)
		}
		c.Send(fmt.Sprintf(`{"event":"pusher:subscribe","data":{"channel":"presence-p","auth":%q,"channel_data":%q}}`, a.Auth, a.ChannelData))
		m := c.Next(w.Context())
		want := fmt.Sprintf(`{"presence":{"count":2,"hash":{"1":null,%[1]q:null},"ids":["1",%[1]q]}}`, c.SocketID())
		if m.Name != "pusher_internal:subscription_succeeded" || m.Data != want {
			w.Errorf("received %+v, want %s", m, want)
		}
	})

	inBubble(t, "user ids may be numbers", func(w world) {
		c := w.dial()
		c.Authorize = func(id, channel string) (a pushertest.Authorization, err error) {
			data := []byte(`{"user_id":7,"user_info":{"name":"Ann"}}`)
			return a, json.Unmarshal(authorize(w.srv, id, channel, data), &a)
		}
		c.Subscribe("presence-p")
		users, err := w.app.GetChannelUsers("presence-p")
		if err != nil || len(users.List) != 1 || users.List[0].ID != "7" {
			w.Errorf("users %+v, %v; want 7", users, err)
		}
	})

	for rule, data := range map[string]string{
		"a user without an id is refused":         `{"user_info":{}}`,
		"channel data that is no JSON is refused": `7,`,
		"a user id of 129 characters is refused":  fmt.Sprintf(`{"user_id":"%0129d"}`, 1),
		"a user of over 1,024 bytes is refused":   fmt.Sprintf(`{"user_id":"1","user_info":"%01024d"}`, 1),
		"a user id that is an object is refused":  `{"user_id":{}}`,
	} {
		inBubble(t, rule, func(w world) {
			c := w.dial()
			c.Authorize = func(id, channel string) (a pushertest.Authorization, err error) {
				return a, json.Unmarshal(authorize(w.srv, id, channel, []byte(data)), &a)
			}
			if err := c.TrySubscribe("presence-p"); err == nil {
				w.Error("subscribed")
			}
		})
	}

	inBubble(t, "the 101st user is refused, another tab of the 100th is not", func(w world) {
		join := func(i int) error {
			c := w.dial()
			c.UserID = fmt.Sprint(i)
			return c.TrySubscribe("presence-p")
		}
		for i := range 100 {
			if err := join(i); err != nil {
				w.Fatal(err)
			}
		}
		if err := join(100); err == nil {
			w.Error("the 101st user got in")
		}
		if err := join(99); err != nil {
			w.Error(err)
		}
	})
}

func TestCacheChannels(t *testing.T) {
	for _, channel := range []string{"cache-c", "private-cache-c", "presence-cache-c", "private-encrypted-cache-c"} {
		inBubble(t, channel+" replays its last event for half an hour", func(w world) {
			w.wantNames(w.dial().Subscribe(channel), "pusher:cache_miss")
			w.publishRaw(channel, "first")
			w.publishRaw(channel, "last")
			time.Sleep(30 * time.Minute)
			w.wantNames(w.dial().Subscribe(channel), "last")
			time.Sleep(time.Second)
			w.wantNames(w.dial().Subscribe(channel), "pusher:cache_miss")
		})
	}

	inBubble(t, "client events are not replayed", func(w world) {
		a := w.dial().Subscribe("private-cache-c")
		a.Trigger("private-cache-c", "client-e", "d")
		w.wantNames(a, "pusher:cache_miss")
		w.wantNames(w.dial().Subscribe("private-cache-c"), "pusher:cache_miss")
	})
}

func TestClientEvents(t *testing.T) {
	inBubble(t, "a client event reaches the others and not its sender", func(w world) {
		a, b := w.dial().Subscribe("private-x"), w.dial().Subscribe("private-x")
		a.Trigger("private-x", "client-typing", map[string]int{"n": 1})
		w.wantNames(a)
		want := pushertest.Message{Name: "client-typing", Channel: "private-x", Data: `{"n":1}`}
		if got := b.Next(w.Context()); got != want {
			w.Errorf("received %+v, want %+v", got, want)
		}
		if events := w.srv.Events(); len(events) != 0 {
			w.Errorf("recorded %+v, want nothing: no program published it", events)
		}
	})

	inBubble(t, "on a presence channel it says whose it is", func(w world) {
		a, b := w.dial(), w.dial().Subscribe("presence-x")
		a.UserID = "7"
		a.Subscribe("presence-x")
		b.Next(w.Context()) // member_added
		a.Trigger("presence-x", "client-typing", 1)
		if got := b.Next(w.Context()); got.UserID != "7" {
			w.Errorf("received %+v, want it from user 7", got)
		}
	})

	for rule, channel := range map[string]string{
		"a public channel takes none":      "plain",
		"an encrypted channel takes none":  "private-encrypted-x",
		"a channel not subscribed to, too": "private-other",
	} {
		inBubble(t, rule, func(w world) {
			a := w.dial().Subscribe("plain").Subscribe("private-encrypted-x")
			b := w.dial().Subscribe("plain").Subscribe("private-encrypted-x").Subscribe("private-other")
			a.Trigger(channel, "client-e", "d")
			w.wantNames(a, "pusher:error")
			w.wantNames(b)
		})
	}

	inBubble(t, "a client event of over 10,240 bytes is refused", func(w world) {
		a := w.dial().Subscribe("private-x")
		a.Trigger("private-x", "client-e", fmt.Sprintf("%010240d", 1))
		w.wantNames(a, "pusher:error")
	})

	inBubble(t, "the eleventh within a second gets error 4301", func(w world) {
		a, b := w.dial().Subscribe("private-x"), w.dial().Subscribe("private-x")
		for range 10 {
			a.Trigger("private-x", "client-e", "d")
		}
		w.wantNames(a)
		time.Sleep(time.Second - 1)
		a.Trigger("private-x", "client-e", "d")
		var refused struct{ Code int }
		if err := json.Unmarshal([]byte(a.Next(w.Context()).Data), &refused); err != nil || refused.Code != 4301 {
			w.Errorf("error %d, %v; want 4301", refused.Code, err)
		}
		time.Sleep(time.Nanosecond)
		a.Trigger("private-x", "client-e", "d")
		w.wantNames(a)
		if got := len(b.Drain(w.Context())); got != 11 {
			w.Errorf("%d events arrived, want 11", got)
		}
	})
}

func TestSignIn(t *testing.T) {
	inBubble(t, "what is sent to a user reaches all the user's connections", func(w world) {
		a1, a2, b := w.dial().SignIn("a"), w.dial().SignIn("a"), w.dial().SignIn("b")
		if err := w.app.SendToUser("a", "hey", "d"); err != nil {
			w.Fatal(err)
		}
		w.wantNames(a1, "hey")
		w.wantNames(a2, "hey")
		w.wantNames(b)
	})

	inBubble(t, "a forged sign-in ends the connection with 4009", func(w world) {
		c := w.dial()
		c.Send(`{"event":"pusher:signin","data":{"auth":"pushertest-key:00","user_data":"{\"id\":\"a\"}"}}`)
		if end := c.Closed(w.Context()); end == nil || end.Code != 4009 {
			w.Errorf("ended with %v, want 4009", end)
		}
	})

	inBubble(t, "terminating a user ends the user's connections with 4009", func(w world) {
		a, b := w.dial().SignIn("a"), w.dial().SignIn("b")
		if status := terminate(w, "a"); status != 200 {
			w.Fatalf("status %d, want 200", status)
		}
		if end := a.Closed(w.Context()); end == nil || end.Code != 4009 {
			w.Errorf("ended with %v, want 4009", end)
		}
		w.wantNames(b)
	})
}

func TestMessages(t *testing.T) {
	for message, want := range map[string][]string{
		`{"event":"pusher:pong","data":{}}`:                                     nil,
		`{"event":"pusher:unsubscribe","data":{"channel":"never"}}`:             nil,
		`{"event":"pusher:unsubscribe"}`:                                        nil,
		`{"event":"pusher:subscribe","data":"{\"channel\":\"twice-encoded\"}"}`: {"pusher_internal:subscription_succeeded"},
		`{"event":"pusher:subscribe"}`:                                          {"pusher:error"},
		`{"event":"pusher:nonsense"}`:                                           {"pusher:error"},
		`{"event":7}`:                                                           {"pusher:error"},
		`no JSON`:                                                               {"pusher:error"},
		``:                                                                      {"pusher:error"},
	} {
		inBubble(t, fmt.Sprintf("%q gets %q", message, want), func(w world) {
			c := w.dial()
			c.Send(message)
			w.wantNames(c, want...)
		})
	}
}
