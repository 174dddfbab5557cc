package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
)

// dark are recipients of whom bob is untracked and carol hides reads.
func dark(recipients ...string) delivery.Audience {
	return delivery.Audience{Recipients: recipients, Untracked: []string{"bob"}, HideRead: []string{"carol"}}
}

func TestUntrackedAndHideRead(t *testing.T) {
	send := func(t *testing.T, d *desk, id string, a delivery.Audience) delivery.Message {
		t.Helper()
		return d.send(t, delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: a})
	}

	t.Run("a message counts who may be seen to receive and to read it", func(t *testing.T) {
		d := newDesk(t, nil)
		for id, c := range map[string]struct {
			audience       delivery.Audience
			total, readers int
		}{
			"nobody dark":             {delivery.Audience{Recipients: []string{"bob", "carol"}}, 2, 2},
			"two dark":                {dark("bob", "carol", "dan"), 2, 1},
			"repeats":                 {delivery.Audience{Recipients: []string{"bob", "carol"}, Untracked: []string{"bob", "bob"}, HideRead: []string{"carol", "carol"}}, 1, 0},
			"both lists":              {delivery.Audience{Recipients: []string{"bob", "carol"}, Untracked: []string{"bob"}, HideRead: []string{"bob"}}, 1, 1},
			"users who get no":        {delivery.Audience{Recipients: []string{"dan"}, Untracked: []string{"bob"}, HideRead: []string{"carol"}}, 1, 1},
			"the sender":              {delivery.Audience{Recipients: []string{"dan"}, Untracked: []string{"alice"}}, 1, 1},
			"the sender on the list":  {delivery.Audience{Recipients: []string{"alice", "dan"}, HideRead: []string{"alice"}}, 1, 1},
			"nobody at all but empty": {delivery.Audience{Recipients: []string{}, Untracked: []string{}}, 0, 0},
		} {
			m := send(t, d, id, c.audience)
			if m.Total != c.total || m.Readers != c.readers {
				t.Errorf("%s: total %d and %d readers, want %d and %d", id, m.Total, m.Readers, c.total, c.readers)
			}
			again, err := d.Send(t.Context(), delivery.Draft{ID: id, Conversation: "c", Sender: "alice", Audience: c.audience})
			if err != nil || again != m {
				t.Errorf("%s again: %+v, %v", id, again, err)
			}
		}
	})

	t.Run("lists that name the same are one roster, and others are a conflict", func(t *testing.T) {
		d := newDesk(t, nil)
		send(t, d, "m", dark("bob", "carol"))
		for name, a := range map[string]delivery.Audience{
			"nobody dark":   {Recipients: []string{"bob", "carol"}},
			"other caps":    {Recipients: []string{"bob", "carol"}, Untracked: []string{"carol"}, HideRead: []string{"bob"}},
			"one cap fewer": {Recipients: []string{"bob", "carol"}, Untracked: []string{"bob"}},
		} {
			if _, err := d.Send(t.Context(), delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: a}); !errors.Is(err, delivery.ErrConflict) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		same := delivery.Audience{Recipients: []string{"carol", "bob", "bob"}, Untracked: []string{"bob", "mallory"}, HideRead: []string{"carol", "bob"}}
		if _, err := d.Send(t.Context(), delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: same}); err != nil {
			t.Errorf("the same otherwise: %v", err)
		}
	})

	t.Run("the members of a key say it for all messages to it", func(t *testing.T) {
		d := newDesk(t, nil)
		asked := 0
		roster := delivery.Roster{Key: "v1", Members: func(context.Context) (delivery.Members, error) {
			asked++
			return delivery.Members{Users: []string{"alice", "bob", "carol", "dan"}, Untracked: []string{"bob"}, HideRead: []string{"carol"}}, nil
		}}
		for sender, want := range map[string][2]int{"alice": {2, 1}, "bob": {3, 2}, "carol": {2, 2}} {
			m := d.send(t, delivery.Draft{Conversation: "c", Sender: sender, Audience: delivery.Audience{Roster: roster}})
			if got := [2]int{m.Total, m.Readers}; got != want {
				t.Errorf("from %s: %v, want %v", sender, got, want)
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times, want once", asked)
		}
	})

	t.Run("a long list keeps its caps on the way to the store", func(t *testing.T) {
		d := newDesk(t, nil)
		a := dark("bob", "carol")
		for i := range 100 {
			a.Recipients = append(a.Recipients, fmt.Sprint("user", i))
		}
		if m := send(t, d, "m", a); m.Total != 101 || m.Readers != 100 {
			t.Errorf("got %+v", m.Header)
		}
	})

	t.Run("they are refused with an open audience, beside a key, and in wrong forms", func(t *testing.T) {
		d := newDesk(t, nil)
		key := delivery.Roster{Key: "v1", Members: members("bob")}
		long := make([]string, delivery.MaxRecipients+2)
		for field, a := range map[string]delivery.Audience{
			"audience":                           {Open: true, Untracked: []string{"bob"}},
			"audience, of who hides reads":       {Open: true, HideRead: []string{"bob"}},
			"audience, beside a key":             {Roster: key, Untracked: []string{"bob"}},
			"audience, without a list":           {Untracked: []string{"bob"}},
			"untracked":                          {Recipients: []string{"bob"}, Untracked: []string{""}},
			"untracked, too many":                {Recipients: []string{"bob"}, Untracked: long},
			"hide_read":                          {Recipients: []string{"bob"}, HideRead: []string{"a\x00"}},
			"hide_read, too many":                {Recipients: []string{"bob"}, HideRead: long},
			"untracked, of the members of a key": {Roster: delivery.Roster{Key: "v1", Members: func(context.Context) (delivery.Members, error) { return delivery.Members{Untracked: []string{""}}, nil }}},
			"hide_read, of the members of a key": {Roster: delivery.Roster{Key: "v1", Members: func(context.Context) (delivery.Members, error) { return delivery.Members{HideRead: []string{""}}, nil }}},
		} {
			_, err := d.Send(t.Context(), delivery.Draft{Conversation: "c", Sender: "alice", Audience: a})
			checkRefusal(t, field, err, fieldOf(field))
		}
		if page, _ := d.Messages(t.Context(), delivery.Query{Conversation: "c"}); page.Version != 0 {
			t.Errorf("stored %+v", page)
		}
	})

	t.Run("the mark is the user's own alone, beyond what others may see", func(t *testing.T) {
		d := ownDesk(t, nil)
		send(t, d, "m", dark("bob", "carol", "dan"))
		d.told(t)
		for _, actor := range []delivery.Actor{bob, carol} {
			for i := range 2 {
				results, err := d.Mark(t.Context(), actor, delivery.Read, "m")
				if err != nil || results[0].Err != nil || results[0].Own.Status != delivery.Read || !results[0].Own.ReadAt.IsZero() || results[0].Changed != (i == 0) {
					t.Fatalf("%s, time %d: %+v, %v", actor.User, i, results, err)
				}
			}
			if u := d.badge(t, actor.User); u.Count != 0 || u.Place.Rev != 1 || u.Newest.Own.Status != delivery.Read {
				t.Errorf("unread of %s: %+v", actor.User, u)
			}
		}
		m, err := d.Message(t.Context(), "m")
		if err != nil || m.Delivered != 1 || m.Read != 0 || m.Version != 2 {
			t.Errorf("others see %+v, %v", m, err)
		}
		var told []string
		for _, e := range d.told(t) {
			told = append(told, fmt.Sprint(e.Kind, " ", e.User))
		}
		slices.Sort(told)
		if want := []string{"own bob", "own carol", "status "}; !slices.Equal(told, want) {
			t.Errorf("the events are %q, want %q", told, want)
		}
		page, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m"})
		if err != nil || len(page.Receipts) != 3 || page.Receipts[0].Reason != delivery.Untracked || page.Receipts[0].Status != delivery.Sent ||
			page.Receipts[1].Reason != delivery.Capped || page.Receipts[1].Status != delivery.Delivered || page.Receipts[2].Reason != "" {
			t.Errorf("the receipts are %+v, %v", page, err)
		}
	})

	t.Run("an up-to mark reads all to the user's own knowledge, and is told once", func(t *testing.T) {
		for _, actor := range []delivery.Actor{bob, carol} {
			d := ownDesk(t, nil)
			for _, id := range []string{"m1", "m2", "m3"} {
				send(t, d, id, dark("bob", "carol", "dan"))
			}
			d.told(t)
			changed := map[string]int{"bob": 0, "carol": 3}[actor.User]
			for i := range 2 {
				result, err := d.MarkUpTo(t.Context(), actor, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m3"})
				if err != nil || i == 0 && result.Changed != changed || i > 0 && result.Changed != 0 {
					t.Errorf("%s, time %d: %+v, %v", actor.User, i, result, err)
				}
				own := 0
				for _, e := range d.told(t) {
					if e.Kind == delivery.OwnChanged {
						own++
					}
				}
				if own != 1-i {
					t.Errorf("%s, time %d: %d events for the user's devices", actor.User, i, own)
				}
			}
			if u := d.badge(t, actor.User); u.Count != 0 || u.Place != (delivery.Place{Rev: 1, Delivered: 3, Badge: 3}) {
				t.Errorf("unread of %s: %+v", actor.User, u)
			}
			if m, _ := d.Message(t.Context(), "m3"); m.Read != 0 || m.Delivered != min(changed, 1) {
				t.Errorf("others see %+v of %s", m, actor.User)
			}
		}
	})

	t.Run("an up-to mark may name a message of others, or the user's own", func(t *testing.T) {
		d := ownDesk(t, nil)
		send(t, d, "m1", dark("bob"))
		send(t, d, "m2", delivery.Audience{Recipients: []string{"dan"}})
		d.send(t, delivery.Draft{ID: "m3", Conversation: "c", Sender: "bob", Audience: delivery.Audience{Recipients: []string{"dan"}}})
		for _, id := range []string{"m2", "m3"} {
			if _, err := d.MarkUpTo(t.Context(), bob, delivery.Read, delivery.MessageRef{Conversation: "c", ID: id}); err != nil && id == "m2" {
				t.Errorf("up to %s: %v", id, err)
			}
			if u := d.badge(t, "bob"); u.Count != 0 {
				t.Errorf("after the mark up to %s: %+v", id, u)
			}
		}
	})

	t.Run("a private mark hides at least as much", func(t *testing.T) {
		for _, hide := range []delivery.Hide{delivery.HideRead, delivery.HideAll} {
			d := ownDesk(t, nil)
			send(t, d, "m", dark("bob", "carol"))
			for _, user := range []string{"bob", "carol"} {
				actor := delivery.Actor{User: user, Hide: hide}
				if own, err := d.MarkRead(t.Context(), actor, "m"); err != nil || own.Status != delivery.Read {
					t.Errorf("%s: %+v, %v", user, own, err)
				}
				if _, err := d.MarkUpTo(t.Context(), actor, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m"}); err != nil {
					t.Errorf("%s up to it: %v", user, err)
				}
			}
			want := 0 // carol's delivery, if she hides reads alone
			if hide == delivery.HideRead {
				want = 1
			}
			if m, _ := d.Message(t.Context(), "m"); m.Delivered != want || m.Read != 0 {
				t.Errorf("with %v others see %+v", hide, m)
			}
		}
	})

	t.Run("who hides reads blocks no quorum, and who is untracked none either", func(t *testing.T) {
		d := newDesk(t, nil)
		send(t, d, "m", dark("bob", "carol", "dan"))
		dan := delivery.Actor{User: "dan"}
		if _, err := d.MarkRead(t.Context(), dan, "m"); err != nil {
			t.Fatal(err)
		}
		m, _ := d.Message(t.Context(), "m")
		if m.Status != delivery.Read || m.Delivered != 1 {
			t.Errorf("after the only one who may be seen to read: %+v", m)
		}
	})
}

// fieldOf is the field that the name of a case begins with.
func fieldOf(name string) string {
	for i, r := range name {
		if r == ',' {
			return name[:i]
		}
	}
	return name
}
