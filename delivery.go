package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// Tracker follows what becomes of messages: it takes sends and marks, keeps them in a [Store] and
// tells a [Notifier] of every change. It is safe for concurrent use. Without [Tracker.Run] it
// starts goroutines only during calls. One of them may outlast a call: it counts the waiting
// events, and logs a warning if nobody publishes them.
type Tracker struct {
	store Store
	opts  Options
	guesses

	sends   *gather[NewMessage, string, Created]
	marks   *gather[Mark, receiptKey, Marked]
	upTos   *gather[UpTo, Reader, MarkedUpTo]
	deletes *gather[Deletion, string, Deleted] // nil if the store is no Keeper
	relay   *relay
}

// guesses are what a tracker remembers to save round trips. A wrong guess costs time, and no answer
// rests on one.
type guesses struct {
	headers recent[Header] // of messages lately sent, or marked by whom they concern
	places  recent[string] // the conversations in which users marked last, by user
}

// Options adjust a [Tracker]. The zero value of each field means its default.
type Options struct {
	// Authorize is the app's own rule: may the user do this in the conversation? The Tracker calls
	// it for marks of messages with an open audience, for every MarkUpTo with [HideAll], and for
	// [Tracker.Authorize]. An error is a failure, not a refusal. A rule that says yes to
	// conversations that the app does not know lets any user fill the store with them. Authorize
	// may be called concurrently. The Tx forms call it inside the caller's transaction. A rule that
	// makes a query then needs a second connection from the pool. If the pool never has one, the
	// call waits for ever.
	Authorize func(ctx context.Context, user string, to Action, conversation string) (bool, error)

	// OpenConversations says that every user may view, send and mark in every conversation. Either
	// OpenConversations or Authorize must be set, and not both.
	OpenConversations bool

	// EventBodies makes the events of new messages carry their bodies. By default they carry ids,
	// statuses and counts, but no bodies. A client that may view the conversation fetches the body.
	EventBodies bool

	// Lease is how long one process may hold an event before others may publish it. A crash of the
	// process delays its events by that time. The Tracker gives up a call of the Notifier after 1/3
	// of Lease. Defaults to [DefaultLease]; from one second to an hour.
	Lease time.Duration

	// NotifyCalls is how many calls of the Notifier one process has under way at most. The actual
	// number adapts to the backlog and to what the endpoint can take: see [Tracker.Run]. When a
	// process dies, up to NotifyCalls × NotifyEvents events may be published twice. A process holds
	// up to 5 × NotifyCalls × NotifyEvents + 2,000 events in memory. Defaults to
	// [DefaultNotifyCalls]; from 1 to 10,000.
	NotifyCalls int

	// NotifyEvents and NotifyBytes limit one call of the Notifier: the number of its events, and
	// the bytes that these take as JSON. An event that is larger than NotifyBytes gets a call of
	// its own. They default to [DefaultNotifyEvents], as many as one call of Pusher takes, and
	// [DefaultNotifyBytes]. NotifyEvents is from 1 to [MaxBatch].
	NotifyEvents int
	NotifyBytes  int

	// WriteTimeout limits how long a write may take if the caller's ctx has no deadline. A caller
	// with a deadline waits until then. A call of MarkUpTo or Mark may make several writes.
	// WriteTimeout does not limit the Tx forms and CountHours. Prune, Compact, DeleteConversation
	// and Erase may take longer, too: for them, WriteTimeout limits only how long they wait for a
	// locked conversation. Calls that overlap share one write, which is cancelled only when the
	// contexts of all of them have ended. If a write has not returned after a second and the store
	// takes several writes at a time, the next calls share a new write. Defaults to
	// [DefaultWriteTimeout]; from one second to an hour.
	WriteTimeout time.Duration

	// Trace returns a string that identifies the request of a call, such as a traceparent, from the
	// call's ctx. The string is stored with the events of the call, and is in [Event.Trace] in
	// whatever process publishes them. Clients never get it. A string that is longer than
	// [MaxTrace] bytes, is not valid UTF-8 or contains NUL is dropped, since no call should fail
	// for it. Trace may be called concurrently. Defaults to nothing.
	Trace func(ctx context.Context) string

	// PruneAge is the least age of messages that [Tracker.Prune] may remove, and [Tracker.Compact]
	// may compact. It must exceed the time for which clients retry a send. Defaults to
	// [DefaultPruneAge]; at least an hour.
	PruneAge time.Duration

	// Logger gets what an operator must act on: events that nobody publishes, a failing endpoint,
	// dead letters. It never sees a body. Defaults to [slog.Default].
	Logger *slog.Logger

	// Observer is told what happens, for metrics and tracing. Defaults to nobody.
	Observer *Observer
}

// Defaults of [Options].
const (
	DefaultLease        = 15 * time.Second
	DefaultWriteTimeout = 30 * time.Second
	DefaultNotifyCalls  = 1024
	DefaultNotifyEvents = 10
	DefaultNotifyBytes  = 256 << 10
	DefaultPruneAge     = 24 * time.Hour
)

const upToLimit = 1000 // receipts that one call of the store advances by up-to marks

// New returns a Tracker over the store and the notifier. It is an error if the store or the
// notifier is nil, an option is out of range, or opts do not say who may do what: they must have
// either [Options.Authorize] or [Options.OpenConversations].
func New(store Store, notifier Notifier, opts *Options) (*Tracker, error) {
	if store == nil {
		return nil, &InvalidError{Field: "store", Reason: "is nil"}
	}
	if notifier == nil {
		return nil, &InvalidError{Field: "notifier", Reason: "is nil"}
	}
	t := &Tracker{store: store}
	if opts != nil {
		t.opts = *opts
	}
	if (t.opts.Authorize == nil) != t.opts.OpenConversations {
		return nil, &InvalidError{Field: "authorize", Reason: "must be set, or OpenConversations, and not both"}
	}
	t.opts.Lease = cmp.Or(t.opts.Lease, DefaultLease)
	if t.opts.Lease < time.Second || t.opts.Lease > time.Hour {
		return nil, &InvalidError{Field: "lease", Reason: "is not between a second and an hour"}
	}
	t.opts.WriteTimeout = cmp.Or(t.opts.WriteTimeout, DefaultWriteTimeout)
	if t.opts.WriteTimeout < time.Second || t.opts.WriteTimeout > time.Hour {
		return nil, &InvalidError{Field: "writeTimeout", Reason: "is not between a second and an hour"}
	}
	t.opts.NotifyCalls = cmp.Or(t.opts.NotifyCalls, DefaultNotifyCalls)
	if t.opts.NotifyCalls < 1 || t.opts.NotifyCalls > 10_000 {
		return nil, &InvalidError{Field: "notifyCalls", Reason: "is not between 1 and 10,000"}
	}
	t.opts.NotifyEvents = cmp.Or(t.opts.NotifyEvents, DefaultNotifyEvents)
	if t.opts.NotifyEvents < 1 || t.opts.NotifyEvents > MaxBatch {
		return nil, &InvalidError{Field: "notifyEvents", Reason: "is not between 1 and 500"}
	}
	t.opts.NotifyBytes = cmp.Or(t.opts.NotifyBytes, DefaultNotifyBytes)
	if t.opts.NotifyBytes < 0 {
		return nil, &InvalidError{Field: "notifyBytes", Reason: "is negative"}
	}
	t.opts.PruneAge = cmp.Or(t.opts.PruneAge, DefaultPruneAge)
	if t.opts.PruneAge < time.Hour {
		return nil, &InvalidError{Field: "pruneAge", Reason: "is less than an hour"}
	}
	if t.opts.Logger == nil {
		t.opts.Logger = slog.Default()
	}
	t.opts.Observer = t.opts.Observer.whole()
	writers := 1
	if s, ok := store.(ParallelStore); ok {
		writers = max(s.Writers(), 1)
	}
	slots := make(coalesce.Slots, writers)
	t.relay = newRelay(store, notifier, &t.opts, writers)
	t.sends = newGather(sendKind, slots, t.relay, t.opts.WriteTimeout, store.Create)
	t.marks = newGather(markKind, slots, t.relay, t.opts.WriteTimeout, store.Advance)
	t.upTos = newGather(upToKind, slots, t.relay, t.opts.WriteTimeout, func(ctx context.Context, upTo []UpTo, lease Lease) ([]MarkedUpTo, []Claimed, error) {
		return store.AdvanceUpTo(ctx, upTo, upToLimit, lease)
	})
	if keeper, ok := store.(Keeper); ok {
		t.deletes = newGather(deleteKind, slots, t.relay, t.opts.WriteTimeout, keeper.Delete)
	}
	return t, nil
}

// Actor is who makes a call.
type Actor struct {
	// User is the app's own name for the user, from its own sign-in and never from the request's
	// body: 1 to [MaxID] bytes of UTF-8 without NUL. Names are compared byte for byte: those that
	// look alike, as "Bob", "bob" and "bob ", are different users.
	User string

	// Socket, if set, is the connection the call came from. It is not told of the change.
	// Up to [MaxID] bytes; what they mean is the [Notifier]'s business.
	Socket string

	// Hide says what others may not see of the actor's marks. It affects marks only.
	Hide Hide
}

// Hide says what others may not see of a user's marks. A hidden mark empties the user's own badge,
// and an [OwnNotifier] tells the user's other devices. The hidden part of a mark leaves no receipt,
// event, version or count for others, and the store does not keep its time.
//
// A later mark that hides less becomes visible for every message that it covers, with the time of
// that later mark, as if the messages had not been marked before. So the first up-to mark after a
// user stopped hiding shows the whole history as read.
type Hide uint8

const (
	HideNothing Hide = iota
	HideRead         // others see read messages as delivered
	HideAll          // others see nothing
)

// shown returns what of a mark others may see, 0 for nothing.
func (h Hide) shown(s Status) Status {
	switch h {
	case HideAll:
		return 0
	case HideRead:
		return min(s, Delivered)
	}
	return s
}

// Action is what a user wants to do in a conversation.
type Action uint8

const (
	ToView Action = iota + 1 // see its messages and receipts, hear its events
	ToSend                   // send into it
	ToMark                   // mark its open messages
)

// String returns "view", "send" or "mark".
func (a Action) String() string {
	switch a {
	case ToView:
		return "view"
	case ToSend:
		return "send"
	case ToMark:
		return "mark"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Authorize asks the app's rule, [Options.Authorize]: nil is yes, [ErrForbidden] is no, anything
// else is a failure. HTTP handlers and channel-auth endpoints ask it before they show anything;
// the Tracker's own methods, called by the app itself, ask it for marks only.
func (t *Tracker) Authorize(ctx context.Context, user string, to Action, conversation string) error {
	if err := cmp.Or(checkID("user", user), checkID("conversation", conversation)); err != nil {
		return err
	}
	if t.opts.Authorize == nil {
		return nil
	}
	ok, err := t.opts.Authorize(ctx, user, to, conversation)
	if err != nil {
		return fmt.Errorf("delivery: asking the app's rule: %w", err)
	}
	if !ok {
		return ErrForbidden
	}
	return nil
}

// inTx returns the store bound to the caller's transaction.
func (t *Tracker) inTx(tx DBTX) (Store, error) {
	if err := checkTx(tx); err != nil {
		return nil, err
	}
	s, ok := t.store.(TxStore)
	if !ok {
		return nil, fmt.Errorf("delivery: %T cannot join a transaction: %w", t.store, errors.ErrUnsupported)
	}
	return s.InTx(tx), nil
}

// outcome gives a failed wait for a batch its public form.
func outcome(doing string, err error) error {
	if errors.Is(err, coalesce.ErrUnknown) && !errors.Is(err, ErrOutcomeUnknown) {
		return fmt.Errorf("delivery: %s: %w: %w", doing, ErrOutcomeUnknown, err)
	}
	return fmt.Errorf("delivery: %s: %w", doing, err)
}

func isUnknown(err error) bool {
	return errors.Is(err, coalesce.ErrUnknown) || errors.Is(err, ErrOutcomeUnknown)
}
