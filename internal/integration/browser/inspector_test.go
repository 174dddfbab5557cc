package browser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

// TestInspector clicks through the pages for operators, in light and dark, on wide and narrow
// screens, and mends a dead letter there.
func TestInspector(t *testing.T) {
	t.Parallel()
	for _, theme := range []string{"light", "dark"} {
		for _, width := range []int64{1100, 320} {
			t.Run(fmt.Sprint(theme, " ", width), func(t *testing.T) { inspect(t, theme, width) })
		}
	}
}

func inspect(t *testing.T, theme string, width int64) {
	var mended atomic.Bool
	long := "tenant-7/projects/" + strings.Repeat("very-", 12) + "long"
	refusing := delivery.NotifierFunc(func(_ context.Context, events []delivery.Event) error {
		refused := map[int]error{}
		for i, e := range events {
			if e.Conversation == long && !mended.Load() {
				refused[i] = delivery.Permanent(errors.New("pusheradapter: the channel's name is longer than 164 characters"))
			}
		}
		return delivery.Refused(refused)
	})
	recorder := inspector.NewRecorder()
	tracker, err := delivery.New(memstore.New(), refusing, &delivery.Options{
		OpenConversations: true, Observer: recorder.Observer(nil), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := inspector.New(tracker, func(*http.Request) (inspector.Access, error) { return inspector.MayAct, nil }, &inspector.Options{
		Actions: true, Recorder: recorder, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, conversation := range []string{"room", long, long, long} {
		_, err := tracker.Send(t.Context(), delivery.Draft{
			ID: fmt.Sprintf("0197c4d2-7f1e-7aaa-8000-00000000000%d", i), Conversation: conversation, Sender: "alice",
			Audience: delivery.Audience{Recipients: []string{"bob", "carol@a-company-with-a-long-name.example", "dan"}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const first = "0197c4d2-7f1e-7aaa-8000-000000000000"
	for user, mark := range map[string]func(context.Context, delivery.Actor, string) (delivery.Own, error){"bob": tracker.MarkRead, "dan": tracker.MarkDelivered, "eve": tracker.MarkRead} {
		if _, err := mark(t.Context(), delivery.Actor{User: user}, first); err != nil && user != "eve" {
			t.Fatal(err)
		}
	}
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.Handle("/ops/delivery/", http.StripPrefix("/ops/delivery", pages))
	server := httptest.NewServer(mux)
	defer server.Close()
	p := newUser(t, "operator").newTab(server.URL)
	p.pardon("404") // of a message that is not there
	p.media("prefers-color-scheme", theme)
	p.visit(server.URL + "/ops/delivery")
	p.size(width, 760)
	at := func(heading string) {
		t.Helper()
		p.wait(`document.readyState === 'complete' && document.querySelector('h1')?.textContent === %s`, heading)
		for _, fault := range p.axe() {
			t.Errorf("%s: %s", heading, fault)
		}
		if !eval[bool](p, `document.documentElement.scrollWidth <= innerWidth`) {
			t.Errorf("%s: the page is wider than the screen", heading)
		}
		if !eval[bool](p, `document.styleSheets[0].cssRules.length > 10 && document.querySelector('.brand img').naturalWidth > 0`) {
			t.Errorf("%s: the page has no style or no icon", heading)
		}
		p.shoot(heading)
	}
	has := func(text string) {
		t.Helper()
		p.wait(`document.body.innerText.replace(/\s+/g, ' ').includes(%s)`, text)
	}

	at("Overview")
	has("3 events went to the dead letters.")
	p.click(`.finding a`)
	at("Dead letters")
	has("the channel's name is longer than 164 characters")
	p.click(`.card a`)
	at("Message")
	p.shoot("refused")
	has("delivered to 0 of 3")
	has("Refused by the notifier")
	p.do(chromedp.Focus(chromedp.CSS(`[name=id]`)))
	eval[any](p, `document.querySelector('[name=id]').select()`)
	p.typeInto(`[name=id]`, first)
	p.pressEnter()
	p.wait(`document.querySelector('.subject')?.textContent === %s`, first)
	has("delivered to 2 of 3, read by 1 of 3")
	has("Mark refused")
	at("Message")
	p.shoot("story")
	eval[any](p, `scrollTo(0, document.body.scrollHeight)`)
	p.shoot("end of the story")
	p.click(`.filters a:nth-child(2)`)
	p.wait(`document.querySelectorAll('tbody tr').length === 1`)
	has("carol@a-company-with-a-long-name.example")
	p.visit(server.URL + "/ops/delivery/message?id=nowhere")
	at("Message")
	has("There is no message with this id.")
	p.shoot("nowhere")

	p.click(`header nav a:last-child`)
	at("Dead letters")
	p.click(`.actions a`)
	p.wait(`document.querySelectorAll(':checked').length === 3`)
	p.click(`label[for=e2]`)
	p.wait(`document.querySelectorAll(':checked').length === 2`)
	mended.Store(true)
	p.click(`button[value=replay]`)
	at("Replay 2 dead letters?")
	p.click(`main button`)
	at("2 of 2 dead letters replayed")
	if err := tracker.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.click(`main a`)
	p.wait(`document.querySelectorAll('.card').length === 1`)
	p.click(`.head input`)
	p.click(`button[value=discard]`)
	at("Discard 1 dead letter?")
	if dead, err := tracker.DeadLetters(t.Context(), delivery.DeadQuery{}); err != nil || len(dead) != 1 {
		t.Errorf("before the confirmation there are %d dead letters, %v", len(dead), err)
	}
	p.click(`main button`)
	at("1 of 1 dead letter discarded")
	p.click(`.brand`)
	has("All is well.")
	at("Overview")
}
