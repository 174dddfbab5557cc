package browser

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// hostile is text that would do something if it got into a page as more than text. A dialog fails
// the test that is at the page.
var hostile = []string{
	`<img src=x onerror=alert(1)>`,
	`<script>alert(1)</script>`,
	`"]'><svg/onload=alert(1)>`,
	`javascript:alert(1)`,
	`{{.User}} ${alert(1)} &lt;b&gt; <b>bold</b>`,
	"</textarea></template><iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
	"\u202Ereversed\u202C \u0000\u2028 \U0001F468\u200D\U0001F469",
}

func TestHostileTextStaysText(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice := newUser(t, "alice").newTab(chat.url)
	alice.visit(chat.url)
	alice.pardon("401")
	alice.submit(hostile[0], `"><b>`)
	alice.wait(`document.querySelector('.problem')`)
	if got := eval[string](alice, `document.querySelector('input[name=username]').value`); got != hostile[0] {
		t.Errorf("the form shows the name %q, want %q", got, hostile[0])
	}
	alice.shoot("refused")
	alice.visit(chat.url + "/#" + url.PathEscape(hostile[0]))
	alice.signIn()
	alice.choose(everyone)
	bob := openChat(t, chat, "bob")

	send := func(id, body string) {
		t.Helper()
		status := eval[int](alice, `fetch('/api/messages', {method: 'POST', headers: {'Content-Type': 'application/json'},
			body: JSON.stringify({id: %s, body: %s, conversation: %s})}).then((r) => r.status)`, id, body, everyone)
		if status != http.StatusCreated {
			t.Fatalf("sending %q as %q: status %d", body, id, status)
		}
	}
	bodies := append(hostile[:len(hostile):len(hostile)], "the last")
	for i, body := range bodies {
		id := strconv.Itoa(i)
		if i < len(hostile)-1 {
			id = body // any id is allowed
		}
		send(id, strings.ReplaceAll(body, "\x00", "\uFFFD"))
	}
	for _, p := range []*tab{alice, bob} {
		for _, body := range bodies {
			p.wait(`watch.message(%s)`, strings.ReplaceAll(body, "\x00", "\uFFFD"))
		}
		if n := eval[int](p, `document.querySelectorAll('.body *, iframe, img, script:not([src])').length`); n > 0 {
			t.Errorf("%s's page has %d elements that came by messages", p.name, n)
		}
	}
	alice.wait(`watch.message('the last').dataset.status === 'sent' && watch.message('the last').dataset.delivered === '1'`)
	alice.do(chromedp.Click(chromedp.CSS(".message:first-child .ticks")))
	alice.wait(`document.querySelector('#receipts:popover-open li')`)
	bob.choose(everyone)
	bob.shoot("hostile")
}

func TestPolicyStopsWhatGetsIntoThePage(t *testing.T) {
	t.Parallel()
	user := newUser(t, "alice")
	chat := runExample(t, "chat")
	origin, err := url.Parse(chat.url)
	if err != nil {
		t.Fatal(err)
	}
	// As if the chat had a hole: its pages, with their headers, and something more.
	const injected = `<script>window.pwned = 1</script><img src="/nothing" onerror="window.pwned = 2"><script src="data:,window.pwned=3"></script>
		<style>body { visibility: hidden }</style><form action="https://elsewhere.invalid/"></form>`
	holed := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(origin)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
				return nil
			}
			page, err := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(append(page, injected...)))
			r.Header.Del("Content-Length")
			r.ContentLength = -1
			return err
		},
	})
	t.Cleanup(holed.Close) // after the tab, which may still be asking it for something

	alice := user.newTab(holed.URL)
	alice.pardon("Content Security Policy", "TrustedHTML", "404", "data:,")
	alice.visit(holed.URL)
	alice.signIn()
	if pwned := eval[int](alice, `window.pwned ?? 0`); pwned > 0 {
		t.Errorf("injected script %d ran", pwned)
	}
	if got := eval[string](alice, `getComputedStyle(document.body).visibility`); got != "visible" {
		t.Error("the injected style works")
	}
	for _, directive := range []string{"script-src", "style-src"} {
		if got := alice.troubled(fmt.Sprintf("Content Security Policy directive '%s", directive)); len(got) == 0 {
			t.Errorf("nothing was stopped by %s: %q", directive, alice.troubles)
		}
	}
	if !eval[bool](alice, `(() => { try { document.body.innerHTML = '<b>text</b>'; return false } catch { return true } })()`) {
		t.Error("text gets into the page as HTML")
	}
}
