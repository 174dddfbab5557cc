package delivery

import (
	"context"
	"slices"
	"time"
)

// ImportStore is a [Store] that takes an app's history: [Tracker.Import] needs it. The rules for
// every method of a Store hold for it. The executable form of this contract is
// deliverytest.TestImportStore.
type ImportStore interface {
	Store

	// Import stores messages of one conversation, of distinct ids, with their receipts, and returns
	// one outcome each in the order of the argument. It takes one version for each message that it
	// stores, in that order: the Seq and the Version of the message, and the Version of its
	// receipts. It makes no events. [NewImport.Apply] returns the receipts and the [Tally] of the
	// message. It makes rosters and headers as Create does. If a receipt is of a user who is not a
	// recipient of the message, the message is not stored, and its outcome is [ImportStranger].
	//
	// If a recipient's cap hides a part of the imported status, the store keeps the full status as
	// AdvanceOwn keeps a private mark, and raises the recipient's [Place.Rev]. If a user has
	// received, or read, every message up to an imported one, a store should move the user's
	// [Place] there and remember up to where it has looked, as AdvanceUpTo does. No flag changes. A
	// message whose receipts have no times needs no compaction: if all earlier messages are
	// compacted, the store may treat it as compacted, too.
	//
	// A message counts as sent if Create stored it, and as imported otherwise. Nothing is imported
	// into a conversation whose newest message was sent, even if only its tombstone is left. No
	// call of an [OverdueStore] or of an [HourStore] looks at imported messages.
	//
	// If another transaction has locked the conversation, Import may wait, or change nothing and
	// return [ImportBlocked] for each message.
	Import(ctx context.Context, messages []NewImport) ([]ImportOutcome, error)
}

// NewImport is what [ImportStore.Import] stores: a validated message of the past. Its Socket,
// EventBody and Trace are not set.
type NewImport struct {
	NewMessage
	Receipts []ImportReceipt // of distinct users other than the sender; no time is before one that it must follow
}

// ImportOutcome says what [ImportStore.Import] did with a message. All but [ImportStored] leave
// everything as it was.
type ImportOutcome uint8

const (
	ImportStored   ImportOutcome = iota + 1
	ImportKnown                  // the conversation has a message with this id and sender, sent or imported
	ImportConflict               // another message has the id, or messages were sent in the conversation
	ImportGone                   // the id is that of a deleted message
	ImportStranger               // a receipt is of a user who is no recipient
	ImportNoRoster               // the roster is not known, and no Members were given
	ImportBlocked                // another transaction has locked the conversation
)

func (o ImportOutcome) result() ImportResult {
	switch o {
	case ImportStored:
		return ImportResult{Stored: true}
	case ImportKnown:
		return ImportResult{}
	case ImportConflict:
		return ImportResult{Err: ErrConflict}
	case ImportGone:
		return ImportResult{Err: ErrGone}
	case ImportStranger:
		return ImportResult{Err: &InvalidError{Field: "receipts", Reason: "have a user who is no recipient"}}
	case ImportNoRoster:
		return ImportResult{Err: errNoRoster}
	}
	return ImportResult{Err: errStray}
}

// Apply returns the receipts as others see them, in the order of [NewImport.Receipts], and the
// message's [Tally]. The result is the same as if the recipients had marked the message at these
// times, in the order of the times. Marks at unknown times come before all others. The header is
// the one to store, and limit returns a recipient's cap. Every [ImportStore] must use Apply.
func (m NewImport) Apply(h Header, limit func(recipient string) Status) ([]Receipt, Tally) {
	type mark struct {
		of        int
		to        Status
		at, order time.Time
	}
	var marks []mark
	receipts := make([]Receipt, len(m.Receipts))
	for i, r := range m.Receipts {
		receipts[i] = Receipt{Message: h.ID, Recipient: r.Recipient, Status: Sent, Version: h.Seq}
		if r.Status == Delivered || !r.DeliveredAt.IsZero() || limit(r.Recipient) < Read { // who hides reads hides their times
			marks = append(marks, mark{i, Delivered, r.DeliveredAt, r.DeliveredAt})
		}
		if r.Status == Read {
			marks = append(marks, mark{i, Read, r.ReadAt, latest(r.ReadAt, r.DeliveredAt)})
		}
	}
	slices.SortStableFunc(marks, func(a, b mark) int { return a.order.Compare(b.order) })
	tally := Tally{Version: h.Seq, Status: Sent}
	for _, mark := range marks {
		r := &receipts[mark.of]
		was, status := *r, tally.Status
		if !r.Advance(h, Shown(mark.to, limit(r.Recipient)), mark.at) {
			continue
		}
		unknown := mark.at.IsZero()
		if unknown {
			r.DeliveredAt, r.ReadAt = was.DeliveredAt, time.Time{}
		}
		if tally.Count(h, was, *r); unknown && tally.Status != status {
			tally.ReadAt = time.Time{}
		}
	}
	return receipts, tally
}

// importPortions divides the messages of a call among transactions. Each is of one conversation, in
// order, and none has more texts or receipts than a statement or a transaction should have.
func importPortions(imports []NewImport) (portions [][]int) {
	const receipts = 10_000 // in a transaction, unless one message has more
	last, weights := map[string]int{}, []int{}
	for i, m := range imports {
		m.Members, m.Caps = nil, nil
		weight := m.weight() + len(m.Receipts)*MaxBatch/receipts
		at, begun := last[m.Conversation]
		if !begun || weights[at]+weight > MaxBatch {
			at = len(portions)
			portions, weights, last[m.Conversation] = append(portions, nil), append(weights, 0), at
		}
		portions[at], weights[at] = append(portions[at], i), weights[at]+weight
	}
	return portions
}
