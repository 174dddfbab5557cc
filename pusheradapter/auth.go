package pusheradapter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"

	"github.com/msgdelivery/delivery"
)

// Authorizer decides who may do what. A [*delivery.Tracker] is one: it asks the app's own rule.
// Authorize returns nil for yes, an error that wraps [delivery.ErrForbidden] for no, and any other
// error if it cannot decide.
type Authorizer interface {
	Authorize(ctx context.Context, user string, to delivery.Action, conversation string) error
}

// AuthOptions adjust a [Notifier.AuthHandler]. The zero value of each field means its default.
type AuthOptions struct {
	// CrossOrigin decides which origins may send requests. Defaults to the same origin only. Pages
	// of another origin also need CORS headers: docs/guides/origins.md has an example.
	CrossOrigin *http.CrossOriginProtection

	// UserInfo returns what the other members of a presence channel see of a user, besides the
	// user's id: a name, or the URL of a picture. It may be called concurrently. If it fails, or
	// returns more than fits into [MaxMember] bytes, the status is 500. Defaults to the id alone.
	UserInfo func(ctx context.Context, user string) (map[string]any, error)

	// Logger gets the failures of identify, of the authorizer and of UserInfo as errors, and the
	// reason of each answer with status 403 at level Info. Defaults to [slog.Default].
	Logger *slog.Logger
}

// MaxMember is how many bytes Pusher allows in the JSON that describes a member of a presence
// channel.
const MaxMember = 1_024

// AuthHandler returns the endpoint at which browsers ask to enter private and presence channels,
// and to sign in to Pusher. A nil opts means all defaults. If an argument is nil, the error is a
// [*ConfigError].
//
// The endpoint takes POST requests at any path. Their body is a form, a multipart form or a JSON
// object of up to 8 KiB, with the fields socket_id and channel_name; other fields are ignored. If
// the body has no socket_id, the header X-Socket-ID is used. The endpoint signs the channel for
// that socket, with status 200, if
//
//   - identify returns a user; otherwise the status is 401,
//   - [Options.Conversation] knows the channel's conversation, and
//   - the authorizer lets the user view that conversation; otherwise the status is 403, as for a
//     channel that is not known.
//
// A member of a presence channel has the id that identify returned, and always has a user_info. It
// contains that id as "id", and what [AuthOptions.UserInfo] returns. Without an [Options.Encode]
// the endpoint also signs each user's own [UserChannel], without asking the authorizer. Encrypted
// channels are not supported.
//
// A request without a channel_name asks to sign in, as pusher.signin() does. The endpoint then
// signs the user's id and user_info for that socket. So one handler serves the default paths of
// pusher-js and of Laravel Echo:
//
//	mux.Handle("/pusher/auth", auth)
//	mux.Handle("/pusher/user-auth", auth)
//	mux.Handle("/broadcasting/auth", auth)
//	mux.Handle("/broadcasting/user-auth", auth)
//
// A request whose Accept header names application/problem+json or application/json gets refusals as
// problems (RFC 9457) with a member "code", others get them as plain text. No refusal says whether
// a channel exists; the log has the reason of each 403.
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
	w.Header().Set("X-Content-Type-Options", "nosniff")
	r.Body = http.MaxBytesReader(w, r.Body, maxAuthBody) // for identify too, which may read the form
	answer, err := h.answer(r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer) // #nosec G705 -- it is JSON, and said to be
}

// answer returns what to answer with status 200, or a *refusal, or a failure.
func (h *authHandler) answer(r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, methodNotAllowed
	}
	if h.opts.CrossOrigin.Check(r) != nil {
		return nil, crossOrigin
	}
	user, err := h.identify(r)
	if err != nil {
		return nil, err
	}
	if user == "" {
		return nil, signedOut
	}
	request, err := readAuthRequest(r)
	if err != nil {
		return nil, err
	}
	request.user = user
	if request.signIn {
		if !validID(user) {
			return nil, forbidden("the user's id is not valid", request)
		}
		return h.signIn(r.Context(), request)
	}
	if err := h.mayEnter(r.Context(), request); err != nil {
		return nil, err
	}
	return h.enter(r.Context(), request)
}

// mayEnter returns nil if the user may enter the channel. Everything that it lets through gets
// signed, and a signature is made of socket:channel or socket:channel:member with nothing escaped:
// a channel with a colon in its name would forge a member of another channel. So this asks for
// Pusher's charset whatever the app's own grammar says.
func (h *authHandler) mayEnter(ctx context.Context, request authRequest) error {
	channel := request.channel
	private := strings.HasPrefix(channel, "private-") && !isEncrypted(channel)
	if !validChannel(channel) || !private && !isPresence(channel) {
		return forbidden("the channel is none that needs an authorization here", request)
	}
	if !h.notifier.ownChannels && strings.HasPrefix(channel, userPrefix) {
		if owner, ok := parseUser(channel); !ok || owner != request.user {
			return forbidden("the channel is another user's own", request)
		}
		return nil
	}
	conversation, ok := h.notifier.conversation(channel)
	if !ok {
		return forbidden("the channel is that of no conversation", request)
	}
	var invalid *delivery.InvalidError
	switch err := h.authorizer.Authorize(ctx, request.user, delivery.ToView, conversation); {
	case errors.Is(err, delivery.ErrForbidden):
		return forbidden("the app's rule does not let the user view the conversation", request)
	case errors.As(err, &invalid):
		return forbidden("the "+invalid.Field+" "+invalid.Reason, request)
	default:
		return err
	}
}

// enter returns the answer that lets the socket into the channel.
func (h *authHandler) enter(ctx context.Context, request authRequest) ([]byte, error) {
	if !isPresence(request.channel) {
		return json.Marshal(map[string]string{"auth": h.notifier.config.sign(request.socket + ":" + request.channel)})
	}
	info, err := h.userInfo(ctx, request.user)
	if err != nil {
		return nil, err
	}
	member, err := json.Marshal(map[string]any{"user_id": request.user, "user_info": info})
	if err != nil {
		return nil, fmt.Errorf("encoding the user's info: %w", err)
	}
	if len(member) > MaxMember {
		return nil, fmt.Errorf("the user's id and info have %d bytes, and Pusher allows %d", len(member), MaxMember)
	}
	auth := h.notifier.config.sign(request.socket + ":" + request.channel + ":" + string(member))
	return json.Marshal(map[string]string{"auth": auth, "channel_data": string(member)})
}

// signIn returns the answer that signs the user in on the socket.
func (h *authHandler) signIn(ctx context.Context, request authRequest) ([]byte, error) {
	info, err := h.userInfo(ctx, request.user)
	if err != nil {
		return nil, err
	}
	user, err := json.Marshal(map[string]any{"id": request.user, "user_info": info})
	if err != nil {
		return nil, fmt.Errorf("encoding the user's info: %w", err)
	}
	auth := h.notifier.config.sign(request.socket + "::user::" + string(user))
	return json.Marshal(map[string]string{"auth": auth, "user_data": string(user)})
}

// userInfo is never empty: soketi shows nobody a member without one, and Laravel Echo shows nothing
// else of a member.
func (h *authHandler) userInfo(ctx context.Context, user string) (map[string]any, error) {
	info := map[string]any{}
	if h.opts.UserInfo != nil {
		more, err := h.opts.UserInfo(ctx, user)
		if err != nil {
			return nil, err
		}
		maps.Copy(info, more)
	}
	info["id"] = user
	return info, nil
}

func isPresence(channel string) bool { return strings.HasPrefix(channel, "presence-") }
