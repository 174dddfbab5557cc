package browser

import (
	"fmt"
	"slices"
	"testing"
)

// shown is a message as a page shows it, or as the server tells it.
type shown struct{ Text, Status string }

func TestKilledServerLosesNothing(t *testing.T) {
	eachClient(t, func(t *testing.T, flags ...string) {
		chat := runExample(t, "chat", flags...)
		alice, bob, carol := openChat(t, chat, "alice"), openChat(t, chat, "bob"), openChat(t, chat, "carol")
		for _, p := range []*tab{alice, bob, carol} {
			p.pardon("net::ERR_", "console: \"To be tried again") // while the server is away
		}
		alice.choose(direct)
		bob.choose(direct)
		alice.write("read before")
		alice.waitTicks("read before", "read")
		bob.lookAway()
		alice.write("delivered before")
		alice.waitTicks("delivered before", "delivered")
		alice.write("on its way")

		chat.kill()
		for _, p := range []*tab{alice, bob, carol} {
			p.wait(`document.body.dataset.connection !== 'connected'`)
		}
		alice.write("written meanwhile")
		alice.waitTicks("written meanwhile", "sending")
		bob.look() // and so reads what was delivered
		bob.wait(`watch.message('delivered before').dataset.own === 'read'`)
		carol.write("by a page that is gone")
		carol.close()
		alice.shoot("server away")

		chat.restart()
		all := []string{"read before", "delivered before", "on its way", "written meanwhile"}
		for _, text := range all {
			alice.waitTicks(text, "read")
		}
		carol = carol.newTab(chat.url)
		carol.pardon("console: \"To be tried again")
		carol.visit(chat.url)
		bob.wait(`watch.message('by a page that is gone')`)
		for _, p := range []*tab{alice, bob} {
			p.wait(`document.body.dataset.connection === 'connected'`)
		}
		alice.shoot("server back")

		want := make([]shown, len(all))
		for i, text := range all {
			want[i] = shown{text, "read"}
		}
		if got := shownBy(alice); !slices.Equal(got, want) {
			t.Errorf("alice's page shows %q, want %q", got, want)
		}
		stored := eval[[]shown](alice, `fetch('/api/messages?conversation=' + encodeURIComponent(%s)).then((r) => r.json())
			.then(({messages}) => messages.map((m) => ({text: m.body, status: m.status})))`, direct)
		if !slices.Equal(stored, want) {
			t.Errorf("the server has %q, want %q", stored, want)
		}
		alice.reload()
		alice.wait(`watch.message('written meanwhile')`)
		if got := shownBy(alice); !slices.Equal(got, want) {
			t.Errorf("after a reload alice's page shows %q, want %q", got, want)
		}
	})
}

func TestPageThatWasAwayCatchesUp(t *testing.T) {
	eachClient(t, func(t *testing.T, flags ...string) {
		chat := runExample(t, "chat", flags...)
		network := newCable(t, chat.url)
		alice, bob := openChatAt(t, network.url, "alice"), openChat(t, chat, "bob")
		alice.pardon("net::ERR_", "console: \"To be tried again")
		alice.choose(direct)
		bob.choose(everyone)
		alice.write("before")
		alice.waitTicks("before", "delivered")

		network.unplug()
		alice.wait(`document.body.dataset.connection !== 'connected'`)
		bob.choose(direct) // and so reads it
		bob.write("meanwhile")
		bob.waitTicks("meanwhile", "sent")
		bob.wait(`fetch('/api/messages?conversation=' + encodeURIComponent(%s)).then((r) => r.json()).then((r) => r.messages[0].status === 'read')`, direct)

		network.plug() // and nothing happens any more that she could be told of
		alice.waitTicks("before", "read")
		bob.waitTicks("meanwhile", "read")
		alice.wait(`document.body.dataset.connection === 'connected'`)
	})
}

func TestLateAndRepeatedEventsTurnNothingBack(t *testing.T) {
	eachClient(t, func(t *testing.T, flags ...string) {
		pusher := newPusherApp(t, nil) // of which a test can ask anything
		address := fmt.Sprintf("http://%s:%s@%s/apps/%s", pusher.Key, pusher.Secret, pusher.Host, pusher.AppID)
		chat := runExample(t, "chat", append(flags, "-pusher", address)...)
		alice, bob := openChatAt(t, chat.url, "alice", pusher.http.URL), openChatAt(t, chat.url, "bob", pusher.http.URL)
		alice.choose(direct)
		bob.choose(direct)
		for _, text := range []string{"one", "two"} {
			bob.lookAway()
			alice.write(text)
			alice.waitTicks(text, "delivered")
			bob.look()
			alice.waitTicks(text, "read")
		}
		before := shownBy(alice)

		for _, e := range slices.Backward(pusher.server.Events()) {
			pusher.must(pusher.Trigger(e.Channels[0], e.Name, e.Data))
		}
		alice.write("three") // whose events come after these
		alice.waitTicks("three", "read")
		if got, want := shownBy(alice), append(before, shown{"three", "read"}); !slices.Equal(got, want) {
			t.Errorf("alice's page shows %q, want %q", got, want)
		}
		for _, text := range []string{"one", "two"} {
			if got := eval[[]string](alice, `watch.turns(%s)`, text); !slices.Equal(got, []string{"sending", "sent", "delivered", "read"}) {
				t.Errorf("of %q alice saw %q", text, got)
			}
		}
	})
}

// shownBy returns the direct conversation's messages on a page, in order.
func shownBy(p *tab) []shown {
	p.t.Helper()
	return eval[[]shown](p, `[...document.querySelectorAll('.log[data-conversation-id=' + CSS.escape(%s) + '] .message')].map((m) => (
		{text: m.querySelector('.body').textContent, status: m.dataset.status}))`, direct)
}
