package inspector_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

func TestNew(t *testing.T) {
	tracker := newDesk(t, memstore.New(), inspector.Options{}).tracker
	if _, err := inspector.New(nil, gate, nil); err == nil {
		t.Error("New takes no tracker")
	}
	if _, err := inspector.New(tracker, nil, nil); err == nil {
		t.Error("New takes no gate")
	}
	if _, err := inspector.New(tracker, gate, nil); err != nil {
		t.Error(err)
	}
}

func TestHandler(t *testing.T) {
	paths := []string{"/", "/funnel", "/dead", "/message?id=m1", "/confirm?do=replay&event=1", "/replay", "/discard", "/style.css", "/icon.svg", "/nowhere", ""}

	t.Run("who may not look learns nothing, not even which pages there are", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{Actions: true})
		d.bury("room", "m1")
		for _, person := range []string{"nobody", "unknown", "odd"} {
			for _, at := range paths {
				for _, method := range []string{"GET", "POST", "DELETE"} {
					if status, text := d.do(person, method, at, form(1)); status != 403 || text != "You may not look at this.\n" {
						t.Errorf("%s, %s %s: status %d, %q", person, method, at, status, text)
					}
				}
			}
		}
		if status, text := d.get("broken", "/"); status != 500 || strings.Contains(text, "sessions") {
			t.Errorf("a gate that fails: status %d, %q", status, text)
		}
		if got := d.dead(); !slices.Equal(got, []int64{1}) {
			t.Errorf("dead letters %v", got)
		}
	})

	t.Run("every answer keeps browsers from storing, framing and running it", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{Actions: true})
		d.bury("room", "m1")
		for _, person := range []string{"nobody", "reader", "actor", "broken"} {
			for _, at := range paths {
				r := httptest.NewRequestWithContext(t.Context(), "GET", prefix+at, nil)
				r.Header.Set("Person", person)
				answer := httptest.NewRecorder()
				d.ServeHTTP(answer, r)
				for name, part := range map[string]string{
					"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
					"Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
				} {
					if got := answer.Header().Get(name); got != part {
						t.Errorf("%s, %s: %s is %q", person, at, name, got)
					}
				}
				if strings.Contains(answer.Body.String(), "<script") || strings.Contains(answer.Body.String(), "style=") {
					t.Errorf("%s, %s: a script or a style that the policy forbids:\n%s", person, at, answer.Body)
				}
			}
		}
	})

	t.Run("unknown pages are 404, and other methods 405", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{Actions: true})
		for _, at := range []string{"/nowhere", "/dead/", "/Dead", "/%64ead", "//", "/./dead", "/funnel/", "/funnel.html", "/layout.html", "/dead.html", "/web/style.css"} {
			status, text := d.get("reader", at)
			d.want(at, status, text, 404, "There is no such page.")
		}
		for _, at := range paths[:9] {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"} {
				post := at == "/replay" || at == "/discard"
				if post == (method == "POST") && (post || method == "GET" || method == "HEAD") {
					continue
				}
				r := httptest.NewRequestWithContext(t.Context(), method, prefix+at, nil)
				r.Header.Set("Person", "actor")
				answer := httptest.NewRecorder()
				d.ServeHTTP(answer, r)
				want := "GET, HEAD"
				if post {
					want = "POST"
				}
				if answer.Code != 405 || answer.Header().Get("Allow") != want {
					t.Errorf("%s %s: status %d, Allow %q", method, at, answer.Code, answer.Header().Get("Allow"))
				}
			}
		}
	})

	t.Run("a HEAD is a GET", func(t *testing.T) {
		d := newDesk(t, memstore.New(), inspector.Options{})
		for at, want := range map[string]int{"/": 200, "/dead": 200, "/style.css": 200, "/nowhere": 404, "/replay": 405} {
			if status, text := d.do("reader", "HEAD", at, nil); status != want {
				t.Errorf("HEAD %s: status %d, want %d:\n%s", at, status, want, text)
			}
		}
	})

	t.Run("it works under any prefix", func(t *testing.T) {
		tracker := newDesk(t, memstore.New(), inspector.Options{}).tracker
		h, err := inspector.New(tracker, func(*http.Request) (inspector.Access, error) { return inspector.MayLook, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{"", "/inspect", "/a/b/c", "/with%20space"} {
			server := httptest.NewServer(http.StripPrefix(at, h))
			defer server.Close()
			if strings.Contains(at, "%") {
				server.Config.Handler = http.StripPrefix("/with space", h)
			}
			for _, page := range []string{at, at + "/"} {
				answer, err := server.Client().Get(server.URL + page)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(answer.Body)
				answer.Body.Close()
				if err != nil || answer.StatusCode != 200 || answer.Request.URL.EscapedPath() != at+"/" && at != "" {
					t.Fatalf("%s: %v, %v, at %s", page, answer.Status, err, answer.Request.URL)
				}
				for _, match := range regexp.MustCompile(`(?:href|action|src)="([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
					to, err := answer.Request.URL.Parse(match[1])
					if err != nil {
						t.Fatal(err)
					}
					linked, err := server.Client().Get(to.String())
					if err != nil {
						t.Fatal(err)
					}
					linked.Body.Close()
					if linked.StatusCode != 200 {
						t.Errorf("%s links to %s: %s", page, to, linked.Status)
					}
				}
			}
		}
	})

	t.Run("a path that is all prefix leads nowhere else", func(t *testing.T) {
		h, err := inspector.New(newDesk(t, memstore.New(), inspector.Options{}).tracker, gate, nil)
		if err != nil {
			t.Fatal(err)
		}
		for whole, want := range map[string]string{"/inspect": "./inspect/", "//evil.example": "./evil.example/", "/a/b?c=d": "./b/", "http://evil.example/x": "./x/"} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", whole, nil)
			r.URL.Path, r.URL.RawPath = "", ""
			r.Header.Set("Person", "reader")
			answer := httptest.NewRecorder()
			h.ServeHTTP(answer, r)
			if got := answer.Header().Get("Location"); answer.Code != http.StatusTemporaryRedirect || got != want {
				t.Errorf("%s: status %d, to %q", whole, answer.Code, got)
			}
		}
	})
}
