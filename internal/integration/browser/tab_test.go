package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

const (
	patience = time.Minute // with a page: the machine has other things to do, and pusher-js waits long before it tries again
	pause    = 50 * time.Millisecond
)

//go:embed testdata/watch.js
var watchJS string

// tab is a tab of a user's browser. What it has to complain about, such as an error on the console
// or a request to another host, fails the test at its end unless it is pardoned.
type tab struct {
	*user
	ctx   context.Context
	close func() // checks it too

	mu       sync.Mutex
	hosts    []string      // the only ones that it may speak to
	frames   []frame       // that came by WebSocket
	more     chan struct{} // closed and replaced when a frame comes
	troubles []string
	pardons  []string
}

// frame is a message of the Pusher protocol that came by WebSocket.
type frame struct{ Event, Channel, Data string }

// newTab opens a blank tab in front of the user's others, for a site that will be the only one it
// may speak to, besides these.
func (u *user) newTab(site string, others ...string) *tab {
	u.t.Helper()
	p := &tab{user: u, more: make(chan struct{})}
	for _, each := range append(others, site) {
		at, err := url.Parse(each)
		if err != nil {
			u.t.Fatal(err)
		}
		p.hosts = append(p.hosts, at.Host)
		u.origins = append(u.origins, at.Scheme+"://"+at.Host)
	}
	ctx, stop := chromedp.NewContext(u.ctx, chromedp.WithNewWindow(false), chromedp.WithListener(p.heard))
	p.ctx = ctx
	p.close = sync.OnceFunc(func() {
		p.check()
		stop()
	})
	u.t.Cleanup(p.close)
	if err := chromedp.Do(ctx); err != nil { // which opens it, and lasts as long as the context of this first call
		u.t.Fatalf("opening a tab: %v", err)
	}
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watchJS})
	return p
}

func (p *tab) visit(at string) {
	p.t.Helper()
	p.do(chromedp.Navigate(at))
}

func (p *tab) reload() {
	p.t.Helper()
	p.do(chromedp.Reload())
}

// look brings the tab to the front.
func (p *tab) look() {
	p.t.Helper()
	call(p, page.BringToFront, cdp.Empty{})
}

// call runs a command of the DevTools protocol on the page.
func call[P, R any](p *tab, command cdp.Command[P, R], params P) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, command, params); err != nil {
		p.t.Fatalf("%s's page: %s: %v", p.name, command.Method, err)
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s's page: %v", p.name, err)
	}
}

// enter types a text into a field, which is empty then, and presses Enter.
func (p *tab) enter(field, text string) {
	p.t.Helper()
	p.typeInto(field, text)
	p.pressEnter()
	p.wait(`document.querySelector(%s).value === ''`, field)
}

// submit fills in and submits a form that asks for a name and a password.
func (p *tab) submit(name, password string) {
	p.t.Helper()
	p.typeInto("input[name=username]", name)
	p.typeInto("input[name=password]", password)
	p.pressEnter()
}

func (p *tab) typeInto(field, text string) {
	p.t.Helper()
	p.do(chromedp.Focus(chromedp.CSS(field)))
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

func (p *tab) pressEnter() {
	p.t.Helper()
	call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "Enter", Text: "\r"})
	call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: "Enter"})
}

// script returns an expression with each %s replaced by an argument, written as JavaScript writes
// it.
func script(expression string, args ...any) string {
	for i, arg := range args {
		text, err := json.Marshal(arg)
		if err != nil {
			panic(err)
		}
		args[i] = text
	}
	return fmt.Sprintf(expression, args...)
}

// eval returns what an expression, or the promise that it is, becomes on the page.
func eval[T any](p *tab, expression string, args ...any) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	expression = script(expression, args...)
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s's page: %s: %v", p.name, expression, err)
	}
	return value
}

// wait waits until a condition, or the promise of one, holds on the page.
func (p *tab) wait(condition string, args ...any) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	condition = script(condition, args...)
	for {
		holds, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`(async () => Boolean(await (`+condition+`)))()`, chromedp.EvalAwaitPromise))
		if holds {
			return
		}
		select {
		case <-ctx.Done():
			p.fail("no %s (%v)", condition, err)
		case <-time.After(pause):
		}
	}
}

func (p *tab) fail(format string, args ...any) {
	p.t.Helper()
	text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	p.shoot("failed")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.Fatalf("%s's page: %s\ntroubles: %q\nit shows:\n%s", p.name, fmt.Sprintf(format, args...), p.troubles, text)
}

// shoot keeps a picture of the page, if pictures are wanted.
func (p *tab) shoot(stage string) {
	dir := os.Getenv("DELIVERY_SCREENSHOTS")
	if dir == "" {
		return
	}
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		name := strings.NewReplacer("/", "-", " ", "_", "'", "").Replace(p.t.Name() + "-" + stage + "-" + p.name + ".png")
		err = os.WriteFile(filepath.Join(dir, name), picture, 0o600)
	}
	if err != nil {
		p.t.Error(err)
	}
}
