package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestUnread(t *testing.T) {
	t.Run("after a mark up to the last message nothing is pending", func(t *testing.T) {
		d := newDesk(t, nil)
		for i, sender := range []string{"alice", "alice", "bob", "alice", "bob"} {
			d.send(t, delivery.Draft{ID: fmt.Sprint("m", i+1), Conversation: "c", Sender: sender, Audience: delivery.Audience{Open: true}})
		}
		if _, err := d.MarkRead(t.Context(), bob, "m1"); err != nil {
			t.Fatal(err)
		}
		before := d.unread(t, bob, "c")
		if before.Count != 2 || before.First != (delivery.Position{ID: "m2", Seq: 2}) || before.Newest.ID != "m5" || before.Version != 6 {
			t.Fatalf("got %+v", before)
		}
		marked, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: before.Newest.ID})
		if err != nil || marked.Changed != before.Count {
			t.Errorf("marked %+v, %v", marked, err)
		}
		if after := d.unread(t, bob, "c"); after.Count != 0 || after.First != (delivery.Position{}) || after.Newest.ID != "m5" || after.Version != 8 {
			t.Errorf("afterwards: %+v", after)
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
		unread := d.unread(t, carol, "c")
		if unread.First.ID != m.ID {
			t.Fatalf("got %+v", unread)
		}
		page, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", After: unread.First.Seq - 1})
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
			if got := d.unread(t, bob, "c"); got.Count != delivery.MaxUnread || got.More != (n > delivery.MaxUnread) {
				t.Errorf("of %d: got %+v", n, got)
			}
		}
		got := d.unread(t, bob, "c")
		if _, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: got.Newest.ID}); err != nil {
			t.Fatal(err)
		}
		if got := d.unread(t, bob, "c"); got.Count != 0 || got.More {
			t.Errorf("afterwards: %+v", got)
		}
	})

	t.Run("what is not an id is an error that names it", func(t *testing.T) {
		d := newDesk(t, nil)
		for _, bad := range []string{"", strings.Repeat("x", delivery.MaxID+1), "a\x00", "\xff"} {
			for field, args := range map[string][2]string{"user": {bad, "c"}, "conversation": {"bob", bad}} {
				_, err := d.Unread(t.Context(), delivery.Actor{User: args[0]}, args[1])
				var invalid *delivery.InvalidError
				if !errors.As(err, &invalid) || invalid.Field != field {
					t.Errorf("%s %q: got %v", field, bad, err)
				}
			}
		}
	})

	t.Run("no conversations, too many, and one that is named twice are errors", func(t *testing.T) {
		d := newDesk(t, nil)
		var many []string
		for i := range delivery.MaxConversations + 1 {
			many = append(many, fmt.Sprint("c", i))
		}
		for _, conversations := range [][]string{nil, many, {"c", "d", "c"}} {
			_, err := d.Unread(t.Context(), bob, conversations...)
			var invalid *delivery.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != "conversation" {
				t.Errorf("%d conversations: got %v", len(conversations), err)
			}
		}
		if all, err := d.Unread(t.Context(), bob, many[1:]...); err != nil || len(all) != delivery.MaxConversations || all[7].Conversation != many[8] {
			t.Errorf("got %d, %v", len(all), err)
		}
	})

	t.Run("conversations that the store leaves out are an error", func(t *testing.T) {
		tracker := newTracker(t, forgetful{memstore.New()}, new(endpoint), nil)
		if all, err := tracker.Unread(t.Context(), bob, "c", "d"); err == nil {
			t.Errorf("got %+v", all)
		}
	})

	t.Run("in JSON there are no places where there are no messages", func(t *testing.T) {
		for want, unread := range map[string]delivery.Unread{
			`{"conversation":"c","count":0,"more":false,"flagged":false,"version":0,"place":{"rev":0,"delivered":0,"badge":0,"flag":0}}`:                           {Conversation: "c"},
			`{"conversation":"c","count":1,"more":true,"flagged":false,"first":{"id":"m","seq":1},"version":2,"place":{"rev":0,"delivered":0,"badge":0,"flag":0}}`: {Conversation: "c", Count: 1, More: true, First: delivery.Position{ID: "m", Seq: 1}, Version: 2},
		} {
			if got, err := json.Marshal(unread); err != nil || string(got) != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		}
	})

	t.Run("a preview is the beginning of the body, in whole characters", func(t *testing.T) {
		for body, want := range map[string]string{
			"": "",
			strings.Repeat("é", delivery.MaxPreview):   strings.Repeat("é", delivery.MaxPreview),
			strings.Repeat("é", delivery.MaxPreview+1): strings.Repeat("é", delivery.MaxPreview),
		} {
			if got := delivery.Preview(body); got != want {
				t.Errorf("%d bytes: got %d bytes", len(body), len(got))
			}
		}
	})
}

// forgetful answers for the first conversation alone.
type forgetful struct{ delivery.Store }

func (s forgetful) Unread(ctx context.Context, user string, conversations []string, limit int) ([]delivery.Unread, error) {
	return s.Store.Unread(ctx, user, conversations[:1], limit)
}

func (d *desk) unread(t *testing.T, actor delivery.Actor, conversation string) delivery.Unread {
	t.Helper()
	all, err := d.Unread(t.Context(), actor, conversation)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}
