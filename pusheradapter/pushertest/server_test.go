package pushertest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
	"github.com/pusher/pusher-http-go/v5"
)

func TestPublishing(t *testing.T) {
	inBubble(t, "an event reaches the channel's subscribers as it was published", func(w world) {
		a, b, elsewhere := w.dial().Subscribe("public"), w.dial().Subscribe("public"), w.dial().Subscribe("other")
		w.publish("public", "greeting", map[string]string{"say": "<hello>"})
		want := pushertest.Message{Name: "greeting", Channel: "public", Data: `{"say":"\u003chello\u003e"}`}
		for _, c := range []*pushertest.Client{a, b} {
			if got := c.Next(w.Context()); got != want {
				w.Errorf("received %+v, want %+v", got, want)
			}
		}
		w.wantNames(elsewhere)
	})

	inBubble(t, "the excluded connection gets nothing, the user's other ones do", func(w world) {
		a, b := w.dial().Subscribe("private-room"), w.dial().Subscribe("private-room")
		id := a.SocketID()
		if _, err := w.app.TriggerWithParams("private-room", "e", "d", pusher.TriggerParams{SocketID: &id}); err != nil {
			w.Fatal(err)
		}
		w.wantNames(a)
		w.wantNames(b, "e")
		if got := w.srv.Events()[0].SocketID; got != id {
			w.Errorf("recorded socket id %q, want %q", got, id)
		}
	})

	inBubble(t, "a socket id from before the reconnect excludes nobody", func(w world) {
		before := w.dial()
		id := before.SocketID()
		before.Close()
		after := w.dial().Subscribe("room")
		if after.SocketID() == id {
			w.Fatalf("socket id %s came twice", id)
		}
		if _, err := w.app.TriggerWithParams("room", "e", "d", pusher.TriggerParams{SocketID: &id}); err != nil {
			w.Fatal(err)
		}
		w.wantNames(after, "e")
	})

	inBubble(t, "a batch of ten arrives in order, each event with its own exclusion", func(w world) {
		a, b := w.dial().Subscribe("room"), w.dial().Subscribe("room")
		var batch []pusher.Event
		var all, others []string
		for i := range pushertest.MaxBatch {
			e := pusher.Event{Channel: "room", Name: fmt.Sprint("e", i), Data: "d"}
			all = append(all, e.Name)
			if i%2 == 0 {
				id := a.SocketID()
				e.SocketID = &id
			} else {
				others = append(others, e.Name)
			}
			batch = append(batch, e)
		}
		if _, err := w.app.TriggerBatch(batch); err != nil {
			w.Fatal(err)
		}
		w.wantNames(a, others...)
		w.wantNames(b, all...)
	})

	inBubble(t, "an event on many channels comes once for each", func(w world) {
		c := w.dial().Subscribe("one").Subscribe("two")
		if err := w.app.TriggerMulti([]string{"one", "two", "three"}, "e", "d"); err != nil {
			w.Fatal(err)
		}
		if a, b := c.Next(w.Context()), c.Next(w.Context()); a.Channel != "one" || b.Channel != "two" {
			w.Errorf("received on %s and %s, want one and two", a.Channel, b.Channel)
		}
		w.wantNames(c)
		if got := w.srv.Events(); len(got) != 1 || !slices.Equal(got[0].Channels, []string{"one", "two", "three"}) {
			w.Errorf("recorded %+v, want one event on three channels", got)
		}
	})

	inBubble(t, "counts are answered when asked for", func(w world) {
		w.dial().Subscribe("presence-p")
		w.dial().Subscribe("plain")
		info := "user_count,subscription_count"
		one, err := w.app.TriggerMultiWithParams([]string{"presence-p", "plain"}, "e", "d", pusher.TriggerParams{Info: &info})
		if err != nil {
			w.Fatal(err)
		}
		if p := one.Channels["presence-p"]; p.UserCount == nil || *p.UserCount != 1 || *p.SubscriptionCount != 1 {
			w.Errorf("counts of presence-p: %+v", p)
		}
		if p := one.Channels["plain"]; p.UserCount != nil || p.SubscriptionCount == nil || *p.SubscriptionCount != 1 {
			w.Errorf("counts of plain: %+v", p)
		}
		many, err := w.app.TriggerBatch([]pusher.Event{
			{Channel: "plain", Name: "e", Data: "d", Info: &info}, {Channel: "plain", Name: "e", Data: "d"},
		})
		if err != nil {
			w.Fatal(err)
		}
		if len(many.Batch) != 2 || many.Batch[1].SubscriptionCount != nil || *many.Batch[0].SubscriptionCount != 1 {
			w.Errorf("counts of the batch: %+v", many.Batch)
		}
	})
}

func TestQueries(t *testing.T) {
	inBubble(t, "channels are listed while they are occupied", func(w world) {
		c := w.dial().Subscribe("presence-p")
		w.dial().Subscribe("plain")
		prefix, info := "presence-", "user_count"
		list, err := w.app.Channels(pusher.ChannelsParams{FilterByPrefix: &prefix, Info: &info})
		if err != nil || len(list.Channels) != 1 || list.Channels["presence-p"].UserCount != 1 {
			w.Errorf("channels %+v, %v; want presence-p with one user", list, err)
		}
		c.Unsubscribe("presence-p")
		list, err = w.app.Channels(pusher.ChannelsParams{})
		if _, plain := list.Channels["plain"]; err != nil || len(list.Channels) != 1 || !plain {
			w.Errorf("channels %+v, %v; want plain", list, err)
		}
		_, err = w.app.Channels(pusher.ChannelsParams{Info: &info})
		w.wantStatus(err, "400")
	})

	inBubble(t, "a channel tells its state", func(w world) {
		w.dial().Subscribe("presence-p")
		info := "user_count,subscription_count"
		got, err := w.app.Channel("presence-p", pusher.ChannelParams{Info: &info})
		if err != nil || !got.Occupied || got.UserCount != 1 || got.SubscriptionCount != 1 {
			w.Errorf("channel %+v, %v; want one user, one subscription", got, err)
		}
		got, err = w.app.Channel("empty", pusher.ChannelParams{})
		if err != nil || got.Occupied {
			w.Errorf("channel %+v, %v; want it unoccupied", got, err)
		}
		_, err = w.app.Channel("plain", pusher.ChannelParams{Info: &info})
		w.wantStatus(err, "400")
	})

	inBubble(t, "users of a presence channel are listed once each", func(w world) {
		for _, id := range []string{"7", "5", "7"} {
			c := w.dial()
			c.UserID = id
			c.Subscribe("presence-p")
		}
		users, err := w.app.GetChannelUsers("presence-p")
		if err != nil || !slices.Equal(users.List, []pusher.User{{ID: "5"}, {ID: "7"}}) {
			w.Errorf("users %+v, %v; want 5 and 7", users, err)
		}
	})
}

func TestRecord(t *testing.T) {
	inBubble(t, "events tell the request and the time that published them", func(w world) {
		start := time.Now()
		w.app.Trigger("no spaces", "e", "d") // stays in the library
		w.srv.Script(pushertest.Status(500, ""))
		w.wantStatus(w.app.Trigger("a", "lost", "d"), "500")
		time.Sleep(time.Minute)
		w.publish("a", "kept", "d")
		got := w.srv.Events()
		if len(got) != 1 || got[0].Name != "kept" || got[0].Request != 2 || got[0].Time.Sub(start) != time.Minute {
			w.Errorf("recorded %+v, want the second request's event, after a minute", got)
		}
		if r := w.srv.Requests(); len(r) != 2 || r[0].Status != 500 || r[1].Status != 200 || r[1].Path != "/apps/1001/events" {
			w.Errorf("recorded %+v, want a 500 and a 200", r)
		}
	})

	inBubble(t, "waiting ends with the event that was waited for", func(w world) {
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range 3 {
				time.Sleep(time.Second)
				w.publish("a", fmt.Sprint("e", i), "d")
			}
		})
		got, err := w.srv.WaitEvents(w.Context(), 2)
		if err != nil || len(got) != 2 || got[1].Name != "e1" {
			w.Errorf("waited for %+v, %v; want two events", got, err)
		}
		wg.Wait()
	})

	inBubble(t, "waiting in vain ends with the context", func(w world) {
		w.publish("a", "e", "d")
		ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
		defer cancel()
		got, err := w.srv.WaitEvents(ctx, 2)
		if !errors.Is(err, context.DeadlineExceeded) || len(got) != 1 {
			w.Errorf("waited for %d events, %v; want one and the deadline", len(got), err)
		}
	})

	inBubble(t, "the record keeps the latest of very many", func(w world) {
		const n = 10_000
		for i := range n {
			w.publish("a", fmt.Sprint(i), "d")
		}
		got, err := w.srv.WaitEvents(w.Context(), n)
		if err != nil || len(got) < 4_096 || len(got) > 8_192 || got[len(got)-1].Name != fmt.Sprint(n-1) {
			w.Errorf("kept %d events, %v; want 4,096 to 8,192", len(got), err)
		}
	})
}

func TestNew(t *testing.T) {
	for _, o := range []pushertest.Options{{AppID: "1/../2"}, {Key: "a key"}} {
		if srv, err := pushertest.New(&o); err == nil {
			t.Errorf("New(%+v) made a server with %+v", o, srv)
		}
	}
	srv, err := pushertest.New(&pushertest.Options{AppID: "app", Key: "key", Secret: "secret"})
	if err != nil || srv.AppID != "app" || srv.Key != "key" || srv.Secret != "secret" {
		t.Errorf("New gave %v with other credentials than it got", err)
	}
}

func TestServerOnLoopback(t *testing.T) {
	srv := pushertest.NewServer(t)
	app := publisher(srv, nil)
	c := srv.Dial(t).Subscribe("private-room")
	if err := app.Trigger("private-room", "e", "d"); err != nil {
		t.Fatal(err)
	}
	if m := c.Next(t.Context()); m.Name != "e" {
		t.Errorf("received %+v, want e", m)
	}
	if got := srv.Requests()[0].RemoteAddr; got == "" {
		t.Error("no remote address recorded")
	}
	srv.Close()
	if end := c.Closed(t.Context()); end == nil || end.Code != 1001 {
		t.Errorf("connection ended with %v, want 1001", end)
	}
	if err := app.Trigger("private-room", "e", "d"); err == nil {
		t.Error("a closed server accepted an event")
	}
}

func TestEverythingAtOnceUntilClose(t *testing.T) {
	srv := pushertest.NewServer(t)
	var clients, publishers sync.WaitGroup
	for i := range 8 {
		c := srv.Dial(t)
		c.UserID = fmt.Sprint(i % 3)
		clients.Go(func() {
			for {
				select {
				case <-t.Context().Done():
					return
				default:
				}
				if c.TrySubscribe("presence-p") != nil {
					t.Error("could not subscribe")
					return
				}
				c.Trigger("presence-p", "client-e", i)
				c.Unsubscribe("presence-p")
				if len(srv.Events()) > 50 {
					return
				}
			}
		})
		publishers.Go(func() {
			app := publisher(srv, nil)
			for range 10 {
				if err := app.Trigger("presence-p", "e", "d"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishers.Wait()
	clients.Wait()
	srv.Close()
	if got := len(srv.Events()); got != 80 {
		t.Errorf("%d events accepted, want 80", got)
	}
}
