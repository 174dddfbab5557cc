package pusheradapter

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/pusher/pusher-http-go/v5"
)

// DefaultTimeout bounds a call to the endpoint unless [Options] say otherwise.
const DefaultTimeout = 5 * time.Second

// Options adjust a [Notifier]. The zero value of each field means its default.
type Options struct {
	// Encode returns the triggers by which an event is told: their channels, names and data. It may
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

	// AuthorsOnly tells status events to the authors of the messages only, each on their own
	// [UserChannel]. The cost of a receipt then does not depend on how many users hear the
	// conversation. The package comment says what this means for pages. It cannot be combined with
	// Encode.
	AuthorsOnly bool

	// Timeout bounds each call to the endpoint. Defaults to [DefaultTimeout].
	Timeout time.Duration

	// Calls is how many calls to the endpoint are under way at a time at most. One Notify makes one
	// call for every ten triggers. Defaults to [delivery.DefaultNotifyCalls]; where
	// [delivery.Options] have more, it should follow them.
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
}

var _ delivery.CheckingNotifier = (*Notifier)(nil)

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

// Format implements [fmt.Formatter]: a Notifier prints as its [Config] does, without secrets.
func (n *Notifier) Format(state fmt.State, verb rune) { n.config.Format(state, verb) }

// Notify implements [delivery.Notifier]. It sends up to ten triggers per call. Triggers of the same
// channel are sent one after another, so that they arrive in order as long as Pusher keeps it.
//
// The endpoint's answer decides whether an event or the endpoint is at fault. After a 400, 413 or 422
// an event is: Notify sends the events of that call again, each by itself, and refuses those that fail
// again, permanently if they are too large. After any other answer but a 2xx, or after none, the
// endpoint is at fault: Notify returns an error that wraps an [*Error] and says nothing about any
// single event, even if some were accepted or refused before.
func (n *Notifier) Notify(ctx context.Context, events []delivery.Event) error {
	p := publication{notifier: n, events: events, refused: make(map[int]error)}
	p.publish(ctx, merge(events, n.mayJoin))
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

// publication is the work of one Notify.
type publication struct {
	notifier *Notifier
	events   []delivery.Event

	mu      sync.Mutex
	failure error         // of the endpoint; ends the publication
	refused map[int]error // by index of the event
	apart   []int         // events refused together with others, so that none is to blame yet
}

// publish encodes and sends parcels, unless the publication has ended.
func (p *publication) publish(ctx context.Context, parcels []parcel) {
	if p.failed() {
		return
	}
	triggers := make([]outgoing, 0, len(parcels))
	for _, each := range parcels {
		encoded, err := p.notifier.encode(ctx, each.Event)
		if ctx.Err() != nil {
			p.fail(fmt.Errorf("pusheradapter: encoding: %w", ctx.Err()))
			return
		}
		if err != nil {
			p.refuse(each.of, err, false)
		}
		for _, t := range encoded {
			triggers = append(triggers, outgoing{t, each.of})
		}
	}
	bytes, limited := p.notifier.limit.get()
	if limited {
		triggers = p.notifier.shrink(triggers, bytes)
	} else {
		bytes = maxBatch * MaxData
	}
	var wait sync.WaitGroup
	for _, lane := range lanes(triggers, bytes) {
		select {
		case p.notifier.slots <- struct{}{}:
			wait.Go(func() {
				defer func() { <-p.notifier.slots }()
				defer func() {
					if recover() != nil { // of the app's own Transport: nobody else could catch it here
						p.fail(&Error{err: errors.New("the transport panicked")})
					}
				}()
				for _, batch := range lane {
					p.send(ctx, batch)
				}
			})
		case <-ctx.Done():
			p.fail(&Error{err: ctx.Err()})
		}
	}
	wait.Wait()
}

// send publishes a batch, unless the publication has ended, and takes down what became of it. It
// reports whether the endpoint took the batch as it was.
func (p *publication) send(ctx context.Context, batch []outgoing) bool {
	if p.failed() {
		return false
	}
	err := p.notifier.call(ctx, batch, p.key(batch))
	var answer *Error
	switch {
	case err == nil:
		return true
	case !errors.As(err, &answer) || !blamesTrigger(answer.Status):
		p.fail(err)
	case answer.Status == http.StatusRequestEntityTooLarge && p.sendSmaller(ctx, batch):
	case len(batch) > 1:
		for i := range batch {
			p.send(ctx, batch[i:i+1])
		}
	case answer.Status == http.StatusRequestEntityTooLarge:
		p.refuse(batch[0].of, delivery.Permanent(answer), true)
	default:
		p.refuse(batch[0].of, answer, false)
	}
	return false
}

// sendSmaller publishes a batch that was too large in smaller requests. It reports false if it cannot
// be made smaller. Of several events that are small together each is better sent by itself.
func (p *publication) sendSmaller(ctx context.Context, batch []outgoing) bool {
	bytes := below(sizeOf(batch))
	smaller := pack(p.notifier.shrink(batch, bytes), bytes)
	alone := len(batch) == 1 && len(batch[0].of) == 1
	if !alone && sizeOf(batch) < plausible || len(smaller) == 1 && sizeOf(smaller[0]) >= sizeOf(batch) {
		return false
	}
	taken := true
	for _, each := range smaller {
		if alone && p.isRefused(batch[0].of[0]) {
			break // what is left of it would be told again, or never
		}
		taken = p.send(ctx, each) && taken
	}
	if taken {
		p.notifier.limit.learn(bytes)
	}
	return true
}

// key returns what names a batch: the ids of its events, which are the same at every attempt, and
// what is sent of them.
func (p *publication) key(batch []outgoing) string {
	hash := sha256.New()
	for i := range batch {
		for _, of := range batch[i].of {
			fmt.Fprint(hash, p.events[of].ID, ",")
		}
		fmt.Fprintf(hash, "%q %q %q %d ", batch[i].Channel, batch[i].Name, batch[i].Except, len(batch[i].Data))
		hash.Write(batch[i].Data)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

func (p *publication) isRefused(event int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[event] != nil
}

func (p *publication) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure != nil
}

func (p *publication) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = err
	}
}

// refuse blames an event; the first refusal counts, unless a later one is final. Of several events
// that were sent as one it blames none, and has each sent by itself.
func (p *publication) refuse(of []int, err error, final bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(of) > 1 {
		p.apart = append(p.apart, of...)
	} else if final || p.refused[of[0]] == nil {
		p.refused[of[0]] = err
	}
}
