package browser

import (
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

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
	t.Run("what was written offline leaves when the network is back", func(t *testing.T) {
		eval[any](alice, `void (window.realFetch = window.fetch, window.tries = [], window.fetch = (url, init) => {
			if (init?.body?.includes('from the tunnel')) tries.push(performance.now());
			return realFetch(url, init);
		}, addEventListener('online', () => { window.back = performance.now() }))`)
		alice.offline(true)
		alice.write("from the tunnel")
		alice.wait(`tries.length === 5`) // the next pause is at least 4 s
		alice.waitTicks("from the tunnel", "sending")
		alice.offline(false)
		alice.waitTicks("from the tunnel", "read")
		if ms := eval[float64](alice, `tries.at(-1) - back`); ms > 1000 {
			t.Errorf("it left after %.0f ms", ms)
		}
	})
	t.Run("ticks differ by shape, and own messages have a sender for those who listen", func(t *testing.T) {
		const pill = `Number(getComputedStyle(watch.message('from the tunnel').querySelector('.pill')).opacity)`
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
}

// offline takes the network away from the page's requests, and tells the page so.
func (p *tab) offline(offline bool) {
	p.t.Helper()
	call(p, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}},
	})
	call(p, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1})
}
