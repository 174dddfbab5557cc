package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestDelete(t *testing.T) {
	hi := func(id string) delivery.Draft {
		return delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Body: "hi", Audience: delivery.Audience{Recipients: []string{"bob"}}}
	}

	t.Run("a deleted message is announced, except to the socket, and gone", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, hi("m1"))
		d.send(t, hi("m2"))
		d.told(t)
		n, err := d.Delete(t.Context(), delivery.Actor{User: "alice", Socket: "1.1"}, "m1", "m1")
		if err != nil || n != 1 {
			t.Fatalf("deleted %d, %v", n, err)
		}
		events := d.told(t)
		if len(events) != 1 || events[0].Kind != delivery.MessageDeleted || events[0].Except != "1.1" || events[0].From != 3 || events[0].To != 3 ||
			len(events[0].Updates) != 1 || events[0].Updates[0] != (delivery.Update{Message: "m1", Version: 3}) {
			t.Errorf("told %+v", events)
		}
		if _, err := d.Message(t.Context(), "m1"); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("Message: %v", err)
		}
		if _, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m1"}); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("Receipts: %v", err)
		}
		page, err := d.Messages(t.Context(), delivery.Query{Conversation: "c"})
		if err != nil || len(page.Messages) != 1 || page.Messages[0].ID != "m2" {
			t.Errorf("%+v, %v", page, err)
		}
		page, err = d.Changes(t.Context(), "c", delivery.Cursor{Version: 2, Epoch: page.Epoch}, 0)
		if err != nil || len(page.Messages) != 1 || !page.Messages[0].Deleted || page.Messages[0].ID != "m1" || page.Version != 3 {
			t.Errorf("%+v, %v", page, err)
		}
	})

	t.Run("marks of a deleted message find none, whoever marks and whatever the process remembers", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, hi("m1"))
		d.MarkDelivered(t.Context(), bob, "m1")
		if n, err := d.Delete(t.Context(), alice, "m1"); n != 1 || err != nil {
			t.Fatalf("deleted %d, %v", n, err)
		}
		discreet := bob
		discreet.Hide = delivery.HideAll
		for _, actor := range []delivery.Actor{alice, bob, mal, discreet} {
			if _, err := d.MarkRead(t.Context(), actor, "m1"); !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("%s: %v", actor.User, err)
			}
		}
	})

	t.Run("an up-to mark may name a deleted message", func(t *testing.T) {
		d := newDesk(t, nil)
		for _, id := range []string{"m1", "m2", "m3"} {
			d.send(t, hi(id))
		}
		d.Delete(t.Context(), alice, "m2")
		ref := delivery.MessageRef{Conversation: "c", ID: "m2"}
		for i, want := range []int{1, 0} {
			if r, err := d.MarkUpTo(t.Context(), bob, delivery.Read, ref); err != nil || r.Changed != want {
				t.Errorf("mark %d: %+v, %v", i+1, r, err)
			}
		}
	})

	t.Run("an up-to mark that names a deleted message and changes nothing is for those whom the rule lets in", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{Authorize: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return user != "mallory", nil
		}})
		d.send(t, hi("m1"))
		d.Delete(t.Context(), alice, "m1")
		ref := delivery.MessageRef{Conversation: "c", ID: "m1"}
		if _, err := d.MarkUpTo(t.Context(), mal, delivery.Read, ref); !errors.Is(err, delivery.ErrForbidden) {
			t.Errorf("a stranger: %v", err)
		}
		if _, err := d.MarkUpTo(t.Context(), bob, delivery.Read, ref); err != nil {
			t.Errorf("a member: %v", err)
		}
	})

	t.Run("the id of a deleted message is gone for every send", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, hi("m1"))
		d.Delete(t.Context(), alice, "m1")
		other := hi("m1")
		other.Conversation, other.Sender = "d", "mallory"
		for _, draft := range []delivery.Draft{hi("m1"), other} {
			if _, err := d.Send(t.Context(), draft); !errors.Is(err, delivery.ErrGone) {
				t.Errorf("got %v", err)
			}
		}
	})

	t.Run("an id that no message had is not found, and the others are deleted", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, hi("m1"))
		d.send(t, hi("m2"))
		if n, err := d.Delete(t.Context(), alice, "m1", "m9", "m2"); n != 2 || !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("deleted %d, %v", n, err)
		}
		if n, err := d.Delete(t.Context(), alice, "m1", "m2"); n != 0 || err != nil {
			t.Errorf("again: deleted %d, %v", n, err)
		}
	})

	t.Run("bad calls are errors that name the field, and delete nothing", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, hi("m1"))
		for field, err := range map[string]error{
			"messages": second(d.Delete(t.Context(), alice, slices.Repeat([]string{"m1"}, delivery.MaxBatch+1)...)),
			"message":  second(d.Delete(t.Context(), alice, "m1", "")),
			"user":     second(d.Delete(t.Context(), delivery.Actor{}, "m1")),
		} {
			var invalid *delivery.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: %v", field, err)
			}
		}
		if n, err := d.Delete(t.Context(), alice); n != 0 || err != nil {
			t.Errorf("no messages: %d, %v", n, err)
		}
		if _, err := d.Message(t.Context(), "m1"); err != nil {
			t.Error(err)
		}
	})

	t.Run("a store that is no keeper says so", func(t *testing.T) {
		tracker := newTracker(t, struct{ delivery.Store }{memstore.New()}, new(endpoint), nil)
		if _, err := tracker.Delete(t.Context(), alice, "m1"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Delete: %v", err)
		}
	})

	t.Run("the observer is told of each", func(t *testing.T) {
		var infos []string
		d := newDesk(t, &delivery.Options{Observer: &delivery.Observer{Deleted: func(_ context.Context, i delivery.DeletedInfo) {
			infos = append(infos, fmt.Sprint(i.Conversation, " ", i.Message, " ", i.User, " ", i.InTx, " ", i.Changed, " ", i.Err))
		}}})
		d.send(t, hi("m1"))
		d.Delete(t.Context(), alice, "m1", "m9")
		want := []string{"c m1 alice false true <nil>", " m9 alice false false delivery: not found"}
		if !slices.Equal(infos, want) {
			t.Errorf("told %q, want %q", infos, want)
		}
	})

	t.Run("a dead letter of a deleted message tells nobody of it", func(t *testing.T) {
		store := memstore.New()
		notifier := new(endpoint)
		tracker := newTracker(t, store, notifier, &delivery.Options{EventBodies: true})
		for _, id := range []string{"m1", "m2"} {
			if _, err := tracker.Send(t.Context(), hi(id)); err != nil {
				t.Fatal(err)
			}
		}
		claimed, err := store.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: 1})
		if err != nil {
			t.Fatal(err)
		}
		var ids []int64
		for _, c := range claimed {
			ids = append(ids, c.Event.ID)
			store.Settle(t.Context(), []delivery.Settlement{{ID: c.Event.ID, Lease: 1, Outcome: delivery.SettleBury}})
		}
		if _, err := tracker.Delete(t.Context(), alice, "m1"); err != nil {
			t.Fatal(err)
		}
		if err := tracker.Replay(t.Context(), ids...); err != nil {
			t.Error(err)
		}
		if left, _ := tracker.DeadLetters(t.Context(), delivery.DeadQuery{}); len(left) != 0 {
			t.Errorf("left %+v", left)
		}
		var told []string
		for claimed, _ := store.Claim(t.Context(), 10, delivery.Lease{Token: 2, For: 1}); len(claimed) > 0; claimed = claimed[1:] {
			told = append(told, claimed[0].Event.Kind.String()+" "+claimed[0].Event.Updates[0].Message)
		}
		slices.Sort(told)
		if want := []string{"deleted m1", "message m2"}; !slices.Equal(told, want) {
			t.Errorf("the outbox has %q, want %q", told, want)
		}
	})
}

func second[T any](_ T, err error) error { return err }
