package inspector

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/msgdelivery/delivery"
)

//go:embed web
var web embed.FS

// answer is a page, or a file as it is.
type answer struct {
	status int // 200 if it is 0
	page   string
	title  string
	data   any

	file []byte
	kind string // of the file
}

// view is what the template of a page sees.
type view struct {
	Page, Title string
	Data        any
	MayAct      bool
}

// file returns a route to a file of web.
func file(name, kind string) route {
	text, err := web.ReadFile("web/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	return route{http.MethodGet, func(*request) (*answer, error) { return &answer{file: text, kind: kind}, nil }}
}

// parse makes the templates of all pages, by their names.
func (h *Handler) parse() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"process": func() string { return h.opts.Process }, "since": func() time.Time { return h.since },
		"recorded": func() bool { return h.opts.Recorder != nil },
		"user":     h.user, "message": h.messageLink, "messages": messagesOf, "shape": shape, "visible": visible,
		"conversation": func(id string) string { return visible(h.opts.Redact(ConversationID, id)) },
		"text":         func(text string) string { return h.opts.Redact(FreeText, text) },
		"own":          func(e delivery.Event) bool { return e.Kind == delivery.OwnChanged },
		"count":        count, "number": number, "share": share, "span": span, "ago": func(at time.Time) string { return span(time.Since(at)) + " ago" },
		"stamp":   func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05.000 UTC") },
		"machine": func(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) },
	}).ParseFS(web, "web/layout.html"))
	all := make(map[string]*template.Template)
	for _, page := range []string{"overview", "dead", "confirm", "done", "message", "funnel", "problem"} {
		all[page] = template.Must(template.Must(layout.Clone()).ParseFS(web, "web/"+page+".html"))
	}
	return all
}

// write sends an answer. If there is an error, nothing was sent.
func (h *Handler) write(w http.ResponseWriter, q *request, a *answer) error {
	body, kind := a.file, a.kind
	if a.page != "" {
		var text bytes.Buffer
		if err := h.pages[a.page].Execute(&text, view{a.page, a.title, a.data, q.mayAct}); err != nil {
			return err
		}
		body, kind = text.Bytes(), "text/html; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(max(a.status, http.StatusOK))
	_, _ = w.Write(body) // whoever does not get it asks again
	return nil
}

// visible returns an id as pages show it: quoted as in Go, if it has what cannot be seen.
func visible(id string) string {
	if quoted := strconv.Quote(id); quoted != `"`+id+`"` {
		return quoted
	}
	return id
}

func (h *Handler) user(id string) string {
	if id == "" {
		return "(erased)"
	}
	return visible(h.opts.Redact(UserID, id))
}

// link is a text, and the address that it leads to, if it does.
type link struct{ Text, To string }

// messageLink returns the link to a message's page. An id that is redacted leads nowhere.
func (h *Handler) messageLink(id string) link {
	if shown := h.opts.Redact(MessageID, id); shown != id {
		return link{visible(shown), ""}
	}
	return link{visible(id), "message?" + url.Values{"id": {id}}.Encode()}
}

// messagesOf returns the ids of the messages that an event announces. For an event for a user's
// devices it returns none: they would show what the user did privately.
func messagesOf(e delivery.Event) (ids []string) {
	for _, u := range e.Updates {
		if e.Kind != delivery.OwnChanged && u.Message != "" && !slices.Contains(ids, u.Message) {
			ids = append(ids, u.Message)
		}
	}
	return ids
}

// shape says what an event tells, in numbers.
func shape(e delivery.Event) string {
	bodies, receipts := 0, 0
	for _, u := range e.Updates {
		bodies += min(len(u.Body), 1)
		if u.Receipt != nil {
			receipts++
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		return "cannot be encoded" // a store that hands out what is no status
	}
	return fmt.Sprintf("%s, %s, %d with a body; %s as JSON", count(len(e.Updates), "update"), count(receipts, "receipt"), bodies, count(len(text), "byte"))
}

// count returns a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// span returns a duration in the greatest unit that it has one of.
func span(d time.Duration) string {
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d >= time.Second:
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return fmt.Sprintf("%d ms", max(d, 0).Milliseconds())
}
