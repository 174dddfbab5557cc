package deliveryhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// routes holds a good request for every route.
var routes = []request{
	{"bob", "POST", "/messages", `{"conversation": "room", "body": "hi"}`, nil},
	{"bob", "GET", "/messages?conversation=room", "", nil},
	{"bob", "GET", "/changes?conversation=room", "", nil},
	{"bob", "GET", "/unread?conversation=room", "", nil},
	{"bob", "GET", "/receipts?message=frozen", "", nil},
	{"alice", "POST", "/messages/delete", `{"message": "frozen"}`, nil},
	{"bob", "POST", "/marks", `{"message": "frozen", "status": "read"}`, nil},
	{"bob", "POST", "/marks/batch", `{"messages": ["frozen", "opened"], "status": "read"}`, nil},
	{"bob", "POST", "/marks/up-to", `{"conversation": "room", "message": "opened", "status": "read"}`, nil},
}

func TestRoutes(t *testing.T) {
	for _, q := range routes {
		t.Run(q.method+" "+q.url+" answers a good request", func(t *testing.T) {
			d := newDesk(t, nil)
			d.furnish(t)
			answer, _ := d.do(q)
			header := answer.Header()
			if answer.Code/100 != 2 || header.Get("Content-Type") != "application/json" ||
				header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("answered %d %v %s", answer.Code, header, answer.Body)
			}
		})
	}
}

// hostile is a way to spoil a good request.
type hostile struct {
	name   string
	spoil  func(request) request
	status int
	code   string
	field  string
}

func header(name, value string) func(request) request {
	return func(q request) request { return q.with(name, value) }
}

func body(text string) func(request) request {
	return func(q request) request { q.body = text; return q }
}

// more adds members to the body's object.
func more(members string) func(request) request {
	return func(q request) request { q.body = strings.Replace(q.body, "{", "{"+members+", ", 1); return q }
}

func query(text string) func(request) request {
	return func(q request) request { q.url += "&" + text; return q }
}

var hostileToAll = []hostile{
	{"signed out", func(q request) request { q.user = ""; return q }, 401, "signed_out", ""},
	{"a failing sign-in", header("X-Sessions", "down"), 500, "internal", ""},
	{"a user whom the app made too long", func(q request) request { q.user = strings.Repeat("u", 129); return q }, 500, "internal", ""},
	{"an unknown path", func(q request) request { q.url = "/mark"; return q }, 404, "no_route", ""},
	{"a slash too many", func(q request) request { q.url = "/" + q.url; return q }, 404, "no_route", ""},
	{"a path that is spelled otherwise", func(q request) request { q.url = fmt.Sprintf("/%%%x%s", q.url[1], q.url[2:]); return q }, 404, "no_route", ""},
	{"a slash that is none", func(q request) request { q.url = "/marks%2fbatch"; return q }, 404, "no_route", ""},
	{"a prefix that was not stripped", func(q request) request { q.url = "/api" + q.url; return q }, 404, "no_route", ""},
	{"the root", func(q request) request { q.url = "/"; return q }, 404, "no_route", ""},
	{"a method that is no route's", func(q request) request { q.method = "DELETE"; return q }, 405, "method_not_allowed", ""},
	{"a method in lower case", func(q request) request { q.method = strings.ToLower(q.method); return q }, 405, "method_not_allowed", ""},
}

var hostilePosts = []hostile{
	{"another site's fetch", header("Sec-Fetch-Site", "cross-site"), 403, "cross_origin", ""},
	{"a sibling site's fetch", header("Sec-Fetch-Site", "same-site"), 403, "cross_origin", ""},
	{"another origin in an old browser", header("Origin", "https://evil.example"), 403, "cross_origin", ""},
	{"the null origin", header("Origin", "null"), 403, "cross_origin", ""},
	{"another site, signed out", func(q request) request { q.user = ""; return q.with("Sec-Fetch-Site", "cross-site") }, 403, "cross_origin", ""},
	{"no content type", header("Content-Type", ""), 415, "not_json", ""},
	{"a form", header("Content-Type", "application/x-www-form-urlencoded"), 415, "not_json", ""},
	{"plain text", header("Content-Type", "text/plain"), 415, "not_json", ""},
	{"a type that starts like JSON", header("Content-Type", "application/jsonp"), 415, "not_json", ""},
	{"a malformed content type", header("Content-Type", "application/json; ="), 415, "not_json", ""},
	{"nothing", body(""), 400, "invalid", "request"},
	{"half an object", func(q request) request { q.body = q.body[:len(q.body)-1]; return q }, 400, "invalid", "request"},
	{"a second object", func(q request) request { q.body += "{}"; return q }, 400, "invalid", "request"},
	{"something after the object", func(q request) request { q.body += " x"; return q }, 400, "invalid", "request"},
	{"a NUL after the object", func(q request) request { q.body += "\x00"; return q }, 400, "invalid", "request"},
	{"a byte order mark", func(q request) request { q.body = "\ufeff" + q.body; return q }, 400, "invalid", "request"},
	{"a list", body(`[]`), 400, "invalid", "request"},
	{"a string", body(`"{}"`), 400, "invalid", "request"},
	{"null", body(`null`), 400, "invalid", "request"},
	{"a field of no route", more(`"colour": "red"`), 400, "invalid", "request"},
	{"recipients", more(`"recipients": ["mallory"]`), 400, "invalid", "request"},
	{"a user", more(`"user": "alice"`), 400, "invalid", "request"},
	{"a field in upper case", more(`"Socket": "1.2"`), 400, "invalid", "request"},
	{"a nameless field", more(`"": ""`), 400, "invalid", "request"},
	{"a field twice", more(`"socket": "1.2", "socket": "1.2"`), 400, "invalid", "socket"},
	{"a field twice, once escaped", more(`"socket": "1.2", "s\u006fcket": "1.2"`), 400, "invalid", "socket"},
	{"a number for a string", more(`"socket": 1.2`), 400, "invalid", "socket"},
	{"an object for a string", more(`"socket": {"id": "1.2"}`), 400, "invalid", "socket"},
	{"deep lists for a string", more(`"socket": ` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), 400, "invalid", "socket"},
	{"lists too deep to be read", more(`"socket": ` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000)), 400, "invalid", "request"},
	{"a socket that is too long", more(`"socket": "` + strings.Repeat("1", 129) + `"`), 400, "invalid", "socket"},
	{"a socket in the header that is too long", header("X-Socket-ID", strings.Repeat("1", 129)), 400, "invalid", "socket"},
	{"a header X-Socket-ID twice", func(q request) request {
		q = q.with("X-Socket-ID", "1.2")
		q.header["X-Socket-Id"] = []string{"1.2", "1.2"}
		return q
	}, 400, "invalid", "X-Socket-ID"},
	{"a NUL in the socket", more(`"socket": "1\u0000"`), 400, "invalid", "socket"},
	{"invalid UTF-8", more("\"socket\": \"\xff\""), 400, "invalid", "request"},
	{"an overlong encoding", more("\"socket\": \"\xc0\xaf\""), 400, "invalid", "request"},
	{"half a surrogate pair", more(`"socket": "\ud83d"`), 400, "invalid", "request"},
	{"a surrogate pair the wrong way round", more(`"socket": "\ude00\ud83d"`), 400, "invalid", "request"},
	{"10 MB of blanks", func(q request) request { q.body += strings.Repeat(" ", 10<<20); return q }, 413, "too_large", ""},
}

var hostileGets = []hostile{
	{"a malformed escape", query("limit=%zz"), 400, "invalid", "query"},
	{"a semicolon", query("a;b"), 400, "invalid", "query"},
	{"a parameter of no route", query("colour=red"), 400, "invalid", "request"},
	{"a viewer", query("viewer=alice"), 400, "invalid", "request"},
}

// hostileByRoute spoils what is a route's own. Values are put in place of the field's.
var hostileByRoute = map[string][]hostile{
	"POST /messages": append(fieldHostility(`"conversation": "room"`, "conversation"),
		hostile{"no body", body(`{"conversation": "room"}`), 400, "invalid", "body"},
		hostile{"a null body", body(`{"conversation": "room", "body": null}`), 400, "invalid", "body"},
		hostile{"a body that is no string", body(`{"conversation": "room", "body": ["hi"]}`), 400, "invalid", "body"},
		hostile{"a NUL in the body", body(`{"conversation": "room", "body": "\u0000"}`), 400, "invalid", "body"},
		hostile{"a body of 65 KiB", body(`{"conversation": "room", "body": "` + strings.Repeat("x", 65<<10) + `"}`), 413, "too_large", "body"},
		hostile{"a body one byte too long", body(`{"conversation": "room", "body": "` + strings.Repeat("x", 64<<10+1) + `"}`), 413, "too_large", "body"},
		hostile{"an id that is too long", more(`"id": "` + strings.Repeat("x", 129) + `"`), 400, "invalid", "id"},
		hostile{"a NUL in the id", more(`"id": "a\u0000"`), 400, "invalid", "id"},
		hostile{"a sender", more(`"sender": "alice"`), 400, "invalid", "request"},
		hostile{"recipients", more(`"recipients": ["bob"]`), 400, "invalid", "request"},
		hostile{"an audience", more(`"audience": {"open": true}`), 400, "invalid", "request"},
		hostile{"a quorum", more(`"quorum": 1`), 400, "invalid", "request"},
	),
	"GET /messages": append(queryHostility("conversation=room", "conversation"),
		hostile{"a negative after", query("after=-1"), 400, "invalid", "after"},
		hostile{"a negative before", query("before=-1"), 400, "invalid", "before"},
		hostile{"a before of zero", query("before=0"), 400, "invalid", "before"},
		hostile{"an after that is no number", query("after=x"), 400, "invalid", "after"},
		hostile{"an empty after", query("after="), 400, "invalid", "after"},
		hostile{"an after too large to be read", query("after=9223372036854775808"), 400, "invalid", "after"},
		hostile{"a limit over 500", query("limit=501"), 400, "invalid", "limit"},
		hostile{"a negative limit", query("limit=-1"), 400, "invalid", "limit"},
		hostile{"a limit with a fraction", query("limit=1.5"), 400, "invalid", "limit"},
		hostile{"a limit twice", query("limit=1&limit=2"), 400, "invalid", "limit"},
	),
	"GET /changes": append(queryHostility("conversation=room", "conversation"),
		hostile{"a negative since", query("since=-1"), 400, "invalid", "since"},
		hostile{"a since that is no number", query("since=0x10"), 400, "invalid", "since"},
		hostile{"a limit over 500", query("limit=501"), 400, "invalid", "limit"},
	),
	"POST /messages/delete": fieldHostility(`"message": "frozen"`, "message"),
	"GET /unread": append(queryHostility("conversation=room", "conversation"),
		hostile{"201 conversations", query(strings.Repeat("conversation=x&", 199) + "conversation=y"), 400, "invalid", "conversation"},
		hostile{"another user", query("user=alice"), 400, "invalid", "request"},
		hostile{"a limit", query("limit=1"), 400, "invalid", "request"},
	),
	"GET /receipts": append(queryHostility("message=frozen", "message"),
		hostile{"a status that is none", query("status=seen"), 400, "invalid", "status"},
		hostile{"an empty status", query("status="), 400, "invalid", "status"},
		hostile{"a status twice", query("status=sent&status=read"), 400, "invalid", "status"},
		hostile{"a limit over 500", query("limit=501"), 400, "invalid", "limit"},
		hostile{"a NUL in after", query("after=a%00"), 400, "invalid", "after"},
	),
	"POST /marks": append(fieldHostility(`"message": "frozen"`, "message"), statusHostility...),
	"POST /marks/batch": append(statusHostility,
		hostile{"no messages", body(`{"status": "read"}`), 400, "invalid", "messages"},
		hostile{"null for the messages", body(`{"status": "read", "messages": null}`), 400, "invalid", "messages"},
		hostile{"a string for the messages", body(`{"status": "read", "messages": "frozen"}`), 400, "invalid", "messages"},
		hostile{"numbers for the messages", body(`{"status": "read", "messages": [1, 2]}`), 400, "invalid", "messages"},
		hostile{"501 messages", body(`{"status": "read", "messages": ["frozen"` + strings.Repeat(`, "frozen"`, 500) + `]}`), 400, "invalid", "messages"},
		hostile{"100,000 messages", body(`{"status": "read", "messages": [""` + strings.Repeat(`,""`, 100_000) + `]}`), 400, "invalid", "messages"},
	),
	"POST /marks/up-to": append(append(fieldHostility(`"conversation": "room"`, "conversation"),
		fieldHostility(`"message": "opened"`, "message")...), statusHostility...),
}

var statusHostility = []hostile{
	{"no status", func(q request) request { q.body = strings.Replace(q.body, `, "status": "read"`, "", 1); return q }, 400, "invalid", "status"},
	{"the status sent", status(`"sent"`), 400, "invalid", "status"},
	{"a status in upper case", status(`"Read"`), 400, "invalid", "status"},
	{"an unknown status", status(`"seen"`), 400, "invalid", "status"},
	{"an empty status", status(`""`), 400, "invalid", "status"},
	{"a number for the status", status(`3`), 400, "invalid", "status"},
	{"a null status", status(`null`), 400, "invalid", "status"},
}

func status(value string) func(request) request {
	return func(q request) request { q.body = strings.Replace(q.body, `"read"`, value, 1); return q }
}

// fieldHostility spoils a field of a body that holds an id.
func fieldHostility(member, field string) []hostile {
	to := func(value string) func(request) request {
		return func(q request) request {
			q.body = strings.Replace(q.body, member, fmt.Sprintf("%q: %s", field, value), 1)
			return q
		}
	}
	return []hostile{
		{"an empty " + field, to(`""`), 400, "invalid", field},
		{"a null " + field, to(`null`), 400, "invalid", field},
		{"a number for the " + field, to(`7`), 400, "invalid", field},
		{"a list for the " + field, to(`["room"]`), 400, "invalid", field},
		{"129 bytes of " + field, to(`"` + strings.Repeat("x", 129) + `"`), 400, "invalid", field},
		{"65 characters of two bytes in the " + field, to(`"` + strings.Repeat("é", 65) + `"`), 400, "invalid", field},
		{"a NUL in the " + field, to(`"a\u0000b"`), 400, "invalid", field},
		{"half a surrogate pair in the " + field, to(`"\udc00"`), 400, "invalid", "request"},
	}
}

// queryHostility spoils a parameter of a query that holds an id.
func queryHostility(pair, field string) []hostile {
	to := func(value string) func(request) request {
		return func(q request) request { q.url = strings.Replace(q.url, pair, value, 1); return q }
	}
	return []hostile{
		{"no " + field, to(""), 400, "invalid", field},
		{"an empty " + field, to(field + "="), 400, "invalid", field},
		{"the " + field + " twice", to(pair + "&" + pair), 400, "invalid", field},
		{"129 bytes of " + field, to(field + "=" + strings.Repeat("x", 129)), 400, "invalid", field},
		{"a NUL in the " + field, to(field + "=a%00b"), 400, "invalid", field},
		{"invalid UTF-8 in the " + field, to(field + "=%ff"), 400, "invalid", field},
		{"a field name in upper case", to(strings.ToUpper(pair[:1]) + pair[1:]), 400, "invalid", "request"},
	}
}

func TestHostileInput(t *testing.T) {
	for _, good := range routes {
		path, _, _ := strings.Cut(good.url, "?")
		cases := append(hostileToAll[:len(hostileToAll):len(hostileToAll)], hostileByRoute[good.method+" "+path]...)
		if good.method == http.MethodPost {
			cases = append(cases, hostilePosts...)
		} else {
			cases = append(cases, hostileGets...)
		}
		d := newDesk(t, nil)
		d.furnish(t)
		before := d.state(t)
		for _, c := range cases {
			t.Run(good.method+" "+path+" refuses "+c.name+" and changes nothing", func(t *testing.T) {
				q := c.spoil(good)
				answer, _ := d.do(q)
				p := refused(t, q, answer, c.status, c.code)
				if p.Field != c.field {
					t.Errorf("blames field %q (%s); want %q", p.Field, p.Detail, c.field)
				}
				if c.status == http.StatusMethodNotAllowed && !strings.Contains(answer.Header().Get("Allow"), good.method) {
					t.Errorf("Allow is %q", answer.Header().Get("Allow"))
				}
				if after := d.state(t); after != before {
					t.Errorf("the state changed:\n%s\n%s", before, after)
				}
			})
		}
	}
}

// endless is a body that counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestLargeBodiesAreNotRead(t *testing.T) {
	for _, c := range []struct {
		name   string
		length int64
		atMost int
	}{
		{"of a known length are refused unread", 10 << 20, 0},
		{"of unknown length are read as far as the limit", -1, 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, nil)
			body := &endless{}
			r := httptest.NewRequest("POST", "/marks", io.LimitReader(body, 10<<30))
			r.ContentLength = c.length
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("X-User", "bob")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			answer := httptest.NewRecorder()
			d.ServeHTTP(answer, r)
			runtime.ReadMemStats(&after)
			refused(t, request{"bob", "POST", "/marks", "", nil}, answer, http.StatusRequestEntityTooLarge, "too_large")
			if body.read > c.atMost {
				t.Errorf("read %d bytes", body.read)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
				t.Errorf("allocated %d bytes", grown)
			}
		})
	}
}
