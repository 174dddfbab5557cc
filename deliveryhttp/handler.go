package deliveryhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

// UserHeader is the header in which a client names the user that its page was made for,
// percent-encoded. It is compared with the user that the app's identify function returns, and gives
// no right to anything.
const UserHeader = "Delivery-User"

// Handler serves a tracker's messages and marks. Make it with [New]. It is safe for concurrent use.
type Handler struct {
	tracker  *delivery.Tracker
	identify func(*http.Request) (string, error)
	opts     Options
	routes   map[string]methods
}

// Options adjust a [Handler]. Audience must be set; the zero value of every other field means its
// default.
type Options struct {
	// Audience returns who may mark a message that is about to be sent. It must be set. The draft
	// is complete except for its audience, and [delivery.Options.Authorize] has already allowed the
	// sender to send to the conversation. If the error wraps [delivery.ErrForbidden], the answer is
	// 403 forbidden. After any other error, and if [delivery.Tracker.Send] does not accept the
	// audience, it is 500. Audience may be called concurrently.
	Audience func(ctx context.Context, draft delivery.Draft) (delivery.Audience, error)

	// Hide returns what others may not see of the user's marks: the app's setting "show others what
	// I have read". It is asked for each request that marks. If it fails, the answer is 500 and
	// nothing is marked. It may be called concurrently. By default nothing is hidden.
	Hide func(r *http.Request, user string) (delivery.Hide, error)

	// CrossOrigin decides which origins may make requests that change something. A refused request
	// is answered with the problem 403 cross_origin. The deny handler of CrossOrigin is not called.
	// Defaults to the same origin only.
	CrossOrigin *http.CrossOriginProtection

	// OpenAPI serves the description of the routes ([OpenAPI]) at GET /openapi.json, to everybody.
	OpenAPI bool

	// Logger is told of requests that failed for no fault of the client's. It never sees a body.
	// Defaults to [slog.Default].
	Logger *slog.Logger
}

// New returns a Handler that serves the tracker to the users whom identify names. Identify returns
// the user of a request by the app's own sign-in, or "" if nobody is signed in. Its error is a
// failure and answered with a 500. It may be called concurrently.
//
// It is an error if the tracker, identify or [Options.Audience] is nil.
func New(tracker *delivery.Tracker, identify func(r *http.Request) (user string, err error), opts *Options) (*Handler, error) {
	h := &Handler{tracker: tracker, identify: identify}
	if opts != nil {
		h.opts = *opts
	}
	switch {
	case tracker == nil:
		return nil, errors.New("deliveryhttp: the tracker is nil")
	case identify == nil:
		return nil, errors.New("deliveryhttp: identify is nil")
	case h.opts.Audience == nil:
		return nil, errors.New("deliveryhttp: Options.Audience is nil")
	}
	if h.opts.CrossOrigin == nil {
		h.opts.CrossOrigin = http.NewCrossOriginProtection()
	}
	if h.opts.Logger == nil {
		h.opts.Logger = slog.Default()
	}
	h.routes = map[string]methods{
		"/messages":        {http.MethodPost: {h.send, http.StatusCreated}, http.MethodGet: {h.list, http.StatusOK}},
		"/messages/delete": {http.MethodPost: {h.delete, http.StatusOK}},
		"/changes":         {http.MethodGet: {h.changes, http.StatusOK}},
		"/unread":          {http.MethodGet: {h.unread, http.StatusOK}, http.MethodPost: {h.markUnread, http.StatusOK}},
		"/dismiss":         {http.MethodPost: {h.dismiss, http.StatusOK}},
		"/receipts":        {http.MethodGet: {h.receipts, http.StatusOK}},
		"/marks":           {http.MethodPost: {h.mark, http.StatusOK}},
		"/marks/batch":     {http.MethodPost: {h.markBatch, http.StatusOK}},
		"/marks/up-to":     {http.MethodPost: {h.markUpTo, http.StatusOK}},
	}
	return h, nil
}

// methods are what can be done at one path.
type methods map[string]endpoint

// endpoint answers requests of a known user: with something to be sent as JSON under its status, or
// with an error that kindOf knows how to tell.
type endpoint struct {
	answer func(r *http.Request, user string) (any, error)
	status int
}

// allow lists the methods for the header of that name.
func (m methods) allow() string {
	list := slices.Collect(maps.Keys(m))
	if _, ok := m[http.MethodGet]; ok {
		list = append(list, http.MethodHead)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// ServeHTTP answers the routes that the package comment lists.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)

	if h.opts.OpenAPI && r.URL.EscapedPath() == openAPIPath {
		h.describe(w, r)
		return
	}
	e, user, err := h.admit(w, r)
	var answer any
	if err == nil {
		answer, err = e.answer(r, user)
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	h.write(w, r, "application/json", e.status, answer)
}

// admit finds the endpoint and the user of a request. Paths are compared whole: [http.ServeMux]
// would redirect one that is not clean to one that lacks the prefix this handler is mounted under.
// And they are compared as they were sent, so that whoever filters requests by their paths in front
// of this handler sees the same ones.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (endpoint, string, error) {
	at, ok := h.routes[r.URL.EscapedPath()]
	if !ok {
		return endpoint{}, "", h.noRoute(r.URL.EscapedPath())
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	e, ok := at[method]
	if !ok {
		w.Header().Set("Allow", at.allow())
		return endpoint{}, "", methodNotAllowed
	}
	user, err := h.user(r)
	return e, user, err
}

// User returns the user of a request to one of the app's own routes. It applies the same rules as
// the Handler's routes: it refuses a request from another origin, a request without a signed-in
// user, and one whose header [UserHeader] names another user. If it refuses the request, it writes
// the answer itself, and ok is false.
func (h *Handler) User(w http.ResponseWriter, r *http.Request) (user string, ok bool) {
	user, err := h.user(r)
	if err != nil {
		h.refuse(w, r, err)
		return "", false
	}
	return user, true
}

// user returns the user of a request, or why it is refused.
func (h *Handler) user(r *http.Request) (string, error) {
	if err := h.opts.CrossOrigin.Check(r); err != nil {
		return "", crossOrigin
	}
	user, err := h.identify(r)
	if err != nil {
		return "", fmt.Errorf("%w: identifying the user: %w", internal, err)
	}
	if user == "" {
		return "", signedOut
	}
	return user, checkUser(r, user)
}

// checkUser refuses a request whose client takes its user for another one than the app does. That
// is a page that was made for a user who has signed out since: it would send and mark as somebody
// else.
func checkUser(r *http.Request, user string) error {
	said := r.Header.Values(UserHeader)
	if len(said) == 0 {
		return nil
	}
	name, err := url.PathUnescape(said[0])
	if len(said) > 1 || err != nil {
		return &delivery.InvalidError{Field: UserHeader, Reason: "is not one percent-encoded user"}
	}
	if name != user {
		return otherUser
	}
	return nil
}

// noRoute is the problem of a path that is no route. Where a route follows a prefix, it says so:
// routers that mount a handler under a prefix differ in whether they strip it.
func (h *Handler) noRoute(path string) error {
	for route := range h.routes {
		if strings.HasSuffix(path, route) {
			return notStripped
		}
	}
	return noRoute
}

// write sends an answer of this package's own making as JSON.
func (h *Handler) write(w http.ResponseWriter, r *http.Request, contentType string, status int, answer any) {
	text, err := json.Marshal(answer)
	if err != nil { // a store that hands out what is no status
		h.refuse(w, r, fmt.Errorf("%w: encoding the answer: %w", internal, err))
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(text) // who does not hear it asks again
}
