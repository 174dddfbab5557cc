package delivery_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// ownDesk is a desk whose notifier takes events of one user's devices.
func ownDesk(t *testing.T, opts *delivery.Options) *desk {
	t.Helper()
	d := &desk{store: memstore.New()}
	d.Tracker = newTracker(t, d.store, delivery.OwnNotifierFunc(d.Notify), opts)
	return d
}

// three sends three messages to bob, and one that is open.
func (d *desk) three(t *testing.T) {
	t.Helper()
	for _, id := range []string{"m1", "m2", "m3"} {
		d.send(t, delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
	}
	d.send(t, delivery.Draft{ID: "open", Conversation: "o", Sender: "alice", Audience: delivery.Audience{Open: true}})
	d.told(t)
}

func (d *desk) badge(t *testing.T, user string) delivery.Unread {
	t.Helper()
	all, err := d.Unread(t.Context(), delivery.Actor{User: user}, "c")
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func TestDismiss(t *testing.T) {
	t.Run("it empties the badge, and tells the user's other devices and nobody else", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		place, err := d.Dismiss(t.Context(), bob, delivery.MessageRef{Conversation: "c", ID: "m2"})
		if want := (delivery.Place{Rev: 1, Delivered: 2, Badge: 2}); err != nil || place != want {
			t.Fatalf("got %+v, %v", place, err)
		}
		if u := d.badge(t, "bob"); u.Count != 1 || u.First.ID != "m3" || u.Place != place {
			t.Errorf("unread: %+v", u)
		}
		events := d.told(t)
		if len(events) != 1 || events[0].Kind != delivery.OwnChanged || events[0].User != "bob" || events[0].Except != "2.2" ||
			events[0].Conversation != "" || *events[0].Updates[0].Own != (delivery.OwnUpdate{Conversation: "c", Status: delivery.Read, Place: place}) {
			t.Errorf("events %+v", events)
		}
		if m, _ := d.Message(t.Context(), "m1"); m.Read != 0 || m.Delivered != 0 || m.Version != m.Seq {
			t.Errorf("others see %+v", m)
		}
	})
	t.Run("bad input and refusals name what is wrong, and change nothing", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		for name, c := range map[string]struct {
			actor   delivery.Actor
			through delivery.MessageRef
			want    any
		}{
			"nobody":                           {delivery.Actor{}, delivery.MessageRef{Conversation: "c", ID: "m1"}, "user"},
			"no conversation":                  {bob, delivery.MessageRef{ID: "m1"}, "conversation"},
			"no message":                       {bob, delivery.MessageRef{Conversation: "c"}, "message"},
			"a long id":                        {bob, delivery.MessageRef{Conversation: "c", ID: strings.Repeat("m", delivery.MaxID+1)}, "message"},
			"an unknown message":               {bob, delivery.MessageRef{Conversation: "c", ID: "nothing"}, delivery.ErrNotFound},
			"a message of another one":         {bob, delivery.MessageRef{Conversation: "o", ID: "m1"}, delivery.ErrNotFound},
			"the user's own message":           {alice, delivery.MessageRef{Conversation: "c", ID: "m1"}, delivery.ErrOwnMessage},
			"a message that is not the user's": {mal, delivery.MessageRef{Conversation: "c", ID: "m1"}, delivery.ErrNotRecipient},
		} {
			_, err := d.Dismiss(t.Context(), c.actor, c.through)
			checkRefusal(t, name, err, c.want)
		}
		if events := d.told(t); len(events) != 0 || d.badge(t, "bob").Place != (delivery.Place{}) {
			t.Errorf("told %+v", events)
		}
	})
	t.Run("the app's rule decides about open messages, and about deleted ones", func(t *testing.T) {
		asked, yes := 0, true
		d := ownDesk(t, &delivery.Options{Authorize: func(_ context.Context, user string, to delivery.Action, _ string) (bool, error) {
			asked++
			return yes && to == delivery.ToMark && user == "carol", nil
		}})
		d.three(t)
		through := delivery.MessageRef{Conversation: "o", ID: "open"}
		if _, err := d.Dismiss(t.Context(), mal, through); !errors.Is(err, delivery.ErrForbidden) {
			t.Errorf("a stranger got %v", err)
		}
		if place, err := d.Dismiss(t.Context(), carol, through); err != nil || place.Badge != 1 {
			t.Errorf("a joiner got %+v, %v", place, err)
		}
		if _, err := d.Dismiss(t.Context(), bob, delivery.MessageRef{Conversation: "c", ID: "m1"}); err != nil || asked != 2 {
			t.Errorf("a recipient got %v, and the rule was asked %d times", err, asked)
		}
		if _, err := d.Delete(t.Context(), alice, "m3"); err != nil {
			t.Fatal(err)
		}
		deleted := delivery.MessageRef{Conversation: "c", ID: "m3"}
		if place, err := d.Dismiss(t.Context(), bob, deleted); err != nil || place.Badge != 3 {
			t.Errorf("a reader got %+v, %v", place, err)
		}
		if _, err := d.Dismiss(t.Context(), mal, deleted); !errors.Is(err, delivery.ErrForbidden) {
			t.Errorf("a stranger got %v", err)
		}
	})
}

func TestMarkUnread(t *testing.T) {
	flagged := func(t *testing.T) *desk {
		d := ownDesk(t, nil)
		d.three(t)
		if _, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m3"}); err != nil {
			t.Fatal(err)
		}
		if place, err := d.MarkUnread(t.Context(), bob, "m2"); err != nil || place.Flag != 2 {
			t.Fatalf("got %+v, %v", place, err)
		}
		d.told(t)
		return d
	}
	t.Run("it flags the conversation and counts nothing", func(t *testing.T) {
		d := flagged(t)
		if u := d.badge(t, "bob"); !u.Flagged || u.Count != 0 || u.First.ID != "m2" {
			t.Errorf("unread: %+v", u)
		}
	})
	t.Run("a read mark that far clears it, also where it changes nothing else; a lower or delivered one does not", func(t *testing.T) {
		d := flagged(t)
		for _, c := range []struct {
			mark    func() error
			flagged bool
		}{
			{func() error { _, err := d.MarkRead(t.Context(), bob, "m1"); return err }, true},
			{func() error { _, err := d.MarkDelivered(t.Context(), bob, "m3"); return err }, true},
			{func() error { _, err := d.MarkRead(t.Context(), bob, "m2"); return err }, false},
			{func() error { _, err := d.MarkUnread(t.Context(), bob, "m2"); return err }, true},
			{func() error {
				_, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m1"})
				return err
			}, true},
			{func() error {
				_, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m3"})
				return err
			}, false},
		} {
			if err := c.mark(); err != nil || d.badge(t, "bob").Flagged != c.flagged {
				t.Fatalf("flagged: %t, %v", !c.flagged, err)
			}
		}
		events := d.told(t)
		if len(events) != 3 || events[0].Updates[0].Own.Place.Flag != 0 || events[1].Updates[0].Own.Place.Flag != 2 || events[2].Updates[0].Own.Place.Rev != 4 {
			t.Errorf("events %+v", events)
		}
	})
	t.Run("a flag on deleted messages is in force only while a later one exists", func(t *testing.T) {
		d := flagged(t)
		if _, err := d.Delete(t.Context(), alice, "m2"); err != nil {
			t.Fatal(err)
		}
		if u := d.badge(t, "bob"); !u.Flagged || u.First.ID != "m3" {
			t.Errorf("one was deleted: %+v", u)
		}
		if _, err := d.Delete(t.Context(), alice, "m3"); err != nil {
			t.Fatal(err)
		}
		if u := d.badge(t, "bob"); u.Flagged || u.First.ID != "" {
			t.Errorf("all were deleted: %+v", u)
		}
	})
	t.Run("bad input and refusals name what is wrong", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		for name, c := range map[string]struct {
			actor   delivery.Actor
			message string
			want    any
		}{
			"nobody":                           {delivery.Actor{}, "m1", "user"},
			"no message":                       {bob, "", "message"},
			"an unknown message":               {bob, "nothing", delivery.ErrNotFound},
			"the user's own message":           {alice, "m1", delivery.ErrOwnMessage},
			"a message that is not the user's": {mal, "m1", delivery.ErrNotRecipient},
		} {
			_, err := d.MarkUnread(t.Context(), c.actor, c.message)
			checkRefusal(t, name, err, c.want)
		}
	})
}

// checkRefusal wants an error that wraps another, or an InvalidError of a field.
func checkRefusal(t *testing.T, name string, err error, want any) {
	t.Helper()
	var invalid *delivery.InvalidError
	switch want := want.(type) {
	case error:
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	case string:
		if !errors.As(err, &invalid) || invalid.Field != want {
			t.Errorf("%s: got %v, want an InvalidError of %s", name, err, want)
		}
	}
}

func TestOwnEvents(t *testing.T) {
	dismiss := func(t *testing.T, tracker *delivery.Tracker) {
		t.Helper()
		if _, err := tracker.Dismiss(t.Context(), bob, delivery.MessageRef{Conversation: "c", ID: "m2"}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("none is made where the notifier does not say that it takes them", func(t *testing.T) {
		d := newDesk(t, nil)
		d.three(t)
		dismiss(t, d.Tracker)
		if events := d.told(t); len(events) != 0 {
			t.Errorf("told %+v", events)
		}
	})
	t.Run("a relay whose notifier takes none keeps them among the dead letters, and a replay is up to date", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		dismiss(t, d.Tracker)
		other := newTracker(t, d.store, delivery.NotifierFunc(func(_ context.Context, events []delivery.Event) error {
			t.Errorf("told %+v", events)
			return nil
		}), nil)
		if err := other.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		letters, err := d.DeadLetters(t.Context(), delivery.DeadQuery{})
		if err != nil || len(letters) != 1 {
			t.Fatalf("dead letters %+v, %v", letters, err)
		}
		if _, err := d.MarkUnread(t.Context(), bob, "m3"); err != nil {
			t.Fatal(err)
		}
		d.told(t)
		if err := d.Replay(t.Context(), letters[0].Event.ID); err != nil {
			t.Fatal(err)
		}
		events := d.told(t)
		if want := (delivery.Place{Rev: 2, Delivered: 2, Badge: 2, Flag: 3}); len(events) != 1 || events[0].Updates[0].Own.Place != want {
			t.Errorf("replayed %+v", events)
		}
	})
	t.Run("of several notifiers, those that take them get them", func(t *testing.T) {
		var plain, own deliverytest.Recorder
		d := &desk{store: memstore.New()}
		d.Tracker = newTracker(t, d.store, delivery.Notifiers(&plain, delivery.OwnNotifierFunc(own.Notify)), nil)
		d.three(t)
		dismiss(t, d.Tracker)
		d.told(t)
		if len(plain.Events()) != 4 || len(own.Events()) != 5 {
			t.Errorf("one was told %+v, and the other %+v", plain.Events(), own.Events())
		}
	})
	t.Run("a store that fails, or answers with something else, is an error", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		broken := errors.New("connection refused")
		tracker := newTracker(t, deliverytest.FailingStore(d.store, deliverytest.OnCall(1, broken, "AdvanceOwn")), d, nil)
		if _, err := tracker.MarkUnread(t.Context(), bob, "m1"); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	})
}
