package delivery_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
)

func TestPending(t *testing.T) {
	t.Run("after a mark up to the last message nothing is pending", func(t *testing.T) {
		d := newDesk(t, nil)
		for i, sender := range []string{"alice", "alice", "bob", "alice", "bob"} {
			d.send(t, delivery.Draft{ID: fmt.Sprint("m", i+1), Conversation: "c", Sender: sender, Audience: delivery.Audience{Open: true}})
		}
		if _, err := d.MarkRead(t.Context(), bob, "m1"); err != nil {
			t.Fatal(err)
		}
		before, err := d.Pending(t.Context(), delivery.Actor{User: "bob"}, "c")
		want := delivery.Pending{Unread: 2, First: delivery.Position{ID: "m2", Seq: 2}, Newest: delivery.Position{ID: "m5", Seq: 5}, Version: 6}
		if err != nil || before != want {
			t.Fatalf("got %+v, %v; want %+v", before, err, want)
		}
		marked, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: before.Newest.ID})
		if err != nil || marked.Changed != before.Unread {
			t.Errorf("marked %+v, %v", marked, err)
		}
		if after, err := d.Pending(t.Context(), delivery.Actor{User: "bob"}, "c"); err != nil || after != (delivery.Pending{Newest: before.Newest, Version: 8}) {
			t.Errorf("afterwards: %+v, %v", after, err)
		}
	})

	t.Run("a page after the place before the first unread message begins with it", func(t *testing.T) {
		d := newDesk(t, nil)
		for range 3 {
			m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
			if _, err := d.MarkRead(t.Context(), carol, m.ID); err != nil {
				t.Fatal(err)
			}
		}
		m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
		pending, err := d.Pending(t.Context(), delivery.Actor{User: "carol"}, "c")
		if err != nil || pending.First.ID != m.ID {
			t.Fatalf("got %+v, %v", pending, err)
		}
		page, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", After: pending.First.Seq - 1})
		if err != nil || len(page.Messages) != 1 || page.Messages[0].ID != m.ID {
			t.Errorf("got %+v, %v", page, err)
		}
	})

	t.Run("it counts up to MaxUnread, and one mark up to the last reads them all", func(t *testing.T) {
		d := newDesk(t, nil)
		for n := 1; n <= delivery.MaxUnread+1; n++ {
			d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
			if n < delivery.MaxUnread {
				continue
			}
			if got, err := d.Pending(t.Context(), delivery.Actor{User: "bob"}, "c"); err != nil || got.Unread != delivery.MaxUnread || got.More != (n > delivery.MaxUnread) {
				t.Errorf("of %d: got %+v, %v", n, got, err)
			}
		}
		got, err := d.Pending(t.Context(), delivery.Actor{User: "bob"}, "c")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: got.Newest.ID}); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Pending(t.Context(), delivery.Actor{User: "bob"}, "c"); err != nil || got.Unread != 0 || got.More {
			t.Errorf("afterwards: %+v, %v", got, err)
		}
	})

	t.Run("what is not an id is an error that names it", func(t *testing.T) {
		d := newDesk(t, nil)
		for _, bad := range []string{"", strings.Repeat("x", delivery.MaxID+1), "a\x00", "\xff"} {
			for field, args := range map[string][2]string{"user": {bad, "c"}, "conversation": {"bob", bad}} {
				_, err := d.Pending(t.Context(), delivery.Actor{User: args[0]}, args[1])
				var invalid *delivery.InvalidError
				if !errors.As(err, &invalid) || invalid.Field != field {
					t.Errorf("%s %q: got %v", field, bad, err)
				}
			}
		}
	})

	t.Run("in JSON there are no places where there are no messages", func(t *testing.T) {
		for want, pending := range map[string]delivery.Pending{
			`{"unread":0,"more":false,"version":0}`:                                                       {},
			`{"unread":0,"more":false,"newest":{"id":"m","seq":1},"version":2}`:                           {Newest: delivery.Position{ID: "m", Seq: 1}, Version: 2},
			`{"unread":1,"more":true,"first":{"id":"m","seq":1},"newest":{"id":"n","seq":2},"version":2}`: {Unread: 1, More: true, First: delivery.Position{ID: "m", Seq: 1}, Newest: delivery.Position{ID: "n", Seq: 2}, Version: 2},
		} {
			if got, err := json.Marshal(pending); err != nil || string(got) != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		}
	})
}
