package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// signOut presses the button of the page's.
func (p *tab) signOut() {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(".me form button")))
	p.wait(`document.querySelector('input[name=username]')`)
}

// A tab of alice's that is still open when carol signs in in another tab of the same browser sends
// nothing as carol. What alice wrote goes out once she is back.
func TestTabThatOutlivedItsUser(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice := openChat(t, chat, "alice")
	alice.pardon("409", "401")
	alice.choose(everyone)
	alice.typeInto("#composer textarea", "from alice")

	other := alice.newTab(chat.url)
	other.pardon("409", "401")
	other.visit(chat.url)
	other.signOut()
	other.submit("carol", "password")
	other.wait(`document.querySelector('.me .name')?.textContent === 'carol'`)

	alice.look()
	eval[any](alice, `void document.querySelector('#composer').requestSubmit()`) // as Enter does, even if the guard is there already
	alice.wait(`document.querySelector('#guard').open && document.querySelector('#guard').dataset.stranger === 'other_user'`)
	alice.shoot("other user")
	const messages = `fetch('/api/messages?conversation=everyone').then((r) => r.json()).then((r) => r.messages.length)`
	if n := eval[int](other, messages); n != 0 {
		t.Errorf("%d messages were sent", n)
	}

	other.look()
	other.signOut()
	alice.look()
	alice.wait(`document.querySelector('#guard').dataset.stranger === 'signed_out'`)
	alice.shoot("signed out")
	other.look()
	other.submit("alice", "password")
	other.wait(`document.querySelector('.me .name')?.textContent === 'alice'`)
	alice.look()
	alice.wait(`!document.querySelector('#guard').open`)
	alice.waitTicks("from alice", "sent")
}

func TestBackAfterASignOutShowsNoRoom(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice := openChat(t, chat, "alice")
	alice.write("a secret")
	alice.waitTicks("a secret", "sent")
	alice.signOut()
	eval[any](alice, `void history.back()`)
	alice.wait(`performance.getEntriesByType('navigation')[0].type === 'back_forward' || document.querySelector('#guard')?.open`)
	alice.wait(`document.querySelector('input[name=username]') || document.querySelector('#guard')?.open`)
	if eval[bool](alice, `Boolean(window.watch.message('a secret')?.checkVisibility()) && !document.querySelector('#guard').open`) {
		t.Error("the room is shown")
	}
}
