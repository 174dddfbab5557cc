package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// lastInView says whether the last line of the last message is in view.
const lastInView = `(() => {
	const pane = document.querySelector('.log:not([hidden]) .pane');
	const last = pane.querySelector('li:last-child .meta').getBoundingClientRect();
	return last.bottom <= pane.getBoundingClientRect().bottom && last.bottom <= innerHeight;
})()`

func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// TestChatPage holds the page to what its users take for granted. The parts share two browsers.
func TestChatPage(t *testing.T) {
	t.Parallel()
	openChromium(t)
	chat := runExample(t, "chat", "-pusher-js", pusherJS(t, "web/pusher.min.js"))
	alice, bob := openChat(t, chat, "alice"), openChat(t, chat, "bob")
	alice.pardon("net::ERR_", "403")
	for _, p := range []*tab{alice, bob} {
		p.choose(direct)
	}

	t.Run("a half-written text is there after a reload, for its conversation alone", func(t *testing.T) {
		alice.typeInto("#composer textarea", "half a sen")
		alice.reload()
		alice.wait(`document.querySelector('#composer textarea').value === 'half a sen'`)
		alice.choose(everyone)
		alice.wait(`document.querySelector('#composer textarea').value === ''`)
		alice.choose(direct)
		alice.wait(`document.querySelector('#composer textarea').value === 'half a sen'`)
		alice.listens(directChannel)
	})
	t.Run("a late answer of pusher-js to a signature does not throw the user out", func(t *testing.T) {
		eval[any](alice, `void Pusher.instances[0].channel(%s).emit('pusher:subscription_error', {type: 'AuthError', status: 401})`, directChannel)
		bob.write("still there?")
		alice.wait(`watch.message('still there?')`)
		alice.wait(`document.querySelector('#composer textarea').value === 'half a sen'`)
		alice.typeInto("#composer textarea", "tence")
		alice.pressEnter()
		alice.waitTicks("half a sentence", "read")
	})
	t.Run("only who may be seen to read counts in Read by", func(t *testing.T) {
		const words = `import('/web/text.js').then(({ describe }) => describe(%s))`
		for _, c := range []struct {
			message map[string]any
			want    string
		}{
			{map[string]any{"status": "read", "delivered": 3, "read": 3, "total": 3, "readers": 3}, "Read by everyone"},
			{map[string]any{"status": "delivered", "delivered": 3, "read": 1, "total": 3, "readers": 2}, "Read by 1 of 2"},
			{map[string]any{"status": "read", "delivered": 3, "read": 2, "total": 3, "readers": 2}, "Read by 2 of 2"},
			{map[string]any{"status": "delivered", "delivered": 3, "read": 0, "total": 3, "readers": 0}, "Delivered to everyone"},
			{map[string]any{"status": "sent", "delivered": 2, "read": 0, "total": 3, "readers": 3}, "Delivered to 2 of 3"},
			{map[string]any{"status": "sent", "delivered": 0, "read": 0, "total": 0, "readers": 0}, "Sent"},
			{map[string]any{"status": "read", "delivered": 2, "read": 1, "total": 0, "readers": 0}, "Read by 1"},
			{map[string]any{"status": "delivered", "delivered": 2, "read": 0, "total": 0, "readers": 0}, "Delivered to 2"},
		} {
			if got := eval[string](alice, words, c.message); got != c.want {
				t.Errorf("%v: %q, want %q", c.message, got, c.want)
			}
		}
	})
	t.Run("the list has the last message, its time and its ticks", func(t *testing.T) {
		const link = `document.querySelector('a[data-conversation-id="direct:alice:bob"]')`
		alice.wait(link + `.querySelector('.last').textContent === 'You: half a sentence' && ` + link + `.dataset.status === 'read'`)
		alice.wait(link + `.querySelector('time').textContent !== ''`)
		bob.wait(link + `.querySelector('.last').textContent === 'half a sentence' && ` + link + `.dataset.status === undefined`)
	})
	t.Run("a refused message stays over a reload, and can be edited and sent", func(t *testing.T) {
		eval[any](alice, `void (window.realFetch = window.fetch, window.fetch = (url, init) => init?.body?.includes('refuse me')
			? Promise.resolve(Response.json({code: 'forbidden', title: 'Not allowed'}, {status: 403})) : realFetch(url, init))`)
		alice.write("refuse me")
		alice.waitTicks("refuse me", "failed")
		alice.shoot("refused")
		alice.reload()
		alice.waitTicks("refuse me", "failed")
		alice.click(`.message[data-status=failed] .edit`)
		alice.wait(`!watch.message('refuse me') && document.querySelector('#composer textarea').value === 'refuse me'`)
		alice.typeInto("#composer textarea", " not")
		alice.pressEnter()
		alice.waitTicks("refuse me not", "read")
	})
	t.Run("the composer grows with its text in a browser without field-sizing, too", func(t *testing.T) {
		const height = `document.querySelector('#composer textarea').clientHeight`
		eval[any](alice, `void (CSS.supports = () => false, document.querySelector('#composer textarea').style.fieldSizing = 'fixed')`)
		low := eval[int](alice, height)
		alice.typeInto("#composer textarea", "one\ntwo\nthree")
		alice.wait(height+` > 2 * %s`, low)
		alice.pressEnter()
		alice.waitTicks("one\ntwo\nthree", "read")
		alice.wait(height+` === %s`, low)
		alice.reload()
	})
	t.Run("a growing composer and a phone's keyboard hide no new message, and it is read", func(t *testing.T) {
		for i := range 8 {
			alice.write(strings.Repeat("fill the screen ", i+1))
			alice.waitTicks(strings.TrimSpace(strings.Repeat("fill the screen ", i+1)), "read")
		}
		bob.wait(`document.querySelectorAll('.log:not([hidden]) .message').length > 8 && ` + lastInView)
		bob.typeInto("#composer textarea", "one\ntwo\nthree\nfour\nfive")
		bob.wait(`document.querySelector('#composer textarea').clientHeight > 100 && ` + lastInView)
		alice.write("behind the composer?")
		alice.waitTicks("behind the composer?", "read")
		call(bob, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 420, DeviceScaleFactor: 1})
		bob.wait(`innerHeight === 420 && ` + lastInView)
		alice.write("behind the keyboard?")
		alice.waitTicks("behind the keyboard?", "read")
		bob.shoot("keyboard")
		call(bob, emulation.ClearDeviceMetricsOverride, cdp.Empty{})
	})
	t.Run("who reads further up is told of new messages, and has not read them", func(t *testing.T) {
		eval[any](bob, `void (document.querySelector('.log:not([hidden]) .pane').scrollTop = 0)`)
		bob.wait(`document.querySelector('.log:not([hidden]) .newer').checkVisibility()`)
		alice.write("down here")
		bob.wait(`document.querySelector('.log:not([hidden]) .newer').innerText.trim() === '1 new'`)
		bob.shoot("new messages")
		alice.waitTicks("down here", "delivered")
		bob.click(`.log:not([hidden]) .newer`)
		alice.waitTicks("down here", "read")
		bob.wait(`!document.querySelector('.log:not([hidden]) .newer').checkVisibility()`)
	})
	t.Run("what was written offline leaves when the network is back", func(t *testing.T) {
		eval[any](alice, `void (window.realFetch = window.fetch, window.tries = [], window.fetch = (url, init) => {
			if (init?.body?.includes('from the tunnel')) tries.push(performance.now());
			return realFetch(url, init);
		}, addEventListener('online', () => { window.back = performance.now() }))`)
		alice.offline(true)
		alice.write("from the tunnel")
		alice.wait(`tries.length === 5`) // the next pause is at least 4 s
		alice.waitTicks("from the tunnel", "sending")
		eval[any](alice, `void (window.Date = class extends (window.realDate = Date) {
			constructor(...at) { at.length ? super(...at) : super(realDate.now() - 3600_000) }
			static now() { return realDate.now() - 3600_000 }
		})`)
		alice.write("when the clock had gone back")
		eval[any](alice, `void (window.Date = realDate)`)
		alice.offline(false)
		alice.waitTicks("from the tunnel", "read")
		alice.waitTicks("when the clock had gone back", "read")
		for _, p := range []*tab{alice, bob} {
			p.wait(`[...document.querySelectorAll('.log:not([hidden]) .body')].slice(-2).map((b) => b.textContent).join() === 'from the tunnel,when the clock had gone back'`)
		}
		if ms := eval[float64](alice, `tries.at(-1) - back`); ms > 1000 {
			t.Errorf("it left after %.0f ms", ms)
		}
	})
	t.Run("ticks differ by shape, and own messages have a sender for those who listen", func(t *testing.T) {
		const pill = `Number(getComputedStyle(watch.message('down here').querySelector('.pill')).opacity)`
		alice.wait(pill + ` === 1`)
		bob.lookAway()
		alice.write("not read")
		alice.waitTicks("not read", "delivered")
		alice.wait(`Number(getComputedStyle(watch.message('not read').querySelector('.pill')).opacity) === 0`)
		if got := eval[string](alice, `watch.message('not read').querySelector('.sender').innerText`); got != "You" {
			t.Errorf("the sender is %q", got)
		}
		if !eval[bool](alice, `[...document.querySelectorAll('.body, .sender, .last, textarea')].every((e) => e.dir === 'auto')`) {
			t.Error("text of other scripts has the wrong direction")
		}
		bob.look()
	})
	t.Run("a full storage loses nothing in silence", func(t *testing.T) {
		// The pieces are written once each. The last one, shorter than the key of a piece, grows.
		fill := `for (let n = 1 << 20, i = 0; n > 0; ) try { %[1]s.setItem('fill ' + i, 'x'.repeat(n)); i++ } catch { n >>= 1 }
			try { for (let n = 0; ; n++) %[1]s.setItem('f', 'x'.repeat(n)) } catch {}`
		eval[any](alice, `(() => { `+fmt.Sprintf(fill, "localStorage")+` })()`)
		alice.typeInto("#composer textarea", "kept elsewhere")
		alice.reload()
		alice.wait(`document.querySelector('#composer textarea').value === 'kept elsewhere'`)
		eval[any](alice, `(() => { `+fmt.Sprintf(fill, "sessionStorage")+` })()`)
		alice.typeInto("#composer textarea", " and nowhere")
		alice.wait(`document.querySelector('#full').checkVisibility()`)
		alice.shoot("full")
		alice.pressEnter()
		alice.waitTicks("kept elsewhere and nowhere", "read")
		alice.wait(`!document.querySelector('#full').checkVisibility()`)
	})
}

// offline takes the network away from the page's requests, and tells the page so.
func (p *tab) offline(offline bool) {
	p.t.Helper()
	call(p, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}},
	})
	call(p, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1})
}
