package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Import is a message of an app's history, with what became of it: see [Tracker.Import].
type Import struct {
	// Draft is the message. Its ID must be set. Its Socket has no effect.
	Draft

	// SentAt is when the message was sent, in 1970 or later. A time in the future becomes the time
	// of the call.
	SentAt time.Time

	// Receipts has one entry for each recipient who has received the message. Recipients without an
	// entry have not received it. If the message is open, any user but the sender may have an
	// entry.
	Receipts []ImportReceipt
}

// ImportReceipt says what one recipient has done with a message, and when.
type ImportReceipt struct {
	Recipient string
	Status    Status // Delivered or Read

	// DeliveredAt and ReadAt are zero if the time is not known. If only ReadAt is known,
	// DeliveredAt becomes the same. ReadAt is for the Status Read only. A DeliveredAt before SentAt
	// becomes SentAt, and a ReadAt before DeliveredAt becomes DeliveredAt. A time in the future
	// becomes the time of the call.
	DeliveredAt, ReadAt time.Time
}

// ImportResult says what became of an [Import]. If Err is nil and Stored is false, the message was
// there already.
type ImportResult struct {
	Stored bool
	Err    error
}

// Import stores up to [MaxBatch] messages of an app's history, with their receipts. It returns one
// result for each, in the order of the items. It is for conversations to which nothing was sent
// yet: import the history first, and send afterwards. The first message that [Tracker.Send] stores
// in a conversation ends the import into it.
//
// The order of the items is the order of the messages. A message and its receipts take one version.
// Import makes no event: clients learn of the messages when they load the conversation, or catch
// up. Statuses, times, counts and unread counts are the same as if the recipients had marked the
// messages at the given times. Others see no more of a recipient than the Audience allows. Overdue
// rules and [Tracker.Hours] pass over imported messages. [Tracker.Prune] and [Tracker.Compact]
// treat them as any other, by their SentAt. If a time is not known, [Tracker.Receipts] returns the
// receipt with the Reason [Expired].
//
// Import passes over a message if the conversation already has a message with the same id, and that
// one has the same sender or its sender was erased. Import does not compare anything else. So after
// a crash the app repeats what it is not sure of. The Err of a result is about that message alone.
// The others are stored all the same, in their order. The Err can be:
//
//   - [ErrConflict]: the conversation has messages that were sent, or the id is another message's
//   - [ErrGone]: a message with the id was deleted
//   - an [InvalidError] of the field "receipts": one of them is of a user who is no recipient
//   - an [InvalidError] of the field "roster": the key is not known, and there are no Members
//
// A conversation has messages that were sent if its newest one was sent and not imported, even if
// it was deleted since. If [Tracker.Prune] or [Tracker.DeleteConversation] has removed all
// messages, Import accepts the conversation again.
//
// If an item is not valid, Import stores nothing, and returns an [InvalidError] of the field. If
// the Members of a [Roster] are set, Import calls them once for each conversation and key, even if
// the conversation has the roster already.
//
// Import works in transactions of one conversation and up to some 10,000 receipts each. It waits
// while another transaction keeps the conversation locked. If ctx has no deadline, each of Import's
// transactions may take [Options.WriteTimeout], including that wait. If Import returns an error
// other than an InvalidError, a part of the messages may be stored, and the call may be repeated.
// Do not import into one conversation from several processes: each message would be stored once,
// but in any order. Whether the caller may do this is for the app to decide.
//
// Import needs an [ImportStore]; with any other store it returns [errors.ErrUnsupported].
func (t *Tracker) Import(ctx context.Context, items ...Import) ([]ImportResult, error) {
	store, ok := t.store.(ImportStore)
	if !ok {
		return nil, fmt.Errorf("delivery: %T is no ImportStore: %w", t.store, errors.ErrUnsupported)
	}
	if len(items) > MaxBatch {
		return nil, tooMany("items", MaxBatch)
	}
	imports, rosters, ids := make([]NewImport, len(items)), map[string]set{}, map[string]bool{}
	for i, item := range items {
		err := item.check()
		if err == nil && ids[item.ID] {
			err = &InvalidError{Field: "id", Reason: "is there twice"}
		}
		if err == nil {
			imports[i], err = t.prepareImport(ctx, item, rosters)
		}
		if err != nil {
			return nil, fmt.Errorf("item %d: %w", i, err)
		}
		ids[item.ID] = true
	}
	results := make([]ImportResult, len(items))
	for _, portion := range importPortions(imports) {
		outcomes, err := t.importPortion(ctx, store, pick(imports, portion))
		if err == nil && len(outcomes) != len(portion) {
			err = errStray
		}
		if err != nil {
			return nil, outcome("importing", err)
		}
		for k, i := range portion {
			results[i] = outcomes[k].result()
		}
	}
	return results, nil
}

// importPortion is one call of the store that is not blocked.
func (t *Tracker) importPortion(ctx context.Context, store ImportStore, imports []NewImport) ([]ImportOutcome, error) {
	ctx, cancel := limited(ctx, t.opts.WriteTimeout)
	defer cancel()
	return patient(ctx, func() ([]ImportOutcome, bool, error) {
		outcomes, err := store.Import(ctx, imports)
		return outcomes, slices.Contains(outcomes, ImportBlocked), err
	})
}

func (m Import) check() error {
	if err := checkID("id", m.ID); err != nil {
		return err
	}
	if m.SentAt.Before(time.Unix(0, 0)) {
		return &InvalidError{Field: "sent_at", Reason: "is before 1970, or is not set"}
	}
	if len(m.Receipts) > MaxRecipients {
		return tooMany("receipts", MaxRecipients)
	}
	users := map[string]bool{m.Sender: true}
	for _, r := range m.Receipts {
		if err := cmp.Or(checkID("recipient", r.Recipient), checkMarking(r.Status)); err != nil {
			return err
		}
		if users[r.Recipient] {
			return &InvalidError{Field: "receipts", Reason: "have the sender, or a user twice"}
		}
		if r.Status != Read && !r.ReadAt.IsZero() {
			return &InvalidError{Field: "receipts", Reason: "have the time of a status that was not reached"}
		}
		users[r.Recipient] = true
	}
	return nil
}

// prepareImport fills in what an item leaves open, and the members of its roster. The rosters are
// those that the call has asked for.
func (t *Tracker) prepareImport(ctx context.Context, item Import, rosters map[string]set) (NewImport, error) {
	item.Socket = ""
	o, err := t.prepare(ctx, item.Draft)
	if err != nil {
		return NewImport{}, err
	}
	if o.ask != nil && (item.Roster.Key == "" || item.Roster.Members != nil) {
		key := o.Conversation + "\x00" + o.Roster
		members, asked := rosters[key]
		if !asked {
			if members, err = o.ask(ctx); err != nil {
				return NewImport{}, err
			}
			rosters[key] = members
		}
		o.Members, o.Caps = members.users, members.caps
	}
	m := NewImport{NewMessage: o.NewMessage, Receipts: slices.Clone(item.Receipts)}
	now := m.SentAt
	m.SentAt = clamp(item.SentAt, time.Time{}, now)
	m.EventBody, m.Trace = false, ""
	for i := range m.Receipts {
		r := &m.Receipts[i]
		if !r.DeliveredAt.IsZero() {
			r.DeliveredAt = clamp(r.DeliveredAt, m.SentAt, now)
		}
		if !r.ReadAt.IsZero() {
			r.ReadAt = clamp(r.ReadAt, latest(m.SentAt, r.DeliveredAt), now)
		}
	}
	return m, nil
}

// clamp returns the time within the bounds that is closest to at.
func clamp(at, from, to time.Time) time.Time {
	switch at = stamp(at); {
	case at.Before(from):
		return from
	case at.After(to):
		return to
	}
	return at
}
