package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// heard notes what happens on the page.
func (p *tab) heard(event any) {
	switch e := event.(type) {
	case *network.EventWebSocketFrameReceived:
		var frames []frame
		for values := json.NewDecoder(bytes.NewReader(e.Response.PayloadData)); values.More(); { // centrifuge has several in a frame
			var f struct {
				Event, Channel string
				Data           json.RawMessage
			}
			if err := values.Decode(&f); err != nil {
				p.trouble("a frame that is not JSON: %v", err)
				return
			}
			data := string(f.Data)
			json.Unmarshal(f.Data, &data) // Pusher's protocol encodes it twice
			frames = append(frames, frame{f.Event, f.Channel, data})
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.frames = append(p.frames, frames...)
		close(p.more)
		p.more = make(chan struct{})
	case *network.EventRequestWillBeSent:
		p.sees(e.Request.URL)
	case *network.EventWebSocketCreated:
		p.sees(e.URL)
	case *log.EventEntryAdded:
		if (e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning) && !abandoned(e.Entry) {
			p.trouble("%s: %s", e.Entry.Text, e.Entry.URL)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			var words []string
			for _, arg := range e.Args {
				words = append(words, string(arg.Value)+arg.Description)
			}
			p.trouble("console: %s", strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		p.trouble("exception: %v", e.ExceptionDetails)
	case *page.EventJavascriptDialogOpening:
		p.trouble("a dialog: %s", e.Message)
		go chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: true})
	}
}

// abandoned recognizes that pusher-js ended an attempt to connect and began another. Version 8.6.0
// gives the first attempt of a later visit twice the time that the last connection took, and 1 s.
func abandoned(e *log.Entry) bool {
	return strings.Contains(e.Text, "WebSocket is closed before the connection is established") && strings.Contains(e.URL, "/pusher")
}

// sees complains of requests to other hosts.
func (p *tab) sees(address string) {
	u, err := url.Parse(address)
	if err != nil || !slices.Contains(p.hosts, u.Host) && address != "about:blank" {
		p.trouble("a request to %s", address)
	}
}

func (p *tab) trouble(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles = append(p.troubles, fmt.Sprintf(format, args...))
}

// pardon lets pass troubles that contain one of these texts.
func (p *tab) pardon(texts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pardons = append(p.pardons, texts...)
}

// troubled returns the troubles that contain a text.
func (p *tab) troubled(text string) (troubles []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, trouble := range p.troubles {
		if strings.Contains(trouble, text) {
			troubles = append(troubles, trouble)
		}
	}
	return troubles
}

// check fails the test if something was wrong with the page.
func (p *tab) check() {
	p.t.Helper()
	if !p.t.Failed() {
		for _, back := range eval[[]string](p, `window.watch.backwards`) {
			p.t.Errorf("%s's page: a tick went backwards: %s", p.name, back)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, trouble := range p.troubles {
		if !slices.ContainsFunc(p.pardons, func(text string) bool { return strings.Contains(trouble, text) }) {
			p.t.Errorf("%s's page: %s", p.name, trouble)
		}
	}
}

// waitFrame waits for a frame that came by WebSocket.
func (p *tab) waitFrame(what string, is func(frame) bool) {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		came, more := slices.ContainsFunc(p.frames, is), p.more
		p.mu.Unlock()
		if came {
			return
		}
		select {
		case <-more:
		case <-timeout:
			p.fail("no frame %s", what)
		}
	}
}

// got returns the frames that came so far and are of a kind.
func (p *tab) got(is func(frame) bool) (frames []frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		if is(f) {
			frames = append(frames, f)
		}
	}
	return frames
}
