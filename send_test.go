package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/msgdelivery/delivery"
)

func TestSend(t *testing.T) {
	t.Run("a message is stored and announced, except to the socket that sent it", func(t *testing.T) {
		d := newDesk(t, nil)
		m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Body: "hi", Socket: "1.1", Audience: delivery.Audience{Open: true}})
		if id, err := uuid.Parse(m.ID); err != nil || id.Version() != 7 {
			t.Errorf("id %q is no UUIDv7", m.ID)
		}
		if m.Seq != 1 || m.Version != 1 || m.Status != delivery.Sent || m.Quorum != 1 || !m.Open || m.SentAt.IsZero() {
			t.Errorf("sent %+v", m)
		}
		events := d.told(t)
		if len(events) != 1 || events[0].Kind != delivery.MessageSent || events[0].Except != "1.1" || events[0].From != 1 || events[0].To != 1 {
			t.Fatalf("told %+v", events)
		}
		u := events[0].Updates[0]
		if u.Message != m.ID || u.Sender != "alice" || u.Status != delivery.Sent || u.Receipt != nil || u.Body != "" {
			t.Errorf("update %+v", u)
		}
	})

	t.Run("EventBodies puts the body into the event", func(t *testing.T) {
		d := newDesk(t, &delivery.Options{EventBodies: true})
		d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Body: "hi", Audience: delivery.Audience{Open: true}})
		if events := d.told(t); events[0].Updates[0].Body != "hi" {
			t.Errorf("told %+v", events)
		}
	})

	t.Run("recipients are frozen without repeats and without the sender", func(t *testing.T) {
		d := newDesk(t, nil)
		for _, c := range []struct {
			audience      delivery.Audience
			want          []string
			wantQuorum    int
			wantOpen      bool
			wantFirstTick bool
		}{
			{delivery.Audience{Open: true}, nil, 1, true, true},
			{delivery.Audience{Open: true, Quorum: 7}, nil, 7, true, false},
			{delivery.Audience{Recipients: []string{}}, nil, 1, false, false},
			{delivery.Audience{Recipients: []string{"alice"}}, nil, 1, false, false},
			{delivery.Audience{Recipients: []string{"carol", "bob", "alice", "bob"}}, []string{"bob", "carol"}, 2, false, false},
			{delivery.Audience{Recipients: []string{"bob", "carol"}, Quorum: 1}, []string{"bob", "carol"}, 1, false, true},
		} {
			m := d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: c.audience})
			page, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: m.ID})
			var got []string
			for _, r := range page.Receipts {
				got = append(got, r.Recipient)
			}
			if err != nil || !slices.Equal(got, c.want) || m.Quorum != c.wantQuorum || m.Open != c.wantOpen || m.Total != len(c.want) {
				t.Errorf("%+v: %v, %+v, %v", c.audience, got, m.Header, err)
			}
			_, err = d.MarkRead(t.Context(), bob, m.ID)
			if m, _ := d.Message(t.Context(), m.ID); (m.Status == delivery.Read) != c.wantFirstTick {
				t.Errorf("%+v: %v after bob read it (%v)", c.audience, m.Status, err)
			}
		}
	})

	t.Run("the same content under the same id is one message", func(t *testing.T) {
		d := newDesk(t, nil)
		for _, draft := range []delivery.Draft{
			{ID: "open", Conversation: "c", Sender: "alice", Body: "hi", Audience: delivery.Audience{Open: true}},
			{ID: "frozen", Conversation: "c", Sender: "alice", Body: "hi", Audience: delivery.Audience{Recipients: []string{"carol", "bob"}}},
		} {
			first := d.send(t, draft)
			d.told(t)
			draft.Socket = "9.9"
			slices.Reverse(draft.Recipients)
			if again := d.send(t, draft); again != first {
				t.Errorf("again: %+v, first %+v", again, first)
			}
			if events := d.told(t); len(events) != 0 {
				t.Errorf("told again: %+v", events)
			}
		}
	})

	t.Run("other content under the same id is a conflict", func(t *testing.T) {
		d := newDesk(t, nil)
		draft := delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Body: "hi", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}}
		d.send(t, draft)
		for name, change := range map[string]func(*delivery.Draft){
			"conversation": func(d *delivery.Draft) { d.Conversation = "d" },
			"sender":       func(d *delivery.Draft) { d.Sender = "dave" },
			"body":         func(d *delivery.Draft) { d.Body = "ho" },
			"recipients":   func(d *delivery.Draft) { d.Recipients = []string{"bob", "dave"} },
			"audience":     func(d *delivery.Draft) { d.Audience = delivery.Audience{Open: true, Quorum: 2} },
			"quorum":       func(d *delivery.Draft) { d.Quorum = 1 },
		} {
			other := draft
			change(&other)
			if _, err := d.Send(t.Context(), other); !errors.Is(err, delivery.ErrConflict) {
				t.Errorf("%s: got %v", name, err)
			}
		}
		if page, _ := d.Messages(t.Context(), delivery.Query{Conversation: "c"}); len(page.Messages) != 1 || page.Version != 1 {
			t.Errorf("stored %+v", page)
		}
	})

	t.Run("bad drafts are errors that name the field, and leave nothing", func(t *testing.T) {
		d := newDesk(t, nil)
		long := strings.Repeat("x", 129)
		for _, c := range []struct {
			field  string
			change func(*delivery.Draft)
		}{
			{"id", func(d *delivery.Draft) { d.ID = long }},
			{"id", func(d *delivery.Draft) { d.ID = "\xff" }},
			{"conversation", func(d *delivery.Draft) { d.Conversation = "" }},
			{"conversation", func(d *delivery.Draft) { d.Conversation = long }},
			{"conversation", func(d *delivery.Draft) { d.Conversation = "a\x00" }},
			{"sender", func(d *delivery.Draft) { d.Sender = "" }},
			{"sender", func(d *delivery.Draft) { d.Sender = long }},
			{"body", func(d *delivery.Draft) { d.Body = "\xc3\x28" }},
			{"body", func(d *delivery.Draft) { d.Body = "\x00" }},
			{"body", func(d *delivery.Draft) { d.Body = strings.Repeat("x", 64<<10+1) }},
			{"audience", func(d *delivery.Draft) { d.Audience = delivery.Audience{} }},
			{"audience", func(d *delivery.Draft) { d.Audience = delivery.Audience{Quorum: 1} }},
			{"audience", func(d *delivery.Draft) { d.Recipients = []string{"bob"} }}, // and open
			{"audience", func(d *delivery.Draft) { d.Recipients = []string{} }},
			{"recipients", func(d *delivery.Draft) { d.Audience = delivery.Audience{Recipients: []string{"bob", ""}} }},
			{"recipients", func(d *delivery.Draft) { d.Audience = delivery.Audience{Recipients: []string{long}} }},
			{"recipients", func(d *delivery.Draft) {
				d.Audience = delivery.Audience{Recipients: make([]string, delivery.MaxRecipients+1)}
			}},
			{"quorum", func(d *delivery.Draft) { d.Quorum = -1 }},
			{"quorum", func(d *delivery.Draft) { d.Quorum = delivery.MaxRecipients + 1 }},
			{"audience", func(d *delivery.Draft) { d.Roster.Key = "v1" }}, // and open
			{"audience", func(d *delivery.Draft) {
				d.Audience = delivery.Audience{Recipients: []string{"bob"}, Roster: delivery.Roster{Key: "v1"}}
			}},
			{"roster", func(d *delivery.Draft) { d.Audience = delivery.Audience{Roster: delivery.Roster{Key: long}} }},
			{"roster", func(d *delivery.Draft) {
				d.Audience = delivery.Audience{Roster: delivery.Roster{Members: members("bob")}}
			}},
			{"roster", func(d *delivery.Draft) { d.Audience = delivery.Audience{Roster: delivery.Roster{Key: "unknown"}} }},
			{"roster", func(d *delivery.Draft) {
				d.Audience = delivery.Audience{Roster: delivery.Roster{Key: "v1", Members: members("bob", "")}}
			}},
			{"roster", func(d *delivery.Draft) {
				d.Audience = delivery.Audience{Roster: delivery.Roster{Key: "v1", Members: members(make([]string, delivery.MaxRecipients+1)...)}}
			}},
			{"socket", func(d *delivery.Draft) { d.Socket = long }},
		} {
			draft := delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}}
			c.change(&draft)
			_, err := d.Send(t.Context(), draft)
			var invalid *delivery.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != c.field {
				t.Errorf("%s: got %v", c.field, err)
			}
		}
		if page, _ := d.Messages(t.Context(), delivery.Query{Conversation: "c"}); page.Version != 0 {
			t.Errorf("stored %+v", page)
		}
	})
}

func TestReads(t *testing.T) {
	d := newDesk(t, nil)
	for range 60 {
		d.send(t, delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Open: true}})
	}
	t.Run("pages have a default size, and a viewer's own receipts", func(t *testing.T) {
		page, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", Before: delivery.Latest, Viewer: "bob"})
		if err != nil || len(page.Messages) != 50 || !page.More || page.Version != 60 || page.Messages[49].Seq != 60 {
			t.Errorf("%d messages, more %v, version %d, %v", len(page.Messages), page.More, page.Version, err)
		}
		last := page.Messages[49]
		if last.Own != nil {
			t.Errorf("own receipt before any mark: %+v", last.Own)
		}
		r, _ := d.MarkRead(t.Context(), bob, last.ID)
		page, _ = d.Messages(t.Context(), delivery.Query{Conversation: "c", After: 59, Viewer: "bob"})
		if len(page.Messages) != 1 || page.Messages[0].Own == nil || *page.Messages[0].Own != r {
			t.Errorf("got %+v, want own %+v", page.Messages, r)
		}
		changes, err := d.Changes(t.Context(), "c", delivery.Cursor{Version: 60, Epoch: page.Epoch}, 0)
		if err != nil || len(changes.Messages) != 1 || changes.Messages[0].ID != last.ID || changes.Version != 61 {
			t.Errorf("changes %+v, %v", changes, err)
		}
		changes, err = d.ChangesFor(t.Context(), bob, "c", delivery.Cursor{Version: 60, Epoch: page.Epoch}, 0)
		if err != nil || len(changes.Messages) != 1 || changes.Messages[0].Own == nil || *changes.Messages[0].Own != r {
			t.Errorf("changes for bob %+v, %v", changes, err)
		}
	})

	t.Run("what is not there is not found, but an unknown conversation is an empty one", func(t *testing.T) {
		if _, err := d.Message(t.Context(), "nowhere"); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("message: %v", err)
		}
		if _, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "nowhere"}); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("receipts: %v", err)
		}
		if page, err := d.Messages(t.Context(), delivery.Query{Conversation: "nowhere"}); err != nil || len(page.Messages) != 0 {
			t.Errorf("messages: %+v, %v", page, err)
		}
	})

	t.Run("several messages are loaded in the order that was asked for, each once", func(t *testing.T) {
		page, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		a, b, c := page.Messages[0], page.Messages[1], page.Messages[2]
		got, err := d.Load(t.Context(), c.ID, "nowhere", a.ID, c.ID, b.ID)
		if want := []delivery.Message{c, a, b}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
		if got, err := d.Load(t.Context()); len(got) != 0 || err != nil {
			t.Errorf("no ids: %+v, %v", got, err)
		}
	})

	t.Run("bad questions are errors that name the field", func(t *testing.T) {
		for field, ask := range map[string]func() error{
			"conversation": func() error { _, err := d.Messages(t.Context(), delivery.Query{}); return err },
			"viewer": func() error {
				_, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", Viewer: "\xff"})
				return err
			},
			"after": func() error {
				_, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", After: -1})
				return err
			},
			"before": func() error {
				_, err := d.Messages(t.Context(), delivery.Query{Conversation: "c", Before: -1})
				return err
			},
			"limit":   func() error { _, err := d.Changes(t.Context(), "c", delivery.Cursor{}, 501); return err },
			"since":   func() error { _, err := d.Changes(t.Context(), "c", delivery.Cursor{Version: -1}, 0); return err },
			"message": func() error { _, err := d.Receipts(t.Context(), delivery.ReceiptQuery{}); return err },
			"after, of receipts": func() error {
				_, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m", After: "\xff"})
				return err
			},
			"limit, of receipts": func() error {
				_, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m", Limit: 501})
				return err
			},
			"status": func() error {
				_, err := d.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m", Status: 4})
				return err
			},
			"user": func() error {
				_, err := d.ChangesFor(t.Context(), delivery.Actor{}, "c", delivery.Cursor{}, 0)
				return err
			},
			"messages": func() error {
				_, err := d.Load(t.Context(), make([]string, delivery.MaxBatch+1)...)
				return err
			},
		} {
			var invalid *delivery.InvalidError
			field, _, _ = strings.Cut(field, ",")
			if err := ask(); !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s: got %v", field, err)
			}
		}
	})
}

// members returns a roster's function that answers with these users.
func members(users ...string) func(context.Context) (delivery.Members, error) {
	return func(context.Context) (delivery.Members, error) { return delivery.Members{Users: users}, nil }
}

func TestRosters(t *testing.T) {
	keyed := func(key string, members func(context.Context) (delivery.Members, error)) delivery.Draft {
		return delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Roster: delivery.Roster{Key: key, Members: members}}}
	}
	recipients := func(t *testing.T, d *desk, message string) (users []string) {
		query := delivery.ReceiptQuery{Message: message, Limit: delivery.MaxBatch}
		for more := true; more; {
			page, err := d.Receipts(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Receipts {
				users = append(users, r.Recipient)
			}
			query.After, more = page.Next, page.More
		}
		return users
	}

	t.Run("the members of a key are asked for once in each conversation", func(t *testing.T) {
		d := newDesk(t, nil)
		asked := 0
		draft := keyed("v1", func(ctx context.Context) (delivery.Members, error) {
			asked++
			return members("carol", "alice", "bob", "bob")(ctx)
		})
		for i, sender := range []string{"alice", "bob", "carol", "dave"} {
			draft.Sender = sender
			m := d.send(t, draft)
			if want := []int{2, 2, 2, 3}[i]; m.Total != want || m.Quorum != want || len(recipients(t, d, m.ID)) != want {
				t.Errorf("from %s: %+v to %v", sender, m.Header, recipients(t, d, m.ID))
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times, want once", asked)
		}
		draft.Conversation = "d"
		if d.send(t, draft); asked != 2 {
			t.Errorf("asked %d times, want once more for another conversation", asked)
		}
	})

	t.Run("an error of Members is the send's, and nothing is stored", func(t *testing.T) {
		d := newDesk(t, nil)
		away := errors.New("the group is away")
		draft := keyed("v1", func(context.Context) (delivery.Members, error) { return delivery.Members{}, away })
		if _, err := d.Send(t.Context(), draft); !errors.Is(err, away) {
			t.Errorf("got %v", err)
		}
		if page, _ := d.Messages(t.Context(), delivery.Query{Conversation: "c"}); page.Version != 0 {
			t.Errorf("stored %+v", page)
		}
	})

	t.Run("Members is called with the ctx of the send", func(t *testing.T) {
		d := newDesk(t, nil)
		type key struct{}
		draft := keyed("v1", func(ctx context.Context) (delivery.Members, error) { return members(ctx.Value(key{}).(string))(ctx) })
		m, err := d.Send(context.WithValue(t.Context(), key{}, "bob"), draft)
		if err != nil || !slices.Equal(recipients(t, d, m.ID), []string{"bob"}) {
			t.Errorf("%v, %v", recipients(t, d, m.ID), err)
		}
	})

	t.Run("a key and a list are never the same roster", func(t *testing.T) {
		d := newDesk(t, nil)
		list := delivery.Draft{Conversation: "c", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
		d.send(t, list)
		var stored []string
		for range 2 {
			m := d.send(t, keyed(strings.Repeat("#", 128), members("carol")))
			stored = append(stored, recipients(t, d, m.ID)...)
		}
		if !slices.Equal(stored, []string{"carol", "carol"}) {
			t.Errorf("the recipients are %v", stored)
		}
	})

	t.Run("a long list is stored as it is, whoever of it sends", func(t *testing.T) {
		d := newDesk(t, nil)
		var all []string
		for i := range 1000 {
			all = append(all, fmt.Sprintf("user %03d", i))
		}
		for _, sender := range []string{"user 000", "user 500", "somebody else"} {
			m := d.send(t, delivery.Draft{Conversation: "c", Sender: sender, Audience: delivery.Audience{Recipients: slices.Clone(all)}})
			want := slices.DeleteFunc(slices.Clone(all), func(u string) bool { return u == sender })
			if got := recipients(t, d, m.ID); !slices.Equal(got, want) || m.Total != len(want) {
				t.Errorf("from %s: %d recipients, %+v", sender, len(got), m.Header)
			}
		}
	})

	t.Run("a send with the same id and another roster is a conflict", func(t *testing.T) {
		d := newDesk(t, nil)
		draft := keyed("v1", members("bob"))
		draft.ID = "m"
		first := d.send(t, draft)
		if again := d.send(t, draft); again != first {
			t.Errorf("again: %+v, first %+v", again, first)
		}
		draft.Roster.Key = "v2"
		if _, err := d.Send(t.Context(), draft); !errors.Is(err, delivery.ErrConflict) {
			t.Errorf("got %v", err)
		}
	})
}
