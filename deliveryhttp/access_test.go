package deliveryhttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// about are the requests about one message.
var about = map[string]func(user, message string) request{
	"mark": func(user, message string) request {
		return request{user, "POST", "/marks", fmt.Sprintf(`{"message": %q, "status": "read"}`, message), nil}
	},
	"batch": func(user, message string) request {
		return request{user, "POST", "/marks/batch", fmt.Sprintf(`{"messages": [%q], "status": "read"}`, message), nil}
	},
	"up-to": func(user, message string) request {
		return request{user, "POST", "/marks/up-to", fmt.Sprintf(`{"conversation": "room", "message": %q, "status": "read"}`, message), nil}
	},
	"delete": func(user, message string) request {
		return request{user, "POST", "/messages/delete", fmt.Sprintf(`{"message": %q}`, message), nil}
	},
	"receipts": func(user, message string) request {
		return request{user, "GET", "/receipts?message=" + message, "", nil}
	},
}

// within are the requests about a conversation.
var within = map[string]func(user, conversation string) request{
	"send": func(user, conversation string) request {
		return request{user, "POST", "/messages", fmt.Sprintf(`{"conversation": %q, "body": "hi"}`, conversation), nil}
	},
	"list": func(user, conversation string) request {
		return request{user, "GET", "/messages?conversation=" + conversation, "", nil}
	},
	"changes": func(user, conversation string) request {
		return request{user, "GET", "/changes?conversation=" + conversation, "", nil}
	},
}

func TestWhoMayDoWhatToMessages(t *testing.T) {
	const (
		no   = "" // not signed in
		not  = "403 forbidden"
		ok   = "200 "
		own  = "403 own_message"
		gone = "404 not_found"
	)
	routes := []string{"mark", "batch", "up-to", "receipts", "delete"}
	for _, c := range []struct {
		user, is string
		want     map[string][]string // by message, in the order of the routes
	}{
		{"alice", "the sender", map[string][]string{
			"frozen": {own, own, ok, ok, ok}, "opened": {own, own, ok, ok, ok}, "secret": {gone, gone, gone, gone, gone}, "absent": {gone, gone, gone, gone, gone},
		}},
		{"bob", "a recipient", map[string][]string{
			"frozen": {ok, ok, ok, ok, not}, "opened": {ok, ok, ok, ok, not}, "secret": {gone, gone, gone, gone, gone}, "absent": {gone, gone, gone, gone, gone},
		}},
		{"carol", "a member since lately", map[string][]string{
			"frozen": {gone, gone, gone, ok, not}, "opened": {ok, ok, ok, ok, not}, "secret": {gone, gone, gone, gone, gone}, "absent": {gone, gone, gone, gone, gone},
		}},
		{"dan", "a recipient who left", map[string][]string{
			"frozen": {ok, ok, ok, gone, gone}, "opened": {gone, gone, ok, gone, gone}, "secret": {gone, gone, gone, gone, gone}, "absent": {gone, gone, gone, gone, gone},
		}},
		{"mallory", "a member of another conversation", map[string][]string{
			"frozen": {gone, gone, gone, gone, gone}, "opened": {gone, gone, gone, gone, gone}, "secret": {own, own, gone, ok, ok}, "absent": {gone, gone, gone, gone, gone},
		}},
		{"eve", "nobody", map[string][]string{
			"frozen": {gone, gone, gone, gone, gone}, "opened": {gone, gone, gone, gone, gone}, "secret": {gone, gone, gone, gone, gone}, "absent": {gone, gone, gone, gone, gone},
		}},
		{no, "signed out", map[string][]string{}},
	} {
		for _, message := range []string{"frozen", "opened", "secret", "absent"} {
			for i, route := range routes {
				want := "401 signed_out"
				if c.user != no {
					want = c.want[message][i]
				}
				t.Run(fmt.Sprintf("%s %s: %s %s gets %s", route, message, c.user, c.is, want), func(t *testing.T) {
					d := newDesk(t, nil)
					d.furnish(t)
					before := d.state(t)
					q := about[route](c.user, message)
					answer, _ := d.do(q)
					if got := outcome(t, q, answer); got != want {
						t.Errorf("got %s", got)
					}
					changed := d.state(t) != before
					// The one mark that is allowed and changes nothing is up to a message of one's
					// own.
					marks := want == ok && route != "receipts" && !(c.user == "alice" && route == "up-to")
					if changed != marks {
						t.Errorf("changed is %v", changed)
					}
				})
			}
		}
	}
}

// outcome is an answer's status and code; those of its only result if it is one to a batch.
func outcome(t *testing.T, q request, answer *httptest.ResponseRecorder) string {
	t.Helper()
	if answer.Code != http.StatusOK {
		code := between(answer.Body.String(), `"code":"`, `"`)
		refused(t, q, answer, answer.Code, code)
		return fmt.Sprint(answer.Code, " ", code)
	}
	switch code := between(answer.Body.String(), `"error":"`, `"`); code {
	case "own_message":
		return "403 " + code
	case "not_found":
		return "404 " + code
	default:
		return "200 " + code
	}
}

func between(text, start, end string) string {
	_, text, _ = strings.Cut(text, start)
	text, _, _ = strings.Cut(text, end)
	return text
}

func TestStrangersCannotTellWhatExists(t *testing.T) {
	// Mallory is a stranger to the room; carol is not, but its first message was frozen without
	// her.
	for _, c := range []struct{ user, message string }{
		{"mallory", "frozen"}, {"mallory", "opened"}, {"eve", "secret"}, {"carol", "frozen"}, {"carol", "secret"},
	} {
		for route, request := range about {
			if c.user == "carol" && (route == "receipts" || route == "delete") {
				continue // she may see the message of the room
			}
			for _, knows := range []string{"knows", "does not know"} {
				t.Run(fmt.Sprintf("%s %s by %s is answered like an absent one where the tracker %s it", route, c.message, c.user, knows), func(t *testing.T) {
					store := memstore.New()
					d := newDeskOver(t, store, nil)
					d.furnish(t)
					if knows != "knows" {
						d = newDeskOver(t, store, nil)
					}
					absent := strings.Repeat("x", len(c.message))
					got, calls := d.do(request(c.user, c.message))
					want, wantCalls := d.do(request(c.user, absent))
					if got.Code != want.Code || !reflect.DeepEqual(got.Header(), want.Header()) ||
						got.Body.String() != strings.ReplaceAll(want.Body.String(), absent, c.message) {
						t.Errorf("answered %d %v %s; absent: %d %v %s", got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
					}
					if !slices.Equal(calls, wantCalls) {
						t.Errorf("called %v; absent: %v", calls, wantCalls)
					}
				})
			}
		}
	}
	for route, request := range within {
		t.Run(route+" in a conversation of others is answered like one that does not exist", func(t *testing.T) {
			d := newDesk(t, nil)
			d.furnish(t)
			before := d.state(t)
			q := request("mallory", "room")
			got, calls := d.do(q)
			want, wantCalls := d.do(request("mallory", "nowhere"))
			refused(t, q, got, http.StatusForbidden, "forbidden")
			if got.Code != want.Code || !reflect.DeepEqual(got.Header(), want.Header()) || got.Body.String() != want.Body.String() {
				t.Errorf("answered %d %v %s; absent: %d %v %s", got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
			}
			if len(calls) != 0 || len(wantCalls) != 0 {
				t.Errorf("called %v; absent: %v", calls, wantCalls)
			}
			if after := d.state(t); after != before {
				t.Errorf("the state changed:\n%s\n%s", before, after)
			}
		})
	}
}

// A conversation that a user may not view is left out of the answer, as one that does not exist is.
func TestUnreadTellsOfWhatTheUserMayView(t *testing.T) {
	for user, want := range map[string]string{"alice": "room", "bob": "room", "dan": "", "mallory": "den", "eve": ""} {
		d := newDesk(t, nil)
		d.furnish(t)
		var visible []string
		for _, u := range d.unread(t, user, "room", "den") {
			visible = append(visible, u.Conversation)
		}
		if got := strings.Join(visible, " "); got != want {
			t.Errorf("%s: got %q, want %q", user, got, want)
		}
		q := request{"", "GET", "/unread?conversation=room", "", nil}
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusUnauthorized, "signed_out")
	}
}

func (d *desk) unread(t *testing.T, user string, conversations ...string) []delivery.Unread {
	t.Helper()
	query := url.Values{"conversation": conversations}
	return good[struct{ Unread []delivery.Unread }](t, d, request{user, "GET", "/unread?" + query.Encode(), "", nil}, http.StatusOK).Unread
}

func TestWhoMayDoWhatInConversations(t *testing.T) {
	for _, c := range []struct {
		user, conversation string
		may                bool
	}{
		{"alice", "room", true}, {"bob", "room", true}, {"carol", "room", true}, {"dan", "room", false},
		{"mallory", "room", false}, {"mallory", "den", true}, {"alice", "den", false}, {"eve", "den", false},
	} {
		for route, request := range within {
			t.Run(fmt.Sprintf("%s in %s by %s is allowed: %v", route, c.conversation, c.user, c.may), func(t *testing.T) {
				d := newDesk(t, nil)
				d.furnish(t)
				before := d.state(t)
				q := request(c.user, c.conversation)
				answer, _ := d.do(q)
				if !c.may {
					refused(t, q, answer, http.StatusForbidden, "forbidden")
				} else if answer.Code/100 != 2 {
					t.Errorf("answered %d %s", answer.Code, answer.Body)
				}
				if changed := d.state(t) != before; changed != (c.may && route == "send") {
					t.Errorf("changed is %v", changed)
				}
			})
		}
	}
}

func TestOpenConversationsAreOpenToAllWhoAreSignedIn(t *testing.T) {
	d := newOpenDesk(t, nil)
	d.furnish(t)
	for route, request := range within {
		if answer, _ := d.do(request("eve", "room")); answer.Code/100 != 2 {
			t.Errorf("%s: answered %d %s", route, answer.Code, answer.Body)
		}
		q := request("", "room")
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusUnauthorized, "signed_out")
	}
	receipt := good[delivery.Receipt](t, d, about["mark"]("eve", "opened"), http.StatusOK)
	if receipt.Recipient != "eve" || receipt.Status != delivery.Read {
		t.Errorf("got %+v", receipt)
	}
	q := about["mark"]("eve", "frozen")
	answer, _ := d.do(q)
	refused(t, q, answer, http.StatusNotFound, "not_found")
}

func TestEveryActionIsAskedForItself(t *testing.T) {
	for route, request := range within {
		for _, action := range []delivery.Action{delivery.ToView, delivery.ToSend, delivery.ToMark} {
			d := newDesk(t, nil)
			may := (action == delivery.ToSend) == (route == "send") && action != delivery.ToMark
			answer, _ := d.do(request(action.String(), "room"))
			if allowed := answer.Code/100 == 2; allowed != may {
				t.Errorf("%s by who may %v: answered %d %s", route, action, answer.Code, answer.Body)
			}
		}
	}
	for route, request := range about {
		for _, action := range []delivery.Action{delivery.ToView, delivery.ToSend, delivery.ToMark} {
			d := newDesk(t, nil)
			d.furnish(t)
			may := (action == delivery.ToView) == (route == "receipts") && action != delivery.ToSend && route != "delete"
			q := request(action.String(), "opened")
			answer, _ := d.do(q)
			if allowed := outcome(t, q, answer) == "200 "; allowed != may {
				t.Errorf("%s by who may %v: answered %d %s", route, action, answer.Code, answer.Body)
			}
		}
	}
}
