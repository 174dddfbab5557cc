package pusheradapter

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
)

// refusal is why a request is not granted.
type refusal struct {
	status int
	code   string // for programs
	detail string // for the client; it never depends on what exists

	reason  string // of a 403, for the log
	request authRequest
}

func (r *refusal) Error() string { return r.code }

var (
	methodNotAllowed = &refusal{status: http.StatusMethodNotAllowed, code: "method_not_allowed", detail: "requests are made by POST"}
	signedOut        = &refusal{status: http.StatusUnauthorized, code: "signed_out"}
	crossOrigin      = &refusal{status: http.StatusForbidden, code: "cross_origin", reason: "the page is of another origin, which AuthOptions.CrossOrigin does not trust"}
	tooLarge         = &refusal{status: http.StatusRequestEntityTooLarge, code: "too_large", detail: "the body is longer than 8 KiB"}
	unsupportedBody  = &refusal{status: http.StatusUnsupportedMediaType, code: "unsupported_body", detail: "the body is no form, multipart form or application/json"}
	internalError    = &refusal{status: http.StatusInternalServerError, code: "internal"}
)

func invalid(detail string) error {
	return &refusal{status: http.StatusBadRequest, code: "invalid", detail: detail}
}

// forbidden looks the same to the client, whatever its reason.
func forbidden(reason string, request authRequest) error {
	return &refusal{status: http.StatusForbidden, code: "forbidden", reason: reason, request: request}
}

// refuse answers a request with what refuses it, and logs what the app should know of.
func (h *authHandler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var refused *refusal
	switch {
	case !errors.As(err, &refused):
		refused = internalError
		if r.Context().Err() == nil { // else the client has left
			h.opts.Logger.ErrorContext(r.Context(), "pusheradapter: authorizing a channel failed", "error", err)
		}
	case refused.reason != "":
		h.logRefusal(r, refused)
	}
	if refused == methodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	title := http.StatusText(refused.status)
	if !acceptsProblem(r) {
		http.Error(w, title, refused.status)
		return
	}
	problem := struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Code   string `json:"code"`
		Detail string `json:"detail,omitempty"`
	}{title, refused.status, refused.code, refused.detail}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(refused.status)
	_ = json.NewEncoder(w).Encode(problem) // who does not hear it asks again
}

// logRefusal says why a request is forbidden. A channel's name is the client's own text, so only
// one that Pusher allows is logged.
func (h *authHandler) logRefusal(r *http.Request, refused *refusal) {
	args := []any{"reason", refused.reason}
	if origin := r.Header.Get("Origin"); refused == crossOrigin && origin != "" {
		args = append(args, "origin", origin[:min(len(origin), MaxChannel)])
	}
	if refused.request.user != "" {
		args = append(args, "user", refused.request.user)
	}
	if validChannel(refused.request.channel) {
		args = append(args, "channel", refused.request.channel)
	}
	h.opts.Logger.InfoContext(r.Context(), "pusheradapter: a channel was not authorized", args...)
}

// acceptsProblem reports whether the client names JSON among what it accepts. pusher-js names
// nothing, and shows the text of a refusal as it is.
func acceptsProblem(r *http.Request) bool {
	for _, accepted := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		mediaType, _, err := mime.ParseMediaType(accepted)
		if err == nil && (mediaType == "application/problem+json" || mediaType == "application/json") {
			return true
		}
	}
	return false
}
