package pusheradapter

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/pusher/pusher-http-go/v5"
)

// maxForm is how long the body of an authorization request may be.
const maxForm = 16 << 10

// Authorizer decides who may do what. A [*delivery.Tracker] is one: it asks the app's own rule.
// Authorize returns nil for yes, an error that wraps [delivery.ErrForbidden] for no, and any other
// error if it cannot decide.
type Authorizer interface {
	Authorize(ctx context.Context, user string, to delivery.Action, conversation string) error
}

// AuthOptions adjust a [Notifier.AuthHandler]. The zero value of each field means its default.
type AuthOptions struct {
	// CrossOrigin decides which origins may send requests. Defaults to the same origin only.
	CrossOrigin *http.CrossOriginProtection

	// Logger gets the failures of identify and of the authorizer. Defaults to
	// [slog.Default].
	Logger *slog.Logger
}

// AuthHandler returns the endpoint at which browsers ask to enter private and presence channels.
// A nil opts means all defaults. If an argument is nil, the error is a [*ConfigError].
//
// The endpoint takes the POST request that pusher-js makes, a form with socket_id and channel_name.
// It signs the channel for that socket, with status 200, if
//
//   - identify returns a user; otherwise the status is 401,
//   - [Options.Conversation] knows the channel's conversation, and
//   - the authorizer lets the user view that conversation; otherwise the status is 403, as for a
//     channel that is not known.
//
// A member of a presence channel has the name that identify returned. With [Options.AuthorsOnly]
// the endpoint also signs each user's own [UserChannel], without asking the authorizer. Encrypted
// channels and Pusher's user authentication are not supported.
//
// Identify returns the user of a request, as the app's own sign-in knows it, or "" if nobody is
// signed in. If identify or the authorizer fails, the status is 500 and the answer has no reason.
func (n *Notifier) AuthHandler(authorizer Authorizer, identify func(*http.Request) (user string, err error), opts *AuthOptions) (http.Handler, error) {
	h := &authHandler{notifier: n, authorizer: authorizer, identify: identify}
	if opts != nil {
		h.opts = *opts
	}
	switch {
	case authorizer == nil:
		return nil, &ConfigError{"authorizer", "is nil"}
	case identify == nil:
		return nil, &ConfigError{"identify", "is nil"}
	case n.conversation == nil:
		return nil, &ConfigError{"Options.Conversation", "is nil, and Options.Encode is not"}
	}
	if h.opts.CrossOrigin == nil {
		h.opts.CrossOrigin = http.NewCrossOriginProtection()
	}
	if h.opts.Logger == nil {
		h.opts.Logger = slog.Default()
	}
	return h, nil
}

type authHandler struct {
	notifier   *Notifier
	authorizer Authorizer
	identify   func(*http.Request) (string, error)
	opts       AuthOptions
}

// ServeHTTP implements [http.Handler].
func (h *authHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm) // for identify too, which may read the form
	answer, status, err := h.answer(w, r)
	if err != nil {
		status = http.StatusInternalServerError
		h.opts.Logger.ErrorContext(r.Context(), "pusheradapter: authorizing a channel failed", "error", err)
	}
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(answer) // #nosec G705 -- it is JSON, and said to be
}

// answer returns what to answer with status 200, or another status, or a failure.
func (h *authHandler) answer(w http.ResponseWriter, r *http.Request) ([]byte, int, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed, nil
	}
	if h.opts.CrossOrigin.Check(r) != nil {
		return nil, http.StatusForbidden, nil
	}
	user, err := h.identify(r)
	if err != nil {
		return nil, 0, err
	}
	if user == "" {
		return nil, http.StatusUnauthorized, nil
	}
	socket, channel, status := readForm(r)
	if status != http.StatusOK {
		return nil, status, nil
	}
	allowed, err := h.mayEnter(r.Context(), user, channel)
	if err != nil {
		return nil, 0, err
	}
	if !allowed {
		return nil, http.StatusForbidden, nil
	}
	answer, err := h.sign(socket, channel, user)
	return answer, http.StatusOK, err
}

// readForm returns the two fields of the request's form, or a status to refuse it with.
func readForm(r *http.Request) (socket, channel string, status int) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return "", "", http.StatusUnsupportedMediaType
	}
	err = r.ParseForm()
	if _, end := r.Body.Read(make([]byte, 1)); end != io.EOF {
		err = cmp.Or(err, end) // identify may have met it before
	}
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return "", "", http.StatusRequestEntityTooLarge
	} else if err != nil {
		return "", "", http.StatusBadRequest
	}
	// One of each, and from the body: two parsers might pick different ones.
	sockets, channels := r.PostForm["socket_id"], r.PostForm["channel_name"]
	if len(sockets) != 1 || len(channels) != 1 || !validSocketID(sockets[0]) {
		return "", "", http.StatusBadRequest
	}
	return sockets[0], channels[0], http.StatusOK
}

// mayEnter reports whether the user may enter the channel. What it lets through is what gets
// signed, and a signature is made of socket:channel or socket:channel:member with nothing escaped:
// a channel with a colon in its name would forge a member of another channel. So this asks for
// Pusher's charset whatever the app's own grammar says.
func (h *authHandler) mayEnter(ctx context.Context, user, channel string) (bool, error) {
	private := strings.HasPrefix(channel, "private-") && !isEncrypted(channel)
	if !validChannel(channel) || !private && !isPresence(channel) {
		return false, nil
	}
	if h.notifier.authorsOnly && strings.HasPrefix(channel, userPrefix) {
		owner, ok := parseUser(channel)
		return ok && owner == user, nil
	}
	conversation, ok := h.notifier.conversation(channel)
	if !ok {
		return false, nil
	}
	var invalid *delivery.InvalidError
	err := h.authorizer.Authorize(ctx, user, delivery.ToView, conversation)
	if errors.Is(err, delivery.ErrForbidden) || errors.As(err, &invalid) {
		return false, nil
	}
	return err == nil, err
}

// sign returns the answer that lets the socket into the channel, as the user if it is a presence
// channel.
func (h *authHandler) sign(socket, channel, user string) ([]byte, error) {
	form := []byte(url.Values{"socket_id": {socket}, "channel_name": {channel}}.Encode())
	if isPresence(channel) {
		return h.notifier.client.AuthorizePresenceChannel(form, pusher.MemberData{UserID: user})
	}
	return h.notifier.client.AuthorizePrivateChannel(form)
}

func isPresence(channel string) bool { return strings.HasPrefix(channel, "presence-") }
