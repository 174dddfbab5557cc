package memstore

import (
	"context"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

var _ delivery.ImportStore = (*Store)(nil)

// Import stores messages of the past, as [delivery.ImportStore] says. It never answers
// ImportBlocked.
func (s *Store) Import(ctx context.Context, messages []delivery.NewImport) ([]delivery.ImportOutcome, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	outcomes := make([]delivery.ImportOutcome, len(messages))
	for i, m := range messages {
		outcomes[i] = s.importOne(m)
	}
	return outcomes, nil
}

func (s *Store) importOne(draft delivery.NewImport) delivery.ImportOutcome {
	c, there := s.conversation(draft.Conversation), s.messages[draft.ID]
	switch {
	case there != nil && there.deleted:
		return delivery.ImportGone
	case there != nil && there.Conversation == draft.Conversation && (there.Sender == draft.Sender || there.Sender == ""):
		return delivery.ImportKnown
	case there != nil || len(c.messages) > 0 && !c.messages[len(c.messages)-1].imported():
		return delivery.ImportConflict
	}
	to, known := c.rosters[draft.Roster]
	if !known {
		to = rosterOf(draft.NewMessage)
	}
	switch {
	case draft.Open:
	case !known && draft.Members == nil:
		return delivery.ImportNoRoster
	case slices.ContainsFunc(draft.Receipts, func(r delivery.ImportReceipt) bool { return to.cap(r.Recipient) == 0 }):
		return delivery.ImportStranger
	}
	before := int64(0)
	if n := len(c.messages); n > 0 {
		before = c.messages[n-1].Seq
	}
	m, _ := c.create(draft.NewMessage)
	m.stored = time.Time{}
	s.messages[m.ID] = m
	receipts, tally := draft.Apply(m.Header, m.cap)
	m.Tally = tally
	if c.compacted == m.Seq-1 && !slices.ContainsFunc(receipts, func(r delivery.Receipt) bool { return !r.DeliveredAt.IsZero() || !r.ReadAt.IsZero() }) {
		c.compacted = m.Seq
	}
	c.follow(m.Sender, delivery.Read, before, m.Seq)
	for i, r := range receipts {
		if r.Status > delivery.Sent {
			m.receipts[r.Recipient] = r
		}
		status := draft.Receipts[i].Status
		c.follow(r.Recipient, status, before, m.Seq)
		if r.Status < status {
			own := c.mayOwn(r.Recipient)
			own.place.Rev++
			own.private[m.Seq] = status
		}
	}
	return delivery.ImportStored
}

// imported reports whether the message, or what it was before its deletion, is of the past.
func (m *message) imported() bool { return m.stored.IsZero() }

// follow moves the user's place on to a message, for the statuses that leave nothing to do there,
// if it has come to the one before.
func (c *conversation) follow(user string, status delivery.Status, before, seq int64) {
	for ; status > delivery.Sent; status-- {
		if c.places[user][status] >= before {
			c.reach(user, status, seq)
			return
		}
	}
}
