package delivery_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

func TestTheErrorOfAStoreThatCannotReadReachesTheCaller(t *testing.T) {
	broken := errors.New("connection refused")
	d := newDesk(t, nil)
	sendAs(t, d.Tracker, "m")
	for name, read := range map[string]struct {
		method string
		call   func(*delivery.Tracker) (any, error)
	}{
		"Message": {"Load", func(tr *delivery.Tracker) (any, error) { return tr.Message(t.Context(), "m") }},
		"Load":    {"Load", func(tr *delivery.Tracker) (any, error) { return tr.Load(t.Context(), "m") }},
		"Messages": {"List", func(tr *delivery.Tracker) (any, error) {
			return tr.Messages(t.Context(), delivery.Query{Conversation: "c"})
		}},
		"Changes": {"List", func(tr *delivery.Tracker) (any, error) {
			return tr.Changes(t.Context(), "c", delivery.Cursor{Version: 1}, 0)
		}},
		"Receipts": {"Receipts", func(tr *delivery.Tracker) (any, error) {
			return tr.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m"})
		}},
		"Unread":      {"Unread", func(tr *delivery.Tracker) (any, error) { return tr.Unread(t.Context(), bob, "c") }},
		"DeadLetters": {"Dead", func(tr *delivery.Tracker) (any, error) { return tr.DeadLetters(t.Context(), delivery.DeadQuery{}) }},
		"Backlog":     {"Backlog", func(tr *delivery.Tracker) (any, error) { return tr.Backlog(t.Context()) }},
	} {
		tracker := newTracker(t, deliverytest.FailingStore(d.store, deliverytest.OnCall(1, broken, read.method)), d, nil)
		got, err := read.call(tracker)
		if !errors.Is(err, broken) || !reflect.ValueOf(got).IsZero() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if _, err := read.call(tracker); err != nil {
			t.Errorf("%s again: %v", name, err)
		}
	}
}

func TestReceiptsThatAreThereNeedNoLookAtTheMessage(t *testing.T) {
	d := newDesk(t, nil)
	if _, err := d.Send(t.Context(), delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}); err != nil {
		t.Fatal(err)
	}
	tracker := newTracker(t, deliverytest.FailingStore(d.store, deliverytest.OnCall(1, errors.New("not to be asked"), "Load")), d, nil)
	if page, err := tracker.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m"}); err != nil || len(page.Receipts) == 0 {
		t.Errorf("%v, %v", page, err)
	}
}

// another is a store that lost what it had acknowledged, or one that did not get so far.
type another struct {
	delivery.Store
	epoch, back int64
}

func (s another) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	page, err := s.Store.List(ctx, list)
	page.Epoch += s.epoch
	page.Version -= s.back
	return page, err
}

func TestAClientThatTheStoreCannotHaveToldStartsOver(t *testing.T) {
	store := memstore.New()
	tracker := newTracker(t, store, new(desk), nil)
	sendAs(t, tracker, "m1", "m2", "m3")
	all, err := tracker.Changes(t.Context(), "c", delivery.Cursor{}, 0)
	if err != nil || len(all.Messages) != 3 || all.Reset {
		t.Fatalf("%+v, %v", all, err)
	}
	at := func(version int64) delivery.Cursor { return delivery.Cursor{Version: version, Epoch: all.Epoch} }
	for name, test := range map[string]struct {
		store another
		since delivery.Cursor
		reset bool
		there int
	}{
		"the same store":                                  {another{}, at(2), false, 1},
		"the same store, and all is known":                {another{}, at(3), false, 0},
		"a store of another epoch":                        {another{epoch: 1}, at(2), true, 0},
		"a store of another epoch, and nothing was known": {another{epoch: 1}, at(0), false, 3},
		"a store that is behind":                          {another{back: 2}, at(2), true, 0},
		"a store that is just where the client is":        {another{back: 1}, at(2), false, 1},
	} {
		test.store.Store = store
		page, err := newTracker(t, test.store, new(desk), nil).Changes(t.Context(), "c", test.since, 0)
		if err != nil || page.Reset != test.reset || len(page.Messages) != test.there {
			t.Errorf("%s: %+v, %v", name, page, err)
		}
		if want := (delivery.Cursor{Epoch: all.Epoch + test.store.epoch}); test.reset && page.Cursor != want {
			t.Errorf("%s: it starts over at %+v, want %+v", name, page.Cursor, want)
		}
	}
}
