package delivery_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
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
	for name, hide := range map[string]delivery.Hide{"": delivery.HideNothing, ", also one that hides reads": delivery.HideRead, ", also a hidden one": delivery.HideAll} {
		t.Run("a mark that only clears it advances no receipt"+name, func(t *testing.T) {
			d := ownDesk(t, nil)
			d.three(t)
			var told []delivery.MarkedInfo
			tracker := newTracker(t, d.store, d, &delivery.Options{Observer: &delivery.Observer{
				Marked: func(_ context.Context, m delivery.MarkedInfo) { told = append(told, m) },
			}})
			for _, changed := range []int{1, 0} {
				results, err := tracker.Mark(t.Context(), delivery.Actor{User: "bob", Hide: hide}, delivery.Read, "m2")
				if err != nil || results[0].Err != nil || results[0].Changed != (changed == 1) || told[0].Changed != changed || d.badge(t, "bob").Flagged {
					t.Fatalf("got %+v, %v, and the observer was told %+v", results, err, told)
				}
				told = nil
				if _, err := tracker.MarkUnread(t.Context(), bob, "m2"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Run("the user's own message may be marked so, and a mark up to it clears it, or to dismiss it", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		alone := delivery.Actor{User: "alice", Hide: delivery.HideAll}
		for _, actor := range []delivery.Actor{alice, alone} {
			place, err := d.MarkUnread(t.Context(), actor, "m3")
			if u := d.badge(t, "alice"); err != nil || place.Flag != 3 || !u.Flagged || u.Count != 0 || u.First.ID != "m3" {
				t.Errorf("got %+v, %v; unread: %+v", place, err, u)
			}
			up, err := d.MarkUpTo(t.Context(), actor, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m3"})
			if err != nil || up.Changed != 0 || d.badge(t, "alice").Flagged {
				t.Errorf("a mark up to it: %+v, %v", up, err)
			}
			if _, err := d.MarkUnread(t.Context(), actor, "m3"); err != nil {
				t.Error(err)
			}
			if place, err := d.Dismiss(t.Context(), actor, delivery.MessageRef{Conversation: "c", ID: "m3"}); err != nil || place.Flag != 0 || place.Badge != 3 {
				t.Errorf("when it was dismissed: %+v, %v", place, err)
			}
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

func TestHide(t *testing.T) {
	hidden := func(hide delivery.Hide) delivery.Actor { return delivery.Actor{User: "bob", Socket: "2.2", Hide: hide} }
	through := delivery.MessageRef{Conversation: "c", ID: "m3"}
	own := func(t *testing.T, d *desk) (statuses []delivery.Status) {
		t.Helper()
		page, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", Viewer: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Messages {
			statuses = append(statuses, m.Own.Status)
		}
		return statuses
	}
	t.Run("marks that hide all change the user's own view alone", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		before, _ := d.Changes(t.Context(), "c", delivery.Cursor{}, 0)
		r, err := d.MarkRead(t.Context(), hidden(delivery.HideAll), "m1")
		if want := (delivery.Own{Message: "m1", Recipient: "bob", Status: delivery.Read}); err != nil || r != want {
			t.Errorf("got %+v, %v", r, err)
		}
		results, err := d.Mark(t.Context(), hidden(delivery.HideAll), delivery.Delivered, "m1", "m2", "nothing", "")
		if err != nil || results[0].Changed || results[0].Own.Status != delivery.Read || !results[1].Changed || results[1].Own.Status != delivery.Delivered ||
			!errors.Is(results[2].Err, delivery.ErrNotFound) || results[3].Err == nil {
			t.Errorf("got %+v, %v", results, err)
		}
		if u := d.badge(t, "bob"); u.Count != 2 || u.First.ID != "m2" {
			t.Errorf("unread: %+v", u)
		}
		if got := own(t, d); !slices.Equal(got, []delivery.Status{delivery.Read, delivery.Delivered, delivery.Sent}) {
			t.Errorf("bob sees %v", got)
		}
		upTo, err := d.MarkUpTo(t.Context(), hidden(delivery.HideAll), delivery.Read, through)
		if err != nil || upTo != (delivery.UpToResult{}) || d.badge(t, "bob").Count != 0 {
			t.Errorf("up to: %+v, %v", upTo, err)
		}
		if after, _ := d.Changes(t.Context(), "c", delivery.Cursor{}, 0); !reflect.DeepEqual(after, before) {
			t.Errorf("others see %+v, and saw %+v", after, before)
		}
		page, _ := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m1"})
		for _, e := range d.told(t) {
			if e.Kind != delivery.OwnChanged {
				t.Errorf("told %+v", e)
			}
		}
		if len(page.Receipts) != 1 || page.Receipts[0].Status != delivery.Sent {
			t.Errorf("receipts %+v", page)
		}
	})
	t.Run("a mark up to a message that is there a moment later leaves what others may see to the next one", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		early := newTracker(t, &early{Store: d.store}, d, nil)
		for _, want := range []int{0, 3} {
			upTo, err := early.MarkUpTo(t.Context(), hidden(delivery.HideRead), delivery.Read, through)
			if err != nil || upTo.Changed != want {
				t.Errorf("got %+v, %v, want %d changes", upTo, err, want)
			}
		}
	})
	t.Run("marks that hide reads show delivery, and are read for the user", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		r, err := d.MarkRead(t.Context(), hidden(delivery.HideRead), "m1")
		if err != nil || r.Status != delivery.Read || r.Version != 4 || r.DeliveredAt.IsZero() || !r.ReadAt.IsZero() {
			t.Errorf("got %+v, %v", r, err)
		}
		upTo, err := d.MarkUpTo(t.Context(), hidden(delivery.HideRead), delivery.Read, through)
		if want := (delivery.UpToResult{Changed: 2, From: 5, To: 6}); err != nil || upTo != want {
			t.Errorf("got %+v, %v", upTo, err)
		}
		for _, id := range []string{"m1", "m2", "m3"} {
			if m, _ := d.Message(t.Context(), id); m.Delivered != 1 || m.Read != 0 || m.Status != delivery.Delivered || !m.ReadAt.IsZero() {
				t.Errorf("others see %+v", m.Tally)
			}
		}
		if u := d.badge(t, "bob"); u.Count != 0 || u.Newest.Own.Status != delivery.Read {
			t.Errorf("unread: %+v", u)
		}
		kinds := map[delivery.Kind]int{}
		for _, e := range d.told(t) {
			kinds[e.Kind]++
			if e.Kind == delivery.StatusChanged && e.Updates[0].Receipt.Status != delivery.Delivered {
				t.Errorf("told %+v", e.Updates[0].Receipt)
			}
		}
		if kinds[delivery.StatusChanged] != 2 || kinds[delivery.OwnChanged] != 2 {
			t.Errorf("told %v", kinds)
		}
	})
	t.Run("a read up to a message that is for others empties the badge, hidden or not, and clears the flag", func(t *testing.T) {
		for _, hide := range []delivery.Hide{delivery.HideNothing, delivery.HideRead, delivery.HideAll} {
			d := ownDesk(t, nil)
			d.three(t)
			others := delivery.MessageRef{Conversation: "c", ID: "m4"}
			d.send(t, delivery.Draft{ID: others.ID, Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"dan"}}})
			if _, err := d.MarkUpTo(t.Context(), bob, delivery.Delivered, through); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time nothing else is left to do
				if _, err := d.MarkUnread(t.Context(), bob, "m3"); err != nil {
					t.Fatal(err)
				}
				if _, err := d.MarkUpTo(t.Context(), hidden(hide), delivery.Read, others); err != nil {
					t.Errorf("with %v: %v", hide, err)
				}
				if u := d.badge(t, "bob"); u.Count != 0 || u.Flagged {
					t.Errorf("with %v: %+v", hide, u)
				}
			}
			stranger := delivery.Actor{User: "mallory", Hide: hide}
			if _, err := d.MarkUpTo(t.Context(), stranger, delivery.Read, others); !errors.Is(err, delivery.ErrNotRecipient) {
				t.Errorf("a stranger with %v: %v", hide, err)
			}
			others.ID = "nothing"
			if _, err := d.MarkUpTo(t.Context(), stranger, delivery.Read, others); !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("up to a message that does not exist, with %v: %v", hide, err)
			}
		}
	})
	t.Run("a later public up-to mark shows all that it covers, as if it were the first", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		if _, err := d.MarkUpTo(t.Context(), hidden(delivery.HideAll), delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m2"}); err != nil {
			t.Fatal(err)
		}
		upTo, err := d.MarkUpTo(t.Context(), bob, delivery.Read, through)
		if want := (delivery.UpToResult{Changed: 3, From: 4, To: 6}); err != nil || upTo != want {
			t.Errorf("got %+v, %v", upTo, err)
		}
	})
	t.Run("a failure of what others may not see is that of the messages it met, beside what others see marked", func(t *testing.T) {
		d := ownDesk(t, nil)
		d.three(t)
		if _, err := d.MarkUnread(t.Context(), bob, "m2"); err != nil {
			t.Fatal(err)
		}
		broken := func(actor delivery.Actor, messages ...string) ([]delivery.MarkResult, error) {
			tracker := newTracker(t, deliverytest.FailingStore(d.store, deliverytest.OnCall(1, delivery.ErrUnavailable, "AdvanceOwn")), d, nil)
			return tracker.Mark(t.Context(), actor, delivery.Read, messages...)
		}
		results, err := broken(bob, "m1", "m2")
		if err != nil || !results[0].Changed || results[0].Err != nil || !results[1].Changed ||
			!errors.Is(results[1].Err, delivery.ErrOutcomeUnknown) || errors.Is(results[1].Err, delivery.ErrUnavailable) {
			t.Errorf("where a flag is not cleared: %+v, %v", results, err)
		}
		results, err = broken(hidden(delivery.HideRead), "m1", "m3")
		if err != nil || results[0].Err != nil || !results[1].Changed || !errors.Is(results[1].Err, delivery.ErrOutcomeUnknown) {
			t.Errorf("where reads are hidden: %+v, %v", results, err)
		}
		if results, err = broken(hidden(delivery.HideAll), "m3"); !errors.Is(err, delivery.ErrUnavailable) {
			t.Errorf("where all is hidden: %+v, %v", results, err)
		}
		d.send(t, delivery.Draft{ID: "m4", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}, Untracked: []string{"bob"}}})
		if results, err = broken(bob, "m4"); !errors.Is(err, delivery.ErrUnavailable) {
			t.Errorf("where bob is untracked: %+v, %v", results, err)
		}
	})
	t.Run("an up-to mark passes over no open message that the rule keeps from the user", func(t *testing.T) {
		for _, hide := range []delivery.Hide{delivery.HideNothing, delivery.HideRead, delivery.HideAll} {
			admitted := false
			d := ownDesk(t, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) { return admitted, nil }})
			d.three(t)
			d.send(t, delivery.Draft{ID: "later", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
			for _, id := range []string{"m4", "m5"} {
				d.send(t, delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
			}
			d.send(t, delivery.Draft{ID: "bob's", Conversation: "c", Sender: "bob", Audience: delivery.Audience{Recipients: []string{"alice"}}})
			for _, id := range []string{"m4", "bob's"} {
				if _, err := d.MarkUpTo(t.Context(), hidden(hide), delivery.Read, delivery.MessageRef{Conversation: "c", ID: id}); err != nil {
					t.Fatalf("up to %s: %v", id, err)
				}
			}
			page, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", Viewer: "bob"})
			if err != nil {
				t.Fatal(err)
			}
			if page.Messages[4].Own.Status != delivery.Read {
				t.Errorf("with %v, the named message is %+v", hide, page.Messages[4].Own)
			}
			if own := page.Messages[3].Own; own != nil && own.Status == delivery.Read || d.badge(t, "bob").Place.Badge > 3 {
				t.Errorf("with %v, the open message is %+v at %+v", hide, own, d.badge(t, "bob").Place)
			}
			admitted = true
			if _, err := d.MarkUpTo(t.Context(), hidden(hide), delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m5"}); err != nil || d.badge(t, "bob").Count != 0 {
				t.Errorf("with %v, who is admitted has %+v, %v", hide, d.badge(t, "bob"), err)
			}
		}
	})
	t.Run("refusals are those of other marks", func(t *testing.T) {
		d := ownDesk(t, &delivery.Options{Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return user == "bob", nil
		}})
		d.three(t)
		for name, c := range map[string]struct {
			user, message string
			want          error
		}{
			"the sender":             {"alice", "m1", delivery.ErrOwnMessage},
			"a stranger":             {"mallory", "m1", delivery.ErrNotRecipient},
			"who may not mark there": {"mallory", "open", delivery.ErrForbidden},
			"nothing":                {"bob", "nothing", delivery.ErrNotFound},
		} {
			for _, hide := range []delivery.Hide{delivery.HideRead, delivery.HideAll} {
				_, err := d.MarkRead(t.Context(), delivery.Actor{User: c.user, Hide: hide}, c.message)
				checkRefusal(t, name, err, c.want)
			}
		}
		if r, err := d.MarkRead(t.Context(), hidden(delivery.HideAll), "open"); err != nil || r.Status != delivery.Read {
			t.Errorf("who may mark there: %+v, %v", r, err)
		}
		_, err := d.MarkRead(t.Context(), hidden(3), "m1")
		checkRefusal(t, "an unknown Hide", err, "hide")
		if m, _ := d.Message(t.Context(), "m1"); m.Version != m.Seq {
			t.Errorf("others see %+v", m)
		}
	})
}

// early is a store in which the first up-to mark comes before the message that it names.
type early struct {
	*memstore.Store
	late bool
}

func (e *early) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	if !e.late {
		e.late = true
		return make([]delivery.MarkedUpTo, len(upTo)), nil, nil
	}
	return e.Store.AdvanceUpTo(ctx, upTo, limit, lease)
}
