package pusheradapter_test

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/pusheradapter"
	"github.com/msgdelivery/delivery/pusheradapter/pushertest"
)

func TestAuthAnswers(t *testing.T) {
	form := "socket_id=123.456&channel_name=private-conv-team%3D3A42"
	tests := []struct {
		name   string
		status int
		change func(*http.Request, *rule)
	}{
		{"a form", 200, func(*http.Request, *rule) {}},
		{"a form with its charset", 200, func(r *http.Request, _ *rule) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
		}},
		{"a page of the same origin", 200, func(r *http.Request, _ *rule) { r.Header.Set("Sec-Fetch-Site", "same-origin") }},
		{"a form with a field of the app's", 200, func(r *http.Request, _ *rule) { setBody(r, form+"&csrf=1") }},
		{"GET", 405, func(r *http.Request, _ *rule) { r.Method = "GET" }},
		{"PUT", 405, func(r *http.Request, _ *rule) { r.Method = "PUT" }},
		{"a page of another origin", 403, func(r *http.Request, _ *rule) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		{"a page of another origin in an older browser", 403, func(r *http.Request, _ *rule) { r.Header.Set("Origin", "https://evil.example") }},
		{"nobody", 401, func(r *http.Request, _ *rule) { r.Header.Del("User") }},
		{"broken sessions", 500, func(r *http.Request, _ *rule) { r.Header.Set("User", "broken") }},
		{"a broken rule", 500, func(_ *http.Request, rule *rule) { rule.err = errors.New("canary: no database") }},
		{"a user whom the tracker takes for invalid", 403, func(_ *http.Request, rule *rule) { rule.err = &delivery.InvalidError{Field: "user"} }},
		{"JSON", 415, func(r *http.Request, _ *rule) { r.Header.Set("Content-Type", "application/json") }},
		{"a multipart form", 415, func(r *http.Request, _ *rule) { r.Header.Set("Content-Type", "multipart/form-data; boundary=x") }},
		{"no content type", 415, func(r *http.Request, _ *rule) { r.Header.Del("Content-Type") }},
		{"a body beyond the limit", 413, func(r *http.Request, _ *rule) { setBody(r, form+"&x="+strings.Repeat("x", 20_000)) }},
		{"a body that breaks off", 400, func(r *http.Request, _ *rule) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(form), broken{}))
		}},
		{"a bad escape", 400, func(r *http.Request, _ *rule) { setBody(r, form+"&x=%zz") }},
		{"an empty body", 400, func(r *http.Request, _ *rule) { setBody(r, "") }},
		{"no socket id", 400, func(r *http.Request, _ *rule) { setBody(r, "channel_name=private-conv-team%3D3A42") }},
		{"no channel", 400, func(r *http.Request, _ *rule) { setBody(r, "socket_id=123.456") }},
		{"two socket ids", 400, func(r *http.Request, _ *rule) { setBody(r, form+"&socket_id=1.1") }},
		{"two channels", 400, func(r *http.Request, _ *rule) { setBody(r, form+"&channel_name=private-conv-x") }},
		{"the fields in the query", 400, func(r *http.Request, _ *rule) { r.URL.RawQuery = form; setBody(r, "") }},
		{"an empty socket id", 400, func(r *http.Request, _ *rule) { setBody(r, "socket_id=&channel_name=private-conv-team%3D3A42") }},
		{"a socket id with a channel", 400, func(r *http.Request, _ *rule) {
			setBody(r, "socket_id=1.1%3Apresence-conv-x&channel_name=private-conv-team%3D3A42")
		}},
		{"a socket id of 5,002 bytes", 400, func(r *http.Request, _ *rule) {
			setBody(r, "socket_id=1."+strings.Repeat("1", 5000)+"&channel_name=private-conv-team%3D3A42")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			handler, rule := newAuthHandler(t, nil)
			r := httptest.NewRequest("POST", "https://chat.example/pusher/auth", strings.NewReader(form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("User", "bob")
			test.change(r, rule)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, test.status)
			}
			if strings.Contains(w.Body.String(), "canary") || w.Code != 200 && strings.Contains(w.Body.String(), "auth\"") {
				t.Errorf("tells too much: %s", w.Body)
			}
			if w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("headers: %v", w.Header())
			}
			if w.Code == 405 && w.Header().Get("Allow") != "POST" {
				t.Errorf("headers: %v", w.Header())
			}
		})
	}
}

func setBody(r *http.Request, body string) { r.Body = io.NopCloser(strings.NewReader(body)) }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAuthWorksAfterMiddlewareThatReadTheForm(t *testing.T) {
	handler, _ := newAuthHandler(t, nil)
	middleware := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.PostFormValue("csrf")
		handler.ServeHTTP(w, r)
	})
	if w := ask(middleware, "bob", "1.1", "private-conv-team=3A42"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAuthKeepsItsLimitWhateverIdentifyReads(t *testing.T) {
	var read int
	for name, identify := range map[string]func(*http.Request) (string, error){
		"a field of the form": func(r *http.Request) (string, error) { return r.PostFormValue("user"), nil },
		"all of it": func(r *http.Request) (string, error) {
			text, err := io.ReadAll(r.Body)
			read = len(text)
			return "bob", err
		},
		"no matter what": func(r *http.Request) (string, error) {
			_ = r.ParseForm()
			return "bob", nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			handler, err := newNotifier(t, pushertest.NewServer(t), nil).AuthHandler(&rule{allowed: map[string]string{"bob": "c1"}}, identify, nil)
			if err != nil {
				t.Fatal(err)
			}
			body := &counted{Reader: strings.NewReader("user=bob&socket_id=1.1&channel_name=private-conv-c1&x=" + strings.Repeat("x", 1<<20))}
			r := httptest.NewRequest("POST", "https://chat.example/pusher/auth", body)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if body.read > 32<<10 || read > 16<<10 {
				t.Errorf("%d bytes were read, %d of them by identify", body.read, read)
			}
			if want := map[string]int{"a field of the form": 401, "all of it": 500, "no matter what": 413}[name]; w.Code != want {
				t.Errorf("answered %d, want %d", w.Code, want)
			}
		})
	}
}

type counted struct {
	io.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

func TestAuthLogsFailuresAndNothingElse(t *testing.T) {
	notifier := newNotifier(t, pushertest.NewServer(t), nil)
	var log strings.Builder
	rule := &rule{allowed: map[string]string{"bob": "c1"}}
	handler, err := notifier.AuthHandler(rule, identify, &pusheradapter.AuthOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ask(handler, "bob", "1.1", "private-conv-c1")
	ask(handler, "carol", "1.1", "private-conv-c1")
	ask(handler, "", "1.1", "private-conv-c1")
	if log.Len() > 0 {
		t.Errorf("logged without a failure: %s", &log)
	}
	ask(handler, "broken", "1.1", "private-conv-c1")
	rule.err = errors.New("canary: no database")
	ask(handler, "bob", "1.1", "private-conv-c1")
	if text := log.String(); !strings.Contains(text, "the sessions are gone") || !strings.Contains(text, "no database") {
		t.Errorf("logged: %s", text)
	}
}

func TestAuthTrustsTheOriginsItIsTold(t *testing.T) {
	protection := http.NewCrossOriginProtection()
	if err := protection.AddTrustedOrigin("https://app.example"); err != nil {
		t.Fatal(err)
	}
	notifier := newNotifier(t, pushertest.NewServer(t), nil)
	handler, err := notifier.AuthHandler(&rule{allowed: map[string]string{"bob": "c1"}}, identify, &pusheradapter.AuthOptions{CrossOrigin: protection})
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]int{"https://app.example": 200, "https://evil.example": 403} {
		r := httptest.NewRequest("POST", "https://api.example/pusher/auth", strings.NewReader("socket_id=1.1&channel_name=private-conv-c1"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-site")
		r.Header.Set("Origin", origin)
		r.Header.Set("User", "bob")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d, want %d", origin, w.Code, want)
		}
	}
}
