package pusheradapter

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/pusher/pusher-http-go/v5"
)

// maxForm is how long the body of an authorization request may be.
const maxForm = 16 << 10

// Authorizer knows who may do what: a [*delivery.Tracker] does, by the app's own rule. Authorize
// returns nil for yes, an error that wraps [delivery.ErrForbidden] for no, and any other for a failure.
type Authorizer interface {
	Authorize(ctx context.Context, user string, to delivery.Action, conversation string) error
}

// AuthOptions adjust an [Notifier.AuthHandler].
type AuthOptions struct {
	// CrossOrigin decides which pages may ask. Defaults to those of the handler's own origin.
	CrossOrigin *http.CrossOriginProtection
}

// AuthHandler returns the endpoint at which browsers ask to enter private and presence channels.
// Nil options mean the defaults; a missing argument is a [*ConfigError].
//
// It takes the POST that pusher-js makes, a form with socket_id and channel_name, and signs the
// channel for that socket, with status 200, if all of this holds: identify knows the user (else
// 401), the channel is one of [Options.Conversation], and the authorizer lets the user view that
// conversation (else 403, the same answer for both). On a presence channel the user is present
// under the id that identify returned. Encrypted channels and sign-in are not supported.
//
// An error of identify is answered with 500, as is one of the authorizer; neither is shown. An
// empty user without an error is one who is not signed in.
func (n *Notifier) AuthHandler(authorizer Authorizer, identify func(*http.Request) (user string, err error), options *AuthOptions) (http.Handler, error) {
	switch {
	case authorizer == nil:
		return nil, &ConfigError{"authorizer", "is nil"}
	case identify == nil:
		return nil, &ConfigError{"identify", "is nil"}
	case n.conversation == nil:
		return nil, &ConfigError{"Options.Conversation", "is nil, and Options.Encode is not"}
	}
	h := &authHandler{notifier: n, authorizer: authorizer, identify: identify}
	if options != nil {
		h.crossOrigin = options.CrossOrigin
	}
	if h.crossOrigin == nil {
		h.crossOrigin = http.NewCrossOriginProtection()
	}
	return h, nil
}

type authHandler struct {
	notifier    *Notifier
	authorizer  Authorizer
	identify    func(*http.Request) (string, error)
	crossOrigin *http.CrossOriginProtection
}

// ServeHTTP implements [http.Handler].
func (h *authHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	answer, status := h.answer(w, r)
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(answer)
}

// answer returns what to answer with status 200, or another status.
func (h *authHandler) answer(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, http.StatusMethodNotAllowed
	}
	if h.crossOrigin.Check(r) != nil {
		return nil, http.StatusForbidden
	}
	user, err := h.identify(r)
	if err != nil {
		return nil, http.StatusInternalServerError
	}
	if user == "" {
		return nil, http.StatusUnauthorized
	}
	socket, channel, status := readForm(w, r)
	if status != http.StatusOK {
		return nil, status
	}
	conversation, ok := h.parse(channel)
	if !ok {
		return nil, http.StatusForbidden
	}
	var invalid *delivery.InvalidError
	err = h.authorizer.Authorize(r.Context(), user, delivery.ToView, conversation)
	if errors.Is(err, delivery.ErrForbidden) || errors.As(err, &invalid) {
		return nil, http.StatusForbidden
	}
	if err != nil {
		return nil, http.StatusInternalServerError
	}
	answer, err := h.sign(socket, channel, user)
	if err != nil {
		return nil, http.StatusInternalServerError
	}
	return answer, http.StatusOK
}

// readForm returns the two fields of the request's form, or a status to refuse it with.
func readForm(w http.ResponseWriter, r *http.Request) (socket, channel string, status int) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return "", "", http.StatusUnsupportedMediaType
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	var tooLong *http.MaxBytesError
	if err := r.ParseForm(); errors.As(err, &tooLong) {
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

// parse returns the channel's conversation. What it lets through is what gets signed, and a
// signature is made of socket:channel or socket:channel:member with nothing escaped: a channel
// with a colon in its name would forge a member of another channel. So this asks
// for Pusher's charset whatever the app's own grammar says.
func (h *authHandler) parse(channel string) (conversation string, ok bool) {
	private := strings.HasPrefix(channel, "private-") && !isEncrypted(channel)
	if !validChannel(channel) || !private && !isPresence(channel) {
		return "", false
	}
	return h.notifier.conversation(channel)
}

// sign returns the answer that lets the socket into the channel, as the user if it is a presence channel.
func (h *authHandler) sign(socket, channel, user string) ([]byte, error) {
	form := []byte(url.Values{"socket_id": {socket}, "channel_name": {channel}}.Encode())
	if isPresence(channel) {
		return h.notifier.client.AuthorizePresenceChannel(form, pusher.MemberData{UserID: user})
	}
	return h.notifier.client.AuthorizePrivateChannel(form)
}

func isPresence(channel string) bool { return strings.HasPrefix(channel, "presence-") }
