package deliveryhttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/memstore"
)

func TestMark(t *testing.T) {
	d := newDesk(t, nil)
	d.furnish(t)
	mark := func(status string) request {
		return request{"bob", "POST", "/marks", fmt.Sprintf(`{"message": "frozen", "status": %q, "socket": "1.2"}`, status), nil}
	}
	read := good[delivery.Receipt](t, d, mark("read"), http.StatusOK)
	if read.Recipient != "bob" || read.Status != delivery.Read || read.Version != 3 || read.DeliveredAt.IsZero() || read.ReadAt.IsZero() {
		t.Errorf("got %+v", read)
	}
	t.Run("a repeat and a step back are no errors and change nothing", func(t *testing.T) {
		before := d.state(t)
		for _, status := range []string{"read", "delivered"} {
			if again := good[delivery.Receipt](t, d, mark(status), http.StatusOK); again != read {
				t.Errorf("%s: got %+v; first %+v", status, again, read)
			}
		}
		if d.state(t) != before {
			t.Error("the state changed")
		}
	})
	t.Run("a socket that no notifier knows is no reason to lose the mark", func(t *testing.T) {
		q := request{"dan", "POST", "/marks", `{"message": "frozen", "status": "delivered", "socket": "not a socket"}`, nil}
		if r := good[delivery.Receipt](t, d, q, http.StatusOK); r.Status != delivery.Delivered {
			t.Errorf("got %+v", r)
		}
	})
}

type results struct {
	Results []struct {
		Message string
		Changed bool
		Receipt *delivery.Receipt
		Error   string
	}
}

func TestMarkBatch(t *testing.T) {
	t.Run("each message has a result of its own, in order, and one if it is named twice", func(t *testing.T) {
		d := newDesk(t, nil)
		d.furnish(t)
		d.send(t, delivery.Draft{Conversation: "room", ID: "mine", Sender: "bob", Audience: delivery.Audience{Open: true}})
		q := request{"bob", "POST", "/marks/batch", `{"messages": ["frozen", "mine", "secret", "", "opened", "frozen", "absent", "a\u0000"], "status": "read"}`, nil}
		got := good[results](t, d, q, http.StatusOK).Results
		want := []struct {
			message, error string
			changed        bool
		}{
			{"frozen", "", true}, {"mine", "own_message", false}, {"secret", "not_found", false}, {"", "invalid", false},
			{"opened", "", true}, {"absent", "not_found", false}, {"a\x00", "invalid", false},
		}
		if len(got) != len(want) {
			t.Fatalf("got %+v", got)
		}
		for i, r := range got {
			if r.Message != want[i].message || r.Error != want[i].error || r.Changed != want[i].changed || (r.Receipt == nil) != (r.Error != "") {
				t.Errorf("%d: got %+v; want %+v", i, r, want[i])
			}
			if r.Receipt != nil && (r.Receipt.Message != r.Message || r.Receipt.Status != delivery.Read || r.Receipt.Version == 0) {
				t.Errorf("%d: receipt %+v", i, r.Receipt)
			}
		}
	})

	t.Run("no messages is no result", func(t *testing.T) {
		d := newDesk(t, nil)
		answer, _ := d.do(request{"bob", "POST", "/marks/batch", `{"messages": [], "status": "read"}`, nil})
		if answer.Code != http.StatusOK || answer.Body.String() != `{"results":[]}` {
			t.Errorf("answered %d %s", answer.Code, answer.Body)
		}
	})

	t.Run("500 of the longest ids may be written wholly in escapes", func(t *testing.T) {
		d := newDesk(t, nil)
		ids := make([]string, delivery.MaxBatch)
		for i := range ids {
			id := fmt.Sprintf("%0128d", i)
			d.send(t, delivery.Draft{Conversation: "room", ID: id, Sender: "alice", Audience: delivery.Audience{Open: true}})
			for _, digit := range id {
				ids[i] += fmt.Sprintf(`\u%04x`, digit)
			}
		}
		q := request{"bob", "POST", "/marks/batch", `{"messages": ["` + strings.Join(ids, `", "`) + `"], "status": "delivered", "socket": "1.2"}`, nil}
		got := good[results](t, d, q, http.StatusOK).Results
		for _, r := range got {
			if !r.Changed {
				t.Errorf("got %+v", r)
			}
		}
		if len(got) != delivery.MaxBatch {
			t.Errorf("got %d results", len(got))
		}
	})

	t.Run("what fails fails alone where it can, and is logged once", func(t *testing.T) {
		store := memstore.New()
		newDeskOver(t, store, nil).furnish(t)
		d := newDeskOver(t, store, nil)
		writes := 0
		d.fault = func(method string) error {
			if method != "Advance" {
				return nil
			}
			if writes++; writes == 1 {
				return nil
			}
			return errors.New("disk full")
		}
		// Marks that the rule lets in once the store has asked for it are a write of their own.
		q := request{"bob", "POST", "/marks/batch", `{"messages": ["frozen", "", "opened"], "status": "read"}`, nil}
		got := good[results](t, d, q, http.StatusOK).Results
		if len(got) != 3 || !got[0].Changed || got[1].Error != "invalid" || got[2].Error != "internal" || strings.Count(d.logged(), "disk full") != 1 {
			t.Errorf("got %+v, logged %s", got, d.logged())
		}
	})

	t.Run("what fails as a whole is one problem, logged once", func(t *testing.T) {
		d := newDesk(t, nil)
		d.furnish(t)
		d.fault = func(string) error { return errors.New("disk full") }
		q := request{"bob", "POST", "/marks/batch", `{"messages": ["frozen", "opened"], "status": "read"}`, nil}
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusInternalServerError, "internal")
		if strings.Count(d.logged(), "disk full") != 1 {
			t.Errorf("logged %s", d.logged())
		}
	})
}

func TestMarkUpTo(t *testing.T) {
	d := newDesk(t, nil)
	d.furnish(t)
	q := about["up-to"]("bob", "opened")
	if got := good[delivery.UpToResult](t, d, q, http.StatusOK); got != (delivery.UpToResult{Changed: 2, From: 3, To: 4}) {
		t.Errorf("got %+v", got)
	}
	if got := good[delivery.UpToResult](t, d, q, http.StatusOK); got != (delivery.UpToResult{}) {
		t.Errorf("repeated: got %+v", got)
	}
	q = request{"bob", "POST", "/marks/up-to", `{"conversation": "den", "message": "opened", "status": "read"}`, nil}
	answer, _ := d.do(q)
	refused(t, q, answer, http.StatusNotFound, "not_found")
}

func TestTheSocketIsNotToldOfWhatItDid(t *testing.T) {
	for _, q := range routes {
		if q.method != http.MethodPost {
			continue
		}
		for name, q := range map[string]request{
			"in the body":                                more(`"socket": "1.2"`)(q),
			"in the header":                              q.with("X-Socket-ID", "1.2"),
			"in the body and another in the header":      more(`"socket": "1.2"`)(q).with("X-Socket-ID", "3.4"),
			"in the header and an empty one in the body": more(`"socket": ""`)(q).with("X-Socket-ID", "1.2"),
		} {
			d := newDesk(t, nil)
			d.furnish(t)
			d.state(t) // which publishes what was sent
			told := len(d.told.Events())
			if answer, _ := d.do(q); answer.Code/100 != 2 {
				t.Errorf("%v, %s: answered %d %s", q, name, answer.Code, answer.Body)
			}
			d.state(t)
			events := d.told.Events()[told:]
			if len(events) == 0 || slices.ContainsFunc(events, func(e delivery.Event) bool { return e.Except != "1.2" }) {
				t.Errorf("%v, %s: told %+v", q, name, events)
			}
		}
	}
}

func TestBadge(t *testing.T) {
	d := newDesk(t, nil)
	d.furnish(t)
	unread := func() delivery.Unread {
		return good[struct{ Unread []delivery.Unread }](t, d, request{"bob", "GET", "/unread?conversation=room", "", nil}, http.StatusOK).Unread[0]
	}
	first := unread()
	if first.Count == 0 || first.Flagged {
		t.Fatalf("got %+v", first)
	}
	t.Run("a user dismisses what counts, and marks as unread", func(t *testing.T) {
		body := fmt.Sprintf(`{"conversation": "room", "message": %q, "socket": "1.2"}`, first.Newest.ID)
		place := good[delivery.Place](t, d, request{"bob", "POST", "/dismiss", body, nil}, http.StatusOK)
		if place != (delivery.Place{Rev: 1, Delivered: first.Newest.Seq, Badge: first.Newest.Seq}) {
			t.Errorf("got %+v", place)
		}
		if u := unread(); u.Count != 0 || u.Place != place {
			t.Errorf("got %+v", u)
		}
		place = good[delivery.Place](t, d, request{"bob", "POST", "/unread", `{"message": "frozen"}`, nil}, http.StatusOK)
		if u := unread(); !u.Flagged || u.Place != place || u.First.ID != "frozen" {
			t.Errorf("got %+v", u)
		}
	})
	t.Run("to strangers a message is as if it did not exist, and senders have a badge too", func(t *testing.T) {
		for _, route := range []string{"/dismiss", "/unread"} {
			for user, want := range map[string]int{"mallory": http.StatusNotFound, "alice": http.StatusOK} {
				body := `{"conversation": "room", "message": "frozen"}`
				if route == "/unread" {
					body = `{"message": "frozen"}`
				}
				if got, _ := d.do(request{user, "POST", route, body, nil}); got.Code != want {
					t.Errorf("%s by %s: %d %s", route, user, got.Code, got.Body)
				}
			}
		}
	})
}

func TestHide(t *testing.T) {
	var hide delivery.Hide
	var failure error
	d := newDesk(t, &deliveryhttp.Options{Audience: everyone, Hide: func(r *http.Request, user string) (delivery.Hide, error) {
		if user != r.Header.Get("X-User") {
			t.Errorf("asked for %q", user)
		}
		return hide, failure
	}})
	d.furnish(t)
	marks := []request{
		{"bob", "POST", "/marks", `{"message": "frozen", "status": "read"}`, nil},
		{"bob", "POST", "/marks/batch", `{"messages": ["frozen"], "status": "read"}`, nil},
		{"bob", "POST", "/marks/up-to", `{"conversation": "room", "message": "frozen", "status": "read"}`, nil},
	}
	shown := func() delivery.Message {
		m, err := d.tracker.Message(t.Context(), "frozen")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	t.Run("where the app cannot say what to hide, nothing is marked", func(t *testing.T) {
		failure = errors.New("the settings are down")
		for _, q := range marks {
			if got, _ := d.do(q); got.Code != http.StatusInternalServerError || strings.Contains(got.Body.String(), "settings") {
				t.Errorf("%s: %d %s", q.url, got.Code, got.Body)
			}
		}
		if m := shown(); m.Version != m.Seq {
			t.Errorf("others see %+v", m.Tally)
		}
		failure = nil
	})
	t.Run("what the app says to hide is hidden from others", func(t *testing.T) {
		hide = delivery.HideAll
		for _, q := range marks {
			if got, _ := d.do(q); got.Code != http.StatusOK {
				t.Errorf("%s: %d %s", q.url, got.Code, got.Body)
			}
		}
		if m := shown(); m.Version != m.Seq {
			t.Errorf("others see %+v", m.Tally)
		}
		hide = delivery.HideRead
		if own := good[delivery.Own](t, d, marks[0], http.StatusOK); own.Status != delivery.Read || !own.ReadAt.IsZero() {
			t.Errorf("got %+v", own)
		}
		if m := shown(); m.Delivered != 1 || m.Read != 0 {
			t.Errorf("others see %+v", m.Tally)
		}
	})
}
