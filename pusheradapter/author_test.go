package pusheradapter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

var authorsOnly = pusheradapter.Options{AuthorsOnly: true}

// on returns the events that were accepted on a channel.
func on(srv *pushertest.Server, channel string) (events []pushertest.Event) {
	for _, e := range srv.Events() {
		if slices.Contains(e.Channels, channel) {
			events = append(events, e)
		}
	}
	return events
}

func TestAuthorsAreToldOfTheirOwnMessages(t *testing.T) {
	srv := pushertest.NewServer(t)
	alice, carol := srv.Dial(t).Subscribe("private-user-alice"), srv.Dial(t).Subscribe("private-user-carol=3A")
	everyone := srv.Dial(t).Subscribe("private-conv-c1")
	// Two messages of alice's and one of carol's, got by users with a socket each, out of order,
	// with a gap.
	events := []delivery.Event{newEvent("c1", 1), newReceipt("c1", "bob", "1.1", 9), newReceipt("c1", "dan", "2.2", 7), newReceipt("c1", "eve", "", 8)}
	events[3].Updates[0].Sender = "carol:"
	if err := newNotifier(t, srv, &authorsOnly).Notify(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		client *pushertest.Client
		want   []int64
	}{{"alice", alice, []int64{7, 9}}, {"carol", carol, []int64{8}}, {"everyone", everyone, []int64{1}}} {
		heard := test.client.Drain(t.Context())
		if got := versions(t, heard); len(heard) != 1 || !slices.Equal(got, test.want) {
			t.Errorf("%s heard %d events, of versions %v, want one of %v", test.name, len(heard), got, test.want)
		}
	}
	for _, e := range srv.Events() {
		var p deliverywire.Payload
		if err := json.Unmarshal([]byte(e.Data), &p); err != nil {
			t.Fatal(err)
		}
		if isStatus := e.Name == "status"; isStatus != (p.From == 0 && p.To == 0) || p.Conversation != "c1" {
			t.Errorf("%s of %s covers %d to %d", e.Name, p.Conversation, p.From, p.To)
		}
	}
}

// What a user reads on one device is read on the user's others.
func TestReadersOtherDevicesAreTold(t *testing.T) {
	srv := pushertest.NewServer(t)
	acting, other := srv.Dial(t).Subscribe("private-user-bob"), srv.Dial(t).Subscribe("private-user-bob")
	carol := srv.Dial(t).Subscribe("private-user-carol")
	failed := newReceipt("c1", "bob", "", 4)
	failed.Updates[0].Receipt.Failure = "bounced" // which is no mark of bob's
	nameless := newReceipt("c1", strings.Repeat("/", 51), "", 5)
	events := []delivery.Event{newReceipt("c1", "bob", acting.SocketID(), 1), newReceipt("c1", "carol", "", 2), newReceipt("c1", "bob", "", 3), failed, nameless}
	if err := newNotifier(t, srv, &authorsOnly).Notify(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		client *pushertest.Client
		want   []int64
	}{{"the acting device", acting, []int64{3}}, {"another device", other, []int64{1, 3}}, {"another reader", carol, []int64{2}}} {
		if got := versions(t, test.client.Drain(t.Context())); !slices.Equal(got, test.want) {
			t.Errorf("%s heard of versions %v, want %v", test.name, got, test.want)
		}
	}
}

func TestASocketCannotHideReceiptsFromTheAuthor(t *testing.T) {
	srv := pushertest.NewServer(t)
	alice := srv.Dial(t).Subscribe("private-user-alice")
	if err := newNotifier(t, srv, &authorsOnly).Notify(t.Context(), []delivery.Event{newReceipt("c1", "bob", alice.SocketID(), 1)}); err != nil {
		t.Fatal(err)
	}
	if got := versions(t, alice.Drain(t.Context())); !slices.Equal(got, []int64{1}) {
		t.Errorf("alice heard of versions %v", got)
	}
}

func TestAnAuthorWithoutAChannelIsRefusedAlone(t *testing.T) {
	srv := pushertest.NewServer(t)
	events := []delivery.Event{newReceipt("c1", "bob", "", 1), newReceipt("c1", "bob", "", 2), newReceipt("c1", "bob", "", 3)}
	events[1].Updates[0].Sender = strings.Repeat("/", 51)
	refused := refusals(t, newNotifier(t, srv, &authorsOnly).Notify(t.Context(), events))
	if len(refused) != 1 || !isPermanent(refused[1]) || len(on(srv, "private-user-alice")) != 1 {
		t.Errorf("refused %v, %d events accepted", refused, len(srv.Events()))
	}
}

func TestAReceiptThatFitsNoEventIsRefusedAlone(t *testing.T) {
	srv := pushertest.NewServer(t)
	events := []delivery.Event{newReceipt("c1", "bob", "", 1), newReceipt("c1", "bob", "", 2), newReceipt("c1", "bob", "", 3)}
	events[1].Updates[0].Message = strings.Repeat("m", 11<<10)
	refused := refusals(t, newNotifier(t, srv, &authorsOnly).Notify(t.Context(), events))
	if len(refused) != 1 || !isPermanent(refused[1]) || len(on(srv, "private-user-alice")) != 2 {
		t.Errorf("refused %v, %d events accepted", refused, len(srv.Events()))
	}
}

func TestAnAuthorWithoutAChannelKeepsNothingFromOthers(t *testing.T) {
	srv := pushertest.NewServer(t)
	event := newReceipt("c1", "bob", "", 1)
	nameless := event.Updates[0]
	nameless.Sender = strings.Repeat("/", 51)
	event.Updates = append(event.Updates, nameless)
	if err := newNotifier(t, srv, &authorsOnly).Notify(t.Context(), []delivery.Event{event}); err != nil {
		t.Errorf("got %v", err)
	}
	if n := len(on(srv, "private-user-alice")); n != 1 {
		t.Errorf("%d events accepted", n)
	}
}

func TestRefusedReceiptsOfSeveralAuthorsAreSentOnceMore(t *testing.T) {
	srv := pushertest.NewServer(t)
	events := []delivery.Event{newReceipt("c1", "bob", "", 1), newReceipt("c1", "bob", "", 2)}
	events[1].Updates[0].Sender = "carol"
	refuse := pushertest.Status(413, "")
	srv.Script(refuse, refuse, refuse) // all in a batch, and each author's by itself
	if err := newNotifier(t, srv, &authorsOnly).Notify(t.Context(), events); err != nil || len(on(srv, "private-user-alice")) != 1 || len(on(srv, "private-user-carol")) != 1 {
		t.Errorf("%v, %d events accepted", err, len(srv.Events()))
	}
}

// An erased author has no name and no devices: the others are told, and the event is accepted even
// if there are none.
func TestAnErasedAuthorIsNotTold(t *testing.T) {
	srv := pushertest.NewServer(t)
	alice := srv.Dial(t).Subscribe("private-user-alice")
	events := []delivery.Event{newReceipt("c1", "bob", "", 2), newReceipt("c1", "bob", "", 3)}
	events[0].Updates[0].Sender = ""
	for _, some := range [][]delivery.Event{events, events[:1]} {
		if err := newNotifier(t, srv, &authorsOnly).Notify(t.Context(), some); err != nil {
			t.Errorf("%d events: %v", len(some), err)
		}
	}
	if got := versions(t, alice.Drain(t.Context())); !slices.Equal(got, []int64{3}) {
		t.Errorf("alice heard of versions %v", got)
	}
}

func TestAuthorsOnlyKeepsTheContract(t *testing.T) {
	deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
		srv := pushertest.NewServer(t)
		return deliverytest.Endpoint{
			Notifier: newNotifier(t, srv, &authorsOnly),
			Accepted: func(event delivery.Event) bool {
				if event.Kind == delivery.StatusChanged {
					event.Except = ""
				}
				return accepted(t, srv, event)
			},
			Refusable: newEvent(strings.Repeat("/", delivery.MaxID), 1),
			Fail:      func() { srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return pushertest.Status(500, "") }) },
			Hang:      func() { srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return pushertest.Hang }) },
		}
	})
}

func TestAuthorsOnlyAndEncodeExcludeEachOther(t *testing.T) {
	config := pusheradapter.Config{AppID: "1", Key: "k", Secret: "s", Host: "127.0.0.1"}
	var typed *pusheradapter.ConfigError
	_, err := pusheradapter.New(config, &pusheradapter.Options{AuthorsOnly: true, Encode: pusheradapter.EncodePrivate})
	if !errors.As(err, &typed) || typed.Field != "AuthorsOnly" {
		t.Errorf("got %v", err)
	}
}

func TestAuthForUsersOwnChannels(t *testing.T) {
	handler, rule := newAuthHandler(t, &authorsOnly)
	w := ask(handler, "team:42", "123.456", "private-user-team=3A42")
	if want := signature("123.456:private-user-team=3A42"); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("the user itself: %d %s", w.Code, w.Body)
	}
	if len(rule.asked) != 0 {
		t.Errorf("the rule was asked %v", rule.asked)
	}
	refused := ask(handler, "carol", "123.456", "private-conv-team=3A42")
	if refused.Code != 403 {
		t.Fatal(refused.Code)
	}
	for _, channel := range []string{
		"private-user-team=3A42", // of another user
		"private-user-nobody",
		"private-user-",
		"private-user-BOB",
		"private-user-bob ",
		"private-user-bob\n",
		"private-user-bob\x00",
		"private-user-=62ob", // a second spelling of bob
		"private-user-bob=",
		"private-user-bob:",
		`private-user-bob:{"user_id":"victim"}`,
		`presence-user-bob:{"user_id":"victim"}`,
		"presence-user-bob",
		"private-encrypted-user-bob",
		"private-cache-user-bob",
		"user-bob",
		"#server-to-user-bob",
		"private-user-" + strings.Repeat("x", 8_000),
	} {
		w := ask(handler, "bob", "123.456", channel)
		if w.Code != 403 || w.Body.String() != refused.Body.String() || fmt.Sprint(w.Header()) != fmt.Sprint(refused.Header()) {
			t.Errorf("%.60q: %d %v %s", channel, w.Code, w.Header(), w.Body)
		}
	}
	for user, want := range map[string]int{"bob": 200, "carol": 403} {
		if w := ask(handler, user, "1.1", "private-conv-team=3A42"); w.Code != want {
			t.Errorf("the conversation, for %s: %d", user, w.Code)
		}
	}

	t.Run("are there without the option too", func(t *testing.T) {
		handler, _ := newAuthHandler(t, nil)
		for user, want := range map[string]int{"bob": 200, "alice": 403} {
			if w := ask(handler, user, "1.1", "private-user-bob"); w.Code != want {
				t.Errorf("%s: %d, want %d", user, w.Code, want)
			}
		}
	})
	t.Run("are none where an Encode of the app's names the channels", func(t *testing.T) {
		handler, _ := newAuthHandler(t, &pusheradapter.Options{Encode: pusheradapter.EncodePrivate, Conversation: pusheradapter.ParseChannel})
		if w := ask(handler, "bob", "1.1", "private-user-bob"); w.Code != 403 {
			t.Errorf("got %d", w.Code)
		}
	})
	t.Run("are not the app's grammar to give away", func(t *testing.T) {
		handler, _ := newAuthHandler(t, &pusheradapter.Options{
			AuthorsOnly: true, Conversation: func(string) (string, bool) { return "team:42", true },
		})
		for user, want := range map[string]int{"bob": 403, "alice": 200} {
			if w := ask(handler, user, "1.1", "private-user-alice"); w.Code != want {
				t.Errorf("%s: %d, want %d", user, w.Code, want)
			}
		}
	})
}

func TestAThousandReceiptsOfAGroupReachTheAuthorInFewEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := pushertest.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return pushertest.Delay(20 * time.Millisecond) })
		notifier := newNotifier(t, srv, &pusheradapter.Options{AuthorsOnly: true, Transport: srv})
		tracker, err := delivery.New(memstore.New(), notifier, &delivery.Options{OpenConversations: true, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- tracker.Run(ctx) }()
		defer func() {
			cancel()
			<-ended
		}()
		members := make([]string, 1000)
		for i := range members {
			members[i] = fmt.Sprint("member ", i)
		}
		alice := srv.Dial(t).Subscribe("private-user-alice")
		if _, err := tracker.Send(t.Context(), delivery.Draft{ID: "m", Conversation: "c1", Sender: "alice", Audience: delivery.Audience{Recipients: members}}); err != nil {
			t.Fatal(err)
		}
		for i, member := range members {
			time.Sleep(time.Millisecond)
			if _, err := tracker.MarkDelivered(t.Context(), delivery.Actor{User: member, Socket: fmt.Sprintf("7.%d", i)}, "m"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		heard := alice.Drain(t.Context())
		if got := versions(t, heard); len(got) != 1000 || len(heard) > 120 {
			t.Errorf("the author heard of %d receipts in %d events", len(got), len(heard))
		}
	})
}
