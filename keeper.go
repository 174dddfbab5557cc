package delivery

import (
	"context"
	"time"
)

// Keeper is a [Store] that can also delete, prune, compact, erase and verify. [Tracker.Delete],
// [Tracker.Prune], [Tracker.Compact], [Tracker.Erase] and [Tracker.Verify] need it.
//
// A deleted message leaves a tombstone: its id, its conversation, its seq, and the version of its
// deletion. The id stays taken, and Create answers Gone. Load, Receipts, Advance, Unread and lists
// by seq treat the message as if it had never existed. AdvanceUpTo passes it over. If it is the
// message that an up-to mark names, the Header of the result has the ID, the Conversation and the
// Seq alone. A list of changes has the deleted message, with [Message.Deleted] and what the
// tombstone holds, unless the list begins after version 0.
type Keeper interface {
	Store

	// Delete deletes messages, no two of them the same, and returns one result each in the order of
	// the argument. Each deletion takes a version of its own. Deletions of one conversation and one
	// socket make one [MessageDeleted] event; different sockets never share one. Each update of the
	// event has the message's id and the version alone. The events are stored under the lease and
	// returned, or are due at once if the lease is zero.
	//
	// After the deletion, Claim and Dead return no body of the message. A roster is removed with
	// its last message; in a caller's transaction it may stay. What [Store] and [TxStore] say of
	// Create, Advance and AdvanceUpTo holds for Delete too.
	Delete(ctx context.Context, deletions []Deletion, lease Lease) ([]Deleted, []Claimed, error)

	// Conversations returns ids of conversations in order: those greater than the parameter after,
	// at most limit of them. Ids are compared byte for byte.
	Conversations(ctx context.Context, after string, limit int) ([]string, error)

	// Prune removes the oldest messages of a conversation and the tombstones among them, and stops
	// before the first message that was sent at Before or later. Nothing is left of either. The
	// conversation's floor becomes the seq of the last message removed, and is in each Page from
	// then on. Prune takes one version, and makes one [Pruned] event, due at once, with one update
	// that has the version and the floor alone. If there is no message to remove, it takes no
	// version and makes no event. The call that finishes the prune also drops the users' private
	// marks and flags ([Place.Flag]) at or below the floor.
	//
	// A call removes at most Limit messages, and fewer if they have many receipts, but at least
	// one. With All, Prune removes messages of any age. Once none is left, it also removes the rest
	// of the conversation, except for its id, its version and its floor.
	Prune(ctx context.Context, p Pruning) (PruningResult, error)

	// Compact removes the times at which receipts of a conversation changed. It goes through
	// messages and tombstones in order of version, from where the call before it has stopped, and
	// stops before the first one that was sent at Before or later. The times of each message's
	// [Tally] and of its receipts become zero, and the Version of each receipt becomes the
	// message's seq. All else stays as it is: Compact takes no version and makes no event. A
	// message that changes afterwards has a new version, so that a later call goes through it
	// again.
	//
	// If the message is not open, a store may keep only the status of its receipts. It may drop a
	// receipt altogether if the status follows from the user's stored up-to marks. It may also drop
	// private marks that the user's [Place] has reached.
	//
	// A call goes through at most Limit messages, and fewer if they have many receipts, but at
	// least one.
	Compact(ctx context.Context, c Compaction) (CompactionResult, error)

	// Erase takes the name of a user out of up to limit conversations, and says whether there are
	// More. Others then see "" instead of the name, as the Sender of messages and as the Recipient
	// of receipts. Events that are made later have "" too. The receipts of erased users come last
	// in a page of Receipts. All else stays, without a new version. For every other call the
	// conversation has no such user, and if a later message names the user again, that is a new
	// user. A roster that contains the user is no longer found by its key: the next message with
	// that key makes a new roster. Everything that only the user may know is dropped.
	//
	// The last call also takes the name out of the outbox and the dead letters: events for the user
	// alone are dropped, and others have "" in place of the name.
	Erase(ctx context.Context, user string, limit int) (ErasureResult, error)

	// Verify looks at up to limit messages of a conversation, the first ones whose seq is greater
	// than the parameter after. It counts their receipts, all at one moment, and compares the
	// result with the counters. A receipt above its recipient's cap counts as one at the cap.
	// Tombstones are passed over. It changes nothing.
	Verify(ctx context.Context, conversation string, after int64, limit int) (Verification, error)
}

// Verification is what [Keeper.Verify] has found.
type Verification struct {
	Messages int     // looked at, tombstones included
	Drifts   []Drift // in order of seq
	Last     int64   // the seq of the last one looked at
	More     bool    // there may be more after it
}

// ErasureResult is what [Keeper.Erase] has done.
type ErasureResult struct {
	Erased  int  // conversations
	More    bool // a further call has more to do
	Blocked bool // a further call is needed: other transactions have locked conversations of the user, or are making private changes of the user
}

// Pruning is what [Keeper.Prune] applies.
type Pruning struct {
	Conversation string
	Before       time.Time
	Limit        int
	All          bool // ignores Before: removes every message, and then the rest of the conversation
}

// PruningResult is the result of [Keeper.Prune] for a [Pruning].
type PruningResult struct {
	Removed int   // messages and tombstones
	Floor   int64 // of the conversation, after it
	More    bool  // a further call may have more to do
	Blocked bool  // not tried: another transaction has locked the conversation, or is making a private mark of one of the messages; all else is zero
}

// Compaction is what [Keeper.Compact] applies.
type Compaction struct {
	Conversation string
	Before       time.Time
	Limit        int
}

// CompactionResult is the result of [Keeper.Compact] for a [Compaction].
type CompactionResult struct {
	Compacted int  // messages and tombstones
	More      bool // a further call may have more to do
	Blocked   bool // not tried: another transaction has locked the conversation; all else is zero
}

// Deletion is what [Keeper.Delete] applies.
type Deletion struct {
	Message string
	Socket  string // not told of the change, if set
	Trace   string // of the call; see [Event.AddTrace]
}

// Deleted is the result of [Keeper.Delete] for a [Deletion].
type Deleted struct {
	Header  Header // the ID, the Conversation and the Seq alone; zero if no message ever had the id
	Changed bool   // this call deleted it
	Blocked bool   // not tried: another transaction has locked the conversation; all else is zero, except Header if the message was found
}
