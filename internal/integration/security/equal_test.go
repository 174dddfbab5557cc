package security

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/spy"
)

// Mallory and eve are strangers to acme; carol is in the room, but not among the recipients of its
// first message. To all of them what is not theirs must look as if it did not exist: the answer,
// and what it takes to find it.
func TestWhatIsNotYoursLooksAndCostsLikeWhatIsNotThere(t *testing.T) {
	post := func(path, format string) func(conversation, message string) request {
		return func(conversation, message string) request {
			return request{"POST", path, fmt.Sprintf(strings.ReplaceAll(format, "MESSAGE", "%[2]q"), conversation, message), http.Header{"Content-Type": {"application/json"}}}
		}
	}
	get := func(path string) func(conversation, message string) request {
		return func(conversation, message string) request {
			values := url.Values{"conversation": {conversation}}
			if path == "/api/receipts" {
				values = url.Values{"message": {message}}
			}
			return request{"GET", path + "?" + values.Encode(), "", http.Header{}}
		}
	}
	about := map[string]func(conversation, message string) request{
		"receipts": get("/api/receipts"),
		"delete":   post("/api/messages/delete", `{"message":MESSAGE}`),
		"mark":     post("/api/marks", `{"message":MESSAGE,"status":"read"}`),
		"batch":    post("/api/marks/batch", `{"messages":[MESSAGE],"status":"read"}`),
		"dismiss":  post("/api/dismiss", `{"conversation":%[1]q,"message":MESSAGE}`),
		"unread":   post("/api/unread", `{"message":MESSAGE}`),
		"up to":    post("/api/marks/up-to", `{"conversation":%[1]q,"message":MESSAGE,"status":"read"}`),
	}
	within := map[string]func(conversation, message string) request{
		"list": get("/api/messages"), "changes": get("/api/changes"), "unread": get("/api/unread"),
		"send": post("/api/messages", `{"conversation":%[1]q,"body":"","id":MESSAGE}`),
	}
	engines.Each(t, func(t *testing.T, e engines.Engine) {
		var sent *spy.Spy
		a := newApp(t, e, options{pool: func(d engines.Database, t *testing.T) (db *sql.DB) {
			db, sent = spy.Open(d, t)
			return db
		}})
		ask := func(user string, q request) (string, []string) {
			q.header.Set("Session", sessionOf(user))
			sent.Take()
			answer := a.do(q)
			return fmt.Sprint(answer.Code, answer.Header(), answer.Body), sent.Take()
		}
		compare := func(t *testing.T, user string, request func(conversation, message string) request, conversation, message, noConversation, noMessage string) {
			t.Helper()
			for _, knows := range []bool{true, false} {
				if !knows {
					if err := a.restart(); err != nil {
						t.Fatal(err)
					}
				}
				want, wantCost := ask(user, request(noConversation, noMessage))
				got, cost := ask(user, request(conversation, message))
				want = strings.NewReplacer(noConversation, conversation, noMessage, message).Replace(want)
				nothing := strings.Contains(got, `"error":"not_found"`) || strings.Contains(got, nothingUnread)
				if got != want || strings.HasPrefix(got, "2") && !nothing {
					t.Errorf("the tracker knows the message: %v. Answered\n%s\nand to what is not there\n%s", knows, got, want)
				}
				if !reflect.DeepEqual(cost, wantCost) {
					t.Errorf("the tracker knows the message: %v. It takes\n%s\nand what is not there\n%s", knows, outline(cost), outline(wantCost))
				}
			}
		}
		for _, who := range []struct{ user, conversation, message string }{
			{"mallory", "acme/room", "room-frozen"}, {"mallory", "acme/room", "room-open"}, {"eve", "umbrella/den", "den-open"},
			{"eve", "umbrella/den", "den-empty"}, {"carol", "acme/direct", "direct"}, {"carol", "acme/room", "room-frozen"},
		} {
			for name, request := range about {
				if (name == "receipts" || name == "delete") && who.message == "room-frozen" && who.user == "carol" {
					continue // which she may see
				}
				absent := strings.Repeat("x", len(who.message))
				t.Run(fmt.Sprintf("%s: %s by %s is like an absent message", name, who.message, who.user), func(t *testing.T) {
					compare(t, who.user, request, who.conversation, who.message, who.conversation, absent)
				})
				if name == "up to" && who.user != "carol" {
					t.Run(fmt.Sprintf("%s: %s by %s is like an absent conversation", name, who.message, who.user), func(t *testing.T) {
						compare(t, who.user, request, who.conversation, who.message, strings.Repeat("y", len(who.conversation)), who.message)
					})
				}
			}
		}
		for name, request := range within {
			t.Run(name+": a conversation of others is like one that does not exist", func(t *testing.T) {
				compare(t, "mallory", request, "acme/room", "new", "none/such", "new")
			})
		}
	})
}

// outline is the beginnings of statements.
func outline(statements []string) string {
	lines := slices.Clone(statements)
	for i, s := range lines {
		lines[i] = strings.Join(strings.Fields(s)[:min(8, len(strings.Fields(s)))], " ")
	}
	return strings.Join(lines, "\n")
}
