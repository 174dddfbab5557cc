package deliveryhttp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/memstore"
)

// whoIsPresent freezes messages to whoever is present.
func whoIsPresent(_ context.Context, draft delivery.Draft) (delivery.Audience, error) {
	switch draft.Conversation {
	case "down":
		return delivery.Audience{}, errors.New("directory down")
	case "read-only":
		return delivery.Audience{}, fmt.Errorf("no sending here: %w", delivery.ErrForbidden)
	case "malformed":
		return delivery.Audience{Recipients: []string{""}}, nil
	case "forgotten":
		return delivery.Audience{}, nil
	case "ambiguous":
		return delivery.Audience{Open: true, Recipients: []string{"bob"}}, nil
	case "anonymous":
		return delivery.Audience{Roster: delivery.Roster{Key: "v1"}}, nil
	case "crowded":
		return delivery.Audience{Recipients: make([]string, delivery.MaxRecipients+1)}, nil
	}
	return delivery.Audience{Recipients: present[draft.Conversation]}, nil
}

func TestSend(t *testing.T) {
	hi := request{"alice", "POST", "/messages", `{"conversation": "room", "id": "m1", "body": "hi", "socket": "1.2"}`, nil}

	t.Run("the message is stored as the user's own and told to all but the socket", func(t *testing.T) {
		d := newDesk(t, nil)
		m := good[delivery.Message](t, d, hi, http.StatusCreated)
		if m.ID != "m1" || m.Sender != "alice" || m.Body != "hi" || !m.Open || m.Seq != 1 || m.Version != 1 || m.Status != delivery.Sent {
			t.Errorf("got %+v", m)
		}
		if err := d.tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if events := d.told.Events(); len(events) != 1 || events[0].Except != "1.2" || events[0].Kind != delivery.MessageSent {
			t.Errorf("told %+v", events)
		}
	})

	t.Run("without an id it gets a new one each time", func(t *testing.T) {
		d := newDesk(t, nil)
		q := request{"alice", "POST", "/messages", `{"conversation": "room", "body": ""}`, nil}
		one, two := good[delivery.Message](t, d, q, http.StatusCreated), good[delivery.Message](t, d, q, http.StatusCreated)
		if one.ID == "" || one.ID == two.ID || two.Seq != 2 {
			t.Errorf("got %+v and %+v", one, two)
		}
	})

	t.Run("a repeat is answered like the first and changes nothing", func(t *testing.T) {
		d := newDesk(t, nil)
		first := good[delivery.Message](t, d, hi, http.StatusCreated)
		before := d.state(t)
		if again := good[delivery.Message](t, d, hi, http.StatusCreated); again != first {
			t.Errorf("got %+v; first %+v", again, first)
		}
		if d.state(t) != before {
			t.Error("the state changed")
		}
	})

	t.Run("a repeat after members came and went is still a repeat", func(t *testing.T) {
		now := []string{"alice", "bob"}
		d := newDesk(t, &deliveryhttp.Options{Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) {
			return delivery.Audience{Recipients: now}, nil
		}})
		first := good[delivery.Message](t, d, hi, http.StatusCreated)
		before := d.state(t)
		for _, now = range [][]string{{"alice", "bob", "carol"}, {"alice", "carol"}, {}, nil} {
			if again := good[delivery.Message](t, d, hi, http.StatusCreated); again != first {
				t.Errorf("with %q: got %+v; first %+v", now, again, first)
			}
		}
		if d.state(t) != before {
			t.Error("the state changed")
		}
	})

	t.Run("a repeat that the members, the quorum or the rule would not let through now is still a repeat, of that very message only", func(t *testing.T) {
		directory := errors.New("directory down")
		for _, c := range []struct {
			name     string
			rule     error
			audience delivery.Audience
			err      error
			status   int // of another message
			code     string
		}{
			{"the sender has left", delivery.ErrForbidden, delivery.Audience{}, nil, 403, "forbidden"},
			{"the rule fails", directory, delivery.Audience{}, nil, 500, "internal"},
			{"the directory fails", nil, delivery.Audience{}, directory, 500, "internal"},
			{"the directory does not find what it needs", nil, delivery.Audience{}, fmt.Errorf("directory: %w", delivery.ErrNotFound), 500, "internal"},
			{"the directory is asked for what is invalid", nil, delivery.Audience{}, &delivery.InvalidError{Field: "conversation", Reason: "is empty"}, 500, "internal"},
			{"the directory refuses", nil, delivery.Audience{}, delivery.ErrForbidden, 403, "forbidden"},
			{"the directory says what is no user", nil, delivery.Audience{Recipients: []string{""}}, nil, 500, "internal"},
			{"the directory lets nobody hide what they read", nil, delivery.Audience{Recipients: []string{"bob"}, HideRead: []string{""}}, nil, 500, "internal"},
			{"the directory says that no user is untracked", nil, delivery.Audience{Recipients: []string{"bob"}, Untracked: []string{""}}, nil, 500, "internal"},
			{"the directory says nothing", nil, delivery.Audience{}, nil, 500, "internal"},
			{"the directory counts wrong", nil, delivery.Audience{Recipients: []string{"bob"}, Quorum: -1}, nil, 500, "internal"},
		} {
			store := memstore.New()
			repeat := request{"alice", "POST", "/messages", `{"conversation": "room", "id": "m1", "body": "hi"}`, nil}
			d := newDeskOver(t, store, &deliveryhttp.Options{Audience: whoIsPresent})
			first := good[delivery.Message](t, d, repeat, http.StatusCreated)
			before := d.state(t)
			now, err := delivery.New(store, &d.told, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) {
				if errors.Is(c.rule, delivery.ErrForbidden) {
					return false, nil
				}
				return true, c.rule
			}})
			if err != nil {
				t.Fatal(err)
			}
			d.Handler, err = deliveryhttp.New(now, identify, &deliveryhttp.Options{
				Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) { return c.audience, c.err },
				Logger:   slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			if again := good[delivery.Message](t, d, repeat, http.StatusCreated); again != first {
				t.Errorf("%s: got %+v; first %+v", c.name, again, first)
			}
			for what, body := range map[string]string{
				"a new message":        `{"conversation": "room", "id": "m2", "body": "hi"}`,
				"another body":         `{"conversation": "room", "id": "m1", "body": "ho"}`,
				"another conversation": `{"conversation": "den", "id": "m1", "body": "hi"}`,
				"no id":                `{"conversation": "room", "body": "hi"}`,
			} {
				q := request{"alice", "POST", "/messages", body, nil}
				answer, _ := d.do(q)
				t.Log(c.name, what)
				refused(t, q, answer, c.status, c.code)
			}
			q := request{"bob", "POST", "/messages", repeat.body, nil}
			if answer, _ := d.do(q); answer.Code == http.StatusCreated {
				t.Errorf("%s: another sender: answered %d", c.name, answer.Code)
			}
			if d.state(t) != before {
				t.Errorf("%s: the state changed", c.name)
			}
		}
	})

	t.Run("an id that is taken where the sender may not view is refused as if the rule had said no", func(t *testing.T) {
		d := newDesk(t, nil)
		d.furnish(t)
		before := d.state(t)
		taken := request{"mallory", "POST", "/messages", `{"conversation": "den", "id": "frozen", "body": "hi"}`, nil}
		byRule := request{"mallory", "POST", "/messages", `{"conversation": "room", "id": "free", "body": "hi"}`, nil}
		got, _ := d.do(taken)
		want, _ := d.do(byRule)
		refused(t, taken, got, http.StatusForbidden, "forbidden")
		if got.Body.String() != want.Body.String() || !reflect.DeepEqual(got.Header(), want.Header()) {
			t.Errorf("got %v %s, want %v %s", got.Header(), got.Body, want.Header(), want.Body)
		}
		if d.state(t) != before {
			t.Error("the state changed")
		}
	})

	t.Run("an id that is another message's is a conflict, which tells nothing of it", func(t *testing.T) {
		for _, c := range []struct{ name, user, body string }{
			{"another body", "alice", `{"conversation": "room", "id": "m1", "body": "ho"}`},
			{"another sender", "bob", `{"conversation": "room", "id": "m1", "body": "hi"}`},
			{"another conversation", "mallory", `{"conversation": "den", "id": "m1", "body": "hi"}`},
			{"another conversation of the sender's", "alice", `{"conversation": "den", "id": "m1", "body": "hi"}`},
		} {
			for _, audience := range []func(context.Context, delivery.Draft) (delivery.Audience, error){everyone, whoIsPresent} {
				d := newOpenDesk(t, &deliveryhttp.Options{Audience: audience})
				d.send(t, delivery.Draft{Conversation: "room", ID: "m1", Sender: "alice", Body: "hi", Audience: delivery.Audience{Open: true}})
				before := d.state(t)
				q := request{c.user, "POST", "/messages", c.body, nil}
				answer, _ := d.do(q)
				if p := refused(t, q, answer, http.StatusConflict, "conflict"); p.Field+p.Detail != "" {
					t.Errorf("%s: told %+v", c.name, p)
				}
				if d.state(t) != before {
					t.Errorf("%s: the state changed", c.name)
				}
			}
		}
	})

	t.Run("the app decides who receives it", func(t *testing.T) {
		d := newDesk(t, &deliveryhttp.Options{Audience: whoIsPresent})
		m := good[delivery.Message](t, d, hi, http.StatusCreated)
		if m.Open || m.Total != 2 || m.Quorum != 2 {
			t.Errorf("got %+v", m)
		}
	})

	t.Run("the app decides by all that the draft says", func(t *testing.T) {
		var asked []delivery.Draft
		d := newDesk(t, &deliveryhttp.Options{Audience: func(_ context.Context, draft delivery.Draft) (delivery.Audience, error) {
			asked = append(asked, draft)
			return delivery.Audience{Recipients: []string{"bob", "carol"}, Quorum: 1}, nil
		}})
		if m := good[delivery.Message](t, d, hi, http.StatusCreated); m.Open || m.Total != 2 || m.Quorum != 1 {
			t.Errorf("got %+v", m)
		}
		want := delivery.Draft{ID: "m1", Conversation: "room", Sender: "alice", Body: "hi", Socket: "1.2"}
		if len(asked) != 1 || !reflect.DeepEqual(asked[0], want) {
			t.Errorf("asked for %+v", asked)
		}
	})

	t.Run("a deleted message is told as deleted, and its id is gone", func(t *testing.T) {
		d := newDesk(t, nil)
		good[delivery.Message](t, d, hi, http.StatusCreated)
		q := request{"alice", "POST", "/messages/delete", `{"message": "m1", "socket": "1.2"}`, nil}
		if got := good[map[string]int](t, d, q, http.StatusOK); got["deleted"] != 1 {
			t.Errorf("answered %v", got)
		}
		if err := d.tracker.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if events := d.told.Events(); len(events) != 2 || events[1].Kind != delivery.MessageDeleted || events[1].Except != "1.2" {
			t.Errorf("told %+v", events)
		}
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusNotFound, "not_found")
		answer, _ = d.do(hi)
		refused(t, hi, answer, http.StatusGone, "gone")
		epoch := good[delivery.Page](t, d, within["list"]("bob", "room"), http.StatusOK).Epoch
		page := good[delivery.Page](t, d, request{"bob", "GET", fmt.Sprintf("/changes?conversation=room&since=1&epoch=%d", epoch), "", nil}, http.StatusOK)
		if len(page.Messages) != 1 || !page.Messages[0].Deleted {
			t.Errorf("changes are %+v", page)
		}
	})

	t.Run("a sender who may not send there any more deletes nothing", func(t *testing.T) {
		d := newDesk(t, nil)
		d.send(t, delivery.Draft{Conversation: "room", ID: "m1", Sender: "view", Audience: delivery.Audience{Open: true}})
		q := request{"view", "POST", "/messages/delete", `{"message": "m1"}`, nil}
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusForbidden, "forbidden")
	})

	t.Run("who may not send is refused before the app is asked for an audience", func(t *testing.T) {
		d := newDesk(t, &deliveryhttp.Options{Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) {
			t.Error("asked")
			return delivery.Audience{}, nil
		}})
		q := within["send"]("mallory", "room")
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusForbidden, "forbidden")
	})

	t.Run("what goes wrong in the app is its own fault, unless it refuses", func(t *testing.T) {
		for conversation, want := range map[string]struct {
			status int
			code   string
		}{
			"down": {500, "internal"}, "read-only": {403, "forbidden"},
			"malformed": {500, "internal"}, "forgotten": {500, "internal"}, "ambiguous": {500, "internal"},
			"crowded": {500, "internal"}, "anonymous": {500, "internal"},
		} {
			d := newOpenDesk(t, &deliveryhttp.Options{Audience: whoIsPresent})
			q := within["send"]("alice", conversation)
			answer, _ := d.do(q)
			if p := refused(t, q, answer, want.status, want.code); p.Field+p.Detail != "" {
				t.Errorf("%s: told %+v", conversation, p)
			}
			if logged := d.logged() != ""; logged != (want.status == 500) {
				t.Errorf("%s: logged %q", conversation, d.logged())
			}
		}
	})

	t.Run("a full body may be written wholly in escapes", func(t *testing.T) {
		d := newDesk(t, nil)
		q := request{"alice", "POST", "/messages", `{"conversation": "room", "body": "` + strings.Repeat(`\u0001`, delivery.MaxBody) + `"}`, nil}
		if m := good[delivery.Message](t, d, q, http.StatusCreated); m.Body != strings.Repeat("\x01", delivery.MaxBody) {
			t.Errorf("got %d bytes", len(m.Body))
		}
	})

	t.Run("text comes back as it was", func(t *testing.T) {
		d := newDesk(t, nil)
		for escaped, want := range map[string]string{
			`\ud83d\ude00`: "😀", `😀`: "😀", `\\ud83d`: `\ud83d`, `\ufffd`: "\ufffd", `\\\\\ud83d\ude00\n`: `\\` + "😀\n", `a\/b\u2028`: "a/b\u2028",
		} {
			q := request{"alice", "POST", "/messages", `{"conversation": "room", "body": "` + escaped + `"}`, nil}
			if m := good[delivery.Message](t, d, q, http.StatusCreated); m.Body != want {
				t.Errorf("%s: got %q", escaped, m.Body)
			}
		}
	})
}

func TestList(t *testing.T) {
	d := newDesk(t, nil)
	for i := range 60 {
		d.send(t, delivery.Draft{Conversation: "room", ID: fmt.Sprint(i + 1), Sender: "alice", Audience: delivery.Audience{Open: true}})
	}
	if _, err := d.tracker.MarkRead(t.Context(), delivery.Actor{User: "bob"}, "60"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, query string
		first, last int64
		more        bool
	}{
		{"without bounds it is the newest 50", "", 11, 60, true},
		{"with a limit it is the newest of that many", "&limit=2", 59, 60, true},
		{"after is exclusive, and starts at the oldest", "&after=10&limit=3", 11, 13, true},
		{"after 0 is all from the start", "&after=0&limit=500", 1, 60, false},
		{"before is exclusive, and ends there", "&before=11&limit=3", 8, 10, true},
		{"both bound", "&after=8&before=11", 9, 10, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := good[delivery.Page](t, d, request{"bob", "GET", "/messages?conversation=room" + c.query, "", nil}, http.StatusOK)
			if len(page.Messages) == 0 || page.Messages[0].Seq != c.first || page.Messages[len(page.Messages)-1].Seq != c.last || page.More != c.more {
				t.Errorf("got %+v", page)
			}
			if page.Version != 61 {
				t.Errorf("at version %d", page.Version)
			}
		})
	}
	t.Run("it holds the viewer's own receipts and nobody else's", func(t *testing.T) {
		for user, want := range map[string]bool{"bob": true, "carol": false} {
			page := good[delivery.Page](t, d, request{user, "GET", "/messages?conversation=room&limit=1", "", nil}, http.StatusOK)
			if own := page.Messages[0].Own; (own != nil && own.Recipient == user && own.Status == delivery.Read) != want {
				t.Errorf("%s: own is %+v", user, own)
			}
		}
	})
	t.Run("an empty list is a list", func(t *testing.T) {
		for _, url := range []string{"/messages?conversation=den", "/changes?conversation=den&since=0"} {
			answer, _ := d.do(request{"mallory", "GET", url, "", nil})
			if got := answer.Body.String(); !strings.HasPrefix(got, `{"messages":[],"version":0,"epoch":"`) || !strings.HasSuffix(got, `","more":false}`) {
				t.Errorf("%s: got %s", url, got)
			}
		}
	})
}

func TestChanges(t *testing.T) {
	d := newDesk(t, nil)
	d.furnish(t)
	read := good[delivery.Receipt](t, d, about["mark"]("bob", "frozen"), http.StatusOK)
	epoch := good[delivery.Page](t, d, request{"bob", "GET", "/messages?conversation=room", "", nil}, http.StatusOK).Epoch
	changes := func(conversation string, since, epoch int64, limit int) delivery.Page {
		t.Helper()
		url := fmt.Sprintf("/changes?conversation=%s&since=%d&epoch=%d&limit=%d", conversation, since, epoch, limit)
		return good[delivery.Page](t, d, request{"bob", "GET", url, "", nil}, http.StatusOK)
	}
	t.Run("a client that holds a version gets all that changed since, in order", func(t *testing.T) {
		page := changes("room", 1, epoch, 50)
		if len(page.Messages) != 2 || page.Messages[0].ID != "opened" || page.Messages[1].ID != "frozen" || page.Messages[1].Version != read.Version || page.Version != 3 || page.More {
			t.Errorf("got %+v", page)
		}
		if own := page.Messages[1].Own; own == nil || delivery.Receipt(*own) != read {
			t.Errorf("the user's own receipt is %+v, want %+v", own, read)
		}
	})
	t.Run("in steps it is the same", func(t *testing.T) {
		var got []string
		since, more := int64(0), true
		for more {
			page := changes("room", since, epoch, 1)
			for _, m := range page.Messages {
				got = append(got, m.ID)
			}
			since, more = page.Version, page.More
		}
		if !slices.Equal(got, []string{"opened", "frozen"}) {
			t.Errorf("got %q", got)
		}
	})
	t.Run("a client that is ahead of the store, or of another epoch, or says none, is told to start over", func(t *testing.T) {
		for name, page := range map[string]delivery.Page{
			"ahead": changes("room", 4, epoch, 50), "another epoch": changes("room", 1, epoch+1, 50), "none": changes("room", 1, 0, 50),
		} {
			if !page.Reset || page.Version != 0 || page.Epoch != epoch || len(page.Messages) != 0 || page.More {
				t.Errorf("%s: %+v", name, page)
			}
		}
	})
}

func TestUnread(t *testing.T) {
	d := newDesk(t, nil)
	d.furnish(t)
	last := delivery.Position{ID: "opened", Seq: 2}
	for user, want := range map[string]delivery.Unread{
		"alice": {}, // who sent them
		"bob":   {Count: 2, First: delivery.Position{ID: "frozen", Seq: 1}},
		"carol": {Count: 1, First: last}, // a member since lately
	} {
		t.Run("it is what the user has to read: "+user, func(t *testing.T) {
			got := d.unread(t, user, "room")
			if len(got) != 1 || got[0].Count != want.Count || got[0].First != want.First || got[0].Newest.ID != last.ID || got[0].Version != 2 {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	t.Run("a mark up to the last message leaves nothing", func(t *testing.T) {
		good[delivery.UpToResult](t, d, about["up-to"]("bob", last.ID), http.StatusOK)
		got := d.unread(t, "bob", "room")
		if got[0].Count != 0 || got[0].Newest.Own == nil || got[0].Newest.Own.Status != delivery.Read || got[0].Version != 4 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("a failure of the rule is no answer", func(t *testing.T) {
		down := errors.New("directory down")
		d := makeDesk(t, d.store, &delivery.Options{Authorize: func(context.Context, string, delivery.Action, string) (bool, error) { return false, down }}, nil)
		q := request{"bob", "GET", "/unread?conversation=room", "", nil}
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusInternalServerError, "internal")
	})
}

func TestReceipts(t *testing.T) {
	type answer struct{ Receipts []delivery.Receipt }
	d := newDesk(t, nil)
	d.furnish(t)
	good[delivery.Receipt](t, d, about["mark"]("bob", "frozen"), http.StatusOK)
	got := good[answer](t, d, about["receipts"]("carol", "frozen"), http.StatusOK).Receipts
	if len(got) != 2 || got[0].Recipient != "bob" || got[0].Status != delivery.Read || got[0].ReadAt.IsZero() ||
		got[1].Recipient != "dan" || got[1].Status != delivery.Sent {
		t.Errorf("got %+v", got)
	}
	if none, _ := d.do(about["receipts"]("alice", "opened")); none.Body.String() != `{"receipts":[],"more":false}` {
		t.Errorf("got %s", none.Body)
	}
	t.Run("those at one status are listed alone", func(t *testing.T) {
		for status, want := range map[string]string{"sent": "dan", "read": "bob"} {
			q := about["receipts"]("carol", "frozen")
			q.url += "&status=" + status
			if got := good[answer](t, d, q, http.StatusOK).Receipts; len(got) != 1 || got[0].Recipient != want {
				t.Errorf("%s: %+v", status, got)
			}
		}
	})
	t.Run("who was untracked or hid reads is listed with the reason, and under no status", func(t *testing.T) {
		dark := delivery.Audience{Recipients: []string{"bob", "carol", "dan"}, Untracked: []string{"bob"}, HideRead: []string{"dan"}}
		d.send(t, delivery.Draft{Conversation: "room", ID: "dark", Sender: "alice", Audience: dark})
		for _, user := range []string{"bob", "dan"} {
			if own := good[delivery.Receipt](t, d, about["mark"](user, "dark"), http.StatusOK); own.Status != delivery.Read {
				t.Errorf("%s is answered %+v", user, own)
			}
		}
		for status, want := range map[string]string{"": "bob sent untracked, carol sent , dan delivered capped", "&status=sent": "carol sent ", "&status=delivered": "", "&status=read": ""} {
			q := about["receipts"]("carol", "dark")
			q.url += status
			var listed []string
			for _, r := range good[answer](t, d, q, http.StatusOK).Receipts {
				listed = append(listed, fmt.Sprint(r.Recipient, " ", r.Status, " ", r.Reason))
			}
			if got := strings.Join(listed, ", "); got != want {
				t.Errorf("with %q: %q, want %q", status, got, want)
			}
		}
		page, _ := d.do(request{"carol", "GET", "/messages?conversation=room", "", nil})
		if !strings.Contains(page.Body.String(), `"id":"dark","conversation":"room","sender":"alice","seq":4,"open":false,"total":2,"readers":1,`) {
			t.Errorf("the page is %s", page.Body)
		}
	})
	t.Run("who has a failure is listed with its code, and alone if that is asked for", func(t *testing.T) {
		d.send(t, delivery.Draft{Conversation: "room", ID: "mailed", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol", "dan"}, Untracked: []string{"bob"}}})
		for _, user := range []string{"bob", "carol"} {
			if err := d.tracker.Fail(t.Context(), delivery.Failure{Message: "mailed", Recipient: user, Code: "mailbox_full"}); err != nil {
				t.Fatal(err)
			}
		}
		for query, want := range map[string]string{
			"": "bob , carol mailbox_full, dan ", "&failed=false": "bob , carol mailbox_full, dan ", "&status=sent": "carol mailbox_full, dan ", "&failed=true": "carol mailbox_full",
		} {
			q := about["receipts"]("carol", "mailed")
			q.url += query
			var listed []string
			for _, r := range good[answer](t, d, q, http.StatusOK).Receipts {
				listed = append(listed, r.Recipient+" "+r.Failure)
			}
			if got := strings.Join(listed, ", "); got != want {
				t.Errorf("with %q: %q, want %q", query, got, want)
			}
		}
		for _, query := range []string{"&failed=1", "&failed=", "&failed=true&status=sent"} {
			q := about["receipts"]("carol", "mailed")
			q.url += query
			answer, _ := d.do(q)
			if !strings.Contains(answer.Body.String(), `"field":"failed"`) || answer.Code != http.StatusBadRequest {
				t.Errorf("with %q: %d %s", query, answer.Code, answer.Body)
			}
		}
		page, _ := d.do(request{"carol", "GET", "/messages?conversation=room", "", nil})
		if !strings.Contains(page.Body.String(), `"delivered":0,"read":0,"failed":1`) {
			t.Errorf("the page is %s", page.Body)
		}
	})
	t.Run("a page says where the next one begins", func(t *testing.T) {
		q := about["receipts"]("carol", "frozen")
		q.url += "&limit=1"
		answer, _ := d.do(q)
		if got := answer.Body.String(); !strings.HasSuffix(got, `,"more":true,"next":"bob"}`) {
			t.Errorf("got %s", got)
		}
	})
	t.Run("those after a recipient are the rest", func(t *testing.T) {
		for after, want := range map[string]int{"": 2, "a": 2, "bob": 1, "c": 1, "dan": 0, "e": 0} {
			q := about["receipts"]("carol", "frozen")
			q.url += "&after=" + after
			if got := good[answer](t, d, q, http.StatusOK).Receipts; len(got) != want {
				t.Errorf("after %q: %+v", after, got)
			}
		}
	})
}

func TestEveryIDWorksEverywhere(t *testing.T) {
	ids := []string{
		"a", "a/b", "/", "//", ".", "..", "../..", "a/../b", " ", "trailing ", "a+b", "a b", "%", "%2e", "%2F", "?", "#", "&=;",
		"a\nb", "\x01", "\x7f", "日本語", "é", "e\u0301", "😀", "\ufffd", "\u2028", "<script>", `"`, `\`, "A", "null", "0",
		strings.Repeat("x", 128), strings.Repeat("😀", 32),
	}
	d := newOpenDesk(t, nil)
	mux := http.NewServeMux()
	mux.Handle("/deep/er/", http.StripPrefix("/deep/er", d))
	server := httptest.NewServer(mux)
	defer server.Close()
	client := &overTheWire{server.URL + "/deep/er"}

	for _, id := range ids {
		client.post(t, "alice", "/messages", map[string]any{"conversation": id, "id": id, "body": id}, 201)
		client.post(t, "bob", "/marks", map[string]any{"message": id, "status": "delivered"}, 200)
		client.post(t, "carol", "/marks/up-to", map[string]any{"conversation": id, "message": id, "status": "read"}, 200)
	}
	batch := client.post(t, "bob", "/marks/batch", map[string]any{"messages": ids, "status": "read"}, 200)
	if strings.Contains(batch, "error") || strings.Count(batch, `"changed":true`) != len(ids) {
		t.Errorf("got %s", batch)
	}
	for _, id := range ids {
		for _, path := range []string{"/messages", "/changes"} {
			page := client.get(t, "bob", path, url.Values{"conversation": {id}})
			if strings.Count(page, `"id":`) != 1 || !strings.Contains(page, `"id":`+quote(t, id)+`,"conversation":`+quote(t, id)) ||
				!strings.Contains(page, `"read":2`) {
				t.Errorf("%s of %q: got %s", path, id, page)
			}
		}
		unread := client.get(t, "dan", "/unread", url.Values{"conversation": {id}})
		if !strings.Contains(unread, `"conversation":`+quote(t, id)+`,"count":1`) || !strings.Contains(unread, `{"id":`+quote(t, id)+`,"seq":1}`) {
			t.Errorf("unread in %q: got %s", id, unread)
		}
		receipts := client.get(t, "bob", "/receipts", url.Values{"message": {id}})
		if strings.Count(receipts, `{"message":`+quote(t, id)+`,`) != 2 {
			t.Errorf("receipts of %q: got %s", id, receipts)
		}
	}
}
