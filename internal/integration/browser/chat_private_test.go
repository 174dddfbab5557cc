package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// act opens the window with the actions on a conversation by the keyboard, and presses a button in
// it.
func (p *tab) act(conversation, button string) {
	p.t.Helper()
	more := script(`a[data-conversation-id=%s] + .more`, conversation)
	p.do(chromedp.Focus(chromedp.CSS(more)))
	p.pressEnter()
	p.wait(`document.querySelector('#actions').matches(':popover-open')`)
	p.click("#actions " + button)
	p.wait(`document.activeElement === document.querySelector(%s)`, more)
}

// waitFlag waits until a conversation shows, or does not, that it was marked as unread.
func (p *tab) waitFlag(conversation string, shown bool) {
	p.t.Helper()
	p.wait(`((badge) => (badge.checkVisibility() && badge.textContent === '' && badge.ariaLabel === 'Marked as unread') === %s)(document.querySelector('a[data-conversation-id=%s] .unread'))`,
		shown, conversation)
}

// Actions on conversations in the list show on all pages of the user, also later, and others learn
// only what they should.
func TestMarkUnreadAndDismiss(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice, bob := openChat(t, chat, "alice"), openChat(t, chat, "bob")
	second := bob.newTab(chat.url)
	second.visit(chat.url + "/#" + direct)
	second.wait(`document.querySelectorAll('.log[data-synced]').length === 2`)
	second.listens("private-user-bob")
	if eval[bool](bob, `[...document.querySelectorAll('.entry .more')].some((more) => more.checkVisibility())`) {
		t.Error("actions are offered where there is nothing to mark")
	}
	bob.look()
	alice.choose(everyone)
	badge := func(want string) {
		t.Helper()
		for _, p := range []*tab{bob, second} {
			p.waitBadge(everyone, want)
		}
	}
	flag := func(want bool) {
		t.Helper()
		for _, p := range []*tab{bob, second} {
			p.waitFlag(everyone, want)
		}
	}

	alice.write("one")
	badge("1")
	bob.act(everyone, ".dismiss")
	badge("")
	alice.write("two")
	badge("1")
	bob.act(everyone, ".read")
	badge("")
	alice.waitCount("two", "sent", "Read by 1 of 2") // and up to it, what is not read is read by it
	alice.waitCount("one", "sent", "Read by 1 of 2")

	bob.act(everyone, ".flag")
	flag(true)
	badge("")
	bob.shoot("marked as unread")
	bob.reload()
	bob.waitFlag(everyone, true)
	bob.act(everyone, ".unflag")
	flag(false)
	bob.act(everyone, ".flag")
	flag(true)
	bob.choose(everyone)
	flag(false)
	// The page has asked what it missed at its start, so that no answer tells it of its own
	// mark below.
	bob.wait(`performance.getEntriesByType('resource').some(({name}) => name.includes('/unread?') && name.includes('&conversation=everyone'))`)
	bob.act(everyone, ".flag")
	flag(true)
	alice.write("three")
	alice.waitCount("three", "sent", "Read by 1 of 2")
	flag(false)
	bob.reload()
	bob.wait(`document.querySelectorAll('.log[data-synced]').length === 2`)
	bob.waitFlag(everyone, false)

	// Another client of his has a flag on a message of his own.
	bob.choose(everyone)
	bob.write("of his own")
	alice.wait(`watch.message('of his own')`)
	if !eval[bool](bob, `fetch('/api/unread', {
		method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({message: watch.message('of his own').dataset.messageId}),
	}).then((answer) => answer.ok)`) {
		t.Error("he may not mark it as unread")
	}
	flag(true)
	bob.choose(direct)
	bob.choose(everyone)
	flag(false)
}

// A dismissal tells nobody that anything was read.
func TestDismissedIsNotRead(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice, bob, carol := openChat(t, chat, "alice"), openChat(t, chat, "bob"), openChat(t, chat, "carol")
	alice.choose(everyone)
	carol.choose(everyone)
	carol.lookAway()
	alice.write("one")
	bob.waitBadge(everyone, "1")
	bob.act(everyone, ".dismiss")
	bob.waitBadge(everyone, "")
	carol.look() // whose mark comes after it
	alice.waitCount("one", "delivered", "Read by 1 of 2")
	alice.wait(`fetch('/api/receipts?message=' + watch.message('one').dataset.messageId).then((r) => r.json()).then((r) => r.receipts.map((each) => each.status).join() === 'delivered,read')`)

	alice.write("two") // which bob reads, and no message before it
	bob.choose(everyone)
	alice.waitCount("two", "read", "Read by everyone")
	alice.waitCount("one", "delivered", "Read by 1 of 2")
}

func TestHideReadReceipts(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice, bob, carol := openChat(t, chat, "alice"), openChat(t, chat, "bob"), openChat(t, chat, "carol")
	alice.choose(everyone)
	carol.choose(everyone)
	set := func(want bool) {
		t.Helper()
		bob.click(".me .settings")
		bob.click("#settings input")
		bob.wait(`fetch('/').then((r) => r.text()).then((page) => page.includes('&#34;hideReads&#34;:' + %s))`, want)
		bob.pressEscape()
		bob.wait(`document.activeElement === document.querySelector('.me .settings')`)
	}
	alice.write("before")
	alice.waitCount("before", "delivered", "Read by 1 of 2")
	alice.wait(`document.querySelectorAll('.seen .avatar').length === 1`)

	set(true)
	bob.choose(everyone)
	bob.waitBadge(everyone, "")
	bob.wait(`watch.message('before').dataset.own === 'read'`)
	alice.write("meanwhile")
	alice.waitCount("meanwhile", "read", "Read by 1 of 1") // for whom nobody waits
	bob.wait(`watch.message('meanwhile').dataset.own === 'read'`)
	bob.wait(`fetch('/api/unread?conversation=everyone').then((r) => r.json()).then((r) => r.unread[0].count === 0)`)
	const line = `document.querySelector('#receipts:popover-open li[data-recipient=bob] .when').textContent`
	alice.click(".log:not([hidden]) .message:last-child .who")
	alice.wait(line + `.endsWith(', hides what is read')`)
	alice.shoot("hides")
	alice.pressEscape()
	alice.click(".log:not([hidden]) .message:first-child .who")
	alice.wait(line + `.startsWith('Delivered') && !` + line + `.includes('hides')`)
	alice.pressEscape()

	bob.reload()
	bob.wait(`document.querySelector('#settings input').checked`)
	set(false)
	bob.look()
	alice.write("after")
	alice.waitCount("after", "read", "Read by everyone")
	alice.waitCount("before", "delivered", "Read by 1 of 2") // it stays hidden
	alice.waitCount("meanwhile", "read", "Read by 1 of 1")

	eval[any](bob, `void (window.realFetch = fetch, window.fetch = (url, init) => url === '/settings' ? Promise.reject(new Error('away')) : realFetch(url, init))`)
	bob.click(".me .settings")
	bob.click("#settings input")
	bob.wait(`document.querySelector('#settings .problem').checkVisibility() && !document.querySelector('#settings input').checked`)
	bob.wait(`document.querySelector('#settings').getBoundingClientRect().bottom <= innerHeight`) // it has grown
	bob.shoot("not saved")
	eval[any](bob, `void (window.fetch = realFetch)`)
	bob.click("#settings input")
	bob.wait(`!document.querySelector('#settings .problem').checkVisibility() && document.querySelector('#settings input').checked`)
}
