package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/chromedp/chromedp"
)

// A test gets a browser that another one has left, even if its server has the same port.
func TestWhoInheritsABrowserFindsNothingInIt(t *testing.T) {
	openChromium(t)
	for len(left) > 0 { // bob is to get alice's
		chromedp.Cancel(<-left)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
	}))
	defer server.Close()
	browsers := make([]context.Context, 2)
	for i, name := range []string{"alice", "bob"} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t, name)
			browsers[i] = u.ctx
			p := u.newTab(server.URL)
			p.pardon("favicon")
			p.visit(server.URL)
			if found := eval[string](p, `document.cookie + localStorage.getItem('key')`); found != "null" {
				t.Errorf("%s finds %q", name, found)
			}
			eval[any](p, `void (document.cookie = 'a=b', localStorage.setItem('key', 'value'))`)
		})
	}
	if browsers[0] != browsers[1] {
		t.Error("nobody inherits")
	}
}
