package browser

import (
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

// Messages that are pruned leave the pages that show them, and do not come back.
func TestPrunedMessagesLeaveEveryPage(t *testing.T) {
	t.Parallel()
	app := newStreamed(t, guidePage(t))
	alice, bob, away := app.open(t, "alice"), app.open(t, "bob"), app.open(t, "bob")
	const shows = `[...log.children].map((line) => line.textContent.split(' ')[1]).join() === %s`
	for _, all := range []string{"one", "one,two", "one,two,three"} {
		alice.enter("input[name=body]", all[strings.LastIndex(all, ",")+1:])
		alice.wait(shows, all)
		bob.wait(shows, all) // which it does once the message is stored
	}
	for _, p := range []*tab{bob, away} {
		p.wait(shows, "one,two,three")
	}
	away.visit("about:blank")
	p := delivery.Pruning{Conversation: "lunch", Before: time.Now().Add(time.Hour), Limit: 2}
	if r, err := app.store.(delivery.Keeper).Prune(t.Context(), p); err != nil || r.Removed != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, p := range []*tab{alice, bob} {
		p.wait(shows, "three")
	}
	away.visit(app.URL + "/bob")
	bob.reload()
	for _, p := range []*tab{bob, away} {
		p.wait(shows, "three")
	}
}
