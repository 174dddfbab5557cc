package pusheradapter_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestTriggersCarryTheWireForm(t *testing.T) {
	event := catchUp(1000, func(i int) string { return fmt.Sprintf("message-%030d", i) })
	payloads, err := deliverywire.Split(event, pusheradapter.MaxData)
	if err != nil {
		t.Fatal(err)
	}
	triggers, err := pusheradapter.EncodePrivate(t.Context(), event)
	if err != nil || len(triggers) != len(payloads) {
		t.Fatalf("%d triggers of %d payloads, %v", len(triggers), len(payloads), err)
	}
	for i, trigger := range triggers {
		want := pusheradapter.Trigger{Channel: "private-conv-room=3Ageneral", Name: "status", Data: payloads[i], Except: "123.456"}
		if !reflect.DeepEqual(trigger, want) {
			t.Errorf("trigger %d is %+v", i, trigger)
		}
	}
}

func TestEventsThatCanNeverBeEncoded(t *testing.T) {
	for name, spoil := range map[string]func(*delivery.Event){
		"a conversation without a channel name": func(e *delivery.Event) { e.Conversation = strings.Repeat("/", 51) },
		"no kind":                               func(e *delivery.Event) { e.Kind = 0 },
		"no updates":                            func(e *delivery.Event) { e.Updates = nil },
		"an id beyond all limits":               func(e *delivery.Event) { e.Updates[0].Message = strings.Repeat("x", 11_000) },
	} {
		t.Run(name, func(t *testing.T) {
			event := newEvent("c1", 1)
			spoil(&event)
			if triggers, err := pusheradapter.EncodePrivate(t.Context(), event); !isPermanent(err) {
				t.Errorf("%d triggers, %v; want a permanent error", len(triggers), err)
			}
		})
	}
}

func TestAnEventThatCannotBeEncodedIsRefusedAlone(t *testing.T) {
	srv := pushertest.NewServer(t)
	events := newEvents(3)
	events[1].Conversation = strings.Repeat("/", 128)
	refused := refusals(t, newNotifier(t, srv, nil).Notify(t.Context(), events))
	if len(refused) != 1 || !isPermanent(refused[1]) {
		t.Errorf("refused: %v", refused)
	}
	if len(srv.Events()) != 2 {
		t.Errorf("%d events accepted", len(srv.Events()))
	}
}

func TestEncodersOfTheApp(t *testing.T) {
	trigger := pusheradapter.Trigger{Channel: "a_channel", Name: "an_event", Data: []byte(`{"id":1}`)}
	encode := func(triggers ...pusheradapter.Trigger) *pusheradapter.Options {
		return &pusheradapter.Options{Encode: func(context.Context, delivery.Event) ([]pusheradapter.Trigger, error) { return triggers, nil }}
	}
	t.Run("no triggers: the event is accepted and nothing is sent", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		if err := newNotifier(t, srv, encode()).Notify(t.Context(), newEvents(3)); err != nil || len(srv.Requests()) != 0 {
			t.Errorf("%v, %d calls", err, len(srv.Requests()))
		}
	})
	t.Run("several triggers of an event share its fate", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		srv.Script(pushertest.Status(400, ""), nil, nil, nil, pushertest.Status(400, ""))
		refused := refusals(t, newNotifier(t, srv, encode(trigger, trigger)).Notify(t.Context(), newEvents(3)))
		if len(refused) != 1 || refused[1] == nil || len(srv.Events()) != 5 {
			t.Errorf("refused %v, accepted %d", refused, len(srv.Events()))
		}
	})
	t.Run("of several refusals of an event the final one counts", func(t *testing.T) {
		for _, statuses := range [][2]int{{400, 413}, {413, 400}} {
			srv := pushertest.NewServer(t)
			srv.Script(pushertest.Status(400, ""), pushertest.Status(statuses[0], ""), pushertest.Status(statuses[1], ""))
			if refused := refusals(t, newNotifier(t, srv, encode(trigger, trigger)).Notify(t.Context(), newEvents(1))); !isPermanent(refused[0]) {
				t.Errorf("%v: refused %v", statuses, refused)
			}
		}
	})
	t.Run("an error is the event's, permanent only if it says so", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		cause := errors.New("no such user")
		options := &pusheradapter.Options{Encode: func(_ context.Context, e delivery.Event) ([]pusheradapter.Trigger, error) {
			switch e.Conversation {
			case "c0":
				return nil, cause
			case "c1":
				return nil, delivery.Permanent(cause)
			}
			return []pusheradapter.Trigger{trigger}, nil
		}}
		refused := refusals(t, newNotifier(t, srv, options).Notify(t.Context(), newEvents(3)))
		if len(refused) != 2 || !errors.Is(refused[0], cause) || isPermanent(refused[0]) || !isPermanent(refused[1]) {
			t.Errorf("refused: %v", refused)
		}
	})
	t.Run("the end of the context is nobody's fault", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		options := &pusheradapter.Options{Encode: func(ctx context.Context, _ delivery.Event) ([]pusheradapter.Trigger, error) {
			cancel()
			return nil, ctx.Err()
		}}
		if err := newNotifier(t, srv, options).Notify(ctx, newEvents(3)); !isPlain(err) || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestTriggersThatPusherWouldNotTake(t *testing.T) {
	good := pusheradapter.Trigger{Channel: "private-x", Name: "status", Data: []byte(`{}`)}
	tests := []struct {
		name, field string
		spoil       func(*pusheradapter.Trigger)
	}{
		{"no channel", "Channel", func(t *pusheradapter.Trigger) { t.Channel = "" }},
		{"a channel with a colon", "Channel", func(t *pusheradapter.Trigger) { t.Channel = "private-a:b" }},
		{"a channel with a line break", "Channel", func(t *pusheradapter.Trigger) { t.Channel = "private-a\n" }},
		{"a channel that isn't ASCII", "Channel", func(t *pusheradapter.Trigger) { t.Channel = "private-é" }},
		{"a channel of 165 characters", "Channel", func(t *pusheradapter.Trigger) { t.Channel = strings.Repeat("x", 165) }},
		{"a user's own channel of Pusher's", "Channel", func(t *pusheradapter.Trigger) { t.Channel = "#server-to-user-1" }},
		{"an encrypted channel", "Channel", func(t *pusheradapter.Trigger) { t.Channel = "private-encrypted-x" }},
		{"no name", "Name", func(t *pusheradapter.Trigger) { t.Name = "" }},
		{"a name of 201 bytes", "Name", func(t *pusheradapter.Trigger) { t.Name = strings.Repeat("x", 201) }},
		{"a name of the protocol's", "Name", func(t *pusheradapter.Trigger) { t.Name = "pusher:error" }},
		{"an internal name of the protocol's", "Name", func(t *pusheradapter.Trigger) { t.Name = "pusher_internal:x" }},
		{"a name with a line break", "Name", func(t *pusheradapter.Trigger) { t.Name = "a\nb" }},
		{"a name that isn't UTF-8", "Name", func(t *pusheradapter.Trigger) { t.Name = "\xff" }},
		{"no data", "Data", func(t *pusheradapter.Trigger) { t.Data = nil }},
		{"data that isn't JSON", "Data", func(t *pusheradapter.Trigger) { t.Data = []byte("hello") }},
		{"data of 10,241 bytes", "Data", func(t *pusheradapter.Trigger) { t.Data = []byte(`"` + strings.Repeat("x", 10_239) + `"`) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			srv := pushertest.NewServer(t)
			options := &pusheradapter.Options{Encode: func(_ context.Context, e delivery.Event) ([]pusheradapter.Trigger, error) {
				bad := good
				if e.Conversation == "c0" {
					test.spoil(&bad)
				}
				return []pusheradapter.Trigger{good, bad}, nil
			}}
			refused := refusals(t, newNotifier(t, srv, options).Notify(t.Context(), newEvents(2)))
			var typed *pusheradapter.TriggerError
			if len(refused) != 1 || !errors.As(refused[0], &typed) || typed.Field != test.field || !isPermanent(refused[0]) {
				t.Errorf("refused: %v", refused)
			}
			if len(srv.Events()) != 2 {
				t.Errorf("%d triggers sent, want those of the other event", len(srv.Events()))
			}
		})
	}
	t.Run("the largest and longest that are allowed", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		options := &pusheradapter.Options{Encode: func(context.Context, delivery.Event) ([]pusheradapter.Trigger, error) {
			data := []byte(`"` + strings.Repeat("x", 10_238) + `"`)
			return []pusheradapter.Trigger{{Channel: strings.Repeat("x", 164), Name: strings.Repeat("x", 200), Data: data}}, nil
		}}
		if err := newNotifier(t, srv, options).Notify(t.Context(), newEvents(10)); err != nil {
			t.Error(err)
		}
	})
}

func TestOwnEventsGoToTheirUsersChannelAlone(t *testing.T) {
	srv := pushertest.NewServer(t)
	bob, acting, everyone := srv.Dial(t), srv.Dial(t), srv.Dial(t).Subscribe("private-conv-c1")
	bob.Subscribe("private-user-bob")
	acting.Subscribe("private-user-bob")
	own := delivery.OwnUpdate{Conversation: "c1", Status: delivery.Read, Place: delivery.Place{Rev: 1, Delivered: 3, Badge: 3}}
	event := delivery.Event{ID: 1, Kind: delivery.OwnChanged, User: "bob", Except: acting.SocketID(), Updates: []delivery.Update{{Message: "m3", Own: &own}}}
	nameless := event
	nameless.ID, nameless.User = 2, strings.Repeat("=", delivery.MaxID)
	for _, opts := range []*pusheradapter.Options{nil, &authorsOnly} {
		notifier := newNotifier(t, srv, opts)
		if !notifier.TakesOwn() {
			t.Error("it takes none")
		}
		if err := notifier.Notify(t.Context(), []delivery.Event{event, nameless}); err != nil {
			t.Fatal(err)
		}
		heard := bob.Drain(t.Context())
		if len(heard) != 1 || heard[0].Name != "own" || !strings.Contains(heard[0].Data, `"badge":3`) {
			t.Errorf("bob heard %+v", heard)
		}
		for name, client := range map[string]*pushertest.Client{"the acting socket": acting, "everyone": everyone} {
			if heard := client.Drain(t.Context()); len(heard) != 0 {
				t.Errorf("%s heard %+v", name, heard)
			}
		}
	}
	ownEncode := newNotifier(t, srv, &pusheradapter.Options{Encode: pusheradapter.EncodePrivate})
	if ownEncode.TakesOwn() {
		t.Error("with an Encode of the app's it takes some")
	}
}
