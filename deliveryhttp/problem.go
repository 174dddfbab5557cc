package deliveryhttp

import (
	"context"
	"errors"
	"net/http"

	"github.com/msgdelivery/delivery"
)

// kind is a kind of problem: its code is for programs, its title and detail for people.
type kind struct {
	status int
	code   string
	title  string
	detail string
}

func (k *kind) Error() string { return k.title }

// failure reports whether the client is not to blame.
func (k *kind) failure() bool { return k.status >= http.StatusInternalServerError }

var (
	invalid          = &kind{http.StatusBadRequest, "invalid", "Not acceptable input", ""}
	signedOut        = &kind{http.StatusUnauthorized, "signed_out", "Not signed in", ""}
	forbidden        = &kind{http.StatusForbidden, "forbidden", "Not allowed", ""}
	ownMessage       = &kind{http.StatusForbidden, "own_message", "Senders do not mark their own messages", ""}
	crossOrigin      = &kind{http.StatusForbidden, "cross_origin", "Not allowed from another site", ""}
	notFound         = &kind{http.StatusNotFound, "not_found", "No such message", ""}
	noRoute          = &kind{http.StatusNotFound, "no_route", "No such path", ""}
	notStripped      = &kind{http.StatusNotFound, "no_route", "No such path", "the path is one of the routes with something before it: mount the handler under http.StripPrefix, with that prefix"}
	methodNotAllowed = &kind{http.StatusMethodNotAllowed, "method_not_allowed", "No such method here", ""}
	otherUser        = &kind{http.StatusConflict, "other_user", "The page was made for another user", ""}
	conflict         = &kind{http.StatusConflict, "conflict", "The id is taken by another message", ""}
	gone             = &kind{http.StatusGone, "gone", "A message with this id was deleted", ""}
	tooLarge         = &kind{http.StatusRequestEntityTooLarge, "too_large", "Too large", ""}
	notJSON          = &kind{http.StatusUnsupportedMediaType, "not_json", "The body is not application/json", ""}
	internal         = &kind{http.StatusInternalServerError, "internal", "Internal error", ""}
	outcomeUnknown   = &kind{http.StatusServiceUnavailable, "outcome_unknown", "It may have happened; repeating it is safe", ""}
	unavailable      = &kind{http.StatusServiceUnavailable, "unavailable", "Not available now; repeating it is safe", ""}
)

// kindOf says what an error is to the client. All that it does not know is internal.
func kindOf(err error) *kind {
	var k *kind
	switch {
	case errors.As(err, &k):
		return k
	case faultOf(err) != nil:
		return invalid
	case errors.Is(err, delivery.ErrNotFound):
		return notFound
	case errors.Is(err, delivery.ErrOwnMessage):
		return ownMessage
	case errors.Is(err, delivery.ErrForbidden):
		return forbidden
	case errors.Is(err, delivery.ErrConflict):
		return conflict
	case errors.Is(err, delivery.ErrGone):
		return gone
	case errors.Is(err, delivery.ErrOutcomeUnknown):
		return outcomeUnknown
	case errors.Is(err, delivery.ErrUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable
	}
	return internal
}

// faultOf returns what is wrong with a field of the client's, or nil.
func faultOf(err error) *delivery.InvalidError {
	var fault *delivery.InvalidError
	if !errors.As(err, &fault) {
		return nil
	}
	switch fault.Field {
	case "user", "sender", "viewer", "audience", "recipients", "untracked", "hide_read", "roster", "quorum", "hide": // these are the app's
		return nil
	}
	return fault
}

// forStranger makes a refusal over a message the answer for one that does not exist.
func forStranger(err error) error {
	if errors.Is(err, delivery.ErrForbidden) || errors.Is(err, delivery.ErrNotRecipient) {
		return delivery.ErrNotFound
	}
	return err
}

// problem is the body of a refusal, as RFC 9457 has it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Field  string `json:"field,omitempty"`
	Detail string `json:"detail,omitempty"`
}

const problemTypes = "https://pkg.go.dev/github.com/msgdelivery/delivery/deliveryhttp#"

// refuse answers with the problem that an error is.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	h.report(r, err)
	k := kindOf(err)
	p := problem{Type: problemTypes + k.code, Title: k.title, Status: k.status, Code: k.code, Detail: k.detail}
	if fault := faultOf(err); fault != nil {
		p.Field, p.Detail = fault.Field, fault.Field+" "+fault.Reason
	}
	if k.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	h.write(w, r, "application/problem+json", k.status, p)
}

// report logs an error that is no fault of the client's. A client that left is the usual cause of a
// request that ended early, and not worth a line.
func (h *Handler) report(r *http.Request, err error) {
	if kindOf(err).failure() && !errors.Is(r.Context().Err(), context.Canceled) {
		h.opts.Logger.ErrorContext(r.Context(), "deliveryhttp: request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
}
