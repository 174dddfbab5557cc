package browser

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/inspector"
	"github.com/msgdelivery/delivery/memstore"
)

// TestInspector clicks through the pages for operators and mends a dead letter there. Each page is
// looked at in light and dark, on wide and narrow screens.
func TestInspector(t *testing.T) {
	t.Parallel()
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
	tracker, err := delivery.New(busyWeek{memstore.New()}, refusing, &delivery.Options{
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
	p.visit(server.URL + "/ops/delivery")
	p.size(1100, 760)
	at := func(heading string) {
		t.Helper()
		p.wait(`document.readyState === 'complete' && document.querySelector('h1')?.textContent === %s`, heading)
		if !eval[bool](p, `document.styleSheets[0].cssRules.length > 10 && document.querySelector('.brand img').naturalWidth > 0`) {
			t.Errorf("%s: the page has no style or no icon", heading)
		}
		for _, theme := range []string{"dark", "light"} {
			p.media("prefers-color-scheme", theme)
			p.accessible(heading + " " + theme)
		}
		p.size(320, 760)
		p.accessible(heading + " 320")
		p.size(1100, 760)
	}
	has := func(text string) {
		t.Helper()
		p.wait(`document.body.innerText.replace(/\s+/g, ' ').includes(%s)`, text)
	}

	at("Overview")
	has("3 events went to the dead letters.")
	funnel(p, at, has)
	p.click(`header nav a:first-child`)
	at("Overview")
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

// funnel looks at the hours of a day and of a week, and at their numbers.
func funnel(p *tab, at, has func(string)) {
	p.t.Helper()
	p.click(`header nav a:nth-child(2)`)
	at("Funnel")
	has("Last 24 hours")
	bars := func(want int) {
		p.t.Helper()
		p.wait(`document.querySelectorAll('.chart.wide .bar').length === %s && [...document.querySelectorAll('.chart .bar')].every(r => r.getBoundingClientRect().height > 0)`, want)
	}
	bars(3 * 24)
	p.click(`.filters a:last-child`)
	p.wait(`document.querySelector('.filters a:last-child').getAttribute('aria-current') === 'true'`)
	at("Funnel")
	p.shoot("week")
	bars(3 * 7 * 24)
	for i := range 3 {
		p.click(fmt.Sprintf(`details:nth-of-type(%d) summary`, i+1))
	}
	p.wait(`[...document.querySelectorAll('details')].every(d => d.open)`)
	at("Funnel")
	eval[any](p, `document.querySelector('#times0').scrollIntoView()`)
	p.shoot("times")
	eval[any](p, `document.querySelector('#hours').scrollIntoView()`)
	p.shoot("numbers")
}

// busyWeek is a store that has counted a week: fewer messages at night, and fewer read lately.
type busyWeek struct{ *memstore.Store }

func (busyWeek) Hours(_ context.Context, from time.Time, _ int) (hours []delivery.Hour, err error) {
	now := time.Now().UTC()
	for at := from.Truncate(time.Hour); !at.After(now); at = at.Add(time.Hour) {
		age := now.Sub(at)
		sent := 200 + int(1800*math.Pow(math.Sin(math.Pi*float64(at.Hour())/24), 2))
		h := delivery.Hour{Start: at, AsOf: now.Add(-age / 4), Messages: delivery.Funnel{Sent: sent, Delivered: sent * 97 / 100, Read: sent * 80 / 100}, Deleted: sent / 200}
		if age < 8*time.Hour {
			h.Messages.Read = int(float64(h.Messages.Read) * age.Hours() / 8)
			h.Messages.Read += 1
		}
		h.Recipients = delivery.Funnel{Sent: 3 * sent, Delivered: 3 * h.Messages.Delivered, Read: 2 * h.Messages.Read}
		for i, percent := range []int{55, 20, 8, 4, 3, 3, 2, 2, 1, 2} {
			h.ToDelivered[i] = h.Messages.Delivered * percent / 100
		}
		for i, percent := range []int{2, 9, 18, 14, 16, 15, 12, 8, 4, 2} {
			h.ToRead[i] = h.Messages.Read * percent / 100
		}
		hours = append(hours, h)
	}
	return hours, nil
}
