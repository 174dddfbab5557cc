package pusheradapter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/deliverywire"
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
			Refusable: refusable,
			Fail:      always(pushertest.Status(500, "")),
			Hang:      always(pushertest.Hang),
		}
	})
}

// accepted reports whether the server has accepted all that the event tells.
func accepted(t *testing.T, srv *pushertest.Server, event delivery.Event) bool {
	missing := make(map[delivery.Update]bool)
	for _, u := range event.Updates {
		u.Receipt = nil
		missing[u] = true
	}
	for _, e := range srv.Events() {
		var p deliverywire.Payload
		if err := json.Unmarshal([]byte(e.Data), &p); err != nil {
			t.Error(err)
		}
		if p.Conversation != event.Conversation || e.SocketID != event.Except {
			continue
		}
		for _, u := range p.Expand() {
			u.Receipt = nil
			delete(missing, u)
		}
	}
	return len(missing) == 0
}
