package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

func TestPrune(t *testing.T) {
	hi := func(conversation, id string) delivery.Draft {
		return delivery.Draft{ID: id, Conversation: conversation, Sender: "alice", Body: "hi", Audience: delivery.Audience{Recipients: []string{"bob"}}}
	}
	in := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}

	in("messages that are old enough go from every conversation, and pages and events have the floor", func(t *testing.T) {
		d := newDesk(t, nil)
		for i := range 3 {
			d.send(t, hi("c", fmt.Sprint("c", i)))
			d.send(t, hi("d", fmt.Sprint("d", i)))
			time.Sleep(30 * time.Hour)
		}
		d.send(t, hi("e", "young"))
		d.told(t)
		n, err := d.Prune(t.Context(), time.Now().Add(-48*time.Hour))
		if n != 4 || err != nil {
			t.Fatalf("pruned %d, %v", n, err)
		}
		for _, e := range d.told(t) {
			if e.Kind != delivery.Pruned || e.From != 4 || len(e.Updates) != 1 || e.Updates[0] != (delivery.Update{Version: 4, Floor: 2}) {
				t.Errorf("told %+v", e)
			}
		}
		page, err := d.Messages(t.Context(), delivery.Query{Conversation: "c"})
		if err != nil || len(page.Messages) != 1 || page.Floor != 2 || page.Version != 4 {
			t.Errorf("%+v, %v", page, err)
		}
		page, err = d.Changes(t.Context(), "c", delivery.Cursor{Version: 3, Epoch: page.Epoch}, 0)
		if err != nil || len(page.Messages) != 0 || page.Floor != 2 || page.Reset {
			t.Errorf("%+v, %v", page, err)
		}
	})

	in("more messages than one transaction takes go in several, and what ended early is gone on with", func(t *testing.T) {
		store, calls := memstore.New(), 0
		tracker := newTracker(t, deliverytest.FailingStore(store, func(method string) error {
			if method == "Prune" {
				if calls++; calls == 2 {
					return errors.New("away")
				}
			}
			return nil
		}), new(endpoint), nil)
		for i := range 1100 {
			if _, err := tracker.Send(t.Context(), hi("c", fmt.Sprint("m", i))); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(25 * time.Hour)
		cutoff := time.Now().Add(-24 * time.Hour)
		if n, err := tracker.Prune(t.Context(), cutoff); n != 100 || err == nil {
			t.Errorf("at first: %d, %v", n, err)
		}
		if n, err := tracker.Prune(t.Context(), cutoff); n != 1000 || err != nil {
			t.Errorf("then: %d, %v", n, err)
		}
	})

	in("a conversation that fails, or stays blocked, keeps no other from being pruned", func(t *testing.T) {
		broken := errors.New("cannot be read")
		store := &partly{Store: memstore.New(), fails: "a", because: broken, blocks: "b"}
		tracker := newTracker(t, store, new(endpoint), nil)
		for _, c := range []string{"a", "b", "c", "d"} {
			if _, err := tracker.Send(t.Context(), hi(c, c)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(25 * time.Hour)
		began := time.Now()
		n, err := tracker.Prune(t.Context(), began.Add(-24*time.Hour))
		if n != 2 || !errors.Is(err, broken) || !strings.Contains(err.Error(), `"a"`) || time.Since(began) > delivery.DefaultWriteTimeout+time.Second {
			t.Errorf("pruned %d after %v, %v", n, time.Since(began), err)
		}
		store.because = delivery.ErrUnavailable
		before := store.calls
		if _, err := tracker.Prune(t.Context(), began.Add(-24*time.Hour)); !errors.Is(err, delivery.ErrUnavailable) || store.calls != before+1 {
			t.Errorf("without a database it calls %d times, %v", store.calls-before, err)
		}
	})

	in("a conversation that stays blocked is not deleted, and the error names it and says why", func(t *testing.T) {
		tracker := newTracker(t, &partly{Store: memstore.New(), blocks: "b"}, new(endpoint), nil)
		began := time.Now()
		err := tracker.DeleteConversation(t.Context(), "b")
		if want := `conversation "b": another transaction`; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), want) || time.Since(began) > delivery.DefaultWriteTimeout+time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})

	in("a cutoff in the future, or younger than the least age, is refused and changes nothing", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{PruneAge: 2 * time.Hour})
		d.send(t, hi("c", "m"))
		time.Sleep(3 * time.Hour)
		for _, before := range []time.Time{{}, time.Now(), time.Now().Add(time.Hour), time.Now().Add(-2*time.Hour + time.Second)} {
			var invalid *delivery.InvalidError
			if n, err := d.Prune(t.Context(), before); n != 0 || !errors.As(err, &invalid) || invalid.Field != "before" {
				t.Errorf("before %v: %d, %v", before, n, err)
			}
		}
		if n, err := d.Prune(t.Context(), time.Now().Add(-2*time.Hour)); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := newDesk(t, nil).Prune(t.Context(), time.Now().Add(-23*time.Hour)); err == nil {
			t.Error("the default is less than 24 hours")
		}
		_, err := delivery.New(memstore.New(), d, &delivery.Options{OpenConversations: true, PruneAge: time.Minute})
		var invalid *delivery.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "pruneAge" {
			t.Errorf("a least age of a minute: %v", err)
		}
	})

	in("a conversation is deleted with all that is in it, and its versions go on", func(t *testing.T) {
		d := newDesk(t, nil)
		for i := range 300 {
			d.send(t, hi("c", fmt.Sprint("m", i)))
		}
		page, _ := d.Messages(t.Context(), delivery.Query{Conversation: "c", Limit: 1})
		for range 2 { // the second time there is none
			if err := d.DeleteConversation(t.Context(), "c"); err != nil {
				t.Fatal(err)
			}
		}
		if m := d.send(t, hi("c", "m1")); m.Seq != 304 {
			t.Errorf("the next message is at %d", m.Seq)
		}
		page, err := d.Changes(t.Context(), "c", page.Cursor, 0)
		if err != nil || page.Reset || page.Floor != 300 || len(page.Messages) != 1 {
			t.Errorf("%+v, %v", page, err)
		}
		var invalid *delivery.InvalidError
		if err := d.DeleteConversation(t.Context(), ""); !errors.As(err, &invalid) || invalid.Field != "conversation" {
			t.Errorf("no conversation: %v", err)
		}
	})

	in("an id that comes back in another conversation is marked by the rule for that one", func(t *testing.T) {
		store := memstore.New()
		rule := func(_ context.Context, user string, _ delivery.Action, conversation string) (bool, error) {
			return user != "bob" || conversation != "d", nil
		}
		var trackers [2]*delivery.Tracker
		for i := range trackers {
			trackers[i] = newTracker(t, store, new(endpoint), &delivery.Options{Authorize: rule})
		}
		draft := delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}
		if _, err := trackers[0].Send(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		if _, err := trackers[0].MarkDelivered(t.Context(), delivery.Actor{User: "bob"}, "m"); err != nil {
			t.Fatal(err)
		}
		if err := trackers[1].DeleteConversation(t.Context(), "c"); err != nil {
			t.Fatal(err)
		}
		draft.Conversation = "d"
		if _, err := trackers[1].Send(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		if _, err := trackers[0].MarkRead(t.Context(), delivery.Actor{User: "bob"}, "m"); !errors.Is(err, delivery.ErrForbidden) {
			t.Error(err)
		}
		if m, err := trackers[1].Message(t.Context(), "m"); err != nil || m.Read != 0 || m.Delivered != 0 {
			t.Errorf("%+v, %v", m, err)
		}
	})

	in("a dead letter of a prune is replayed as it is", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, hi("c", "m"))
		d.told(t)
		time.Sleep(25 * time.Hour)
		d.Prune(t.Context(), time.Now().Add(-24*time.Hour))
		claimed, err := d.store.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: time.Minute})
		if err != nil || len(claimed) != 1 {
			t.Fatalf("%+v, %v", claimed, err)
		}
		d.store.Settle(t.Context(), []delivery.Settlement{{ID: claimed[0].Event.ID, Lease: 1, Outcome: delivery.SettleBury}})
		if err := d.Replay(t.Context(), claimed[0].Event.ID); err != nil {
			t.Fatal(err)
		}
		if events := d.told(t); len(events) != 1 || events[0].Updates[0].Floor != 1 {
			t.Errorf("told %+v", events)
		}
	})

	t.Run("a store that is no keeper says so", func(t *testing.T) {
		tracker := newTracker(t, struct{ delivery.Store }{memstore.New()}, new(endpoint), nil)
		_, err := tracker.Prune(t.Context(), time.Now().Add(-48*time.Hour))
		for _, err := range []error{err, tracker.DeleteConversation(t.Context(), "c")} {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Error(err)
			}
		}
	})
}

// partly is a store that fails in one conversation, and another of which stays blocked.
type partly struct {
	*memstore.Store
	fails, blocks string
	because       error
	calls         int
}

func (p *partly) Prune(ctx context.Context, what delivery.Pruning) (delivery.PruningResult, error) {
	p.calls++
	switch what.Conversation {
	case p.fails:
		return delivery.PruningResult{}, p.because
	case p.blocks:
		return delivery.PruningResult{Blocked: true}, nil
	}
	return p.Store.Prune(ctx, what)
}
