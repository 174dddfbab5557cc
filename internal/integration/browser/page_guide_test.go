package browser

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryjs"
	"github.com/msgdelivery/delivery/memstore"
)

// streamed is an app with one conversation of alice's and bob's, "lunch". It tells its pages by
// server-sent events. The page at /NAME is NAME's.
type streamed struct {
	*httptest.Server
	store delivery.Store
}

// newStreamed returns an app whose pages are what page returns for their users.
func newStreamed(t *testing.T, page func(user string) string) *streamed {
	t.Helper()
	members := []string{"alice", "bob"}
	rules := Rules{
		CurrentUser: signedIn,
		MayDo: func(_ context.Context, user string, _ delivery.Action, _ string) (bool, error) {
			return slices.Contains(members, user), nil
		},
		Audience: func(context.Context, delivery.Draft) (delivery.Audience, error) {
			return delivery.Audience{Recipients: members}, nil
		},
	}
	store := memstore.New()
	mux, run, err := newApp(store, oneProcess(), rules)
	if err != nil {
		t.Fatal(err)
	}
	background(t, run)
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /{user}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: r.PathValue("user")})
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, page(r.PathValue("user")))
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &streamed{server, store}
}

// open opens the page of a user.
func (s *streamed) open(t *testing.T, user string) *tab {
	t.Helper()
	p := newUser(t, user).newTab(s.URL)
	p.visit(s.URL + "/" + user)
	return p
}

// guidePage returns the page that docs/guides/page.md shows, as a function of its user.
func guidePage(t *testing.T) func(user string) string {
	t.Helper()
	page, err := template.New("page").Parse(openGuide(t, "page.md").blocks("html")[0])
	if err != nil {
		t.Fatal(err)
	}
	return func(user string) string {
		var html strings.Builder
		if err := page.Execute(&html, map[string]string{"User": user}); err != nil {
			t.Error(err)
		}
		return html.String()
	}
}

// TestPageIn20Lines has alice and bob talk by the page that docs/guides/page.md shows.
func TestPageIn20Lines(t *testing.T) {
	t.Parallel()
	app := newStreamed(t, guidePage(t))
	alice, bob := app.open(t, "alice"), app.open(t, "bob")
	const shows = `[...log.children].map((line) => line.textContent.trim()).join('|') === %s`
	alice.enter("input[name=body]", "noon?")
	bob.wait(shows, "alice: noon?")
	alice.wait(shows, "alice: noon? ✓✓ read")
	bob.lookAway()
	alice.enter("input[name=body]", "hello?")
	alice.wait(shows, "alice: noon? ✓✓ read|alice: hello? ✓✓")
	bob.look()
	alice.wait(shows, "alice: noon? ✓✓ read|alice: hello? ✓✓ read")
	bob.enter("input[name=body]", "yes")
	alice.wait(shows, "alice: noon? ✓✓ read|alice: hello? ✓✓ read|bob: yes")
	bob.wait(shows, "alice: noon?|alice: hello?|bob: yes ✓✓ read")
	bob.reload()
	bob.wait(shows, "alice: noon?|alice: hello?|bob: yes ✓✓ read")

	t.Run("a message of spaces is not sent", func(t *testing.T) {
		bob.enter("input[name=body]", "  ")
		bob.enter("input[name=body]", "after that")
		alice.wait(shows, "alice: noon? ✓✓ read|alice: hello? ✓✓ read|bob: yes|bob: after that")
	})
	t.Run("it says that its user signed out, and goes on when the user is back", func(t *testing.T) {
		bob.pardon("401", "409")
		const signIn, says = `void (document.cookie = 'session=' + %s)`, `notice.textContent === %s`
		for _, other := range []string{"", "alice"} {
			eval[any](bob, signIn, other)
			bob.enter("input[name=body]", "to "+other)
			bob.wait(says, "You are not signed in any more.")
			eval[any](bob, signIn, "bob")
			eval[any](bob, `void dispatchEvent(new Event('focus'))`)
			bob.wait(says, "")
		}
		alice.wait(shows, "alice: noon? ✓✓ read|alice: hello? ✓✓ read|bob: yes|bob: after that|bob: to|bob: to alice")
	})
	t.Run("no id of a message is that of another element", func(t *testing.T) { takeOver(alice, bob) })
	t.Run("it says that its user may not read the conversation", func(t *testing.T) {
		mallory := app.open(t, "mallory")
		mallory.pardon("403")
		mallory.wait(`notice.textContent === 'You may not read this conversation.'`)
	})
}

// TestExamplesShowThePageOfTheGuide compares what can be copied from either: all of the page, but
// for what brings the events.
func TestExamplesShowThePageOfTheGuide(t *testing.T) {
	_, page, _ := strings.Cut(openGuide(t, "page.md").blocks("html")[0], "\n")
	body, _, _ := strings.Cut(page, "<script")
	_, script, ok := strings.Cut(page, "const room = ")
	if !ok {
		t.Fatal("the guide's page has no room")
	}
	for name, parts := range map[string][]string{"sse": {page}, "pusher": {body, script}} {
		html, err := os.ReadFile(filepath.Join(root(t), "examples", name, "page.html"))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range parts {
			if !strings.Contains(string(html), part) {
				t.Errorf("the page of examples/%s has not:\n%s", name, part)
			}
		}
	}
}

// screenPage shows messages of 50 px each in a box of 200 px.
const screenPage = `<!doctype html><title>screen</title>
<style>body { margin: 0 } #box { height: 200px; overflow-y: auto } p { height: 30px; margin: 0 0 10px } i { display: block; height: 10px }</style>
<div id="box"></div>
<script type="module">
import { Delivery } from '/delivery/delivery.js'
import { eventSource } from '/delivery/eventsource.js'
const options = Object.fromEntries(new URLSearchParams(location.search).entries().map(([name, ms]) => [name, Number(ms)]))
const delivery = new Delivery({ user: '%s', transport: eventSource('/events'), ...options })
window.delivery = delivery
window.room = delivery.conversation('lunch')
room.addEventListener('message', ({ detail: { id, body } }) => {
	if (document.getElementById(id)) return
	const item = box.appendChild(document.createElement('div'))
	item.id = id
	item.append(document.createElement('p'), document.createElement('i'))
	item.firstChild.textContent = body
	room.watch(item.lastChild, id)
})
window.send = async (n) => { for (let i = 0; i < n; i++) room.send(String(i)) }
window.own = () => room.sorted().map((m) => m.own === 'read' ? 'r' : m.own === 'delivered' ? 'd' : '?').join('')
</script>`

// TestWhatCountsAsRead opens a page of bob's with 12 messages of alice's, of which 4 fit the
// screen.
func TestWhatCountsAsRead(t *testing.T) {
	t.Parallel()
	app := newStreamed(t, func(user string) string { return fmt.Sprintf(screenPage, user) })
	alice := app.open(t, "alice")
	alice.wait(`window.room?.loaded`)
	eval[any](alice, `void send(12)`)
	alice.wait(`room.sorted().length === 12 && room.sorted().every((m) => m.status === 'sent')`)

	bob := newUser(t, "bob").newTab(app.URL)
	bob.visit(app.URL + "/bob?dwell=1000")
	bob.wait(`window.own?.() === 'rrrrdddddddd'`)

	// The page scrolls to its end by itself, so slowly that each message is in view for 1.8 s.
	eval[any](bob, `new Promise((done) => {
		const step = setInterval(() => {
			box.scrollTop += 5;
			if (box.scrollTop + box.clientHeight < box.scrollHeight - 1) return;
			clearInterval(step);
			done();
		}, 50);
	})`)
	bob.wait(`own().endsWith('rrrr')`)
	if got := eval[string](bob, `own()`); got != "rrrrddddrrrr" {
		t.Errorf("after the page's own scrolling bob has read %s", got)
	}
	bob.wait(`document.visibilityState === 'visible'`)
	eval[any](bob, `void (box.scrollTop = 200)`) // and rests
	bob.wait(`own() === 'rrrrrrrrrrrr'`)
	alice.wait(`room.sorted().every((m) => m.status === 'read')`)

	t.Run("nothing is read in front of an empty chair", func(t *testing.T) {
		bob.visit(app.URL + "/bob?dwell=100&idle=700")
		bob.wait(`window.room?.loaded`)
		eval[any](bob, `new Promise((done) => setTimeout(done, 800)).then(() => void (box.scrollTop = box.scrollHeight))`)
		eval[any](alice, `void send(1)`)
		alice.wait(`room.sorted().at(-1).status === 'delivered'`)
		eval[any](bob, `new Promise((done) => setTimeout(done, 500)).then(() => void (box.scrollTop = box.scrollHeight))`)
		eval[any](bob, `new Promise((done) => setTimeout(done, 500))`)
		if got := eval[string](bob, `own()`); !strings.HasSuffix(got, "d") {
			t.Errorf("bob has read what nobody saw: %s", got)
		}
		call(bob, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseMoved, X: 50, Y: 50})
		alice.wait(`room.sorted().at(-1).status === 'read'`)
	})
	t.Run("nothing is read in a window without the focus, nor in a hidden tab that claims to have it", func(t *testing.T) {
		bob.visit(app.URL + "/bob?dwell=100")
		bob.wait(`window.room?.loaded`)
		for _, away := range []string{
			`document.hasFocus = () => false`,
			`document.hasFocus = () => true, Object.defineProperty(document, 'visibilityState', {get: () => 'hidden', configurable: true})`,
		} {
			eval[any](bob, `void (`+away+`)`)
			eval[any](alice, `void send(1)`)
			alice.wait(`room.sorted().at(-1).status === 'delivered'`)
			eval[any](bob, `void (box.scrollTop = box.scrollHeight)`)
			eval[any](bob, `new Promise((done) => setTimeout(done, 500))`)
			if got := eval[string](bob, `own()`); !strings.HasSuffix(got, "d") {
				t.Errorf("after %s bob has read %s", away, got)
			}
			eval[any](bob, `delete document.visibilityState, delete document.hasFocus, void dispatchEvent(new Event('focus'))`)
			alice.wait(`room.sorted().at(-1).status === 'read'`)
		}
	})
	t.Run("a window that gets the focus again has to show a message for the dwell", func(t *testing.T) {
		bob.visit(app.URL + "/bob?dwell=1000")
		bob.wait(`window.room?.loaded`)
		eval[any](bob, `void (document.hasFocus = () => false, dispatchEvent(new Event('blur')))`)
		eval[any](alice, `void send(1)`)
		alice.wait(`room.sorted().at(-1).status === 'delivered'`)
		eval[any](bob, `void (box.scrollTop = box.scrollHeight)`)
		eval[any](bob, `new Promise((done) => setTimeout(done, 1500))`)
		ms := eval[float64](bob, `new Promise((read) => {
			delete document.hasFocus
			const back = performance.now(), draw = requestAnimationFrame
			window.requestAnimationFrame = (then) => setTimeout(() => draw(then), 500) // it is on the screen with its next frame
			room.addEventListener('message', ({ detail }) => detail.own === 'read' && read(performance.now() - back))
			dispatchEvent(new Event('focus'))
		})`)
		if ms < 1500 {
			t.Errorf("bob has read it %.0f ms after he came back", ms)
		}
	})
	t.Run("a last line that is in view in part is not read", func(t *testing.T) {
		bob.visit(app.URL + "/bob?dwell=1000")
		bob.wait(`window.room?.loaded`)
		eval[any](alice, `void send(1)`)
		bob.wait(`own().length === 17 && own().endsWith('rd')`)
		// It is shortly in view, and then for half of its height.
		eval[any](bob, `new Promise((drawn) => {
			box.scrollTop = box.scrollHeight
			requestAnimationFrame(() => requestAnimationFrame(() => { box.scrollTop -= 5; drawn() }))
		})`)
		eval[any](bob, `new Promise((done) => setTimeout(done, 1500))`)
		if got := eval[string](bob, `own()`); !strings.HasSuffix(got, "d") {
			t.Errorf("bob has read %s", got)
		}
		eval[any](bob, `void (box.scrollTop = box.scrollHeight)`)
		bob.wait(`own().endsWith('r')`)
	})
	t.Run("a page that ends right after a reading has it stored", func(t *testing.T) {
		bob.visit(app.URL + "/bob?dwell=100000")
		bob.wait(`window.room?.loaded`)
		eval[any](alice, `void send(1)`)
		bob.wait(`own().endsWith('rd')`)
		bob.wait(`own().length === 18`)
		eval[any](bob, `void (room.read(room.sorted().at(-1).id), location.href = '/favicon.ico?', location.href = 'about:blank')`)
		alice.wait(`room.sorted().at(-1).status === 'read'`)
	})
}
