package delivery

import (
	"cmp"
	"context"
	"database/sql"
	"time"
)

// Store keeps messages, receipts and the outbox. The [Tracker] sits in front of the Store. The
// Tracker makes ids, validates input, sets times, asks the app's rule, and turns refusals into
// errors. A Store only has to be atomic, forward-only and exact. The executable form of this
// contract is deliverytest.TestStore.
//
// Words. Every conversation has a version, a counter that starts at 0. A change is a new message,
// the advance of one receipt, a failure that others see ([FailureStore]), or a deletion or prune by
// a [Keeper]. Each change takes the next version of its conversation. The store locks the
// conversation until the commit, so versions become visible in order and without gaps. A message's
// seq is the version of its sending; its version is that of its last change. Committed events that
// the Notifier has not accepted yet are the outbox. An event is due when its time has come and
// nobody holds it. A process that publishes an event holds it under a [Lease].
//
// For every method:
//
//   - It is atomic: its changes and the events that announce them commit together or not at all.
//   - Ids are compared byte for byte: "A" is not "a", and trailing spaces count.
//   - Times are kept to the microsecond and come back in UTC.
//   - Slices handed in and handed out belong to the caller: a store copies what it keeps.
//   - It may be called by any number of goroutines and processes at the same time.
//   - "Missing" is a result, not an error; errors are failures of the system. After an error
//     nothing was changed, unless it wraps [ErrOutcomeUnknown]; repeating a call is safe in both
//     cases.
//   - A conflict with another writer (deadlock, serialization, busy) is retried inside, as a whole
//     transaction. When ctx ends, so does the call.
//   - Create, Advance and AdvanceUpTo need not wait for a conversation that another transaction has
//     locked. The items of such a conversation come back Blocked: nothing was changed for them, the
//     items beside them are not hindered, and the caller tries them again. The caller may retry
//     once without a pause, since some stores also answer Blocked when the conversation changed
//     during the call. A conversation that nobody else writes to is never Blocked. A store may wait
//     instead of answering Blocked, if a call that waits holds nothing that other calls need, such
//     as a connection.
type Store interface {
	Outbox

	// Create stores new messages of distinct ids, with one [MessageSent] event each. The results
	// are in the order of the argument, as are the seqs within each conversation. A message whose
	// id is taken, in whatever conversation, is not stored. Its result holds the message that is
	// there. If that cannot be read, it holds an error instead, and the other messages are stored
	// all the same. The events are stored under the lease and returned, or are due at once if the
	// lease is zero.
	//
	// A message that is not open belongs to a roster, which a conversation keeps under its key and
	// never changes. If the conversation has no roster with that key, Create makes it from the
	// message's Members. If the message has no Members either, it is not stored, and its result has
	// NoRoster set. The recipients of a message are its roster without its sender. Each has a
	// receipt from the start, at [Sent] with the message's seq as its version: a store need not
	// write it before the first mark. A member's cap, the highest status of the member that others
	// may see, is part of the roster and never changes.
	Create(ctx context.Context, messages []NewMessage, lease Lease) ([]Created, []Claimed, error)

	// Advance applies marks, and returns one result for each, in the order of the argument. No two
	// of the marks have the same message and user. A mark advances the user's receipt, by the rules
	// of [Receipt.Advance], if the message exists, the user is not its sender, and the user may
	// mark it. A message that is not open may be marked by its recipients, and an open one by every
	// user for whom [Mark.AdmittedTo] is true for its conversation. For an open message, Advance
	// makes a missing receipt. No other mark changes anything. The receipt advances to the status
	// that [Shown] returns for the mark's status and the user's cap in the message's roster. Each
	// advance takes a version of its own, which becomes the Version of the receipt and of the
	// message. The store counts the advance with [Tally.Count].
	//
	// All advances of one conversation and one socket make one [StatusChanged] event. The store
	// must give them consecutive versions. Different sockets never share an event. The events are
	// stored under the lease and returned, or are due at once if the lease is zero.
	Advance(ctx context.Context, marks []Mark, lease Lease) ([]Marked, []Claimed, error)

	// AdvanceUpTo applies up-to marks, no two of them of the same user and conversation, and
	// returns one result each in the order of the argument. An up-to mark applies to the messages
	// up to the named one, in order of seq. It advances each receipt of the user that is below the
	// status, if Advance would advance it. Open messages that the mark would advance if it were
	// Admitted are left out, and counted in [MarkedUpTo.LeftOut]. The versions that one up-to mark
	// takes are contiguous. It also moves the user's Place.Delivered to [MarkedUpTo.Reached], and
	// with the status Read it moves Place.Badge there too. The [Place] stays as it is if a message
	// was left out ([MarkedUpTo.LeftOut]), or if the user's cap for a message is below the mark's
	// status ([MarkedUpTo.Capped]), by this call or by an earlier call of the same mark
	// ([UpTo.Covered] is false then). If another transaction is making a private mark of the user,
	// a store need not wait for it: it may leave the Place as it is, and the user's next up-to mark
	// moves it. A store should remember up to where it has looked, so that the work is proportional
	// to what is new.
	//
	// The whole call advances at most limit receipts, and looks at a bounded number of messages for
	// each up-to mark, such as 5,000. Everything beyond either bound is left for a later call
	// ([MarkedUpTo.More]).
	//
	// Advances of one conversation and one socket make one event as in Advance, or several that
	// follow each other if there are more than [MaxBatch] advances: an event has at most that many
	// updates.
	AdvanceUpTo(ctx context.Context, upTo []UpTo, limit int, lease Lease) ([]MarkedUpTo, []Claimed, error)

	// AdvanceOwn applies marks that one user alone may know. All are by that user and from one
	// socket, and no two name the same message. AdvanceOwn returns one result for each, in the
	// order of the argument. [OwnMark.Apply] says what becomes of each. [Place.Rev] rises by one in
	// each conversation in which the call changed something. A private mark need not be kept once
	// the place has reached its message. If a mark with an [OwnMark.Reach] changes something, the
	// store also remembers the seq of the mark's message. A later AdvanceUpTo to the status Reach,
	// or to a lower one, need not look at messages at or before it.
	//
	// It changes no receipt, count or version. Its changes are visible in Unread, in the Own of
	// messages that List returns to that user as Viewer, and in the Flag that later marks of the
	// user return. The events of [OwnEvents] are stored under the lease and returned, or are due at
	// once if the lease is zero. AdvanceOwn neither waits for a conversation that another
	// transaction has locked nor makes others wait for one, unless the store lets in one writer at
	// a time. It may wait for another change by the same user.
	AdvanceOwn(ctx context.Context, marks []OwnMark, lease Lease) ([]MarkedOwn, []Claimed, error)

	// Load returns the messages with these ids that exist, each once, in any order.
	Load(ctx context.Context, ids []string) ([]Message, error)

	// List returns a page of one conversation, from one snapshot. An unknown conversation is an
	// empty page at version 0. If a list of changes begins after a version that the conversation
	// has not reached, the page is empty and has the conversation's version. All pages have the
	// same Epoch, a random number other than 0. The Epoch changes only when the store has lost
	// committed changes, for example because it was restored from a backup. List never sets Reset:
	// the Tracker does.
	List(ctx context.Context, list List) (Page, error)

	// Unread returns one result for each of these distinct conversations, in their order, each from
	// one snapshot. It counts up to limit messages that the user has not read, finds the first of
	// them, and returns the newest message, with the user's receipt in Own and its body cut by
	// [Preview]. A message counts if it is open or the user is a recipient, the user is not its
	// sender, and the user's own status of it ([OwnState.Own]) is below [Read]. Flagged says that
	// there is a message at or after the [Place.Flag]. First is the first message that is unread
	// or, if the Flag is set, is at or after the Flag. The result for an unknown conversation has
	// its name alone. No message at or before the [Place.Badge] counts, so a store starts with the
	// message after it.
	Unread(ctx context.Context, user string, conversations []string, limit int) ([]Unread, error)

	// Receipts returns a page of the receipts of one message for which [ReceiptList.On] is true,
	// ordered by recipient, byte for byte, each with its Reason ([ReasonFor]). A message that does
	// not exist has none. A page may be cut before its Limit, with More and Next set, if the store
	// has looked at many receipts that are not on it.
	Receipts(ctx context.Context, list ReceiptList) (ReceiptPage, error)

	// ReceiptsOf returns the receipts with these distinct keys, in any order and without a Reason.
	// It leaves out receipts that do not exist.
	ReceiptsOf(ctx context.Context, keys []ReceiptKey) ([]Receipt, error)
}

// TxStore is a [Store] that can also write inside a caller's transaction. The Tx forms of the
// [Tracker] need it; with any other store they return [errors.ErrUnsupported].
type TxStore interface {
	Store

	// InTx returns a store whose every call runs inside the given transaction, which it neither
	// commits nor rolls back nor retries. Leases are ignored: the events are due at the commit. Its
	// calls wait for conversations that other transactions have locked, and never return Blocked.
	//
	// Create, Advance and AdvanceUpTo must be correct at every isolation level, even if the
	// transaction's snapshot is old. If they cannot be, they fail with an error that wraps
	// [ErrTxConflict]. Such a call that fails changes nothing, and makes every later one in this
	// transaction fail. The calls that read, and AdvanceOwn, see what the transaction sees.
	InTx(tx DBTX) Store
}

// ParallelStore is a [Store] that can work on several batches of sends or marks at a time. It gets
// several batches if many sends or marks wait, and one batch if few do. Any other store gets one
// batch after the other. The longer a batch takes, the larger is the next.
type ParallelStore interface {
	Store

	// Writers returns how many batches at a time serve it best. It is asked once.
	Writers() int
}

// SweepStore is a [Store] whose Claim mostly looks only at events that fell due lately. If a
// caller's transaction commits long after it wrote an event, such a Claim finds the event late.
// [Tracker.Wake] and [Tracker.Flush] call Sweep, so that it is found at once.
type SweepStore interface {
	Store

	// Sweep makes every later Claim look at the whole outbox, until one has taken all that was due.
	Sweep()
}

// DBTX is a caller's transaction. The Tx forms of the [Tracker] accept whatever also has the
// methods Commit() error and Rollback() error, such as [*sql.Tx] and the transactions of libraries
// that embed one. They also accept a [*sql.Conn] on which the caller began a transaction.
// Everything else, such as a [*sql.DB], they refuse with an [InvalidError] of the field "tx".
type DBTX interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

var (
	_ DBTX = (*sql.Tx)(nil)
	_ DBTX = (*sql.Conn)(nil)
)

// NewMessage is what [Store.Create] stores: a validated message. The store assigns its Seq.
type NewMessage struct {
	Header    // its Quorum is the one asked for; Seq, Total and Readers are not set: Sized returns the Header to store
	Body      string
	Roster    string   // the roster's key, up to [MaxID] + 1 bytes; empty if and only if Open
	Members   []string // of the roster: distinct, sorted; nil if they are known from an earlier message
	Caps      []Status // of the Members, in their order; nil if each is Read
	Socket    string   // not told of the message, if set
	EventBody bool     // whether the event carries the body
	Trace     string   // of the call; see [Event.AddTrace]
}

// Sized returns the header to store for the message. Total is the number of tracked recipients, and
// Readers the number of those who do not hide reads. If the message is not open, its quorum is the
// one asked for, but at most the total. If none was asked for, it is the total. In both cases it is
// at least 1. A [Store] that makes the headers of new messages in Go, and not in SQL, must use
// Sized.
func (m NewMessage) Sized(total, readers int) Header {
	h := m.Header
	if !h.Open {
		h.Total, h.Readers = total, readers
		h.Quorum = max(1, min(cmp.Or(h.Quorum, total), total))
	}
	return h
}

// Created is the result of [Store.Create] for a [NewMessage].
type Created struct {
	Message  Message // as it is stored, without Own
	Roster   string  // the key of its roster; "" if it is open
	Existed  bool    // the id was taken before: Message is what was there
	Gone     bool    // not stored: the id is that of a deleted message; all else is zero
	Err      error   // the id was taken before, and what was there cannot be read: wraps ErrOutcomeUnknown; all else is zero
	NoRoster bool    // not stored: the roster is not known, and no Members were given; all else is zero
	Blocked  bool    // not stored: another transaction has locked the conversation; all else is zero
}

// Mark is the input of [Store.Advance]: a validated statement by one user that one message was
// delivered to or read by that user.
type Mark struct {
	Message  string
	User     string
	Socket   string // not told of the change, if set
	Status   Status // Delivered or Read
	At       time.Time
	Admitted bool   // the app's rule lets the user mark open messages in the conversations for which [Mark.AdmittedTo] is true
	Trace    string // of the call; see [Event.AddTrace]

	Conversation string // in which Admitted holds; "" is everywhere
}

// AdmittedTo reports whether the app's rule lets the user mark open messages of a conversation.
// The Tracker asks the rule about one conversation before the call. A store uses AdmittedTo to
// check that the message is in that conversation, because the id of a pruned message may be used
// again in another one.
func (m Mark) AdmittedTo(conversation string) bool {
	return m.Admitted && (m.Conversation == "" || m.Conversation == conversation)
}

// Marked is the result of [Store.Advance] for a [Mark].
type Marked struct {
	Header  Header  // zero if there is no such message
	Receipt Receipt // the user's, after the mark; zero if there is none
	Changed bool    // this mark advanced it
	Flag    int64   // of the user's [Place]
	Blocked bool    // not tried: another transaction has locked the conversation; all else is zero, except Header if the message was found
}

// UpTo is the input of [Store.AdvanceUpTo]: a validated statement by one user that all messages up
// to one were delivered to or read by that user.
type UpTo struct {
	Conversation string
	Message      string // the last message to mark
	User         string
	Socket       string
	Status       Status
	At           time.Time
	Admitted     bool
	Trace        string // of the call; see [Event.AddTrace]

	// After is 0 in the first call of a mark. If the mark takes several, After is the
	// [MarkedUpTo.Reached] of the one before, and the call looks at no message at or before it.
	// Covered says that no message at or before After was left out, and that the user's caps hid no
	// part of the mark there. It is true in the first call. If it is false, the store leaves the
	// user's place where it is.
	After   int64
	Covered bool
}

// MarkedUpTo is the result of [Store.AdvanceUpTo] for an [UpTo].
type MarkedUpTo struct {
	Header  Header  // of the named message; zero if it is not in the conversation
	Receipt Receipt // the user's for the named message, after the marks; zero if there is none
	Changed int     // receipts that advanced
	From    int64   // the versions they took, both inclusive; 0 if none did
	To      int64
	LeftOut int   // messages that this call looked at and left out because the mark is not Admitted
	Capped  bool  // the user's cap is below the mark's status, for at least one message looked at
	Reached int64 // all messages at or before this seq are done or in LeftOut; at most the seq of the named one
	More    bool  // Reached is before the named message
	Flag    int64 // of the user's [Place]
	Blocked bool  // not tried: another transaction has locked the conversation; all else is zero, except Header if the message was found
}

// List is what [Store.List] is asked for: a validated [Query], or changes.
type List struct {
	Conversation string

	// If Changes is true, the list has the messages whose version is greater than After, in order
	// of version. If not, it has those with seq > After and, if Before is not 0, seq < Before. The
	// page has the first Limit of these messages or, if Before is set, the last. Without Changes,
	// the page is in ascending order of seq, even if Before is set.
	Changes       bool
	After, Before int64

	Limit int

	// Bytes, if not 0, is how much the messages of the page may take by [Message.Size]. The page
	// ends before the first message that would take more, with More set, as if the Limit were
	// reached. With Before the page is filled from its end. A page has at least one message,
	// however large that is.
	Bytes int

	Viewer string // whose receipts fill Own, if set
}

// ReceiptList is what [Store.Receipts] is asked for: a validated [ReceiptQuery].
type ReceiptList struct {
	Message string
	After   string // the first Limit receipts of recipients greater than this
	Limit   int
	Status  Status // only receipts at this status, if set: see On
	Failed  bool   // only receipts with a Failure
}

// ReceiptKey names a receipt.
type ReceiptKey struct{ Message, Recipient string }

// Reader is a user in a conversation.
type Reader struct{ User, Conversation string }
