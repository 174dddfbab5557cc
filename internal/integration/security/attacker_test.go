package security

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
)

// attacker makes up calls.
type attacker struct{ *rand.Rand }

func pick[T any](a attacker, from ...T) T { return from[a.IntN(len(from))] }

// target is what a call is about.
type target struct {
	conversation string
	messages     []string
	channel      string
	status       string
	socket       string
	fields       string // more of the body's object
}

// call is a way to ask for something.
type call struct {
	path    string
	method  string
	allowed func(user string, d delivery.Draft) bool
	about   func(t target) (query url.Values, body string)
}

const authPath = "/pusher/auth"

func inConversation(user string, d delivery.Draft) bool {
	return mayIn(user, delivery.ToView, d.Conversation)
}

var calls = []call{
	{"/api/messages", "POST", inConversation, func(t target) (url.Values, string) {
		return nil, object(t, "conversation", t.conversation, "body", "forbidden", "socket", t.socket)
	}},
	{"/api/messages", "GET", inConversation, func(t target) (url.Values, string) {
		return url.Values{"conversation": {t.conversation}, "after": {"0"}}, ""
	}},
	{"/api/changes", "GET", inConversation, func(t target) (url.Values, string) {
		return url.Values{"conversation": {t.conversation}, "since": {"0"}}, ""
	}},
	{"/api/unread", "GET", inConversation, func(t target) (url.Values, string) {
		return url.Values{"conversation": {t.conversation}}, ""
	}},
	{"/api/messages/delete", "POST", mayDelete, func(t target) (url.Values, string) {
		return nil, object(t, "message", t.messages[0], "socket", t.socket)
	}},
	{"/api/receipts", "GET", inConversation, func(t target) (url.Values, string) {
		return url.Values{"message": {t.messages[0]}, "failed": {fmt.Sprint(t.status == "read")}}, ""
	}},
	{"/api/marks", "POST", mayMark, func(t target) (url.Values, string) {
		return nil, object(t, "message", t.messages[0], "status", t.status, "socket", t.socket)
	}},
	{"/api/marks/batch", "POST", mayMark, func(t target) (url.Values, string) {
		return nil, object(t, "messages", t.messages, "status", t.status, "socket", t.socket)
	}},
	{"/api/marks/up-to", "POST", mayMarkUpTo, func(t target) (url.Values, string) {
		return nil, object(t, "conversation", t.conversation, "message", t.messages[0], "status", t.status, "socket", t.socket)
	}},
	{"/api/dismiss", "POST", mayPlace, func(t target) (url.Values, string) {
		return nil, object(t, "conversation", t.conversation, "message", t.messages[0], "socket", t.socket)
	}},
	{"/api/unread", "POST", mayPlace, func(t target) (url.Values, string) {
		return nil, object(t, "message", t.messages[0], "socket", t.socket)
	}},
	{authPath, "POST", inConversation, func(t target) (url.Values, string) {
		return nil, url.Values{"socket_id": {"123.456"}, "channel_name": {t.channel}}.Encode() + t.fields
	}},
}

// object writes a JSON object of names and values, and the target's further fields.
func object(t target, pairs ...any) string {
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			continue
		}
		value, _ := json.Marshal(pairs[i+1])
		fmt.Fprintf(&b, ",%q:%s", pairs[i], value)
	}
	return "{" + b.String()[1:] + t.fields + "}"
}

// forbidden makes up a call that nobody may make, whoever makes it here.
func (a attacker) forbidden() request {
	c, d := pick(a, calls...), pick(a, drafts...)
	user := pick(a, "", "forged", "alice", "bob", "carol", "dan", "eve", "mallory", "oscar")
	t := target{
		conversation: d.Conversation,
		messages:     []string{d.ID},
		status:       pick(a, "delivered", "read"),
		socket:       pick(a, "", "1.1", "9999999999.1", `1.1","user":"bob`),
	}
	t.channel = a.channel(d.Conversation)
	allowed := c.allowed(user, d)
	if c.path == "/api/marks/batch" {
		t.messages = nil
		for _, other := range drafts {
			if !mayMark(user, other) && (a.IntN(2) == 0 || other.ID == d.ID) {
				t.messages = append(t.messages, other.ID)
			}
		}
		if allowed = len(t.messages) == 0; allowed {
			t.messages = []string{d.ID}
		}
	}
	q := request{method: c.method, url: c.path, header: http.Header{"Session": {sessionOf(user)}}}
	contentType := "application/json"
	if c.path == authPath {
		contentType = "application/x-www-form-urlencoded"
	}
	q.header.Set("Content-Type", contentType)
	if !allowed {
		a.lie(&q, &t)
		return a.finish(q, c, t)
	}
	if c.path == authPath && a.IntN(2) == 0 {
		t.channel = a.hostileChannel(d.Conversation, user)
		return a.finish(q, c, t)
	}
	if spoil := a.spoil(c, &q, &t); spoil {
		return a.finish(q, c, t)
	}
	return a.absent(q, c, t)
}

func (a attacker) finish(q request, c call, t target) request {
	query, body := c.about(t)
	if q.body == "" {
		q.body = body
	}
	if query != nil {
		q.url += "?" + query.Encode()
	}
	return q
}

// lie adds what should make no difference.
func (a attacker) lie(q *request, t *target) {
	victim := pick(a, "alice", "bob", "oscar")
	for range a.IntN(3) {
		switch a.IntN(8) {
		case 0:
			q.header.Set(pick(a, "X-User", "X-Forwarded-User", "X-Remote-User", "Remote-User", "From"), victim)
		case 1:
			q.header.Set("Authorization", "Bearer "+victim)
		case 2:
			q.header.Set("Cookie", "session="+victim+"; user="+victim)
		case 3:
			q.header.Set("X-HTTP-Method-Override", pick(a, "PUT", "DELETE", "POST"))
		case 4:
			q.header.Set(pick(a, "X-Original-URL", "X-Rewrite-URL"), "/api/messages?conversation=umbrella%2Fden")
		case 5:
			q.header.Set("Sec-Fetch-Site", "same-origin")
		case 6:
			if q.url != authPath {
				t.fields = fmt.Sprintf(`,%q:%q`, pick(a, "user", "sender", "actor", "recipient", "Session"), victim)
			} else {
				t.fields = "&user_id=" + victim + "&channel_data=" + url.QueryEscape(`{"user_id":"`+victim+`"}`)
			}
		case 7:
			if q.url != authPath {
				t.fields = pick(a, `,"admitted":true`, `,"open":true`, `,"recipients":["mallory"]`, `,"at":"1999-01-01T00:00:00Z"`)
			}
		}
	}
}

// spoil makes a call that would be allowed one that is not, and reports whether it could.
func (a attacker) spoil(c call, q *request, t *target) bool {
	post := c.method == "POST"
	switch a.IntN(8) {
	case 0:
		q.header.Set("Session", pick(a, "", "5a-alicf", "alice", "5A-ALICE", "' OR 1=1 --"))
	case 1:
		if !post {
			return false
		}
		q.header.Set("Sec-Fetch-Site", pick(a, "cross-site", "same-site"))
	case 2:
		if !post {
			return false
		}
		q.header.Set("Origin", pick(a, "https://evil.example", "null", "http://example.com.evil.example"))
	case 3:
		if !post {
			return false
		}
		q.header.Set("Content-Type", pick(a, "", "text/plain", "multipart/form-data", "application/xml", "text/html; charset=utf-8"))
	case 4:
		q.method = pick(a, "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", strings.ToLower(c.method))
	case 5:
		if c.path == authPath {
			t.fields = pick(a, "&channel_name=private-conv-other", "&socket_id=2.2")
			return true
		}
		q.url = pick(a, "/api/%6darks/x", "/api/MARKS", "/api/marks/", "/api/marks/batch/", "/api/marks%2fbatch", "/api/messages/..%2fmarks", "/api")
	case 6:
		if !post || c.path == authPath {
			return false
		}
		t.fields = pick(a, `,"user":"alice"`, `,"recipients":["mallory"]`, `,"sender":"alice"`, `,"message":"room-open","message":"room-open"`,
			`,"\u006d\u0065ssage":"x","Message":"room-open"`, `,"__proto__":{"admin":true}`, `},{"message":"room-open"`)
	case 7:
		if !post || c.path == authPath {
			return false
		}
		_, body := c.about(*t)
		q.body = pick(a, "["+body+"]", body+body, body[:len(body)-1], "null", "\xff"+body, strings.ReplaceAll(body, `"`, `'`), "", " ")
		if q.body == "" {
			q.body = " "
		}
	}
	return true
}

// absent asks for something that does not exist, by names that a careless database takes for one
// that does.
func (a attacker) absent(q request, c call, t target) request {
	near := func(id string) string {
		return pick(a, strings.ToUpper(id), id+" ", " "+id, id[:len(id)-1], id+"'--", id+"\t", strings.Replace(id, "o", "о", 1)+"x",
			"%", "_oom-open", `"`+id+`"`, id+"\\", "' OR '1'='1", "1; DROP TABLE delivery_messages", strings.Repeat("x", 129), "")
	}
	t.conversation, t.channel = near(t.conversation), pick(a, "private-conv-", "presence-conv-")+url.QueryEscape(near("acme"))
	for i, id := range t.messages {
		t.messages[i] = near(id)
	}
	if c.path == "/api/marks/up-to" || c.path == "/api/marks" || c.path == "/api/marks/batch" {
		t.conversation = "acme/room"
	}
	return a.finish(q, c, t)
}

// channel is a channel of the conversation.
func (a attacker) channel(conversation string) string {
	name, err := pusheradapter.PrivateChannel(conversation)
	if err != nil {
		panic(err)
	}
	if a.IntN(2) == 0 {
		name = strings.Replace(name, "private-", "presence-", 1)
	}
	return name
}

// hostileChannel is what a user who may enter a conversation's channels must not have signed: the
// channels of others, names that are signatures of something else, and those that Pusher treats in
// other ways.
func (a attacker) hostileChannel(conversation, user string) string {
	own := a.channel(conversation)
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(present)), func(c string) bool { return mayIn(user, delivery.ToView, c) })
	other := "private-conv-nowhere"
	if len(others) > 0 {
		other = a.channel(pick(a, others...))
	}
	victim := pick(a, slices.DeleteFunc([]string{"alice", "bob", "oscar"}, func(u string) bool { return u == user })...) // each may hear its own channel
	return pick(a,
		other, other+" ", strings.ToUpper(other),
		own+`:{"user_id":"`+victim+`"}`, own+`:{"user_id":"`+victim+`","user_info":{}}`, own+":", own+"\n", own+"\x00", own+" ", " "+own,
		strings.Replace(own, "=2F", "=2f", 1), strings.Replace(own, "=2F", "/", 1), strings.Replace(own, "=2F", "%2F", 1), strings.Replace(own, "acme", "=61cme", 1)+"=",
		strings.Replace(own, "-conv-", "-encrypted-conv-", 1), strings.Replace(own, "-conv-", "-cache-conv-", 1), strings.Replace(own, "-conv-", "-", 1),
		strings.TrimPrefix(strings.TrimPrefix(own, "private-"), "presence-"), "#server-to-user-"+victim, "private-user-"+victim,
		"private-conv-"+strings.Repeat("x", 200), "private-conv-", "presence-conv-", "", "private-conv-"+strings.Repeat("=2F", 60),
	)
}
