package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// A message that its sender deletes leaves the pages of all, also one that was away meanwhile, and
// does not come back.
func TestDeletedMessageLeavesEveryPage(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice, bob := openChat(t, chat, "alice"), openChat(t, chat, "bob")
	for _, p := range []*tab{alice, bob} {
		p.choose(everyone)
	}
	alice.write("to be kept")
	alice.write("to be deleted")
	const shown = `[...document.querySelectorAll('.log:not([hidden]) .message .body')].map((e) => e.textContent).join()`
	for _, p := range []*tab{alice, bob} {
		p.wait(shown + ` === 'to be kept,to be deleted'`)
	}
	bob.wait(`[...document.querySelectorAll('.remove')].every((button) => button.hidden)`) // of others' messages

	away := openChat(t, chat, "carol")
	away.visit(chat.url + "/login") // which listens to nothing
	alice.shoot("before")
	alice.do(chromedp.Click(chromedp.CSS(`.log:not([hidden]) .message:last-child .remove`)))
	for _, p := range []*tab{alice, bob} {
		p.wait(shown + ` === 'to be kept'`)
	}
	alice.shoot("after")
	away.visit(chat.url + "/#" + everyone)
	for _, p := range []*tab{alice, bob, away} {
		if p != away {
			p.reload()
		}
		p.wait(shown + ` === 'to be kept'`)
	}
}
