package pusheradapter_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestAuthLogsTheReasonOfEveryRefusal(t *testing.T) {
	form := func(channel string) string { return "socket_id=123.456&channel_name=" + channel }
	for name, test := range map[string]struct {
		body   string
		change func(*http.Request, *rule)
		want   []string // nothing is logged without any
		never  string
	}{
		"a page of another origin": {
			form("private-conv-c1"), func(r *http.Request, _ *rule) { r.Header.Set("Origin", "https://evil.example") },
			[]string{"level=INFO", "of another origin", "origin=https://evil.example"}, "user=",
		},
		"a channel that is no conversation's": {
			form("private-other-c1"), nil,
			[]string{"level=INFO", "that of no conversation", "user=bob", "channel=private-other-c1"}, "rule",
		},
		"a public channel": {
			form("news"), nil,
			[]string{"level=INFO", "none that needs an authorization", "user=bob", "channel=news"}, "rule",
		},
		"a name that Pusher does not allow": {
			form("private-conv-%0Alevel=ERROR"), nil,
			[]string{"level=INFO", "none that needs an authorization", "user=bob"}, "level=ERROR",
		},
		"another user's own channel": {
			form("private-user-alice"), nil,
			[]string{"level=INFO", "another user's own", "user=bob", "channel=private-user-alice"}, "rule",
		},
		"a conversation that the rule forbids": {
			form("private-conv-c2"), nil,
			[]string{"level=INFO", "the app's rule", "user=bob", "channel=private-conv-c2"}, "no conversation",
		},
		"a user whom the tracker takes for invalid": {
			form("private-conv-c1"), func(_ *http.Request, rule *rule) {
				rule.err = &delivery.InvalidError{Field: "user", Reason: "is too long"}
			},
			[]string{"level=INFO", "the user is too long"}, "the app's rule",
		},
		"a user who signs in by an id that is none": {
			"socket_id=123.456", func(r *http.Request, _ *rule) { r.Header.Set("User", strings.Repeat("x", 129)) },
			[]string{"level=INFO", "the user's id is not valid"}, "channel=",
		},
		"broken sessions": {
			form("private-conv-c1"), func(r *http.Request, _ *rule) { r.Header.Set("User", "broken") },
			[]string{"level=ERROR", "the sessions are gone"}, "level=INFO",
		},
		"a broken rule": {
			form("private-conv-c1"), func(_ *http.Request, rule *rule) { rule.err = errors.New("no database") },
			[]string{"level=ERROR", "no database"}, "level=INFO",
		},
		"a channel that is let in": {body: form("private-conv-c1")},
		"nobody":                   {form("private-conv-c1"), func(r *http.Request, _ *rule) { r.Header.Del("User") }, nil, ""},
		"a malformed body":         {"%zz", nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			rule := &rule{allowed: map[string]string{"bob": "c1"}}
			handler, err := newNotifier(t, pushertest.NewServer(t), &authorsOnly).AuthHandler(
				rule, identify, &pusheradapter.AuthOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("POST", "https://chat.example/pusher/auth", strings.NewReader(test.body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("User", "bob")
			if test.change != nil {
				test.change(r, rule)
			}
			handler.ServeHTTP(httptest.NewRecorder(), r)
			for _, want := range test.want {
				if !strings.Contains(log.String(), want) {
					t.Errorf("logged %q, without %q", &log, want)
				}
			}
			if test.want == nil && log.Len() > 0 || test.never != "" && strings.Contains(log.String(), test.never) {
				t.Errorf("logged %q", &log)
			}
			if strings.Count(log.String(), "\n") > 1 {
				t.Errorf("logged more than a line: %q", &log)
			}
		})
	}
}

func TestAuthAnswersProblemsToThoseWhoAcceptThem(t *testing.T) {
	handler, _ := newAuthHandler(t, nil)
	type problem struct {
		Title, Code, Detail string
		Status              int
	}
	ask := func(method, user, origin, accept, contentType, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "https://chat.example/pusher/auth", strings.NewReader(body))
		r.Header.Set("User", user)
		r.Header.Set("Origin", origin)
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	const here, form, mine = "https://chat.example", "application/x-www-form-urlencoded", "socket_id=1.1&channel_name=private-conv-team%3D3A42"
	for name, test := range map[string]struct {
		method, user, origin, contentType, body string
		want                                    problem
	}{
		"GET":            {"GET", "bob", here, form, mine, problem{"Method Not Allowed", "method_not_allowed", "requests are made by POST", 405}},
		"another origin": {"POST", "bob", "https://evil.example", form, mine, problem{"Forbidden", "cross_origin", "", 403}},
		"nobody":         {"POST", "", here, form, mine, problem{"Unauthorized", "signed_out", "", 401}},
		"text":           {"POST", "bob", here, "text/plain", mine, problem{"Unsupported Media Type", "unsupported_body", "the body is no form, multipart form or application/json", 415}},
		"too much":       {"POST", "bob", here, form, mine + strings.Repeat("&x=", 4096), problem{"Request Entity Too Large", "too_large", "the body is longer than 8 KiB", 413}},
		"no socket":      {"POST", "bob", here, form, "", problem{"Bad Request", "invalid", "there is no socket_id", 400}},
		"no such channel": {
			"POST", "bob", here, form, "socket_id=1.1&channel_name=private-x", problem{"Forbidden", "forbidden", "", 403},
		},
		"a channel of others": {
			"POST", "bob", here, form, "socket_id=1.1&channel_name=private-conv-x", problem{"Forbidden", "forbidden", "", 403},
		},
		"broken sessions": {"POST", "broken", here, form, mine, problem{"Internal Server Error", "internal", "", 500}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, accept := range []string{"application/problem+json", "application/json, text/plain, */*", "text/html, application/json;q=0.9"} {
				w := ask(test.method, test.user, test.origin, accept, test.contentType, test.body)
				var got problem
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got != test.want || w.Code != got.Status {
					t.Errorf("%d %+v, %v, want %+v", w.Code, got, err, test.want)
				}
				if w.Header().Get("Content-Type") != "application/problem+json" {
					t.Errorf("headers: %v", w.Header())
				}
			}
			for _, accept := range []string{"", "*/*", "text/html,*/*;q=0.8", "application/jsonp", ";;"} {
				w := ask(test.method, test.user, test.origin, accept, test.contentType, test.body)
				if w.Code != test.want.Status || strings.TrimSpace(w.Body.String()) != test.want.Title {
					t.Errorf("Accept %q: %d %s", accept, w.Code, w.Body)
				}
			}
		})
	}
}
