package deliveryhttp_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryhttp"
	"github.com/msgdelivery/delivery/deliverytest"
	"github.com/msgdelivery/delivery/memstore"
)

// overTheWire speaks to a real server.
type overTheWire struct{ base string }

func (c *overTheWire) get(t *testing.T, user, path string, query url.Values) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", c.base+path+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.do(t, user, r, http.StatusOK)
}

func (c *overTheWire) post(t *testing.T, user, path string, body map[string]any, status int) string {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", c.base+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	return c.do(t, user, r, status)
}

func (c *overTheWire) do(t *testing.T, user string, r *http.Request, status int) string {
	t.Helper()
	r.Header.Set("X-User", user)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != status {
		t.Errorf("%s %s: answered %d %s, %v", r.Method, r.URL, answer.StatusCode, text, err)
	}
	return string(text)
}

func quote(t *testing.T, s string) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNew(t *testing.T) {
	tracker, err := delivery.New(memstore.New(), &deliverytest.Recorder{}, &delivery.Options{Authorize: rule})
	if err != nil {
		t.Fatal(err)
	}
	enough := &deliveryhttp.Options{Audience: everyone}
	for _, c := range []struct {
		name     string
		tracker  *delivery.Tracker
		identify func(*http.Request) (string, error)
		opts     *deliveryhttp.Options
		want     string // in the error; none if empty
	}{
		{"an audience and nothing else is enough", tracker, identify, enough, ""},
		{"no options are refused", tracker, identify, nil, "Audience"},
		{"no audience is refused", tracker, identify, &deliveryhttp.Options{Logger: slog.Default()}, "Audience"},
		{"nobody to identify users is refused", tracker, nil, enough, "identify"},
		{"no tracker is refused", nil, identify, enough, "tracker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := deliveryhttp.New(c.tracker, c.identify, c.opts)
			if c.want == "" && (err != nil || h == nil) {
				t.Errorf("got %v, %v", h, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || h != nil) {
				t.Errorf("got %v, %v; want an error about %s", h, err, c.want)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	d := newDesk(t, nil)
	for path, allow := range map[string]string{
		"/messages": "GET, HEAD, POST", "/changes": "GET, HEAD", "/receipts": "GET, HEAD",
		"/marks": "POST", "/marks/batch": "POST", "/marks/up-to": "POST",
	} {
		for _, method := range []string{"PUT", "OPTIONS", "TRACE", "CONNECT", "GETT"} {
			answer, _ := d.do(request{"bob", method, path, "", nil})
			if answer.Code != http.StatusMethodNotAllowed || answer.Header().Get("Allow") != allow {
				t.Errorf("%s %s: answered %d, Allow %q", method, path, answer.Code, answer.Header().Get("Allow"))
			}
		}
	}
	t.Run("HEAD is GET without a body", func(t *testing.T) {
		server := httptest.NewServer(d)
		defer server.Close()
		r, err := http.NewRequestWithContext(t.Context(), "HEAD", server.URL+"/messages?conversation=room", nil)
		if err != nil {
			t.Fatal(err)
		}
		if text := (&overTheWire{}).do(t, "bob", r, http.StatusOK); text != "" {
			t.Errorf("got %s", text)
		}
	})
}

func TestCrossOrigin(t *testing.T) {
	t.Run("refuses before anything is asked or read", func(t *testing.T) {
		d := newDesk(t, nil)
		q := routes[0].with("Sec-Fetch-Site", "cross-site").with("X-Sessions", "down")
		answer, _ := d.do(q)
		refused(t, q, answer, http.StatusForbidden, "cross_origin")
	})
	t.Run("lets the same origin in", func(t *testing.T) {
		d := newDesk(t, nil)
		for _, q := range []request{
			routes[0].with("Sec-Fetch-Site", "same-origin"),
			routes[0].with("Origin", "http://example.com"), // which is where httptest's requests go
		} {
			if answer, _ := d.do(q); answer.Code != http.StatusCreated {
				t.Errorf("answered %d %s", answer.Code, answer.Body)
			}
		}
	})
	t.Run("lets in whom the app's own protection trusts, and only them", func(t *testing.T) {
		protection := http.NewCrossOriginProtection()
		if err := protection.AddTrustedOrigin("https://app.example"); err != nil {
			t.Fatal(err)
		}
		protection.SetDenyHandler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the deny handler was called") }))
		d := newDesk(t, &deliveryhttp.Options{CrossOrigin: protection})
		q := routes[0].with("Sec-Fetch-Site", "cross-site")
		if answer, _ := d.do(q.with("Origin", "https://app.example")); answer.Code != http.StatusCreated {
			t.Errorf("answered %d %s", answer.Code, answer.Body)
		}
		answer, _ := d.do(q.with("Origin", "https://app.example.evil"))
		refused(t, q, answer, http.StatusForbidden, "cross_origin")
	})
}
