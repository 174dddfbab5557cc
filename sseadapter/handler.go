package sseadapter

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/msgdelivery/delivery"
)

// Defaults of [Options], and limits.
const (
	DefaultHeartbeat    = 15 * time.Second
	DefaultWriteTimeout = 10 * time.Second
	DefaultLifetime     = time.Hour
	DefaultStreams      = 20        // of one user
	DefaultBuffer       = 256 << 10 // bytes of one stream

	MaxConversations = 50       // on one stream
	MaxData          = 64 << 10 // bytes of data in one event; a body that is too long for it is omitted
)

// Source is where streams learn who may hear a conversation, and what a client has missed. A
// [*delivery.Tracker] is one.
type Source interface {
	Authorize(ctx context.Context, user string, to delivery.Action, conversation string) error
	Messages(ctx context.Context, q delivery.Query) (delivery.Page, error)
	ChangesFor(ctx context.Context, actor delivery.Actor, conversation string, since delivery.Cursor, limit int) (delivery.Page, error)
}

// Options adjust a [Handler]. The zero value of each field means its default.
type Options struct {
	// Heartbeat is the time without an event after which a stream gets a ping. Proxies end
	// connections on which nothing happens, nginx after 60 s. Defaults to [DefaultHeartbeat].
	Heartbeat time.Duration

	// WriteTimeout is how long a client may take to read what is written, up to 64 KiB at a time.
	// A slower client is cut off. Defaults to [DefaultWriteTimeout].
	WriteTimeout time.Duration

	// Lifetime is the age at which a stream ends, give or take 10 %. The browser then opens the
	// next one, for which the user's sign-in and rights are checked again. Defaults to
	// [DefaultLifetime].
	Lifetime time.Duration

	// Streams is how many streams a user may have at a time in this process. Defaults to
	// [DefaultStreams].
	Streams int

	// Buffer is how many bytes of events may wait for a slow client. If more come, the stream drops
	// them and reads the changes instead. Defaults to [DefaultBuffer].
	Buffer int

	// Logger gets the failures of the bus, of the source and of identify. Defaults to
	// [slog.Default].
	Logger *slog.Logger
}

// ConfigError says which argument of [New] is not acceptable, and why.
type ConfigError struct {
	Field  string // as it is called in Go
	Reason string // completes a sentence that begins with Field: "is nil"
}

func (e *ConfigError) Error() string { return "sseadapter: " + e.Field + " " + e.Reason }

// ErrRunning refuses a second [Handler.Run] at the same time.
var ErrRunning = errors.New("sseadapter: this handler is already running")

// Handler serves streams of server-sent events. It may be used by several goroutines at the same
// time. It serves streams only while [Handler.Run] runs.
type Handler struct {
	source   Source
	bus      delivery.Bus
	identify func(*http.Request) (string, error)
	opts     Options
	log      *slog.Logger
	hub      hub
	reads    chan struct{} // one per read of the source under way
}

var _ http.Handler = (*Handler)(nil)

// maxReads is how many reads of the source are under way at a time: enough for a busy server, and
// few enough that thousands of streams which catch up at the same moment leave it room for others.
const maxReads = 8

// New returns a [Handler] for the events that the bus carries. A nil opts means all defaults. The
// only error is a [*ConfigError].
//
// Identify returns the user of a request, as the app's own sign-in knows it, or "" if nobody is
// signed in.
func New(source Source, bus delivery.Bus, identify func(*http.Request) (user string, err error), opts *Options) (*Handler, error) {
	h := &Handler{source: source, bus: bus, identify: identify, reads: make(chan struct{}, maxReads)}
	if opts != nil {
		h.opts = *opts
	}
	switch o := &h.opts; {
	case source == nil:
		return nil, &ConfigError{"source", "is nil"}
	case bus == nil:
		return nil, &ConfigError{"bus", "is nil"}
	case identify == nil:
		return nil, &ConfigError{"identify", "is nil"}
	case o.Heartbeat < 0:
		return nil, &ConfigError{"Heartbeat", "is negative"}
	case o.WriteTimeout < 0:
		return nil, &ConfigError{"WriteTimeout", "is negative"}
	case o.Lifetime < 0:
		return nil, &ConfigError{"Lifetime", "is negative"}
	case o.Streams < 0:
		return nil, &ConfigError{"Streams", "is negative"}
	case o.Buffer < 0:
		return nil, &ConfigError{"Buffer", "is negative"}
	}
	h.opts.Heartbeat = cmp.Or(h.opts.Heartbeat, DefaultHeartbeat)
	h.opts.WriteTimeout = cmp.Or(h.opts.WriteTimeout, DefaultWriteTimeout)
	h.opts.Lifetime = cmp.Or(h.opts.Lifetime, DefaultLifetime)
	h.opts.Streams = cmp.Or(h.opts.Streams, DefaultStreams)
	h.opts.Buffer = cmp.Or(h.opts.Buffer, DefaultBuffer)
	h.log = cmp.Or(h.opts.Logger, slog.Default())
	return h, nil
}

// ServeHTTP serves one stream, to a GET request. The package comment says what the request and the
// stream look like.
//
// The status is 400 if the request is malformed, 401 if nobody is signed in, 403 if the user may
// hear none of the conversations, and 405 for another method. An EventSource gives up for good at
// any status but 200. So temporary failures are answered with status 200 and a stream that ends at
// once and says when to come again. They are a failure of identify or of the source, a user with
// too many streams, and a process that has not begun its Run or is shutting down.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := newWriter(w, h.opts.WriteTimeout)
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		out.refuse(http.StatusMethodNotAllowed)
		return
	}
	user, err := h.identify(r)
	if err != nil {
		h.report(r, "sseadapter: identifying the user of a stream failed", err)
		out.later(pauseOfFailure)
		return
	}
	if user == "" {
		out.refuse(http.StatusUnauthorized)
		return
	}
	topics, epoch, ok := parse(r)
	if !ok {
		out.refuse(http.StatusBadRequest)
		return
	}
	if ok, err = h.authorize(r.Context(), user, topics); err != nil {
		h.report(r, "sseadapter: authorizing a stream failed", err)
		out.later(pauseOfFailure)
		return
	}
	if !ok {
		out.refuse(http.StatusForbidden)
		return
	}
	s := newStream(h, user, topics, epoch)
	if err := h.hub.open(s, h.opts.Streams); err != nil {
		h.log.WarnContext(r.Context(), "sseadapter: a stream was not opened", "error", err)
		out.later(pauseOf(err))
		return
	}
	defer h.hub.close(s)
	var left *leftError
	if err := s.serve(r.Context(), out); err != nil && !errors.As(err, &left) {
		h.report(r, "sseadapter: a stream ended", err)
	}
}

// report logs a failure, unless it is that of a client which has left.
func (h *Handler) report(r *http.Request, what string, err error) {
	if r.Context().Err() == nil {
		h.log.ErrorContext(r.Context(), what, "error", err)
	}
}

// authorize marks the topics that the user may hear, and reports whether there is one.
func (h *Handler) authorize(ctx context.Context, user string, topics []topic) (any bool, err error) {
	for i := range topics {
		var invalid *delivery.InvalidError
		err := h.source.Authorize(ctx, user, delivery.ToView, topics[i].conversation)
		switch {
		case err == nil:
			topics[i].heard, any = true, true
		case errors.Is(err, delivery.ErrForbidden) || errors.As(err, &invalid):
			topics[i] = topic{conversation: topics[i].conversation}
		default:
			return false, err
		}
	}
	return any, nil
}
