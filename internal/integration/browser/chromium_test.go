package browser

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// chromium is the browser that all tests share.
var chromium struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

// openChromium returns the context of the browser, which it starts if need be.
func openChromium(t testing.TB) context.Context {
	t.Helper()
	path := findChromium()
	if path == "" {
		need.Missing(t, "Chromium", "apt-get install chromium")
	}
	chromium.once.Do(func() {
		// Each window would have renderers in reserve, for the pages that the address bar may show
		// and for the next tab: half of what a user costs before the first page (Chromium 156).
		const reserves = "WebUIOmniboxPopup,WebUIOmniboxAimPopup,WebUIOmniboxFullPopup,SpareRendererForSitePerProcess"
		options := append(chromedp.DefaultExecAllocatorOptions[:], // headless, quiet, with a new profile that is removed again
			chromedp.ExecPath(path), chromedp.WindowSize(1100, 760), chromedp.Flag("force-prefers-reduced-motion", true),
			chromedp.Flag("disable-features", "Translate,BlinkGenPropertyTrees,"+reserves), // chromedp's own, and these
			chromedp.Flag("ignore-certificate-errors-spki-list", certifiedKey()))
		if os.Geteuid() == 0 {
			options = append(options, chromedp.NoSandbox) // which root can't have
		}
		allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, stop := chromedp.NewContext(allocator)
		chromium.ctx, chromium.stop = ctx, func() { stop(); stopAllocator() }
		chromium.err = chromedp.Do(ctx)
	})
	if chromium.err != nil {
		t.Fatal(chromium.err)
	}
	return chromium.ctx
}

func closeChromium() {
	if chromium.stop != nil {
		chromium.stop()
	}
}

func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// user is somebody with a browser of their own: nobody else has its cookies and its storage.
type user struct {
	t    testing.TB
	name string
	ctx  context.Context // of a blank tab

	origins []string // that the tabs were opened for
}

// left are browsers of users whose tests have passed, for the next ones: a new one costs a second
// of processor time.
var left = make(chan context.Context, 16)

func newUser(t testing.TB, name string) *user {
	t.Helper()
	u := &user{t: t, name: name}
	select {
	case u.ctx = <-left:
	default:
		u.ctx, _ = chromedp.NewContext(openChromium(t), chromedp.WithNewBrowserContext())
		if err := chromedp.Do(u.ctx); err != nil {
			t.Fatalf("opening %s's browser: %v", name, err)
		}
	}
	t.Cleanup(u.leave)
	return u
}

// leave leaves the browser to another user, without cookies and what pages have stored.
func (u *user) leave() {
	if !u.t.Failed() {
		_, err := chromedp.Call(u.ctx, network.ClearBrowserCookies, cdp.Empty{})
		for _, origin := range u.origins { // a later test may get the same port
			_, failed := chromedp.Call(u.ctx, storage.ClearDataForOrigin, storage.ClearDataForOriginParams{Origin: origin, StorageTypes: "all"})
			err = errors.Join(err, failed)
		}
		if err != nil {
			u.t.Errorf("leaving %s's browser: %v", u.name, err)
		} else {
			select {
			case left <- u.ctx:
				return
			default:
			}
		}
	}
	chromedp.Cancel(u.ctx)
}

// lookAway brings a blank tab to the front, so that the others are hidden.
func (u *user) lookAway() {
	u.t.Helper()
	if _, err := chromedp.Call(u.ctx, page.BringToFront, cdp.Empty{}); err != nil {
		u.t.Fatal(err)
	}
}
