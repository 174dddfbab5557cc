package browser

import (
	"fmt"
	"testing"
)

// openSmall opens the page of one of the small examples in a browser of the user's own, and signs
// in.
func openSmall(t *testing.T, example *program, name string, others ...string) *tab {
	t.Helper()
	p := newUser(t, name).newTab(example.url, others...)
	p.visit(example.url)
	p.shoot("signing-in")
	eval[any](p, `void document.querySelector('button[value=' + %s + ']').click()`, name)
	p.wait(`window.log?.id === 'log'`)
	return p
}

// talk has two users of a small example send, read, sign out and come back.
func talk(t *testing.T, alice, bob *tab) {
	t.Helper()
	const shows = `[...log.children].map((line) => line.textContent.trim()).join('|') === %s`
	bob.lookAway()
	alice.enter("input[name=body]", "noon?")
	alice.wait(shows, "alice: noon? ✓✓")
	bob.look()
	alice.wait(shows, "alice: noon? ✓✓ read")
	bob.enter("input[name=body]", "yes")
	bob.wait(shows, "alice: noon?|bob: yes ✓✓ read")
	bob.shoot("read")
	eval[any](bob, `void document.querySelector('button[value=""]').click()`)
	bob.wait(`!document.querySelector('#log') && document.querySelector('button[value=bob]')`)
	alice.enter("input[name=body]", "at the corner")
	alice.wait(shows, "alice: noon? ✓✓ read|bob: yes|alice: at the corner ✓")
	alice.shoot("sent")
	eval[any](bob, `void document.querySelector('button[value=bob]').click()`)
	alice.wait(shows, "alice: noon? ✓✓ read|bob: yes|alice: at the corner ✓✓ read")
	takeOver(alice, bob)
	alice.shoot("taken-over")
}

// takeOver has bob send messages whose ids are those of elements of alice's page, and delete one.
func takeOver(alice, bob *tab) {
	alice.t.Helper()
	const send = `fetch('/api/messages', {method: 'POST', headers: {'Content-Type': 'application/json'},
		body: JSON.stringify({id: %s, conversation: 'lunch', body: 'I am the ' + %s})}).then((answer) => answer.status === 201)`
	const shows = `[...log.children].some((line) => line.textContent.trim() === 'bob: I am the ' + %s)`
	for _, id := range []string{"composer", "log", "notice"} {
		bob.wait(send, id, id)
		alice.wait(shows, id)
	}
	const remove = `fetch('/api/messages/delete', {method: 'POST', headers: {'Content-Type': 'application/json'},
		body: JSON.stringify({message: %s})}).then((answer) => answer.status === 200)`
	bob.wait(remove, "composer")
	alice.wait(`!(`+shows+`)`, "composer")
	alice.wait(`composer.tagName === 'FORM' && log.tagName === 'OL' && notice.tagName === 'P' && notice.textContent === ''`)
}

func TestSSEExample(t *testing.T) {
	t.Parallel()
	example := runExample(t, "sse")
	talk(t, openSmall(t, example, "alice"), openSmall(t, example, "bob"))
}

func TestCentrifugeExample(t *testing.T) {
	t.Parallel()
	example := runExample(t, "centrifuge", "-centrifuge-js", npmFile(t, "centrifuge", "dist/centrifuge.js"))
	talk(t, openSmall(t, example, "alice"), openSmall(t, example, "bob"))
}

func TestPusherExample(t *testing.T) {
	t.Setenv("PUSHER_URL", "")
	port := freePort(t)
	example := runExample(t, "pusher", "-pusher-port", fmt.Sprint(port))
	standIn := loopback(port)
	talk(t, openSmall(t, example, "alice", standIn), openSmall(t, example, "bob", standIn))
}
