package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestMark(t *testing.T) {
	members := func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
		return user != "mallory", nil
	}

	t.Run("a recipient's marks move its receipt and the message forward, and are announced", func(t *testing.T) {
		d := newDesk(t, nil)
		m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Body: "hi", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}})
		d.told(t)
		if _, err := d.MarkDelivered(t.Context(), bob, m.ID); err != nil {
			t.Fatal(err)
		}
		r, err := d.MarkRead(t.Context(), bob, m.ID)
		if err != nil || r.Status != delivery.Read || r.Version != 3 || r.ReadAt.IsZero() || r.DeliveredAt.After(r.ReadAt) {
			t.Errorf("receipt %+v, %v", r, err)
		}
		events := d.told(t)
		if len(events) != 2 {
			t.Fatalf("%d events", len(events))
		}
		u := events[1].Updates[0]
		if events[1].Kind != delivery.StatusChanged || events[1].From != 3 || events[1].To != 3 || events[1].Except != "2.2" ||
			u.Status != delivery.Sent || u.Delivered != 1 || u.Read != 1 || u.Total != 2 || u.Sender != "alice" || delivery.Own(*u.Receipt) != r {
			t.Errorf("event %+v with receipt %+v", events[1], u.Receipt)
		}
		if _, err := d.MarkRead(t.Context(), carol, m.ID); err != nil {
			t.Fatal(err)
		}
		if m, _ := d.Message(t.Context(), m.ID); m.Status != delivery.Read || m.Version != 4 {
			t.Errorf("after all read it: %+v", m.Tally)
		}
	})

	t.Run("a repeated or backward mark changes nothing and tells nobody", func(t *testing.T) {
		d := newDesk(t, nil)
		m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		first, err := d.MarkRead(t.Context(), bob, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		d.told(t)
		for _, status := range []delivery.Status{delivery.Read, delivery.Delivered} {
			results, err := d.Mark(t.Context(), bob, status, m.ID)
			if err != nil || results[0].Changed || results[0].Err != nil || results[0].Own != first {
				t.Errorf("%v: got %+v, %v; want %+v unchanged", status, results, err, first)
			}
		}
		if events := d.told(t); len(events) != 0 {
			t.Errorf("told %+v", events)
		}
	})

	t.Run("refusals are typed, store nothing and tell nobody", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{Authorize: members})
		frozen := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "alice"}}})
		open := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		d.told(t)
		fresh := newTracker(t, d.store, d, &delivery.Options{Authorize: members}) // knows no headers
		for _, c := range []struct {
			name, message string
			actor         delivery.Actor
			want          error
		}{
			{"the sender, frozen", frozen.ID, alice, delivery.ErrOwnMessage},
			{"the sender, open", open.ID, alice, delivery.ErrOwnMessage},
			{"a stranger to frozen recipients", frozen.ID, carol, delivery.ErrNotRecipient},
			{"someone the rule keeps out", open.ID, mal, delivery.ErrForbidden},
			{"an unknown id", "nowhere", bob, delivery.ErrNotFound},
		} {
			for which, tracker := range map[string]*delivery.Tracker{"knowing the header": d.Tracker, "not knowing it": fresh} {
				if r, err := tracker.MarkRead(t.Context(), c.actor, c.message); !errors.Is(err, c.want) || r != (delivery.Own{}) {
					t.Errorf("%s, %s: got %+v, %v; want %v", c.name, which, r, err, c.want)
				}
			}
		}
		if events := d.told(t); len(events) != 0 {
			t.Errorf("told %+v", events)
		}
		if page, _ := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: open.ID}); len(page.Receipts) != 0 {
			t.Errorf("receipts %+v", page)
		}
	})

	t.Run("frozen recipients never ask the rule, open audiences do, once per conversation and call", func(t *testing.T) {
		var asked []string
		d := newDesk(t, &delivery.Options{Authorize: func(_ context.Context, user string, to delivery.Action, conversation string) (bool, error) {
			asked = append(asked, fmt.Sprint(user, " to ", to, " ", conversation))
			return true, nil
		}})
		frozen := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		one := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		two := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		fresh := newTracker(t, d.store, d, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) {
			t.Error("asked for a frozen recipient")
			return false, nil
		}})
		if _, err := fresh.MarkRead(t.Context(), bob, frozen.ID); err != nil {
			t.Error(err)
		}
		results, err := d.Mark(t.Context(), bob, delivery.Read, one.ID, two.ID)
		if err != nil || !results[0].Changed || !results[1].Changed {
			t.Errorf("got %+v, %v", results, err)
		}
		if !slices.Equal(asked, []string{"bob to mark c"}) {
			t.Errorf("asked %q", asked)
		}
	})

	t.Run("the rule's failure is the result, and nothing is marked", func(t *testing.T) {
		down := errors.New("directory down")
		d := newDesk(t, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) { return false, down }})
		m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		if _, err := d.MarkRead(t.Context(), bob, m.ID); !errors.Is(err, down) || errors.Is(err, delivery.ErrForbidden) {
			t.Errorf("got %v", err)
		}
	})

	t.Run("a failure after the rule was asked fails those that needed it, and hides no others", func(t *testing.T) {
		store := &faultyStore{Store: memstore.New()}
		welcome := func(context.Context, string, delivery.Action, string) (bool, error) { return true, nil }
		other, tracker := newTracker(t, store, new(endpoint), nil), newTracker(t, store, new(endpoint), &delivery.Options{Authorize: welcome})
		for id, audience := range map[string]delivery.Audience{"frozen": {Recipients: []string{"bob"}}, "open": {Open: true}} {
			if _, err := other.Send(t.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: audience}); err != nil {
				t.Fatal(err)
			}
		}
		down, writes := errors.New("connection refused"), 0
		store.fault = func(context.Context) error {
			if writes++; writes > 1 {
				return down
			}
			return nil
		}
		results, err := tracker.Mark(t.Context(), bob, delivery.Read, "frozen", "open")
		if err != nil || !results[0].Changed || !errors.Is(results[1].Err, down) {
			t.Errorf("%+v, %v", results, err)
		}
	})

	t.Run("one bad id never fails the rest", func(t *testing.T) {
		d := newDesk(t, nil)
		own := d.send(t, delivery.Draft{Conversation: "c", Sender: "bob", Audience: delivery.Audience{Open: true}})
		good := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		results, err := d.Mark(t.Context(), bob, delivery.Delivered, "nowhere", own.ID, "", good.ID, strings.Repeat("x", 129), "a\x00b", "\xff")
		if err != nil || len(results) != 7 {
			t.Fatal(results, err)
		}
		bad := errors.New("an invalid id")
		for i, want := range []error{delivery.ErrNotFound, delivery.ErrOwnMessage, bad, nil, bad, bad, bad} {
			got := results[i].Err
			var invalid *delivery.InvalidError
			if errors.As(got, &invalid) && invalid.Field == "message" {
				got = bad
			}
			if !errors.Is(got, want) {
				t.Errorf("result %d: %v, want %v", i, results[i].Err, want)
			}
		}
		if !results[3].Changed || results[3].Message != good.ID {
			t.Errorf("the good one: %+v", results[3])
		}
	})

	t.Run("bad arguments fail the call and name the field", func(t *testing.T) {
		d := newDesk(t, nil)
		for _, c := range []struct {
			field  string
			actor  delivery.Actor
			status delivery.Status
			ids    []string
		}{
			{"user", delivery.Actor{}, delivery.Read, []string{"m"}},
			{"user", delivery.Actor{User: strings.Repeat("x", 129)}, delivery.Read, []string{"m"}},
			{"socket", delivery.Actor{User: "bob", Socket: strings.Repeat("1", 129)}, delivery.Read, []string{"m"}},
			{"socket", delivery.Actor{User: "bob", Socket: "\xff"}, delivery.Read, []string{"m"}},
			{"status", bob, delivery.Sent, []string{"m"}},
			{"status", bob, 0, []string{"m"}},
			{"messages", bob, delivery.Read, make([]string, 501)},
		} {
			_, err := d.Mark(t.Context(), c.actor, c.status, c.ids...)
			var invalid *delivery.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != c.field {
				t.Errorf("%s: got %v", c.field, err)
			}
		}
	})

	t.Run("no marks are no error", func(t *testing.T) {
		if results, err := newDesk(t, nil).Mark(t.Context(), bob, delivery.Read); len(results) != 0 || err != nil {
			t.Errorf("got %v, %v", results, err)
		}
	})

	t.Run("marks under way at the same time share a write and get a result each", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newDesk(t, nil)
			m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
			var changed, calls sync.Map
			var wg sync.WaitGroup
			for i := range 200 {
				user := fmt.Sprintf("u%d", i%100)
				wg.Go(func() {
					results, err := d.Mark(t.Context(), delivery.Actor{User: user}, delivery.Read, m.ID)
					if err != nil || results[0].Err != nil || results[0].Own.Recipient != user {
						t.Errorf("%s: %+v, %v", user, results, err)
					} else if results[0].Changed {
						if _, twice := changed.LoadOrStore(user, true); twice {
							t.Errorf("%s advanced twice", user)
						}
					}
					calls.Store(i, true)
				})
			}
			wg.Wait()
			if m, _ = d.Message(t.Context(), m.ID); m.Read != 100 || m.Version != 101 {
				t.Errorf("after 100 readers: %+v", m.Tally)
			}
		})
	})

	t.Run("a store that cannot join transactions says so", func(t *testing.T) {
		d := newDesk(t, nil)
		if _, err := d.MarkTx(t.Context(), nil, bob, delivery.Read, "m"); err == nil {
			t.Error("a nil transaction was taken")
		}
	})
}

func TestMarkUpTo(t *testing.T) {
	t.Run("it marks all the user may mark up to the message, in one event", func(t *testing.T) {
		d := newDesk(t, nil)
		var last delivery.Message
		for i := range 5 {
			d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
			last = d.send(t, delivery.Draft{Conversation: "c", Sender: []string{"bob", "alice"}[i%2], Audience: delivery.Audience{Open: true}})
		}
		d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"carol"}}})
		after := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		d.told(t)
		got, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: last.ID})
		if err != nil || got != (delivery.UpToResult{Changed: 7, From: 13, To: 19}) {
			t.Errorf("got %+v, %v", got, err)
		}
		events := d.told(t)
		if len(events) != 1 || len(events[0].Updates) != 7 || events[0].Except != bob.Socket {
			t.Errorf("told %+v", events)
		}
		if m, _ := d.Message(t.Context(), after.ID); m.Read != 0 {
			t.Error("it went past the named message")
		}
		if again, err := d.MarkUpTo(t.Context(), bob, delivery.Delivered, delivery.MessageRef{Conversation: "c", ID: last.ID}); err != nil || again.Changed != 0 {
			t.Errorf("again: %+v, %v", again, err)
		}
	})

	t.Run("the rule is asked for open messages only, and decides on them only", func(t *testing.T) {
		allow := false
		var asked int
		d := newDesk(t, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) {
			asked++
			return allow, nil
		}})
		d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		frozen := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		if got, err := d.MarkUpTo(t.Context(), bob, delivery.Delivered, delivery.MessageRef{Conversation: "c", ID: frozen.ID}); got.Changed != 2 || err != nil || asked != 0 {
			t.Errorf("frozen only: %+v, %v, asked %d times", got, err, asked)
		}
		open := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		if got, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: open.ID}); got.Changed != 2 || err != nil || asked != 1 {
			t.Errorf("kept out of the open one: %+v, %v, asked %d times", got, err, asked)
		}
		if _, err := d.MarkUpTo(t.Context(), mal, delivery.Read, delivery.MessageRef{Conversation: "c", ID: open.ID}); !errors.Is(err, delivery.ErrForbidden) {
			t.Errorf("kept out of all: %v", err)
		}
		allow = true
		if got, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: open.ID}); got.Changed != 1 || err != nil {
			t.Errorf("let in: %+v, %v", got, err)
		}
	})

	t.Run("a rule that fails is told, whatever else was marked", func(t *testing.T) {
		down := errors.New("the app's database is down")
		d := newDesk(t, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) { return true, down }})
		d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		open := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		fresh := newTracker(t, d.store, d, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) { return true, down }}) // knows no headers
		for name, tracker := range map[string]*delivery.Tracker{"it knows the message": d.Tracker, "it does not": fresh} {
			if got, err := tracker.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: open.ID}); !errors.Is(err, down) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	})

	t.Run("strangers and unknown messages are refused", func(t *testing.T) {
		d := newDesk(t, nil)
		m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}})
		d.told(t)
		for name, c := range map[string]struct {
			actor                 delivery.Actor
			conversation, message string
			want                  error
		}{
			"a stranger":                  {carol, "c", m.ID, delivery.ErrNotRecipient},
			"a message of elsewhere":      {bob, "d", m.ID, delivery.ErrNotFound},
			"a message that is not there": {bob, "c", "nowhere", delivery.ErrNotFound},
		} {
			if got, err := d.MarkUpTo(t.Context(), c.actor, delivery.Read, delivery.MessageRef{Conversation: c.conversation, ID: c.message}); !errors.Is(err, c.want) || got.Changed != 0 {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
		if got, err := d.MarkUpTo(t.Context(), alice, delivery.Read, delivery.MessageRef{Conversation: "c", ID: m.ID}); err != nil || got.Changed != 0 {
			t.Errorf("up to one's own message: %+v, %v", got, err)
		}
		if events := d.told(t); len(events) != 0 {
			t.Errorf("told %+v", events)
		}
	})

	t.Run("a long way is gone in several steps", func(t *testing.T) {
		d := newDesk(t, nil)
		var last delivery.Message
		for range 2500 {
			last = d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		}
		got, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: last.ID})
		if err != nil || got != (delivery.UpToResult{Changed: 2500, From: 2501, To: 5000}) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
