package browser

import (
	"strconv"
	"testing"

	"github.com/chromedp/chromedp"
)

// sendMany opens the chat for a user who has sent many messages into a conversation before.
func sendMany(t *testing.T, chat *program, name, conversation string, n int) *tab {
	t.Helper()
	p := openChat(t, chat, name)
	p.visit(chat.url + "/login") // a page that is told of none of them
	const atOnce = 100
	const send = `Promise.all(Array.from({length: %s}, (_, i) => fetch('/api/messages', {
		method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({conversation: %s, body: String(i)}),
	}))).then((all) => all.every((answer) => answer.status === 201))`
	for ; n > 0; n -= atOnce {
		if !eval[bool](p, send, min(n, atOnce), conversation) {
			t.Fatal("some were not sent")
		}
	}
	p.visit(chat.url + "/#" + conversation)
	p.wait(`'synced' in document.querySelector('.log[data-conversation-id=%s]').dataset`, conversation)
	return p
}

// waitBadge waits until a conversation's badge shows a text, "" for none, and the page's title as
// well: nothing else is unread.
func (p *tab) waitBadge(conversation, text string) {
	p.t.Helper()
	title := "Chat"
	if text != "" {
		title = "(" + text + ") Chat"
	}
	p.wait(`((badge) => (badge.hidden ? '' : badge.textContent) === %s && document.title === %s)(document.querySelector('a[data-conversation-id=%s] .unread'))`,
		text, title, conversation)
}

// Of 121 unread messages, those that were on the screen are read, and no others.
func TestOpeningAConversationReadsWhatIsOnTheScreen(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	const sent = 120 // of which a page loads 50
	carol := sendMany(t, chat, "carol", everyone, sent)

	bob := openChat(t, chat, "bob") // at another conversation
	bob.waitBadge(everyone, strconv.Itoa(sent))
	carol.write("one more")
	bob.waitBadge(everyone, strconv.Itoa(sent+1))
	bob.shoot("unread")
	bob.reload()
	bob.waitBadge(everyone, strconv.Itoa(sent+1))

	bob.choose(everyone)
	const inView = `(() => {
		const pane = document.querySelector('.log:not([hidden]) .pane').getBoundingClientRect();
		return [...document.querySelectorAll('.log:not([hidden]) .message .meta')].filter((line) => {
			const {top, bottom} = line.getBoundingClientRect();
			return top >= pane.top && bottom <= pane.bottom + 1;
		});
	})()`
	bob.wait(inView + `.length > 3 && ` + inView + `.every((line) => line.closest('.message').dataset.own === 'read')`)
	bob.shoot("unread line")
	seen := eval[int](bob, inView+`.length`)
	left := strconv.Itoa(sent + 1 - seen)
	bob.waitBadge(everyone, left)
	bob.wait(`fetch('/api/unread?conversation=everyone').then((r) => r.json()).then((r) => String(r.unread[0].count) === %s)`, left)
	if !eval[bool](bob, `document.querySelector('.new').previousElementSibling === null`) {
		t.Error("the line of new messages is not before the first")
	}
	bob.wait(`document.querySelector('.log:not([hidden]) .newer').checkVisibility()`)

	bob.do(chromedp.Click(chromedp.CSS(".new button")))
	bob.waitBadge(everyone, "")
	bob.choose(direct)
	carol.write("and another")
	bob.waitBadge(everyone, "1")
	bob.choose(everyone)
	bob.waitBadge(everyone, "")
	bob.wait(`!document.querySelector('.new button').checkVisibility()`)
	bob.choose(direct)
	sendMany(t, chat, "carol", everyone, 60)
	bob.look()
	bob.waitBadge(everyone, "60")
	bob.choose(everyone)
	bob.wait(`document.querySelector('.new button').checkVisibility()`)
}

func TestBadgeStopsCountingAtAThousand(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	carol := sendMany(t, chat, "carol", everyone, 1000)
	bob := openChat(t, chat, "bob")
	bob.waitBadge(everyone, "1000")
	carol.write("one more")
	bob.waitBadge(everyone, "1000+")
	bob.reload()
	bob.waitBadge(everyone, "1000+")
	bob.choose(everyone)
	bob.do(chromedp.Click(chromedp.CSS(".new button")))
	bob.waitBadge(everyone, "")
}
