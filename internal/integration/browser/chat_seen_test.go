package browser

import (
	"slices"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

func (p *tab) pressEscape() {
	p.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		call(p, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Key: "Escape", WindowsVirtualKeyCode: 27})
	}
}

// The page shows who has read a message, and a window with everybody who got it. Each page of
// receipts has one recipient.
func TestSeenBy(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice, bob, carol := openChat(t, chat, "alice"), openChat(t, chat, "bob"), openChat(t, chat, "carol")
	for _, p := range []*tab{alice, bob, carol} {
		p.choose(everyone)
	}
	carol.lookAway()
	eval[any](alice, `void (window.realFetch = fetch, window.asked = [], window.fetch = (url, init) => {
		if (url.includes('/receipts?')) asked.push(url);
		return realFetch(url.replace('limit=50', 'limit=1'), init);
	})`)
	const (
		seen  = `[...watch.message('lunch?').querySelectorAll('.seen .avatar')].filter((avatar) => avatar.checkVisibility()).map((avatar) => avatar.title).join()`
		names = `[...document.querySelectorAll('#receipts:popover-open li')].map((li) => li.dataset.recipient + ' ' + li.dataset.status).join()`
		words = `[...document.querySelectorAll('#receipts li .when')].map((when) => when.textContent)`
	)

	t.Run("a message in a group shows the avatars of those who have read it", func(t *testing.T) {
		alice.write("lunch?")
		alice.waitCount("lunch?", "delivered", "Read by 1 of 2")
		alice.wait(seen + ` === 'bob'`)
		alice.shoot("one")
	})
	t.Run("the window has everybody, in pages, and Escape leads back to the button", func(t *testing.T) {
		alice.do(chromedp.Focus(chromedp.CSS(".message .who")))
		alice.pressEnter()
		alice.wait(names + ` === 'bob read'`)
		if !eval[bool](alice, `document.querySelector('#receipts').contains(document.activeElement)`) {
			t.Error("the window does not have the focus")
		}
		alice.click("#receipts .more")
		alice.wait(names + ` === 'bob read,carol delivered' && !document.querySelector('#receipts .more').checkVisibility()`)
		alice.shoot("window")
		alice.pressEscape()
		alice.wait(names + ` === '' && document.activeElement === document.querySelector('.message .who')`)
	})
	t.Run("the window follows what happens, and its button closes it", func(t *testing.T) {
		alice.click(".message .ticks")
		alice.click("#receipts .more")
		alice.wait(names + ` === 'bob read,carol delivered'`)
		carol.look()
		alice.wait(names + ` === 'bob read,carol read'`)
		alice.click("#receipts .close")
		alice.wait(names + ` === '' && document.activeElement === document.querySelector('.message .who')`)
		alice.wait(seen + ` === 'bob,carol'`)
	})
	t.Run("pressing the button again closes the window", func(t *testing.T) {
		alice.click(".message .who")
		alice.wait(names + ` === 'bob read'`)
		before := eval[int](alice, `asked.length`)
		alice.click(".message .who")
		alice.wait(names + ` === ''`)
		if n := eval[int](alice, `asked.length`); n != before {
			t.Error("it opens again")
		}
	})
	t.Run("a direct message has no avatars, and asks for none", func(t *testing.T) {
		alice.choose(direct)
		bob.choose(direct)
		alice.write("just you")
		alice.waitTicks("just you", "read")
		alice.click(".log:not([hidden]) .who")
		alice.wait(names + ` === 'bob read'`)
		alice.shoot("direct")
		if n := eval[int](alice, `asked.filter((url) => url.includes(watch.message('just you').dataset.messageId)).length`); n != 1 {
			t.Errorf("%d requests, want the window's one", n)
		}
	})
	t.Run("a message that is deleted takes its window along", func(t *testing.T) {
		other := alice.newTab(chat.url)
		other.visit(chat.url + "/#" + direct)
		other.click(".log:not([hidden]) .message .remove")
		alice.wait(names + ` === ''`)
	})
	t.Run("each receipt says its time, or why there is none", func(t *testing.T) {
		for _, c := range []struct {
			receipt map[string]any
			want    string
		}{
			{map[string]any{"status": "sent"}, "Not on a device yet"},
			{map[string]any{"status": "sent", "reason": "untracked"}, "Shares nothing of what arrives or is read"},
			{map[string]any{"status": "delivered", "delivered_at": "2026-01-02T03:04:05Z"}, "Delivered Jan 2, 2026, 3:04 AM"},
			{map[string]any{"status": "delivered", "delivered_at": "2026-01-02T03:04:05Z", "reason": "capped"}, "Delivered Jan 2, 2026, 3:04 AM, hides what is read"},
			{map[string]any{"status": "read", "delivered_at": "2026-01-02T03:04:05Z", "read_at": "2026-01-02T13:04:05Z"}, "Read Jan 2, 2026, 1:04 PM"},
		} {
			if got := eval[string](alice, `import('/web/text.js').then(({ describeReceipt }) => describeReceipt(%s))`, c.receipt); got != c.want {
				t.Errorf("%v: %q, want %q", c.receipt, got, c.want)
			}
		}
	})
	t.Run("what cannot be loaded is said", func(t *testing.T) {
		alice.choose(everyone)
		eval[any](alice, `void (window.fetch = (url, init) => url.includes('/receipts?') ? Promise.reject(new Error('away')) : realFetch(url, init))`)
		alice.click(".log:not([hidden]) .message .who")
		alice.wait(`document.querySelector('#receipts:popover-open .note').textContent.startsWith('This cannot be loaded now')`)
		if got := eval[[]string](alice, words); !slices.Equal(got, []string{}) {
			t.Errorf("it shows %q", got)
		}
		alice.shoot("away")
	})
}

// A message for everybody who may read a conversation has no list of recipients.
func TestSeenByOfAnOpenMessage(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice := openChat(t, chat, "alice")
	alice.choose(everyone)
	alice.write("for all")
	alice.waitTicks("for all", "sent")
	eval[any](alice, `import('/web/receipts.js').then(({ open }) => open({
		receipts: async () => ({ receipts: [{ recipient: 'bob', status: 'delivered', delivered_at: new Date().toISOString() }], more: false }),
	}, { id: 'open', total: 0 }, document.querySelector('.message .who')))`)
	alice.wait(`document.querySelector('#receipts:popover-open .note').textContent.startsWith('Everybody who may read')`)
	alice.shoot("open")
}
