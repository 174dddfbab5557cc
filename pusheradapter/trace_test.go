package pusheradapter_test

import (
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestClientsNeverGetTraces(t *testing.T) {
	srv := pushertest.NewServer(t)
	event := newEvent("c1", 1)
	event.Trace = []string{"the trace"}
	if err := newNotifier(t, srv, nil).Notify(t.Context(), []delivery.Event{event}); err != nil {
		t.Fatal(err)
	}
	events := srv.Events()
	if len(events) != 1 || strings.Contains(events[0].Data, "race") {
		t.Errorf("the server got %+v", events)
	}
}
