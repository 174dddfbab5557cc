package browser

import (
	"context"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
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
		options := append(chromedp.DefaultExecAllocatorOptions[:], // headless, quiet, with a new profile that is removed again
			chromedp.ExecPath(path), chromedp.WindowSize(1100, 760), chromedp.Flag("force-prefers-reduced-motion", true),
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
}

func newUser(t testing.TB, name string) *user {
	t.Helper()
	ctx, stop := chromedp.NewContext(openChromium(t), chromedp.WithNewBrowserContext())
	t.Cleanup(stop)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening %s's browser: %v", name, err)
	}
	return &user{t, name, ctx}
}

// lookAway brings a blank tab to the front, so that the others are hidden.
func (u *user) lookAway() {
	u.t.Helper()
	if _, err := chromedp.Call(u.ctx, page.BringToFront, cdp.Empty{}); err != nil {
		u.t.Fatal(err)
	}
}
