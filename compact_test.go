package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

func TestCompact(t *testing.T) {
	bob, day := delivery.Actor{User: "bob"}, 24*time.Hour
	hi := func(conversation, id string) delivery.Draft {
		return delivery.Draft{ID: id, Conversation: conversation, Sender: "alice", Body: "hi", Audience: delivery.Audience{Recipients: []string{"bob"}}}
	}
	in := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}

	in("what is old enough is compacted in every conversation, and its statuses stay", func(t *testing.T) {
		d := newDesk(t, nil)
		for i := range 3 {
			for _, c := range []string{"c", "d"} {
				d.send(t, hi(c, fmt.Sprint(c, i)))
				if _, err := d.MarkRead(t.Context(), bob, fmt.Sprint(c, i)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(30 * time.Hour)
		}
		d.told(t)
		if n, err := d.Compact(t.Context(), time.Now().Add(-2*day)); n != 4 || err != nil {
			t.Fatalf("compacted %d, %v", n, err)
		}
		if events := d.told(t); len(events) != 0 {
			t.Errorf("told %+v", events)
		}
		for i := range 3 {
			for _, c := range []string{"c", "d"} {
				m, err := d.Message(t.Context(), fmt.Sprint(c, i))
				if err != nil || m.Status != delivery.Read || m.Read != 1 || m.ReadAt.IsZero() != (i < 2) || m.DeliveredAt.IsZero() != (i < 2) {
					t.Errorf("%+v, %v", m, err)
				}
				page, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: m.ID, Status: delivery.Read})
				if err != nil || len(page.Receipts) != 1 || page.Receipts[0].ReadAt.IsZero() != (i < 2) || (page.Receipts[0].Reason == delivery.Expired) != (i < 2) {
					t.Errorf("%+v, %v", page, err)
				}
			}
		}
	})

	in("more messages than one transaction takes go in several, and what ended early is gone on with", func(t *testing.T) {
		calls := 0
		tracker := newTracker(t, deliverytest.FailingStore(memstore.New(), func(method string) error {
			if method == "Compact" {
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
		cutoff := time.Now().Add(-day)
		if n, err := tracker.Compact(t.Context(), cutoff); n != 100 || err == nil {
			t.Errorf("at first: %d, %v", n, err)
		}
		if n, err := tracker.Compact(t.Context(), cutoff); n != 1000 || err != nil {
			t.Errorf("then: %d, %v", n, err)
		}
		if n, err := tracker.Compact(t.Context(), cutoff); n != 0 || err != nil {
			t.Errorf("in the end: %d, %v", n, err)
		}
	})

	in("a cutoff in the future, or younger than the least age, is refused and changes nothing", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{PruneAge: 2 * time.Hour})
		d.send(t, hi("c", "m"))
		if _, err := d.MarkRead(t.Context(), bob, "m"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		for _, before := range []time.Time{{}, time.Now(), time.Now().Add(time.Hour), time.Now().Add(-2*time.Hour + time.Second)} {
			var invalid *delivery.InvalidError
			if n, err := d.Compact(t.Context(), before); n != 0 || !errors.As(err, &invalid) || invalid.Field != "before" {
				t.Errorf("before %v: %d, %v", before, n, err)
			}
		}
		if m, err := d.Message(t.Context(), "m"); err != nil || m.ReadAt.IsZero() {
			t.Errorf("%+v, %v", m, err)
		}
		if n, err := d.Compact(t.Context(), time.Now().Add(-2*time.Hour)); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})

	in("what was compacted is replayed with its status, and without its times", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, hi("c", "m"))
		d.told(t)
		if _, err := d.MarkRead(t.Context(), bob, "m"); err != nil {
			t.Fatal(err)
		}
		claimed, err := d.store.Claim(t.Context(), 10, delivery.Lease{Token: 1, For: time.Minute})
		if err != nil || len(claimed) != 1 {
			t.Fatalf("%+v, %v", claimed, err)
		}
		d.store.Settle(t.Context(), []delivery.Settlement{{ID: claimed[0].Event.ID, Lease: 1, Outcome: delivery.SettleBury}})
		time.Sleep(2 * day)
		if n, err := d.Compact(t.Context(), time.Now().Add(-day)); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if err := d.Replay(t.Context(), claimed[0].Event.ID); err != nil {
			t.Fatal(err)
		}
		events := d.told(t)
		if len(events) != 1 || len(events[0].Updates) != 1 {
			t.Fatalf("told %+v", events)
		}
		want := delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Read, Version: 1}
		if u := events[0].Updates[0]; u.Version != 2 || u.Status != delivery.Read || *u.Receipt != want {
			t.Errorf("told %+v of %+v", u, u.Receipt)
		}
	})

	in("a conversation that somebody has locked is tried again, until the context ends", func(t *testing.T) {
		store := &locked{Store: memstore.New(), times: 3}
		tracker := newTracker(t, store, new(endpoint), nil)
		if _, err := tracker.Send(t.Context(), hi("c", "m")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * day)
		if n, err := tracker.Compact(t.Context(), time.Now().Add(-day)); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		store.times = 1 << 30
		if n, err := tracker.Compact(ctx, time.Now().Add(-day)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d, %v", n, err)
		}
	})

	t.Run("a store that is no keeper says so", func(t *testing.T) {
		tracker := newTracker(t, struct{ delivery.Store }{memstore.New()}, new(endpoint), nil)
		if _, err := tracker.Compact(t.Context(), time.Now().Add(-2*day)); !errors.Is(err, errors.ErrUnsupported) {
			t.Error(err)
		}
	})
}

// locked answers some times that somebody has the conversation.
type locked struct {
	*memstore.Store
	times int
}

func (s *locked) Compact(ctx context.Context, c delivery.Compaction) (delivery.CompactionResult, error) {
	if s.times--; s.times >= 0 {
		return delivery.CompactionResult{Blocked: true}, ctx.Err()
	}
	return s.Store.Compact(ctx, c)
}
