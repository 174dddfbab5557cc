package browser

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/msgdelivery/delivery/deliverywire"
)

// The conversations of the chat, and their channels.
const (
	everyone        = "everyone"
	direct          = "direct:alice:bob"
	everyoneChannel = "private-conv-everyone"
	directChannel   = "private-conv-direct=3Aalice=3Abob"
)

// eachClient runs a test of what pages hear with each client of the Pusher protocol that the
// examples' pages can use. What pages do with it depends on no client.
func eachClient(t *testing.T, test func(t *testing.T, flags ...string)) {
	t.Parallel()
	openChromium(t) // or there is nothing to do
	t.Run("with the page's own client", func(t *testing.T) {
		t.Parallel()
		test(t)
	})
	t.Run("with pusher-js", func(t *testing.T) {
		t.Parallel()
		test(t, "-pusher-js", pusherJS(t, "web/pusher.min.js"))
	})
}

// openChat opens the chat in a browser of the user's own, signed in and listening.
func openChat(t *testing.T, chat *program, name string) *tab {
	t.Helper()
	return openChatAt(t, chat.url, name)
}

func openChatAt(t *testing.T, url, name string, otherSites ...string) *tab {
	t.Helper()
	p := newUser(t, name).newTab(url, otherSites...)
	p.visit(url) // which leads to the form
	p.signIn()
	p.listens(everyoneChannel)
	return p
}

// signIn fills in the form that the page is at, and waits for the chat.
func (p *tab) signIn() {
	p.t.Helper()
	p.submit(p.name, "password")
	p.wait(`document.title.endsWith('Chat') && document.body.dataset.connection === 'connected'`)
	p.wait(`[...document.querySelectorAll('.log')].every((log) => 'synced' in log.dataset)`)
}

// listens waits until the page is subscribed to a channel.
func (p *tab) listens(channel string) {
	p.t.Helper()
	p.waitFrame("that subscribes to "+channel, func(f frame) bool {
		return f.Event == "pusher_internal:subscription_succeeded" && f.Channel == channel
	})
}

// choose clicks on a conversation.
func (p *tab) choose(conversation string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(script(`a[data-conversation-id=%s]`, conversation))))
	p.wait(`!document.querySelector('.log[data-conversation-id=%s]').hidden`, conversation)
}

// write types a message into the conversation that is shown, and sends it.
func (p *tab) write(text string) {
	p.t.Helper()
	p.enter("#composer textarea", text)
}

// waitTicks waits until one's own message has a status.
func (p *tab) waitTicks(text, status string) {
	p.t.Helper()
	p.wait(`watch.message(%s)?.dataset.status === %s`, text, status)
}

func TestTicks(t *testing.T) {
	eachClient(t, func(t *testing.T, flags ...string) {
		chat := runExample(t, "chat", flags...)
		alice, bob := openChat(t, chat, "alice"), openChat(t, chat, "bob")
		bob.close()

		alice.write("hello") // to bob, whose conversation with her opens first
		alice.waitTicks("hello", "sent")
		alice.shoot("sent")

		bob = bob.newTab(chat.url)
		bob.visit(chat.url + "/#" + everyone)
		alice.waitTicks("hello", "delivered")
		bob.wait(`document.querySelector('a[data-conversation-id=%s] .unread').textContent === '1'`, direct)
		bob.shoot("delivered")
		alice.shoot("delivered")

		bob.choose(direct)
		alice.waitTicks("hello", "read")
		alice.shoot("read")
		if got := eval[[]string](alice, `watch.turns('hello')`); !slices.Equal(got, []string{"sending", "sent", "delivered", "read"}) {
			t.Errorf("alice saw %q", got)
		}

		bob.lookAway()
		alice.write("are you there?")
		alice.waitTicks("are you there?", "delivered")
		bob.wait(`document.title === '(1) Chat'`)
		bob.look()
		alice.waitTicks("are you there?", "read")
		bob.wait(`document.title === 'Chat'`)

		eval[any](bob, `void (document.hasFocus = () => false)`) // the page is in view, the user in another window
		alice.write("hello?")
		alice.waitTicks("hello?", "delivered")
		bob.wait(`watch.message('hello?').dataset.own === 'delivered'`)
		eval[any](bob, `new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))`)
		if own := eval[string](bob, `watch.message('hello?').dataset.own`); own != "delivered" {
			t.Errorf("bob has %s what he does not look at", own)
		}
		eval[any](bob, `delete document.hasFocus, dispatchEvent(new Event('focus'))`)
		alice.waitTicks("hello?", "read")

		bob.write("here I am")
		bob.waitTicks("here I am", "read")
		bob.shoot("answered")
		alice.shoot("answered")
	})
}

func TestPhoneShowsWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice := openChat(t, chat, "alice")
	call(alice, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 844, DeviceScaleFactor: 1})
	alice.wait(`innerWidth === 390`)
	if got := eval[string](alice, `document.querySelector('.me').innerText`); !strings.HasPrefix(got, "alice") { // what is hidden is no part of it
		t.Errorf("the page shows %q, want alice's name", got)
	}
	if !eval[bool](alice, `document.documentElement.scrollWidth === innerWidth && [...document.querySelectorAll('.me *, .conversation')].every((e) => e.getBoundingClientRect().right <= innerWidth)`) {
		t.Error("the page is wider than the phone")
	}
	alice.shoot("phone")
}

func TestRoomCountsWhomAMessageReached(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice, bob, carol := openChat(t, chat, "alice"), openChat(t, chat, "bob"), openChat(t, chat, "carol")
	alice.choose(everyone)
	bob.choose(everyone)
	bob.lookAway()
	carol.close()

	alice.write("lunch?")
	alice.waitCount("lunch?", "sent", "Delivered to 1 of 2")
	alice.shoot("one of two")

	carol = carol.newTab(chat.url)
	carol.lookAway()
	carol.visit(chat.url)
	alice.waitCount("lunch?", "delivered", "Delivered to everyone")
	alice.shoot("two of two")

	bob.look()
	alice.waitCount("lunch?", "delivered", "Read by 1 of 2")
	carol.look()
	alice.waitCount("lunch?", "read", "Read by everyone")

	alice.do(chromedp.Click(chromedp.CSS(".message .ticks")))
	alice.wait(`[...document.querySelectorAll('#receipts:popover-open li')].map((r) => r.dataset.recipient + ' ' + r.dataset.status).join() === 'bob read,carol read'`)
	alice.shoot("receipts")
}

// waitCount waits until one's own message to several has a status, and says in words how far it
// got.
func (p *tab) waitCount(text, status, words string) {
	p.t.Helper()
	p.waitTicks(text, status)
	p.wait(`watch.message(%s).querySelector('.count').textContent === %s`, text, words)
}

// tells says whether a frame tells of what a user did: sent a message, or marked one.
func tells(of string) func(frame) bool {
	return func(f frame) bool {
		var payload deliverywire.Payload
		if f.Event != "message" && f.Event != "status" || json.Unmarshal([]byte(f.Data), &payload) != nil {
			return false
		}
		for _, u := range payload.Expand() {
			if f.Event == "message" && u.Sender == of || u.Receipt != nil && u.Receipt.Recipient == of {
				return true
			}
		}
		return false
	}
}

func TestWhoDidItHearsNoEcho(t *testing.T) {
	eachClient(t, func(t *testing.T, flags ...string) {
		chat := runExample(t, "chat", flags...)
		alice, bob := openChat(t, chat, "alice"), openChat(t, chat, "bob")
		for _, p := range []*tab{alice, bob} {
			p.listens(directChannel)
			p.choose(direct)
		}
		bob.lookAway()
		alice.write("one")
		alice.waitTicks("one", "delivered")
		bob.look()
		alice.waitTicks("one", "read")
		alice.write("two") // whose event comes after those of bob's marks
		alice.waitTicks("two", "read")

		if got := bob.got(tells("alice")); len(got) != 2 {
			t.Errorf("of what alice did bob's page heard %q, want her two messages", got)
		}
		if got := alice.got(tells("bob")); len(got) < 3 {
			t.Errorf("of what bob did alice's page heard %q, want his marks", got)
		}
		for _, p := range []*tab{alice, bob} {
			if got := p.got(tells(p.name)); len(got) > 0 {
				t.Errorf("%s's page heard of what it did itself: %q", p.name, got)
			}
		}
	})
}

func TestStrangerHearsNothing(t *testing.T) {
	eachClient(t, func(t *testing.T, flags ...string) {
		chat := runExample(t, "chat", flags...)
		alice, bob, carol := openChat(t, chat, "alice"), openChat(t, chat, "bob"), openChat(t, chat, "carol")

		// Carol asks for what is not hers, and then tries without.
		carol.pardon("403")
		status := eval[int](carol, `fetch('/pusher/auth', {method: 'POST', body: new URLSearchParams({socket_id: '1.2', channel_name: %s})}).then((r) => r.status)`, directChannel)
		if status != http.StatusForbidden {
			t.Errorf("asking to enter the channel: status %d, want 403", status)
		}
		eval[any](carol, `(() => {
			const {key} = JSON.parse(document.body.dataset.config).pusher;
			const socket = new WebSocket('/app/' + key + '?protocol=7');
			const data = {channel: %s, auth: key + ':' + '0'.repeat(64)};
			socket.onopen = () => socket.send(JSON.stringify({event: 'pusher:subscribe', data}));
		})()`, directChannel)
		inDirect := func(f frame) bool { return f.Channel == directChannel }
		carol.waitFrame("that refuses her", func(f frame) bool { return inDirect(f) && f.Event == "pusher:subscription_error" })

		bob.choose(everyone)
		alice.choose(direct)
		alice.write("a secret")
		alice.waitTicks("a secret", "delivered")
		bob.choose(direct)
		alice.waitTicks("a secret", "read")
		alice.choose(everyone)
		alice.write("hello all") // whose event comes after the others
		carol.wait(`watch.message('hello all')`)

		if got := carol.got(inDirect); len(got) != 1 {
			t.Errorf("carol's page got frames of the direct conversation: %q", got)
		}
		if got := bob.got(inDirect); len(got) < 2 {
			t.Errorf("bob's page got %q", got)
		}
		if text := eval[string](carol, `document.documentElement.outerHTML`); strings.Contains(text, "secret") {
			t.Error("the secret is on carol's page")
		}
	})
}
