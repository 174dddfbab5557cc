package browser

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliveryjs"
)

var closings = flag.Int("closings", 4, "how many pages TestClosedAfterReading closes in each browser")

// closingPage shows the conversation that its query names, and is over 250 ms after a reading.
const closingPage = `<!doctype html><title>closing</title><link rel="icon" href="data:,"><div id="box"></div>
<script type="module">
import { Delivery } from '/delivery/delivery.js'
import { eventSource } from '/delivery/eventsource.js'
const delivery = new Delivery({ user: 'bob', transport: eventSource('/events') })
const room = delivery.conversation(new URLSearchParams(location.search).get('conversation'))
window.over = new Promise((over) => room.addEventListener('message', ({ detail: { id, body, own } }) => {
	if (own === 'read') setTimeout(over, 250)
	if (document.getElementById(id)) return
	const line = box.appendChild(document.createElement('p'))
	line.id = id
	line.textContent = body
	room.watch(line, id)
}))
</script>`

// TestClosedAfterReading has bob read a message of alice's and close the page 250 ms later. Each
// request takes a new TLS connection to a server that is 300 ms away, so that the server hears of
// the reading 500 ms after the page ended at the soonest. 95 % of the readings are stored though
// bob never comes back.
func TestClosedAfterReading(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) func(url string){
		"Chromium": func(t *testing.T) func(string) {
			bob := newUser(t, "bob")
			return func(url string) {
				p := bob.newTab(url)
				p.visit(url)
				eval[any](p, "over")
				p.close()
			}
		},
		"Firefox": func(t *testing.T) func(string) {
			f := openFirefox(t)
			return func(url string) {
				var tab struct{ Context string }
				f.call("browsingContext.create", map[string]any{"type": "tab"}, &tab)
				f.page = tab.Context
				f.visit(url)
				f.eval("over")
				f.leave()
			}
		},
		"WebKit": func(t *testing.T) func(string) {
			w := openWebKit(t)
			return func(url string) {
				var page struct{ Handle string }
				w.call("POST", "/window/new", map[string]any{"type": "window"}, &page)
				w.call("POST", "/window", map[string]any{"handle": page.Handle}, nil)
				w.visit(url)
				waitIn(t, w, "window.over")
				w.eval("over")
				w.call("DELETE", "/window", nil, nil)
				w.call("POST", "/window", map[string]any{"handle": w.window}, nil)
			}
		},
	} {
		t.Run(name+" has stored what was read", func(t *testing.T) {
			t.Parallel()
			holdClosings(t, open(t))
		})
	}
}

func holdClosings(t *testing.T, readAndClose func(url string)) {
	app := newStreamingApp(t, 0)
	var heard sync.Map     // the messages of which a request told that they were read
	var alone atomic.Int64 // those whose first such request had a connection opened for it
	mux := http.NewServeMux()
	mux.Handle("/", app)
	mux.Handle("GET /delivery/", http.StripPrefix("/delivery", deliveryjs.Handler()))
	mux.HandleFunc("GET /closing", func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "bob"})
		fmt.Fprint(w, closingPage)
	})
	mux.HandleFunc("POST /api/marks/", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte(`"status":"read"`)) {
			for _, id := range regexp.MustCompile(`m\d+`).FindAll(body, -1) {
				if _, again := heard.LoadOrStore(string(id), true); !again && sinceOpened(r) < time.Second {
					alone.Add(1)
				}
			}
		}
		app.ServeHTTP(w, r)
	})
	site := newDistant(t, mux, 300*time.Millisecond)
	stored := 0
	for i := range *closings {
		id := fmt.Sprint("m", i)
		app.send(t, id, id)
		arrived := i%2 == 0 // or its arrival is what the page is telling when it ends
		if arrived {
			if _, err := app.tracker.Mark(t.Context(), delivery.Actor{User: "bob"}, delivery.Delivered, id); err != nil {
				t.Fatal(err)
			}
		}
		readAndClose(site + "/closing?conversation=" + id)
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(pause) { // far more than it takes
			m, err := app.tracker.Message(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			if m.Status == delivery.Read {
				stored++
				break
			}
			if time.Now().After(end) {
				t.Logf("%s is %s; it had arrived before: %t", id, m.Status, arrived)
				break
			}
		}
	}
	t.Logf("%d of %d readings are stored, %d of them by a connection opened for them", stored, *closings, alone.Load())
	if stored*100 < *closings*95 {
		t.Errorf("%d of %d readings are stored, want 95 %%", stored, *closings)
	}
	if alone.Load() == 0 {
		t.Error("no connection was opened for a reading")
	}
}
