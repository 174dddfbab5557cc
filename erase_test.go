package delivery_test

import (
	"errors"
	"strings"
	"testing"

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
