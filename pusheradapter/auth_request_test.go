package pusheradapter_test

import (
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
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
		{"text", 415, func(r *http.Request, _ *rule) { r.Header.Set("Content-Type", "text/plain") }},
		{"XML", 415, func(r *http.Request, _ *rule) { r.Header.Set("Content-Type", "application/xml") }},
		{"a multipart form without a boundary", 400, func(r *http.Request, _ *rule) { r.Header.Set("Content-Type", "multipart/form-data") }},
		{"no content type", 415, func(r *http.Request, _ *rule) { r.Header.Del("Content-Type") }},
		{"a body beyond the limit", 413, func(r *http.Request, _ *rule) { setBody(r, form+"&x="+strings.Repeat("x", 8_192)) }},
		{"a body that breaks off", 400, func(r *http.Request, _ *rule) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(form), broken{}))
		}},
		{"a bad escape", 400, func(r *http.Request, _ *rule) { setBody(r, form+"&x=%zz") }},
		{"an empty body", 400, func(r *http.Request, _ *rule) { setBody(r, "") }},
		{"no socket id", 400, func(r *http.Request, _ *rule) { setBody(r, "channel_name=private-conv-team%3D3A42") }},
		{"an empty channel", 403, func(r *http.Request, _ *rule) { setBody(r, "socket_id=123.456&channel_name=") }},
		{"the socket id in the header", 200, func(r *http.Request, _ *rule) {
			r.Header.Set("X-Socket-ID", "123.456")
			setBody(r, "channel_name=private-conv-team%3D3A42")
		}},
		{"another socket id in the header", 200, func(r *http.Request, _ *rule) { r.Header.Set("X-Socket-ID", "no id") }},
		{"a bad socket id in the header", 400, func(r *http.Request, _ *rule) {
			r.Header.Set("X-Socket-ID", "no id")
			setBody(r, "channel_name=private-conv-team%3D3A42")
		}},
		{"two socket ids in the header", 400, func(r *http.Request, _ *rule) {
			r.Header["X-Socket-Id"] = []string{"123.456", "123.456"}
			setBody(r, "channel_name=private-conv-team%3D3A42")
		}},
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

// authBody writes fields, each a name and a value, as one kind of body.
type authBody func(t *testing.T, fields [][2]string) (contentType, body string)

var authBodies = map[string]authBody{
	"a form": func(_ *testing.T, fields [][2]string) (string, string) {
		var pairs []string
		for _, f := range fields {
			pairs = append(pairs, url.QueryEscape(f[0])+"="+url.QueryEscape(f[1]))
		}
		return "application/x-www-form-urlencoded", strings.Join(pairs, "&")
	},
	"a multipart form": func(t *testing.T, fields [][2]string) (string, string) {
		var body strings.Builder
		w := multipart.NewWriter(&body)
		for _, f := range fields {
			if err := w.WriteField(f[0], f[1]); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		return w.FormDataContentType(), body.String()
	},
	"JSON": func(t *testing.T, fields [][2]string) (string, string) {
		var pairs []string
		for _, f := range fields {
			name, _ := json.Marshal(f[0])
			value, err := json.Marshal(f[1])
			if err != nil {
				t.Fatal(err)
			}
			pairs = append(pairs, string(name)+":"+string(value))
		}
		return "application/json; charset=utf-8", "{" + strings.Join(pairs, ",") + "}"
	},
}

func TestAuthTakesEveryKindOfBody(t *testing.T) {
	socket, channel := [2]string{"socket_id", "123.456"}, [2]string{"channel_name", "private-conv-team=3A42"}
	want := `{"auth":"` + signature("123.456:private-conv-team=3A42") + `"}`
	for kind, write := range authBodies {
		send := func(t *testing.T, contentType, body string) *httptest.ResponseRecorder {
			handler, _ := newAuthHandler(t, nil)
			r := httptest.NewRequest("POST", "/pusher/auth", strings.NewReader(body))
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("User", "bob")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w
		}
		for name, test := range map[string]struct {
			status int
			fields [][2]string
		}{
			"the two fields":                {200, [][2]string{socket, channel}},
			"the two in another order":      {200, [][2]string{channel, socket}},
			"a field of the app's":          {200, [][2]string{{"csrf", "1"}, socket, channel}},
			"a field of the app's twice":    {200, [][2]string{{"csrf", "1"}, socket, {"csrf", "2"}, channel}},
			"a name in other letters":       {400, [][2]string{{"Socket_ID", "123.456"}, channel}},
			"the socket twice":              {400, [][2]string{socket, channel, socket}},
			"the channel twice":             {400, [][2]string{channel, socket, channel}},
			"no socket":                     {400, [][2]string{channel}},
			"nothing":                       {400, nil},
			"a channel of somebody else":    {403, [][2]string{socket, {"channel_name", "private-conv-other"}}},
			"a channel with another member": {403, [][2]string{socket, {"channel_name", `presence-conv-team=3A42:{"user_id":"victim"}`}}},
		} {
			t.Run(kind+" with "+name, func(t *testing.T) {
				contentType, body := write(t, test.fields)
				w := send(t, contentType, body)
				if w.Code != test.status || w.Code == 200 && w.Body.String() != want {
					t.Errorf("%d %s, want %d", w.Code, w.Body, test.status)
				}
			})
		}
		t.Run(kind+" of 8 KiB and no more", func(t *testing.T) {
			for size, status := range map[int]int{8 << 10: 200, 8<<10 + 1: 413, 1 << 20: 413} {
				// Written twice by the same writer, as the boundary of a multipart form has one
				// length.
				_, empty := write(t, [][2]string{socket, channel, {"x", ""}})
				contentType, body := write(t, [][2]string{socket, channel, {"x", strings.Repeat("x", size-len(empty))}})
				if w := send(t, contentType, body); len(body) != size || w.Code != status {
					t.Errorf("%d bytes: %d, want %d", len(body), w.Code, status)
				}
			}
		})
		t.Run(kind+" that breaks off", func(t *testing.T) {
			contentType, body := write(t, [][2]string{socket, channel})
			if w := send(t, contentType, body[:len(body)-3]); kind != "a form" && w.Code != 400 || w.Code == 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	for name, body := range map[string]string{
		"a list":                    `["123.456"]`,
		"a number for a socket":     `{"socket_id":123.456,"channel_name":"private-conv-team=3A42"}`,
		"a list for a channel":      `{"socket_id":"123.456","channel_name":["private-conv-team=3A42"]}`,
		"null for a channel":        `{"socket_id":"123.456","channel_name":null}`,
		"something after its end":   `{"socket_id":"123.456","channel_name":"private-conv-team=3A42"}{}`,
		"a socket and then another": `{"socket_id":"123.456","channel_name":"private-conv-team=3A42","socket_\u0069d":"1.1"}`,
	} {
		t.Run("JSON with "+name, func(t *testing.T) {
			handler, _ := newAuthHandler(t, nil)
			r := httptest.NewRequest("POST", "/pusher/auth", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("User", "bob")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != 400 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

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
			if body.read > 16<<10 || read > 8<<10 {
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
