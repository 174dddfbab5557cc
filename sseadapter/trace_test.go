package sseadapter_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/msgdelivery/delivery"
)

func TestClientsNeverGetTraces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil, nil, nil)
		stream := w.open("alice", "conversation=c1", "")
		err := w.bus.Publish(t.Context(), []delivery.Event{{
			ID: 1, Kind: delivery.MessageSent, Conversation: "c1", From: 1, To: 1, Trace: []string{"the trace"},
			Updates: []delivery.Update{{Message: "m1", Sender: "alice", Version: 1, Status: delivery.Sent}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		events := stream.next()
		if got := names(t, events); !strings.Contains(got, "message m1") {
			t.Errorf("the stream has %q", got)
		}
		for _, e := range events {
			if strings.Contains(e.data, "race") {
				t.Errorf("the stream has %s", e.data)
			}
		}
		w.stop()
	})
}
