package inspector_test

import (
	"errors"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

// page is the address of a message's page.
func page(id string, more ...string) string {
	v := url.Values{"id": {id}}
	for i := 0; i < len(more); i += 2 {
		v.Set(more[i], more[i+1])
	}
	return "/message?" + v.Encode()
}

func TestMessage(t *testing.T) {
	t.Run("its story is what is stored and what this process knows", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		d.send("room", "m1")
		if _, err := d.tracker.MarkRead(t.Context(), delivery.Actor{User: "bob"}, "m1"); err != nil {
			t.Fatal(err)
		}
		for user, want := range map[string]error{"alice": delivery.ErrOwnMessage, "eve": delivery.ErrNotRecipient} {
			if _, err := d.tracker.MarkRead(t.Context(), delivery.Actor{User: user}, "m1"); !errors.Is(err, want) {
				t.Fatal(err)
			}
		}
		d.flush()
		d.bury("room", "m2") // events 3
		d.bury("elsewhere", "m3")
		status, text := d.get("reader", page("m1"))
		d.want("the page", status, text, 200,
			"<code>m1</code>", "delivered to 1 of 2, read by 1 of 2", "<code>room</code>", "<code>alice</code>", "2 tracked recipients<",
			`<th scope="row"><code>bob</code></th>`, `<th scope="row"><code>carol</code></th>`, `<span class="status read">read</span>`,
			"Dead letters of the conversation", "Event 3", "the channel&#39;s name is too long",
			"Accepted by the notifier", "event 1, version 1", "event 2, version 2",
			"Mark refused", "<code>eve</code>", delivery.ErrNotRecipient.Error(), delivery.ErrOwnMessage.Error(), "This is web-3, since <time")
		if strings.Index(text, "event 2, version 2") > strings.Index(text, "event 1, version 1") {
			t.Errorf("the newest fact is not the first:\n%s", text)
		}
		if strings.Contains(text, "Event 4") || strings.Contains(text, "m3") {
			t.Errorf("it tells of another conversation:\n%s", text)
		}
	})

	t.Run("receipts come in pages, and by status", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		var everyone []string
		for i := range 120 {
			everyone = append(everyone, fmt.Sprintf("user & %03d", i))
		}
		if _, err := d.tracker.Send(t.Context(), delivery.Draft{ID: "m/1", Conversation: "room", Sender: "alice", Audience: delivery.Audience{Recipients: everyone}}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.tracker.MarkDelivered(t.Context(), delivery.Actor{User: "user & 077"}, "m/1"); err != nil {
			t.Fatal(err)
		}
		for query, want := range map[string]int{"": 120, "sent": 119, "delivered": 1, "read": 0} {
			seen := 0
			for at, pages := page("m/1", "status", query), 0; at != "" && pages < 5; pages++ {
				status, text := d.get("reader", at)
				d.want(at, status, text, 200)
				seen += strings.Count(text, `<th scope="row">`)
				at = ""
				if next := nextPage.FindStringSubmatch(text); next != nil {
					at = "/" + html.UnescapeString(strings.TrimSuffix(next[1], "#receipts"))
				}
			}
			if seen != want {
				t.Errorf("saw %d receipts at %q, want %d", seen, query, want)
			}
		}
		status, text := d.get("reader", page("m/1", "status", "eaten"))
		d.want("another status", status, text, 400, "A status is sent, delivered, read or failed.")
	})

	t.Run("recipients with a failure are shown with its code, and alone", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		if _, err := d.tracker.Send(t.Context(), delivery.Draft{ID: "m1", Conversation: "room", Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}}); err != nil {
			t.Fatal(err)
		}
		if err := d.tracker.Fail(t.Context(), delivery.Failure{Message: "m1", Recipient: "bob", Code: "mailbox_full"}); err != nil {
			t.Fatal(err)
		}
		for query, want := range map[string]int{"": 2, "sent": 2, "failed": 1, "delivered": 0} {
			status, text := d.get("reader", page("m1", "status", query))
			d.want(query, status, text, 200, ", failed for 1")
			if n := strings.Count(text, `<th scope="row">`); n != want || strings.Contains(text, "failed: mailbox_full") != (want > 0) {
				t.Errorf("%d receipts at %q, want %d:\n%s", n, query, want, text)
			}
		}
	})

	t.Run("the newest 200 facts are shown, and of the dead letters the oldest 100 are looked at", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		d.send("room", "m1")
		for i := range 201 {
			d.tracker.MarkRead(t.Context(), delivery.Actor{User: fmt.Sprintf("stranger %03d", i)}, "m1")
		}
		_, text := d.get("reader", page("m1"))
		if n := strings.Count(text, "Mark refused"); n != 200 || strings.Contains(text, "stranger 000") || strings.Contains(text, "were looked at") {
			t.Errorf("%d facts:\n%s", n, text)
		}
		d.flush()
		ids := make([]string, 100)
		for i := range ids {
			ids[i] = fmt.Sprint("of room ", i)
		}
		d.bury("room", ids[:99]...)
		if _, text = d.get("reader", page("m1")); strings.Contains(text, "were looked at") {
			t.Errorf("all 99 were looked at:\n%s", text)
		}
		d.bury("room", ids[99])
		status, text := d.get("reader", page("m1"))
		d.want("100 dead letters", status, text, 200, "Only the oldest 100 dead letters were looked at.")
	})

	t.Run("recipients who are untracked or hide reads are counted as others see them", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		_, err := d.tracker.Send(t.Context(), delivery.Draft{ID: "m1", Conversation: "room", Sender: "alice", Audience: delivery.Audience{
			Recipients: []string{"bob", "carol", "dan", "eve"}, Untracked: []string{"dan"}, HideRead: []string{"carol"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range []string{"bob", "carol", "dan"} {
			if _, err := d.tracker.MarkRead(t.Context(), delivery.Actor{User: user}, "m1"); err != nil {
				t.Fatal(err)
			}
		}
		d.flush()
		status, text := d.get("reader", page("m1"))
		d.want("the page", status, text, 200, "delivered to 2 of 3, read by 1 of 2", "3 tracked recipients, 2 of whom show what they read",
			`<span class="status delivered">delivered</span> <span class="chip">capped</span>`, `<span class="status sent">sent</span> <span class="chip">untracked</span>`)
		if strings.Count(text, `<span class="status read">`) > 2 { // bob's receipt, and the event that told of it
			t.Errorf("it tells more than others see:\n%s", text)
		}
	})

	t.Run("an erased user has no name", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		d.send("room", "m1")
		if err := d.tracker.Erase(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		status, text := d.get("reader", page("m1"))
		d.want("the page", status, text, 200, "<code>(erased)</code>", "<code>carol</code>")
	})

	t.Run("an open message has no total", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		if _, err := d.tracker.Send(t.Context(), delivery.Draft{ID: "m1", Conversation: "room", Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			t.Fatal(err)
		}
		status, text := d.get("reader", page("m1"))
		d.want("the page", status, text, 200, "delivered to 0, read by 0", "<dd>open</dd>", ">None.<")
	})

	t.Run("what is not there is said, with what this process knows of it", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		d.tracker.MarkRead(t.Context(), delivery.Actor{User: "bob"}, "m1")
		d.bury("room", "m2")
		if _, err := d.tracker.Delete(t.Context(), delivery.Actor{User: "alice"}, "m2"); err != nil {
			t.Fatal(err)
		}
		status, text := d.get("reader", page("m1"))
		d.want("an unknown message", status, text, 404, "There is no message with this id.", "Mark refused", "<code>bob</code>", delivery.ErrNotFound.Error())
		status, text = d.get("reader", page("m2"))
		d.want("a deleted message", status, text, 404, "There is no message with this id.", "Event 1", "the channel&#39;s name is too long")
	})

	t.Run("ids of any bytes are shown as text", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		shown := map[string]string{
			`<script>alert(1)</script>`: "<code>&lt;script&gt;alert(1)&lt;/script&gt;</code>",
			`"><b a='`:                  "<code>&#34;\\&#34;&gt;&lt;b a=&#39;&#34;</code>",
			"a/../b?c=d&e#f":            "<code>a/../b?c=d&amp;e#f</code>",
			" x ":                       "<code> x </code>",
			"a\u200bb":                  "<code>&#34;a\\u200bb&#34;</code>",
			"\u202ecba":                 "<code>&#34;\\u202ecba&#34;</code>",
			"{{.}}":                     "<code>{{.}}</code>",
			"שלום":                      "<code>שלום</code>",
		}
		for id, want := range shown {
			if _, err := d.tracker.Send(t.Context(), delivery.Draft{ID: id, Conversation: id, Sender: id, Audience: delivery.Audience{Recipients: []string{"bob" + id}}}); err != nil {
				t.Fatal(err)
			}
			status, text := d.get("reader", page(id))
			d.want(id, status, text, 200, `<p class="subject">`+want)
			if strings.Contains(text, "<script>") || strings.Contains(text, "<b a") {
				t.Errorf("%q became markup:\n%s", id, text)
			}
		}
		for _, id := range []string{"\xff<i>", "a\x00<i>", strings.Repeat("<i>", 43)} {
			status, text := d.get("reader", page(id))
			d.want(id, status, text, 400, "The message ")
			if strings.Contains(text, "<i>") {
				t.Errorf("%q became markup:\n%s", id, text)
			}
		}
		status, text := d.get("reader", "/message?id=%zz&id=<b>;x")
		d.want("a query that cannot be read", status, text, 200, "Look for a message by its id")
		d.bury("<b>room</b>", "<b>m</b>")
		status, text = d.get("reader", "/dead")
		d.want("the dead letters", status, text, 200, "&lt;b&gt;room&lt;/b&gt;", `href="message?id=%3Cb%3Em%3C%2Fb%3E"`)
	})
}

func TestRedact(t *testing.T) {
	mask := func(kind inspector.Kind, text string) string {
		return map[inspector.Kind]string{inspector.UserID: "a user", inspector.ConversationID: "a conversation", inspector.MessageID: "a message", inspector.FreeText: "a text"}[kind]
	}
	store := &away{Store: memstore.New()}
	d := newDesk(t, store, inspector.Options{Actions: true, Redact: mask})
	d.bury("room-secret", "message-secret")
	d.bury("room-secret", "other-secret")
	var everyone []string
	for i := range 60 {
		everyone = append(everyone, fmt.Sprintf("user-secret-%02d", i))
	}
	if _, err := d.tracker.Send(t.Context(), delivery.Draft{ID: "searched", Conversation: "room-secret", Sender: "sender-secret", Audience: delivery.Audience{Recipients: everyone}}); err != nil {
		t.Fatal(err)
	}
	d.tracker.MarkRead(t.Context(), delivery.Actor{User: "stranger-secret"}, "searched")
	d.tracker.MarkRead(t.Context(), delivery.Actor{User: "user-secret-01"}, "searched")
	d.refusal = func(delivery.Event) error { return errors.New("refused: reason-secret") }
	d.flush()
	redacted := func(at string) func(status int, text string) {
		return func(status int, text string) {
			t.Helper()
			if strings.Contains(text, "secret") || strings.Contains(text, "too long") {
				t.Errorf("%s, status %d: it is not redacted:\n%s", at, status, text)
			}
		}
	}
	all := []string{"/", "/dead", "/confirm?do=replay&event=1", page("searched"), page("searched", "status", "sent")}
	for _, at := range all {
		status, text := d.get("actor", at)
		d.want(at, status, text, 200)
		redacted(at)(status, text)
	}
	status, text := d.get("actor", page("searched"))
	d.want("the page of a message", status, text, 200, "searched", "<code>a user</code>", "<code>a conversation</code>", "<code>a message</code>", "a text", "the app redacts those")

	store.err = fmt.Errorf("no connection for user-secret-01: %w", delivery.ErrUnavailable)
	for _, at := range all {
		status, text := d.get("actor", at)
		d.want(at+" of a store that is away", status, text, 503, "a text")
		redacted(at)(status, text)
	}
	for _, at := range []string{"/replay", "/discard"} {
		status, text := d.post("actor", at, form(1))
		d.want(at+" of a store that is away", status, text, 503, "Event 1 was not", "a text")
		redacted(at)(status, text)
	}
	store.err = nil
	d.refusal = func(delivery.Event) error { return delivery.Permanent(errors.New("refused: reason-secret")) }
	for _, at := range []string{"/replay", "/discard"} {
		status, text := d.post("actor", at, form(1, 2))
		d.want(at, status, text, 200)
		redacted(at)(status, text)
		d.flush() // and dead again
	}
}
