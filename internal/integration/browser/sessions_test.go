package browser

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
)

var sessions = flag.Int("sessions", 8, "how many random sessions TestRandomSessions has in each browser")

// witness notes in the browser's storage, by means of its own, which messages were on the screen
// for most of the dwell in a visible page with the focus, and which ones the page took for read.
// The screen shows a frame until the next one, which may be long in coming.
const witness = `<script>
const note = (kind, id) => localStorage.setItem('witness/' + kind + '/' + id, '')
const since = new Map() // what the last frame showed, by id, and since which frame
const dwell = new URLSearchParams(location.search).get('dwell')
const judge = () => { for (const [id, at] of since) if (performance.now() - at > .7 * dwell) note('seen', id) }
const look = () => {
	requestAnimationFrame(look)
	const {top, bottom} = box.getBoundingClientRect()
	const here = document.visibilityState === 'visible' && document.hasFocus()
	judge()
	for (const line of box.querySelectorAll('i')) {
		const at = line.getBoundingClientRect(), id = line.parentNode.id
		const whole = here && at.top >= top - 2 && at.bottom <= Math.min(bottom, innerHeight) + 2
		if (!whole) since.delete(id)
		else if (!since.has(id)) since.set(id, performance.now())
	}
	for (const {id, own} of window.room?.sorted() ?? []) if (own === 'read') note('read', id)
}
look()
setInterval(judge, 10)
for (const name of ['blur', 'focus', 'visibilitychange']) addEventListener(name, () => since.clear())
</script>`

// TestRandomSessions has bob open, scroll, resize, hide, freeze, reload and leave a page of which
// alice writes the messages. No message is read that was not on his screen, and every one that his
// page took for read is stored after his next visit.
func TestRandomSessions(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T, string) view{
		"Chromium": func(t *testing.T, url string) view {
			bob := newUser(t, "bob").newTab(url)
			bob.pardon("net::ERR_")
			return chromiumView{bob}
		},
		"Firefox": func(t *testing.T, _ string) view { return openFirefox(t) },
		"WebKit":  func(t *testing.T, _ string) view { return openWebKit(t) },
	} {
		t.Run(name+" reads what was on the screen, and stores what it took for read", func(t *testing.T) {
			t.Parallel()
			holdSessions(t, open)
		})
	}
}

// chromiumView is a tab as a view.
type chromiumView struct{ *tab }

func (v chromiumView) eval(expression string, args ...any) string {
	return eval[string](v.tab, "(async () => String(await ("+script(expression, args...)+")))()")
}

func (v chromiumView) hide() (show func()) {
	v.lookAway()
	return v.look
}

func (v chromiumView) size(width, height int) { v.tab.size(int64(width), int64(height)) }

// freeze freezes a hidden page, and thaws it.
func (v chromiumView) freeze() {
	for _, state := range []page.SetWebLifecycleStateState{page.SetWebLifecycleStateStateFrozen, page.SetWebLifecycleStateStateActive} {
		call(v.tab, page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state})
	}
}

func holdSessions(t *testing.T, open func(t *testing.T, url string) view) {
	app := newStreamed(t, func(user string) string {
		if user == "bob" {
			return fmt.Sprintf(screenPage, user) + witness
		}
		return fmt.Sprintf(screenPage, user)
	})
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	alice := app.open(t, "alice")
	alice.wait(`window.room?.loaded`)
	bob := open(t, app.URL)
	write := func() { eval[any](alice, `void send(%s)`, 1+random.IntN(3)) }
	visit := func() {
		dwell := []int{100, 500}[random.IntN(2)] // which a message seldom has before the next step, so that some are not read
		bob.visit(fmt.Sprintf("%s/bob?dwell=%d", app.URL, dwell))
		waitIn(t, bob, `window.room?.loaded`)
	}
	noted := func(kind string) map[string]bool {
		ids := make(map[string]bool)
		for _, id := range strings.Fields(bob.eval(`Object.keys(localStorage).flatMap((key) =>
			key.startsWith('witness/' + %s + '/') ? [key.split('/')[2]] : []).join(' ')`, kind)) {
			ids[id] = true
		}
		return ids
	}
	some := false // something was read; in WebKit few messages are
	for n := 0; n < *sessions || !some && n < 10**sessions; n++ {
		write()
		visit()
		for range random.IntN(7) {
			switch random.IntN(7) {
			case 0:
				write()
			case 1:
				bob.eval(`void (box.scrollTop = %s * box.scrollHeight)`, random.Float64())
			case 2:
				bob.eval(`void (dispatchEvent(new WheelEvent('wheel')), box.scrollTop += %s)`, random.IntN(400)-150)
			case 3:
				bob.size(400+random.IntN(400), 60+random.IntN(400))
			case 4:
				show := bob.hide()
				eval[any](alice, `new Promise((done) => setTimeout(done, %s))`, random.IntN(600))
				show()
			case 5:
				show := bob.hide()
				if v, ok := bob.(interface{ freeze() }); ok {
					v.freeze()
				}
				show()
			case 6:
				visit()
			}
			bob.eval(`new Promise((done) => setTimeout(done, %s))`, random.IntN(220))
		}
		some = some || len(noted("read")) > 0
		bob.visit("about:blank")
	}
	visit()
	taken := noted("read")
	waitIn(t, bob, `!Object.keys(localStorage).some((key) => key.startsWith('delivery/'))`)
	stored := eval[map[string]bool](alice, `(async () => {
		const read = {}
		for (let before = '', more = true; more; ) {
			const page = await (await fetch('/api/messages?conversation=lunch&limit=500' + before)).json()
			for (const m of page.messages) read[m.id] = m.status === 'read'
			more = page.more
			before = '&before=' + page.messages[0]?.seq
		}
		return read
	})()`)
	seen, reads := noted("seen"), 0
	for id, read := range stored {
		if read {
			reads++
			if !seen[id] {
				t.Errorf("seed %d: %s is read and was not on the screen", seed, id)
			}
		}
		if taken[id] && !read {
			t.Errorf("seed %d: %s was read and is not stored as such", seed, id)
		}
	}
	t.Logf("%d messages, %d on the screen, %d read", len(stored), len(seen), reads)
	if reads == 0 || reads == len(stored) {
		t.Errorf("of %d messages %d were read, want some", len(stored), reads)
	}
}
