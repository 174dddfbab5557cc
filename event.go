package delivery

import (
	"fmt"
	"slices"
)

// Kind says what an [Event] announces.
type Kind uint8

const (
	// MessageSent announces a new message.
	MessageSent Kind = iota + 1
	// StatusChanged announces receipts that advanced, and failures ([Tracker.Fail]).
	StatusChanged
	// MessageDeleted announces that messages were deleted.
	MessageDeleted
	// OwnChanged is for the devices of one user, and announces what that user alone may know. Only
	// an [OwnNotifier] gets such events.
	OwnChanged
	// Pruned announces that all messages at or before [Update.Floor] were removed.
	Pruned
)

var kinds = [...]string{MessageSent: "message", StatusChanged: "status", MessageDeleted: "deleted", OwnChanged: "own", Pruned: "pruned"}

// Valid reports whether k is one of the kinds.
func (k Kind) Valid() bool { return MessageSent <= k && int(k) < len(kinds) }

// String returns "message", "status", "deleted", "own" or "pruned", or "Kind(n)" for an invalid
// kind.
func (k Kind) String() string {
	if !k.Valid() {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kinds[k]
}

// MarshalText implements [encoding.TextMarshaler]. An invalid kind is an error.
func (k Kind) MarshalText() ([]byte, error) {
	if !k.Valid() {
		return nil, errKind
	}
	return []byte(kinds[k]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (k *Kind) UnmarshalText(text []byte) error {
	for kind := MessageSent; kind.Valid(); kind++ {
		if kinds[kind] == string(text) {
			*k = kind
			return nil
		}
	}
	return errKind
}

var errKind = &InvalidError{Field: "kind", Reason: "is not message, status, deleted, own or pruned"}

// Event is what a [Notifier] publishes: changes of one conversation that were committed together.
// An event may come more than once and out of order; the versions show a receiver when that
// happens.
//
// An event of the kind [OwnChanged] is for the devices of its User and for nobody else. It covers
// no versions: Conversation, From and To are zero, and [Update.Own] is set in each update.
type Event struct {
	ID           int64  `json:"id"` // given by the outbox; the same at every attempt
	Kind         Kind   `json:"kind"`
	Conversation string `json:"conversation"`

	// User is the user that an OwnChanged event is for. It is empty in all other events.
	User string `json:"user,omitempty"`

	// From and To are the range of versions the event covers, both inclusive. The events of a
	// conversation cover each of its versions exactly once, so a receiver that holds version v
	// has missed something if From > v+1.
	From int64 `json:"from"`
	To   int64 `json:"to"`

	// Except, if set, is the socket that made the change and is not told of it. The Notifier leaves
	// out the client with this socket, and must not send Except to clients: a client that knows
	// another client's socket can hide events from that client.
	Except string `json:"except,omitempty"`

	// Trace holds the strings that [Options.Trace] returned for the calls that made the changes.
	// Each is there once. They are sorted by bytes, and at most [MaxTraces] of them are kept. They
	// are for the app's own servers, and not for clients.
	Trace []string `json:"trace,omitempty"`

	// Updates are in order of Version; there is at least one. After a [Tracker.Replay] they have
	// the state at the time of the replay, with versions that may be greater than To.
	Updates []Update `json:"updates"`
}

// AddTrace adds the trace of one more call to the event, unless it is empty. If there are more than
// [MaxTraces], AddTrace keeps those that sort first. A [Store] that joins changes into events in
// Go, and not in SQL, must use AddTrace.
func (e *Event) AddTrace(trace string) {
	at, known := slices.BinarySearch(e.Trace, trace)
	if trace == "" || known || at == MaxTraces {
		return
	}
	e.Trace = slices.Insert(e.Trace, at, trace)
	e.Trace = e.Trace[:min(len(e.Trace), MaxTraces)]
}

// Update is one change of one message: where the message stands after it. For a deleted message,
// only the id and the version are set. In a [Pruned] event, only the version and the floor are set.
type Update struct {
	Message   string `json:"message"`
	Sender    string `json:"sender"`
	Version   int64  `json:"version"`
	Status    Status `json:"status,omitzero"` // the message's, by its quorum
	Delivered int    `json:"delivered"`       // recipients whom it reached, readers included
	Read      int    `json:"read"`
	Failed    int    `json:"failed,omitempty"` // as in a [Tally]
	Total     int    `json:"total"`            // frozen recipients that are tracked; 0 for an open audience
	Readers   int    `json:"readers"`          // those of them who do not hide reads

	// Receipt is the one that advanced, or that has a Failure now; nil for a new message.
	Receipt *Receipt `json:"receipt,omitempty"`

	// Own is what an OwnChanged event tells; nil in all others.
	Own *OwnUpdate `json:"own,omitempty"`

	// Body is a new message's, if [Options.EventBodies] asks for it.
	Body string `json:"body,omitempty"`

	// Floor is the Seq up to which the messages of the conversation were removed.
	Floor int64 `json:"floor,omitempty"`
}

// OwnUpdate is where a user stands after a change that only the user's own devices may know. A
// device that knows a higher [Place.Rev] of the conversation ignores the place.
type OwnUpdate struct {
	Conversation string `json:"conversation"`
	Status       Status `json:"status,omitzero"` // the user's own status of the update's message, if the user may mark it
	Place        Place  `json:"place"`
}
