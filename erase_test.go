package delivery_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestErase(t *testing.T) {
	hi := func(id, sender string) delivery.Draft {
		return delivery.Draft{ID: id, Conversation: "c", Sender: sender, Audience: delivery.Audience{Recipients: []string{"alice", "bob"}}}
	}

	t.Run("an erased user is refused, whatever the process remembers, and listed without a name", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, hi("m1", "alice"))
		d.send(t, hi("m2", "bob"))
		d.MarkRead(t.Context(), bob, "m1")
		for range 2 { // the second time changes nothing
			if err := d.Erase(t.Context(), "bob"); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"m1", "m2"} {
			if _, err := d.MarkRead(t.Context(), bob, id); !errors.Is(err, delivery.ErrNotRecipient) {
				t.Errorf("a mark of %s: %v", id, err)
			}
		}
		if m, err := d.Message(t.Context(), "m2"); err != nil || m.Sender != "" {
			t.Errorf("%+v, %v", m, err)
		}
		page, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m1"})
		if err != nil || len(page.Receipts) != 1 || page.Receipts[0].Recipient != "" || page.Receipts[0].Status != delivery.Read {
			t.Errorf("%+v, %v", page, err)
		}
	})

	t.Run("recipients mark the messages of an erased author as before, and others are refused", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) { return true, nil }})
		d.send(t, hi("m1", "alice"))
		d.send(t, hi("m2", "alice"))
		if err := d.Erase(t.Context(), "alice"); err != nil {
			t.Fatal(err)
		}
		through := delivery.MessageRef{Conversation: "c", ID: "m2"}
		for name, mark := range map[string]func(delivery.Actor) error{
			"Dismiss":    func(a delivery.Actor) error { _, err := d.Dismiss(t.Context(), a, through); return err },
			"MarkUnread": func(a delivery.Actor) error { _, err := d.MarkUnread(t.Context(), a, "m2"); return err },
			"MarkRead":   func(a delivery.Actor) error { _, err := d.MarkRead(t.Context(), a, "m2"); return err },
			"MarkUpTo":   func(a delivery.Actor) error { _, err := d.MarkUpTo(t.Context(), a, delivery.Read, through); return err },
		} {
			for _, hide := range []delivery.Hide{0, delivery.HideRead, delivery.HideAll} {
				if err := mark(delivery.Actor{User: "bob", Hide: hide}); err != nil {
					t.Errorf("%s by a recipient: %v", name, err)
				}
				if err := mark(delivery.Actor{User: "mallory", Hide: hide}); !errors.Is(err, delivery.ErrNotRecipient) {
					t.Errorf("%s by a stranger: %v", name, err)
				}
			}
		}
		if _, err := d.MarkUnread(t.Context(), bob, "m2"); err != nil {
			t.Fatal(err)
		}
		own, err := d.MarkRead(t.Context(), bob, "m2")
		all, _ := d.Unread(t.Context(), bob, "c")
		if err != nil || own.Status != delivery.Read || all[0].Flagged {
			t.Errorf("a public mark that clears a flag: %+v, %+v, %v", own, all, err)
		}
	})

	t.Run("pages of recipients go on after one without a name", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol", "dan"}}})
		for _, user := range []string{"dan", "bob"} {
			if err := d.Erase(t.Context(), user); err != nil {
				t.Fatal(err)
			}
		}
		var listed []string
		q := delivery.ReceiptQuery{Message: "m", Limit: 1}
		for more := true; more; {
			page, err := d.Receipts(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Receipts {
				listed = append(listed, r.Recipient)
			}
			q.After, more = page.Next, page.More
		}
		if got := strings.Join(listed, ","); got != "carol,," {
			t.Errorf("listed %q", got)
		}
	})

	t.Run("it waits for another transaction no longer than a write may take, unless the caller has a deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tracker := newTracker(t, &occupied{memstore.New()}, new(endpoint), nil)
			for _, limit := range []time.Duration{0, time.Hour} {
				ctx, began := t.Context(), time.Now()
				if limit > 0 {
					later, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					ctx = later
				}
				err := tracker.Erase(ctx, "bob")
				if took := time.Since(began); took != cmp.Or(limit, delivery.DefaultWriteTimeout) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another transaction") {
					t.Errorf("with a deadline of %v, after %v: %v", limit, took, err)
				}
			}
		})
	})

	t.Run("bad calls are errors that name the field", func(t *testing.T) {
		d := newDesk(t, nil)
		var invalid *delivery.InvalidError
		if err := d.Erase(t.Context(), ""); !errors.As(err, &invalid) || invalid.Field != "user" {
			t.Errorf("no user: %v", err)
		}
		if err := d.EraseTx(t.Context(), nil, "bob"); !errors.As(err, &invalid) || invalid.Field != "tx" {
			t.Errorf("no transaction: %v", err)
		}
		for _, after := range []string{strings.Repeat("a", 1000), "a\x00", "\xff"} {
			if _, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m", After: after}); !errors.As(err, &invalid) || invalid.Field != "after" {
				t.Errorf("after %.5q: %v", after, err)
			}
		}
	})

	t.Run("a store that is no keeper says so", func(t *testing.T) {
		tracker := newTracker(t, struct{ delivery.Store }{memstore.New()}, new(endpoint), nil)
		if err := tracker.Erase(t.Context(), "bob"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Erase: %v", err)
		}
	})
}

// occupied is a store in which other transactions have all conversations locked.
type occupied struct{ *memstore.Store }

func (o *occupied) Erase(context.Context, string, int) (delivery.ErasureResult, error) {
	return delivery.ErasureResult{Blocked: true}, nil
}
