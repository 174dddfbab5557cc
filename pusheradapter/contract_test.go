package pusheradapter_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestNotifier(t *testing.T) {
	deliverytest.TestNotifier(t, func(t *testing.T) deliverytest.Endpoint {
		srv := pushertest.NewServer(t)
		refusable := newEvent(strings.Repeat("/", delivery.MaxID), 1) // too long a name for a channel
		always := func(fault pushertest.Fault) func() {
			return func() { srv.FaultFunc(func(pushertest.Request) pushertest.Fault { return fault }) }
		}
		return deliverytest.Endpoint{
			Notifier:  newNotifier(t, srv, nil),
			Accepted:  func(event delivery.Event) bool { return accepted(t, srv, event) },
			Sent:      func(conversation, socket string) [][]byte { return sent(srv, conversation, socket) },
			Refusable: refusable,
			Fail:      always(pushertest.Status(500, "")),
			Hang:      always(pushertest.Hang),
		}
	})
}

// accepted reports whether the server has accepted all that the event tells.
func accepted(t *testing.T, srv *pushertest.Server, event delivery.Event) bool {
	conversation := event.Conversation
	missing := make(map[delivery.Update]bool)
	for _, u := range event.Updates {
		if u.Own != nil {
			conversation = u.Own.Conversation
		}
		u.Receipt, u.Own = nil, nil
		missing[u] = true
	}
	for _, e := range srv.Events() {
		var p deliverywire.Payload
		if err := json.Unmarshal([]byte(e.Data), &p); err != nil {
			t.Error(err)
		}
		if e.Name != event.Kind.String() || p.Conversation != conversation || e.SocketID != event.Except {
			continue
		}
		for _, u := range p.Expand() {
			u.Receipt, u.Own = nil, nil
			delete(missing, u)
		}
	}
	return len(missing) == 0
}

// sent returns what the server has sent to a client with that socket on the conversation's channel.
func sent(srv *pushertest.Server, conversation, socket string) (data [][]byte) {
	channel, err := pusheradapter.PrivateChannel(conversation)
	if err != nil {
		panic(err)
	}
	for _, e := range srv.Events() {
		if slices.Contains(e.Channels, channel) && e.SocketID != socket {
			data = append(data, []byte(e.Data))
		}
	}
	return data
}
