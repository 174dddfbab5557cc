package inspector_test

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

var nextPage = regexp.MustCompile(`href="([^"]*)">Next `)

func TestDeadLetters(t *testing.T) {
	actions := inspector.Options{Actions: true}

	t.Run("a dead letter is shown with its reason, attempts and shape", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.bury("room", "m1")
		status, text := d.get("actor", "/dead")
		d.want("the page", status, text, 200, "Event 1", "the channel&#39;s name is too long", "<code>room</code>", `href="message?id=m1"`, "1 update, 0 receipts, 1 with a body", "<dd>1</dd>", "Replay …")
	})

	t.Run("a reader sees no buttons", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.bury("room", "m1")
		if status, text := d.get("reader", "/dead"); status != 200 || strings.Contains(text, "<button name") || strings.Contains(text, "checkbox") {
			t.Errorf("status %d:\n%s", status, text)
		}
	})

	t.Run("each is on one page, and the pages are linked", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		var ids []string
		for i := range 120 {
			ids = append(ids, fmt.Sprint("m", i))
		}
		d.bury("room", ids...)
		seen, at := 0, "/dead"
		for pages := 1; pages < 5; pages++ {
			status, text := d.get("actor", at)
			d.want(at, status, text, 200)
			seen += strings.Count(text, `<li class="card">`)
			next := nextPage.FindStringSubmatch(text)
			if next == nil {
				if pages != 3 {
					t.Errorf("%d pages", pages)
				}
				break
			}
			at = "/" + next[1]
		}
		if seen != 120 {
			t.Errorf("saw %d of 120", seen)
		}
		status, text := d.get("actor", "/dead?after=9999")
		d.want("beyond the last", status, text, 200, "no more dead letters")
		if status, text := d.get("actor", "/dead?all=1"); strings.Count(text, " checked") != 50 {
			t.Errorf("status %d, %d are chosen", status, strings.Count(text, " checked"))
		}
	})

	t.Run("an event for one user's devices tells neither whose nor of what", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.send("room", "m1")
		d.flush()
		other, err := delivery.New(d.store, takesOwn{}, &delivery.Options{OpenConversations: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.MarkRead(t.Context(), delivery.Actor{User: "bob", Hide: delivery.HideAll}, "m1"); err != nil {
			t.Fatal(err)
		}
		if err := other.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if dead := d.dead(); len(dead) != 1 {
			t.Fatalf("dead letters %v", dead)
		}
		for _, page := range []string{"/dead", "/confirm?do=replay&event=2"} {
			status, text := d.get("actor", page)
			d.want(page, status, text, 200, "Event 2", ">own<", "The reason is not shown")
			for _, secret := range []string{"bob", "m1", "room"} {
				if strings.Contains(text, secret) {
					t.Errorf("%s tells of %s:\n%s", page, secret, text)
				}
			}
		}
		if _, text := d.get("actor", "/message?id=m1"); strings.Contains(text, "Event 2") || strings.Contains(text, "event 2") {
			t.Errorf("the page of the message tells of the private mark:\n%s", text)
		}
	})

	t.Run("a replay is confirmed, done and told to the observer", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.bury("room", "m1", "m2", "m3")
		status, text := d.get("actor", "/confirm?do=replay&event=1&event=3&event=77")
		d.want("the confirmation", status, text, 200, "Replay 2 dead letters?", `action="replay"`, `name="event" value="1"`, `name="event" value="3"`, "1 of the chosen are left out")
		if strings.Contains(text, `value="77"`) || strings.Contains(text, `value="2"`) || len(d.dead()) != 3 {
			t.Errorf("it names others, or has changed something:\n%s", text)
		}
		status, text = d.post("actor", "/replay", form(1, 3))
		d.want("the replay", status, text, 200, "2 of 2 dead letters replayed", "Event 1 was replayed", "Event 3 was replayed")
		d.flush()
		if got := d.dead(); !slices.Equal(got, []int64{2}) {
			t.Errorf("dead letters %v", got)
		}
		want := []delivery.ResolvedInfo{{Events: []int64{1}, Settled: 1}, {Events: []int64{3}, Settled: 1}}
		if got := d.told(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("the observer was told %v", got)
		}
		if _, text := d.get("actor", "/message?id=m1"); !strings.Contains(text, "Accepted by the notifier") {
			t.Errorf("m1 was not published:\n%s", text)
		}
	})

	t.Run("the order and repetition of what is chosen make no difference, and addresses choose nothing", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.bury("room", "m1", "m2", "m3")
		status, text := d.get("actor", "/confirm?do=replay&event=3&event=1&event=3")
		d.want("the confirmation", status, text, 200, "Replay 2 dead letters?", `value="1"`, `value="3"`)
		status, text = d.post("actor", "/replay?event=2", url.Values{})
		d.want("a replay by its address", status, text, 400, "Choose 1 to 50 dead letters.")
		status, text = d.post("actor", "/discard?event=2", form(3, 1, 3))
		d.want("the discard", status, text, 200, "2 of 2 dead letters discarded")
		if got := d.dead(); !slices.Equal(got, []int64{2}) {
			t.Errorf("dead letters %v", got)
		}
	})

	t.Run("a discard is confirmed and done", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.bury("room", "m1", "m2")
		status, text := d.get("actor", "/confirm?do=discard&event=2")
		d.want("the confirmation", status, text, 200, "Discard 1 dead letter?", `action="discard"`)
		status, text = d.post("actor", "/discard", form(2))
		d.want("the discard", status, text, 200, "Event 2 was discarded")
		if got := d.dead(); !slices.Equal(got, []int64{1}) || !d.told()[0].Discarded {
			t.Errorf("dead letters %v, told %v", got, d.told())
		}
	})

	t.Run("what is no dead letter is said, and the others are done", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.bury("room", "m1")
		d.send("room", "m2") // waits
		for _, page := range []string{"/replay", "/discard"} {
			status, text := d.post("actor", page, form(2, 9999))
			d.want(page, status, text, 404, "Event 2 is no dead letter, or not any more", "Event 9999 is no dead letter")
		}
		if b, err := d.tracker.Backlog(t.Context()); err != nil || b.Waiting != 1 || b.Dead != 1 {
			t.Errorf("the outbox is %+v, %v", b, err)
		}
		status, text := d.post("actor", "/replay", form(1, 2))
		d.want("a mixture", status, text, 200, "1 of 2 dead letters replayed", "Event 1 was replayed", "Event 2 is no dead letter")
	})

	t.Run("of two replays at once, one is told that it came too late", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.bury("room", "m1")
		var moved, late atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				switch status, text := d.post("actor", "/replay", form(1)); {
				case status == 200 && strings.Contains(text, "was replayed"):
					moved.Add(1)
				case status == 404 && strings.Contains(text, "not any more"):
					late.Add(1)
				}
			})
		}
		all.Wait()
		if b, err := d.tracker.Backlog(t.Context()); err != nil || moved.Load() != 1 || late.Load() != 7 || b.Waiting != 1 {
			t.Errorf("%d replayed, %d too late; the outbox is %+v, %v", moved.Load(), late.Load(), b, err)
		}
	})

	t.Run("what may not be done is said, and changes nothing", func(t *testing.T) {
		for _, c := range []struct {
			what    string
			opts    inspector.Options
			person  string
			page    string
			form    url.Values
			header  []string
			status  int
			says    string
			getting string
		}{
			{what: "by a reader", opts: actions, person: "reader", form: form(1), status: 403, says: "You may look at dead letters, but not replay or discard them."},
			{what: "without Actions", person: "actor", form: form(1), status: 403, says: "You may look at dead letters, but not replay or discard them."},
			{what: "by a stranger", opts: actions, person: "nobody", form: form(1), status: 403, says: "You may not look at this."},
			{what: "from another site", opts: actions, person: "actor", form: form(1), header: []string{"Sec-Fetch-Site", "cross-site"}, status: 403, says: "not allowed from another site"},
			{what: "from another origin", opts: actions, person: "actor", form: form(1), header: []string{"Sec-Fetch-Site", "", "Origin", "https://evil.example"}, status: 403, says: "not allowed from another site"},
			{what: "of nothing", opts: actions, person: "actor", form: url.Values{}, status: 400, says: "Choose 1 to 50 dead letters."},
			{what: "of too many", opts: actions, person: "actor", form: url.Values{"event": slices.Repeat([]string{"1"}, 51)}, status: 400, says: "Choose 1 to 50 dead letters."},
			{what: "of what is no number", opts: actions, person: "actor", form: url.Values{"event": {"1", "<b>"}}, status: 400, says: "An event’s id is a number."},
			{what: "of a negative number", opts: actions, person: "actor", form: url.Values{"event": {"-1"}}, status: 400, says: "An event’s id is a number."},
			{what: "by a large form", opts: actions, person: "actor", form: url.Values{"event": {"1"}, "x": {strings.Repeat("x", 40_000)}}, status: 400, says: "This form cannot be read."},
			{what: "by a GET", opts: actions, person: "actor", getting: "?event=1", status: 405, says: "no such method"},
		} {
			d := newDesk(t, memstore.New(), c.opts)
			d.bury("room", "m1")
			for _, page := range []string{"/replay", "/discard"} {
				status, text := 0, ""
				if c.getting != "" {
					status, text = d.get(c.person, page+c.getting)
				} else {
					status, text = d.post(c.person, page, c.form, c.header...)
				}
				d.want(page+" "+c.what, status, text, c.status, c.says)
			}
			if b, err := d.tracker.Backlog(t.Context()); err != nil || b.Dead != 1 || b.Waiting != 0 || len(d.told()) != 0 {
				t.Errorf("%s: the outbox is %+v, %v; the observer was told %v", c.what, b, err, d.told())
			}
		}
	})

	t.Run("a confirmation is for those who may act, of what can be done", func(t *testing.T) {
		d := newDesk(t, memstore.New(), actions)
		d.bury("room", "m1")
		for page, want := range map[string]int{"?do=replay&event=1": 200, "?do=burn&event=1": 400, "?event=1": 400, "?do=replay": 400, "?do=replay&event=x": 400} {
			status, text := d.get("actor", "/confirm"+page)
			d.want(page, status, text, want)
		}
		status, text := d.get("reader", "/confirm?do=replay&event=1")
		d.want("by a reader", status, text, 403)
	})

	t.Run("an event that cannot be read can only be discarded", func(t *testing.T) {
		d := newDesk(t, unreadable{memstore.New()}, actions)
		d.bury("room", "m1")
		status, text := d.get("actor", "/dead")
		d.want("the list", status, text, 200, "unreadable", "cannot be read")
		status, text = d.get("actor", "/confirm?do=replay&event=1")
		d.want("a replay", status, text, 200, "Replay 0 dead letters?", "1 of the chosen are left out", "can only be discarded")
		status, text = d.get("actor", "/confirm?do=discard&event=1")
		d.want("a discard", status, text, 200, "Discard 1 dead letter?")
	})

	t.Run("an unknown outcome is not called a failure", func(t *testing.T) {
		d := newDesk(t, &away{Store: memstore.New()}, actions)
		d.bury("room", "m1")
		d.store.(*away).err = fmt.Errorf("no answer: %w", delivery.ErrOutcomeUnknown)
		for page, became := range map[string]string{"/discard": "discarded", "/replay": "replayed"} {
			status, text := d.post("actor", page, form(1))
			d.want(page, status, text, 503, "Event 1 may have been "+became+".", "no answer")
			if strings.Contains(text, "was not") {
				t.Errorf("%s says that nothing happened:\n%s", page, text)
			}
		}
	})

	t.Run("a failure of the store ends it, and is said", func(t *testing.T) {
		d := newDesk(t, &away{Store: memstore.New()}, actions)
		d.bury("room", "m1", "m2")
		d.store.(*away).err = fmt.Errorf("no connection: %w", delivery.ErrUnavailable)
		for _, page := range []string{"/discard", "/replay"} {
			status, text := d.post("actor", page, form(1, 2))
			d.want(page, status, text, 503, "0 of 2 dead letters", "Event 1 was not", "no connection")
			if strings.Contains(text, "Event 2") {
				t.Errorf("%s went on:\n%s", page, text)
			}
		}
		for page, want := range map[string]int{"/dead": 503, "/": 503, "/message?id=m1": 503, "/confirm?do=replay&event=1": 503} {
			status, text := d.get("actor", page)
			d.want(page, status, text, want, "no connection")
		}
	})
}
