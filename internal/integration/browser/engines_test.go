package browser

import (
	"strings"
	"testing"
	"time"
)

// view is a page in any browser.
type view interface {
	visit(url string)
	eval(expression string, args ...any) string // or what the promise that it is becomes, as text
	hide() (show func())
	size(width, height int) // of the window, as near as it gets
}

// engine is a browser other than Chromium, with a page.
type engine interface {
	view
	press(text string)                  // types it into the element that has the focus
	cover(with string) (uncover func()) // "window": the page stays visible, without the focus
	back()
	leave() // ends the page
}

const enterKey = "\uE007" // as WebDriver calls it

// TestEngines has bob use the chat in Firefox and in WebKit, and alice in Chromium.
func TestEngines(t *testing.T) {
	t.Parallel()
	t.Run("Firefox tells what its user has read", func(t *testing.T) {
		t.Parallel()
		useChat(t, openFirefox(t))
	})
	t.Run("WebKit tells what its user has read", func(t *testing.T) {
		t.Parallel()
		useChat(t, openWebKit(t))
	})
}

// waitIn waits until a condition holds on a page.
func waitIn(t *testing.T, v view, condition string) {
	t.Helper()
	for end := time.Now().Add(patience); v.eval("Boolean("+condition+")") != "true"; time.Sleep(pause) {
		if time.Now().After(end) {
			t.Fatalf("no %s; the page shows\n%s", condition, v.eval("document.body.innerText"))
		}
	}
}

// thrice lets three times the dwell pass that makes a message read.
const thrice = `new Promise((done) => setTimeout(done, 1500))`

func useChat(t *testing.T, e engine) {
	wait := func(condition string) {
		t.Helper()
		waitIn(t, e, condition)
	}
	chat := runExample(t, "chat")
	alice := openChat(t, chat, "alice")
	alice.choose(direct)
	e.visit(chat.url)
	e.eval(`document.querySelector('input[name=username]').focus()`)
	e.press("bob")
	e.eval(`document.querySelector('input[name=password]').focus()`)
	e.press("password" + enterKey)
	wait(`document.title.endsWith('Chat') && document.body.dataset.connection === 'connected'`)
	wait(`document.hasFocus()`)

	alice.write("hello, bob")
	wait(`document.querySelector('.log:not([hidden]) .message[data-own=read]')`)
	alice.waitTicks("hello, bob", "read")
	e.eval(`document.querySelector('#composer textarea').focus()`)
	e.press("hello, alice" + enterKey)
	alice.wait(`watch.message('hello, alice')`)
	wait(`document.querySelector('.message.own').dataset.status === 'read'`)

	// The composer grows with what is written, in WebKit by the page's script.
	const height = `document.querySelector('#composer textarea').clientHeight`
	low := e.eval(height)
	e.eval(`document.execCommand('insertText', false, 'one\ntwo\nthree')`)
	wait(height + ` > 2 * ` + low)
	e.eval(`document.execCommand('selectAll'), document.execCommand('delete')`)
	wait(height + ` === ` + low)

	// The page is hidden.
	show := e.hide()
	wait(`document.visibilityState === 'hidden'`)
	alice.write("not seen yet")
	wait(`document.title === '(1) Chat'`)
	e.eval(thrice)
	alice.waitTicks("not seen yet", "delivered")
	show()
	alice.waitTicks("not seen yet", "read")

	// A window covers it, which only the focus tells.
	uncover := e.cover("window")
	wait(`document.visibilityState === 'visible' && !document.hasFocus()`)
	alice.write("still covered")
	wait(`document.title === '(1) Chat'`)
	e.eval(thrice)
	alice.waitTicks("still covered", "delivered")
	uncover()
	alice.waitTicks("still covered", "read")

	// Back from another page. Firefox loads the chat afresh, WebKit has kept it.
	e.visit(chat.url + "/healthz")
	alice.write("while you were away")
	alice.waitTicks("while you were away", "sent")
	e.back()
	alice.waitTicks("while you were away", "read")

	// The last mark, of a page that ends.
	alice.write("the last")
	wait(`[...document.querySelectorAll('.message')].find((m) => m.querySelector('.body').textContent === 'the last')?.dataset.own === 'read'`)
	e.leave()
	alice.waitTicks("the last", "read")
	if got := strings.Join(eval[[]string](alice, `watch.turns('the last')`), " "); !strings.HasPrefix(got, "sending sent") {
		t.Errorf("alice saw %s", got)
	}
}
