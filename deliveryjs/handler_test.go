package deliveryjs_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery/deliveryjs"
)

func get(path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	http.StripPrefix("/delivery", deliveryjs.Handler()).ServeHTTP(w, r)
	return w
}

func current(module string) string { return "/delivery/" + deliveryjs.Version() + "/" + module }

func unzip(t *testing.T, zipped io.Reader) []byte {
	t.Helper()
	r, err := gzip.NewReader(zipped)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestModulesAreSmall(t *testing.T) {
	limits := map[string]int{"delivery.js": 6 << 10, "pusher.js": 2 << 10, "echo.js": 2 << 10, "eventsource.js": 2 << 10, "shared.js": 2 << 10, "protocol.js": 2 << 10}
	files, err := filepath.Glob("served/*")
	if err != nil || len(files) != len(limits) {
		t.Errorf("served are %q, %v", files, err)
	}
	for name, limit := range limits {
		answer := get(current(name), "Accept-Encoding", "gzip")
		if n := answer.Body.Len(); answer.Code != http.StatusOK || n == 0 || n > limit {
			t.Errorf("%s: %d bytes, status %d; want at most %d", name, n, answer.Code, limit)
		}
	}
}

func TestHandler(t *testing.T) {
	t.Run("a module without a version is found at its version", func(t *testing.T) {
		for _, path := range []string{"/delivery/delivery.js", "/delivery/0123456789ab/delivery.js"} {
			answer := get(path)
			at, err := url.Parse(path)
			if err != nil {
				t.Fatal(err)
			}
			to, err := at.Parse(answer.Header().Get("Location"))
			if err != nil || answer.Code != http.StatusFound || to.String() != current("delivery.js") {
				t.Errorf("%s: %d to %v, %v", path, answer.Code, to, err)
			}
			if got := answer.Header().Get("Cache-Control"); got != "no-cache" {
				t.Errorf("%s: Cache-Control %q", path, got)
			}
		}
	})
	t.Run("a module at its version is kept for ever", func(t *testing.T) {
		header := get(current("delivery.js")).Header()
		for name, want := range map[string]string{
			"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "public, max-age=31536000, immutable",
			"Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff", "Content-Encoding": "",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	})
	t.Run("clients that take gzip get it, and the same bytes", func(t *testing.T) {
		plain := get(current("delivery.js"))
		for _, accepted := range []string{"gzip", "br, GZIP;q=0.5", "deflate , gzip"} {
			zipped := get(current("delivery.js"), "Accept-Encoding", accepted)
			if zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Header().Get("ETag") == plain.Header().Get("ETag") {
				t.Errorf("%q: %v", accepted, zipped.Header())
			} else if !bytes.Equal(unzip(t, zipped.Body), plain.Body.Bytes()) {
				t.Errorf("%q: other bytes", accepted)
			}
		}
		for _, accepted := range []string{"", "br", "gzip;q=0", "gzip; q=0.000", "notgzip"} {
			if got := get(current("delivery.js"), "Accept-Encoding", accepted); got.Header().Get("Content-Encoding") != "" {
				t.Errorf("%q: %v", accepted, got.Header())
			}
		}
	})
	t.Run("who has a module is told so", func(t *testing.T) {
		for _, accepted := range []string{"", "gzip"} {
			tag := get(current("pusher.js"), "Accept-Encoding", accepted).Header().Get("ETag")
			for _, known := range []string{tag, `"other", W/` + tag} {
				answer := get(current("pusher.js"), "Accept-Encoding", accepted, "If-None-Match", known)
				if answer.Code != http.StatusNotModified || answer.Body.Len() > 0 {
					t.Errorf("%s: %d, %d bytes", known, answer.Code, answer.Body.Len())
				}
			}
		}
		if answer := get(current("pusher.js"), "If-None-Match", `"other"`); answer.Code != http.StatusOK {
			t.Errorf("another tag: %d", answer.Code)
		}
	})
	t.Run("nothing else is there", func(t *testing.T) {
		for _, path := range []string{"/delivery/", "/delivery/handler.go", "/delivery/a/b/delivery.js", "/delivery/" + deliveryjs.Version() + "/", current("x.js")} {
			if answer := get(path); answer.Code != http.StatusNotFound {
				t.Errorf("%s: %d", path, answer.Code)
			}
		}
		w := httptest.NewRecorder()
		deliveryjs.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/delivery.js", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST: %d %v", w.Code, w.Header())
		}
	})
}

// TestTypes holds the names that the types export to those that the modules export.
func TestTypes(t *testing.T) {
	exported := regexp.MustCompile(`(?m)^export (?:declare )?(?:class|function) (\w+)`)
	names := func(file string) string {
		text, err := os.ReadFile(filepath.Join("client", file))
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, match := range exported.FindAllStringSubmatch(string(text), -1) {
			all = append(all, match[1])
		}
		return fmt.Sprint(all)
	}
	for _, module := range []string{"pusher", "echo", "eventsource", "shared", "protocol"} {
		if got, want := names(module+".d.ts"), names(module+".js"); got != want {
			t.Errorf("%s.d.ts declares %s, and the module exports %s", module, got, want)
		}
	}
	if got := names("delivery.d.ts"); !strings.Contains(got, "Delivery") || !strings.Contains(got, "Conversation") || !strings.Contains(got, "Refusal") {
		t.Errorf("delivery.d.ts declares %s", got)
	}
}
