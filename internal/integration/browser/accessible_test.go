package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axe says what is wrong with a page for those who do not see, point or tell colours apart as most
// do, one line for each kind of fault.
func (p *tab) axe() []string {
	p.t.Helper()
	if !eval[bool](p, `'axe' in window`) {
		p.loadAxe()
	}
	return eval[[]string](p, `axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations.map((v) =>
		v.id + ': ' + v.nodes.map((n) => n.target.join(' ') + ' ' + n.any.map((a) => a.message).join(' ')).join(' | ')))`)
}

func (p *tab) loadAxe() {
	p.t.Helper()
	pusherJS(p.t, "web/pusher.min.js") // which installs what is missing
	script, err := os.ReadFile(filepath.Join(root(p.t), "internal", "integration", "js", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](string(script)+";\ntrue")); err != nil {
		p.t.Fatal(err)
	}
}

// accessible looks at a page with axe, and at its width.
func (p *tab) accessible(stage string) {
	p.t.Helper()
	for _, fault := range p.axe() {
		p.t.Errorf("%s: %s", stage, fault)
	}
	if !eval[bool](p, `document.documentElement.scrollWidth <= innerWidth`) {
		p.t.Errorf("%s: the page is wider than the screen", stage)
	}
	p.shoot(stage)
}

// media has a page shown in colours or on a screen of another kind.
func (p *tab) media(features ...string) {
	p.t.Helper()
	var all []*emulation.MediaFeature
	for i := 0; i < len(features); i += 2 {
		all = append(all, &emulation.MediaFeature{Name: features[i], Value: features[i+1]})
	}
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: all})
}

func (p *tab) size(width, height int64) {
	p.t.Helper()
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1})
	p.wait(`innerWidth === %s`, width)
}

// TestPagesForEverybody looks at the chat in each of its states with axe, and at narrow screens.
func TestPagesForEverybody(t *testing.T) {
	t.Parallel()
	chat := runExample(t, "chat")
	alice, bob, carol := openChat(t, chat, "alice"), openChat(t, chat, "bob"), openChat(t, chat, "carol")
	alice.choose(everyone)
	carol.choose(everyone)
	carol.lookAway()
	bob.write("The figures are at https://example.com/figures?week=48 – can you have a look?")
	bob.choose(everyone)
	carol.write("Lunch at noon?")
	bob.write("Sure. Where?")
	alice.write("Let us try the new place at the corner, they have soup.")
	alice.waitCount("Let us try the new place at the corner, they have soup.", "delivered", "Read by 1 of 2")
	bob.write("אני רעב")
	alice.wait(`watch.message('אני רעב')?.dataset.own === 'read'`)
	carol.look()
	alice.waitTicks("Let us try the new place at the corner, they have soup.", "read")
	carol.lookAway()
	alice.write("Noon it is.")
	alice.waitCount("Noon it is.", "delivered", "Read by 1 of 2")

	alice.wait(`document.querySelectorAll('.seen .avatar').length === 3`)

	look := alice.accessible
	for _, colours := range [][]string{{"light"}, {"dark", "prefers-color-scheme", "dark"}, {"forced colours", "forced-colors", "active"}} {
		alice.media(colours[1:]...)
		alice.size(1100, 760)
		look(colours[0])
		alice.size(320, 640)
		look(colours[0] + " 320")
		alice.click(`.message.own:last-child .who`)
		alice.wait(`document.querySelectorAll('#receipts:popover-open li').length === 2`)
		look(colours[0] + " 320 receipts")
		alice.pressEscape()
		alice.click(`.entry:first-child .more`)
		alice.wait(`document.querySelector('#actions').matches(':popover-open')`)
		look(colours[0] + " 320 actions")
		alice.pressEscape()
		alice.click(`.me .settings`)
		look(colours[0] + " 320 settings")
		alice.click("#settings input")
		alice.wait(`document.querySelector('#settings input').checked`)
		look(colours[0] + " 320 settings on")
		alice.size(1100, 760)
		alice.wait(`Math.abs(document.querySelector('.me .settings').getBoundingClientRect().top - document.querySelector('#settings').getBoundingClientRect().bottom - 8) < 1`)
		alice.click("#settings input")
		alice.wait(`!document.querySelector('#settings input').checked`)
		look(colours[0] + " settings")
		alice.pressEscape()
		ticks := eval[map[string]string](alice, `Object.fromEntries([...document.querySelectorAll('.message.own')].map((m) =>
			[m.dataset.status, getComputedStyle(m.querySelector('.tick')).stroke + getComputedStyle(m.querySelector('.pill')).opacity]))`)
		if len(ticks) != 2 || ticks["read"] == ticks["delivered"] {
			t.Errorf("%s: ticks are drawn by %v", colours[0], ticks)
		}
	}
	for motion, moves := range map[string]bool{"no-preference": true, "reduce": false} {
		alice.media("prefers-reduced-motion", motion)
		if got := eval[bool](alice, `[...document.querySelectorAll('*')].some((e) => ['', '::before', '::after'].some((part) => {
			const { transitionDuration, animationName } = getComputedStyle(e, part);
			return transitionDuration !== '0s' || animationName !== 'none';
		}))`); got != moves {
			t.Errorf("with motion %s parts of the page move: %t", motion, got)
		}
	}
	alice.click(`.entry:last-child .more`)
	alice.click("#actions .flag")
	alice.waitFlag(everyone, true)
	look("marked as unread")
	alice.act(everyone, ".unflag")
	alice.media("forced-colors", "none", "prefers-color-scheme", "light")
	alice.size(960, 600)
	alice.do(chromedp.Focus(chromedp.CSS("#composer textarea")))
	alice.shoot("picture of the README")
	alice.click(`.message.own:last-child .ticks`)
	alice.wait(`document.querySelectorAll('#receipts:popover-open li').length === 2`)
	look("receipts")
	alice.pressEscape()
	alice.choose(direct)
	alice.wait(`watch.message('The figures are at https://example.com/figures?week=48 – can you have a look?')?.dataset.own === 'read'`)
	if got := eval[string](alice, `document.querySelector('.log:not([hidden]) .body a').href`); !strings.HasSuffix(got, "?week=48") {
		t.Errorf("the link is %q", got)
	}
	look("link")
	alice.signOut()
	look("sign in")
}
