package pusheradapter

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/pusher/pusher-http-go/v5"
)

// DefaultTimeout bounds a call to the endpoint unless [Options] say otherwise.
const DefaultTimeout = 5 * time.Second

// Options adjust a [Notifier]. The zero value of each field means its default.
type Options struct {
	// Encode returns the triggers that publish an event: their channels, names and data. It may
	// return none, and may be called by several goroutines at the same time. Defaults to
	// [EncodePrivate]. Status events that follow each other are joined before EncodePrivate gets
	// them; an Encode of your own gets them as they were committed.
	//
	// If Encode fails, the event is tried twice more, 20 s apart, and then goes to the dead
	// letters. An error made by [delivery.RetryAfter] sets another pause. After an error made by
	// [delivery.Permanent], or a trigger that is not valid, the event goes to the dead letters at
	// once.
	Encode func(ctx context.Context, event delivery.Event) ([]Trigger, error)

	// Conversation returns the conversation whose events a channel carries, or false if the channel
	// is none of Encode's. [Notifier.AuthHandler] needs it. Defaults to [ParseChannel]; with an
	// Encode of your own there is no default.
	Conversation func(channel string) (conversation string, ok bool)

	// AuthorsOnly publishes status events to the authors of the messages and to the readers' own
	// other devices only, on their [UserChannel]s. The cost of a receipt then does not depend on
	// how many users hear the conversation. The package comment says what this means for pages. It
	// cannot be combined with Encode.
	AuthorsOnly bool

	// Timeout bounds each call to the endpoint. Defaults to [DefaultTimeout].
	Timeout time.Duration

	// Calls is how many calls to the endpoint are under way at a time at most. One Notify makes one
	// call for every ten triggers. Defaults to [delivery.DefaultNotifyCalls]. If
	// delivery.Options.NotifyCalls is larger, set Calls to the same number.
	Calls int

	// Transport makes the calls. Redirects are not followed. Defaults to a transport of the
	// Notifier's own, which keeps connections open and uses the proxy that the environment names.
	Transport http.RoundTripper
}

// encoder is the type of [Options.Encode].
type encoder = func(context.Context, delivery.Event) ([]Trigger, error)

// Notifier publishes events through Pusher Channels. It may be used by several goroutines at the
// same time, and need not be closed.
type Notifier struct {
	config       Config
	client       pusher.Client // copied for each call; its HTTPClient is never set
	encode       encoder
	mayJoin      func(a, b delivery.Event) bool // what is encoded together
	authorsOnly  bool
	ownChannels  bool // Encode makes the channels' names
	conversation func(string) (string, bool)
	timeout      time.Duration
	transport    http.RoundTripper
	slots        chan struct{} // one per call at a time
	limit        limit
	pace         pace
}

var (
	_ delivery.CheckingNotifier = (*Notifier)(nil)
	_ delivery.OwnNotifier      = (*Notifier)(nil)
)

// New returns a [Notifier] for the app. A nil opts means all defaults. It does not contact the
// endpoint; its only error is a [*ConfigError].
func New(config Config, opts *Options) (*Notifier, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &Options{}
	}
	n := &Notifier{
		config:       config,
		client:       config.client(),
		encode:       opts.Encode,
		mayJoin:      never,
		authorsOnly:  opts.AuthorsOnly,
		ownChannels:  opts.Encode != nil,
		conversation: opts.Conversation,
		timeout:      opts.Timeout,
		transport:    opts.Transport,
		pace:         pace{gate: make(chan struct{}, 1)},
		slots:        make(chan struct{}, max(cmp.Or(opts.Calls, delivery.DefaultNotifyCalls), 0)),
	}
	if opts.Calls < 0 {
		return nil, &ConfigError{"Calls", "is negative"}
	}
	if n.timeout < 0 {
		return nil, &ConfigError{"Timeout", "is negative"}
	}
	if n.timeout == 0 {
		n.timeout = DefaultTimeout
	}
	if n.transport == nil {
		n.transport = newTransport(cap(n.slots))
	}
	switch {
	case n.encode != nil && n.authorsOnly:
		return nil, &ConfigError{"AuthorsOnly", "is set, and so is Encode"}
	case n.authorsOnly:
		n.encode, n.mayJoin = encodeForAuthors, named
	case n.encode == nil:
		n.encode, n.mayJoin = EncodePrivate, consecutive
	default:
		n.encode = checked(n.encode)
	}
	if n.conversation == nil && opts.Encode == nil {
		n.conversation = ParseChannel
	}
	return n, nil
}

// CheckConversation implements [delivery.CheckingNotifier]. It refuses ids that do not fit into the
// name of a [PrivateChannel]. With an [Options.Encode] it refuses none, because the app names the
// channels.
func (n *Notifier) CheckConversation(conversation string) error {
	if n.ownChannels {
		return nil
	}
	_, err := PrivateChannel(conversation)
	return err
}

// TakesOwn implements [delivery.OwnNotifier]. With an [Options.Encode] it returns false, because
// such a function may put every event on its conversation's channel.
func (n *Notifier) TakesOwn() bool { return !n.ownChannels }

// Format implements [fmt.Formatter]: a Notifier prints as its [Config] does, without secrets.
func (n *Notifier) Format(state fmt.State, verb rune) { n.config.Format(state, verb) }

// Notify implements [delivery.Notifier]. It sends up to ten triggers per call. Triggers of the same
// channel are sent one after another, so they arrive in order if Pusher keeps the order.
//
// After a 413 Notify sends the same events in smaller requests, down to one update each, and
// remembers for ten minutes what the endpoint takes. After a 429 it waits as long as the answer
// says, or 250 ms, and goes on in smaller batches, if ctx leaves time for that. Only one Notify at
// a time sends in this slower way, and the others wait for it.
//
// The endpoint's answer decides whether an event or the endpoint is at fault. After a 400, 413 or
// 422, an event is at fault: Notify sends the events of that call again, each by itself, and
// refuses those that fail again, permanently if they are too large. After any other status except
// 2xx, or without an answer, the endpoint is at fault. Notify then returns an error that wraps an
// [*Error]. The error names no single event, even if the endpoint has already accepted or refused
// some.
func (n *Notifier) Notify(ctx context.Context, events []delivery.Event) error {
	p := publication{notifier: n, events: events, refused: make(map[int]error)}
	defer p.end()
	parcels := merge(events, n.mayJoin)
	if n.authorsOnly {
		parcels = append(parcels, readers(events)...)
	}
	p.publish(ctx, parcels)
	var again []parcel // each by itself
	for _, i := range slices.Compact(slices.Sorted(slices.Values(p.apart))) {
		again = append(again, parcel{events[i], []int{i}})
	}
	p.publish(ctx, again)
	if p.failure != nil {
		return p.failure
	}
	return delivery.Refused(p.refused)
}

// encodePause is between two tries of an event whose Encode failed: both pauses together outlast
// the restart of a database.
const encodePause = 20 * time.Second

// encodeError is the error of an Encode. It says when the event is to come again, after the error
// itself has had the chance to.
type encodeError struct{ error }

func (e encodeError) Unwrap() []error {
	return []error{e.error, delivery.RetryAfter(e.error, encodePause)}
}

// checked returns an app's Encode with its triggers validated and its errors made encodeErrors. The
// package's own needs neither: its triggers are valid and its errors permanent.
func checked(encode encoder) encoder {
	return func(ctx context.Context, event delivery.Event) ([]Trigger, error) {
		triggers, err := encode(ctx, event)
		if err != nil {
			return nil, encodeError{err}
		}
		for i := range triggers {
			if err := triggers[i].validate(); err != nil {
				return nil, delivery.Permanent(err)
			}
		}
		return triggers, nil
	}
}
