package pusheradapter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
	"github.com/msgdelivery/delivery/internal/clone"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

// newReceipt returns the event of a user's having got alice's message, m-version, in a
// conversation.
func newReceipt(conversation, user, socket string, version int64) delivery.Event {
	event := newEvent(conversation, version)
	event.Kind, event.Except = delivery.StatusChanged, socket
	u := &event.Updates[0]
	u.Status, u.Delivered = delivery.Delivered, 1
	u.Receipt = &delivery.Receipt{Message: u.Message, Recipient: user, Status: delivery.Delivered, Version: version}
	return event
}

func TestReceiptsOfOneSocketShareAnEvent(t *testing.T) {
	srv := pushertest.NewServer(t)
	own, other := srv.Dial(t).Subscribe("private-conv-c1"), srv.Dial(t).Subscribe("private-conv-c1")
	events := []delivery.Event{newEvent("c1", 1)}
	for version := range int64(5) {
		events = append(events, newReceipt("c1", "bob", own.SocketID(), version+2))
	}
	events = append(events, newReceipt("c1", "carol", other.SocketID(), 7))
	given := clone.Events(events)
	for i := range given {
		given[i].Updates = slices.Grow(given[i].Updates, 10) // room that is not the notifier's
	}
	if err := newNotifier(t, srv, nil).Notify(t.Context(), given); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(given, events) || given[1].Updates[:2][1].Message != "" {
		t.Error("the events given were changed")
	}
	heard := other.Drain(t.Context())
	if got := versions(t, heard); len(heard) != 2 || !slices.Equal(got, []int64{1, 2, 3, 4, 5, 6}) {
		t.Errorf("the other socket heard %d events, of versions %v", len(heard), got)
	}
	var p deliverywire.Payload
	if err := json.Unmarshal([]byte(heard[1].Data), &p); err != nil || p.From != 2 || p.To != 6 {
		t.Errorf("the receipts cover %d to %d, %v", p.From, p.To, err)
	}
	if got := versions(t, own.Drain(t.Context())); !slices.Equal(got, []int64{1, 7}) {
		t.Errorf("the socket of the receipts heard of versions %v", got)
	}
}

func TestJoinedEventsAreRefusedOneByOne(t *testing.T) {
	receipts := func() (events []delivery.Event) {
		for version := range int64(3) {
			events = append(events, newReceipt("c1", "bob", "1.1", version+1))
		}
		return events
	}
	t.Run("when the endpoint refuses what they share", func(t *testing.T) {
		for status, permanent := range map[int]bool{400: false, 413: true} {
			srv := pushertest.NewServer(t)
			// All three as one; all three in a batch; each; the second is at fault.
			refuse := pushertest.Status(status, "")
			srv.Script(refuse, refuse, nil, refuse, nil)
			refused := refusals(t, newNotifier(t, srv, nil).Notify(t.Context(), receipts()))
			if len(refused) != 1 || refused[1] == nil || isPermanent(refused[1]) != permanent {
				t.Errorf("%d: refused %v", status, refused)
			}
			if len(srv.Events()) != 2 || len(srv.Requests()) != 5 {
				t.Errorf("%d: %d events accepted in %d calls", status, len(srv.Events()), len(srv.Requests()))
			}
		}
	})
	t.Run("and none of them if each is good by itself", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		srv.Script(pushertest.Status(413, ""))
		if err := newNotifier(t, srv, nil).Notify(t.Context(), receipts()); err != nil || len(srv.Events()) != 3 {
			t.Errorf("%v, %d events accepted", err, len(srv.Events()))
		}
	})
	t.Run("when one of them cannot be encoded", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		events := receipts()
		events[1].Updates[0].Status = 9
		refused := refusals(t, newNotifier(t, srv, nil).Notify(t.Context(), events))
		if len(refused) != 1 || !isPermanent(refused[1]) || len(srv.Events()) != 2 {
			t.Errorf("refused %v, %d events accepted", refused, len(srv.Events()))
		}
	})
	t.Run("unless the endpoint fails", func(t *testing.T) {
		srv := pushertest.NewServer(t)
		srv.Script(pushertest.Status(400, ""), pushertest.Status(503, ""))
		if err := newNotifier(t, srv, nil).Notify(t.Context(), receipts()); !isPlain(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnEncoderOfTheAppGetsEventsAsTheyWereCommitted(t *testing.T) {
	srv := pushertest.NewServer(t)
	var ids []int64
	options := &pusheradapter.Options{Encode: func(ctx context.Context, event delivery.Event) ([]pusheradapter.Trigger, error) {
		ids = append(ids, event.ID)
		return pusheradapter.EncodePrivate(ctx, event)
	}}
	events := []delivery.Event{newReceipt("c1", "bob", "1.1", 1), newReceipt("c1", "bob", "1.1", 2)}
	if err := newNotifier(t, srv, options).Notify(t.Context(), events); err != nil || fmt.Sprint(ids) != "[1 2]" {
		t.Errorf("%v, encoded %v", err, ids)
	}
}
