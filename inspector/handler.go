package inspector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// Access says what the person who makes a request may do.
type Access uint8

const (
	NoAccess Access = iota // nothing: every request is answered with 403
	MayLook                // see every page
	MayAct                 // also replay and discard dead letters, if [Options.Actions] is set
)

// Options adjust a [Handler]. The zero value of each field means its default.
type Options struct {
	// Actions lets those who have [MayAct] replay and discard dead letters. By default nobody can
	// change anything.
	Actions bool

	// Recorder, if set, is asked for what this process knows of a message. It should also be the
	// tracker's Observer: see [Recorder.Observer].
	Recorder *Recorder

	// Redact returns what pages show in place of an id, or of a text that may contain ids. A
	// changed id is not linked. The link to the next page of receipts contains the id of the last
	// recipient on the page. If Redact changes that id, the page has no such link. The id that
	// somebody searches for is shown as it is. Redact may be called concurrently. By default
	// everything is shown as it is.
	Redact func(kind Kind, text string) string

	// Process names this process on each page. Defaults to the host's name and the process's id.
	Process string

	// CrossOrigin decides which origins may make requests that change something. Its own deny
	// handler is not called. Defaults to the same origin only.
	CrossOrigin *http.CrossOriginProtection

	// Logger is told of each replay and discard, and of requests that failed. Defaults to
	// [slog.Default].
	Logger *slog.Logger
}

// Kind says what [Options.Redact] is asked about.
type Kind uint8

const (
	UserID         Kind = iota + 1
	ConversationID      // an id of a conversation
	MessageID           // an id of a message
	FreeText            // a reason or an error, which may contain ids
)

// Handler serves the pages. Make it with [New]. It is safe for concurrent use.
type Handler struct {
	tracker *delivery.Tracker
	counter counter
	gate    func(*http.Request) (Access, error)
	opts    Options
	since   time.Time
	routes  map[string]route
	pages   map[string]*template.Template
}

// route is what can be asked for at one path, by one method.
type route struct {
	method string
	answer func(*request) (*answer, error)
}

// request is a request of somebody who may look.
type request struct {
	*http.Request
	mayAct bool
}

// New returns a Handler that shows the tracker to those whom the gate lets in. The gate says, by
// the app's own sign-in, what the person who makes a request may do. Its error is a failure, and is
// answered with a 500. It may be called concurrently.
//
// It is an error if the tracker or the gate is nil.
func New(tracker *delivery.Tracker, gate func(*http.Request) (Access, error), opts *Options) (*Handler, error) {
	switch {
	case tracker == nil:
		return nil, errors.New("inspector: the tracker is nil")
	case gate == nil:
		return nil, errors.New("inspector: the gate is nil")
	}
	h := &Handler{tracker: tracker, counter: counter{count: tracker.Backlog}, gate: gate, since: time.Now()}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Process == "" {
		host, _ := os.Hostname() // without one, the number has to do
		h.opts.Process = fmt.Sprintf("%s, process %d", cmp.Or(host, "this host"), os.Getpid())
	}
	if h.opts.Redact == nil {
		h.opts.Redact = func(_ Kind, text string) string { return text }
	}
	if h.opts.CrossOrigin == nil {
		h.opts.CrossOrigin = http.NewCrossOriginProtection()
	}
	if h.opts.Logger == nil {
		h.opts.Logger = slog.Default()
	}
	h.routes = map[string]route{
		"/":          {http.MethodGet, h.overview},
		"/dead":      {http.MethodGet, h.deadLetters},
		"/message":   {http.MethodGet, h.message},
		"/funnel":    {http.MethodGet, h.funnel},
		"/confirm":   {http.MethodGet, h.confirm},
		"/replay":    {http.MethodPost, h.replay},
		"/discard":   {http.MethodPost, h.discard},
		"/style.css": file("style.css", "text/css; charset=utf-8"),
		"/icon.svg":  file("icon.svg", "image/svg+xml"),
	}
	h.pages = h.parse()
	return h, nil
}

const maxForm = 32 << 10 // bytes of a form: a page of dead letters takes less

// headers are those of every answer.
var headers = map[string]string{
	"Cache-Control":              "no-store",
	"Content-Security-Policy":    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"Cross-Origin-Opener-Policy": "same-origin",
	"Referrer-Policy":            "same-origin", // ids are part of addresses
	"X-Content-Type-Options":     "nosniff",
}

// ServeHTTP answers the pages that the package comment lists.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	access, err := h.gate(r)
	switch {
	case err != nil:
		h.report(r, fmt.Errorf("asking the gate: %w", err))
		http.Error(w, "Something went wrong here.", http.StatusInternalServerError)
		return
	case access != MayLook && access != MayAct: // Such a person must not learn which pages exist.
		http.Error(w, "You may not look at this.", http.StatusForbidden)
		return
	}
	q := &request{r, h.opts.Actions && access == MayAct}
	a, err := h.answer(w, q)
	if err != nil {
		p := problemOf(err)
		if p.status >= http.StatusInternalServerError {
			h.report(r, err)
		}
		a = &answer{status: p.status, page: "problem", title: http.StatusText(p.status), data: p.text}
	}
	if err := h.write(w, q, a); err != nil {
		h.report(r, err)
		http.Error(w, "Something went wrong here.", http.StatusInternalServerError)
	}
}

// answer finds the route of a request. Paths are compared whole and as they were sent, so that
// whoever filters requests by their paths in front of this handler sees the same ones.
func (h *Handler) answer(w http.ResponseWriter, q *request) (*answer, error) {
	at := q.URL.EscapedPath()
	if at == "" { // all of it was the prefix, and links are relative to its slash
		whole, _, _ := strings.Cut(q.RequestURI, "?")
		w.Header().Set("Location", "./"+path.Base(whole)+"/")
		return &answer{status: http.StatusTemporaryRedirect}, nil
	}
	to, ok := h.routes[at]
	if !ok {
		return nil, &problem{http.StatusNotFound, "There is no such page."}
	}
	if q.Method != to.method && (q.Method != http.MethodHead || to.method != http.MethodGet) {
		w.Header().Set("Allow", strings.Replace(to.method, "GET", "GET, HEAD", 1))
		return nil, &problem{http.StatusMethodNotAllowed, "This page has no such method."}
	}
	if h.opts.CrossOrigin.Check(q.Request) != nil {
		return nil, &problem{http.StatusForbidden, "This is not allowed from another site."}
	}
	return to.answer(q)
}

// problem is a refusal, whose text is for the person who asked.
type problem struct {
	status int
	text   string
}

func (p *problem) Error() string { return p.text }

// problemOf says what an error is to the person who asked: an operator may see what went wrong.
func problemOf(err error) *problem {
	var p *problem
	var invalid *delivery.InvalidError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &invalid):
		return &problem{http.StatusBadRequest, "The " + invalid.Field + " " + invalid.Reason + "."}
	case errors.Is(err, delivery.ErrUnavailable), errors.Is(err, delivery.ErrOutcomeUnknown), errors.Is(err, context.DeadlineExceeded):
		return &problem{http.StatusServiceUnavailable, err.Error()}
	}
	return &problem{http.StatusInternalServerError, err.Error()}
}

// report logs an error that is no fault of the person who asked. A browser that left is none.
func (h *Handler) report(r *http.Request, err error) {
	if !errors.Is(r.Context().Err(), context.Canceled) {
		h.opts.Logger.ErrorContext(r.Context(), "inspector: request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
}
