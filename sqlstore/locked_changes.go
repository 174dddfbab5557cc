package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// changes gathers what one transaction changes in messages that are there.
type changes struct {
	readers  map[name]int    // that are new, each with the index of a mark of theirs
	versions map[int64]int64 // of the conversations, by key
	tallies  map[spot]*delivery.Tally
	receipts []placed
	events   []delivery.Event
}

type placed struct {
	spot
	receipt delivery.Receipt
}

// advance moves a receipt forward and reports whether that was a step. Steps that share a
// conversation and a socket come one after the other: they make one event.
func (c *changes) advance(s *standing, socket, trace string, to delivery.Status, at time.Time) bool {
	was := s.receipt
	at = precise(at)
	if !s.receipt.Advance(s.header, s.shown(to), at) {
		return false
	}
	if !s.reader {
		if c.readers == nil {
			c.readers = map[name]int{}
		}
		c.readers[name{s.key, s.user}] = s.mark
	}
	tally := c.take(s)
	s.receipt.Message, s.receipt.Recipient, s.receipt.Version = s.header.ID, s.user, tally.Version
	tally.Count(s.header, was, s.receipt)
	c.receipts = append(c.receipts, placed{s.spot(), s.receipt})
	receipt := s.receipt
	update := updateOf(s.header, *tally)
	update.Receipt = &receipt
	c.tell(delivery.StatusChanged, s.header.Conversation, socket, trace, update)
	return true
}

// remove makes the message a tombstone, and announces that as advance does.
func (c *changes) remove(s *standing, socket, trace string) {
	tally := c.take(s)
	*tally = delivery.Tally{Version: tally.Version}
	c.tell(delivery.MessageDeleted, s.header.Conversation, socket, trace, delivery.Update{Message: s.header.ID, Version: tally.Version})
}

// take gives the message the next version of its conversation, and returns its tally.
func (c *changes) take(s *standing) *delivery.Tally {
	if c.versions == nil {
		c.versions, c.tallies = map[int64]int64{}, map[spot]*delivery.Tally{}
	}
	tally := c.tallies[s.spot()] // another user's step may have moved it
	if tally == nil {
		tally = &s.tally
		c.tallies[s.spot()] = tally
	}
	tally.Version = cmp.Or(c.versions[s.key], s.version) + 1
	c.versions[s.key] = tally.Version
	return tally
}

// tell adds an update to the last event, or to a new one if the update cannot share that.
func (c *changes) tell(kind delivery.Kind, conversation, socket, trace string, update delivery.Update) {
	n := len(c.events)
	if n == 0 || c.events[n-1].Conversation != conversation || c.events[n-1].Except != socket || len(c.events[n-1].Updates) == delivery.MaxBatch {
		c.events = append(c.events, delivery.Event{Kind: kind, Conversation: conversation, From: update.Version, Except: socket})
		n++
	}
	event := &c.events[n-1]
	event.To = update.Version
	event.Updates = append(event.Updates, update)
	event.AddTrace(trace)
}

// put writes the changes and their events.
func (l *locked) put(ctx context.Context, q delivery.DBTX, b *busy, c *changes, lease delivery.Lease) ([]delivery.Claimed, error) {
	if len(c.events) == 0 {
		return nil, nil
	}
	var receipts, states, versions []row
	slices.SortFunc(c.receipts, func(a, b placed) int {
		return cmp.Or(a.compare(b.spot), cmp.Compare(a.receipt.Recipient, b.receipt.Recipient))
	})
	for _, r := range c.receipts {
		receipts = append(receipts, row{r.key, r.seq, r.receipt.Recipient, uint8(r.receipt.Status), r.receipt.Version, micros(r.receipt.DeliveredAt), micros(r.receipt.ReadAt)})
	}
	for _, p := range sortedKeys(c.tallies, spot.compare) {
		t := c.tallies[p]
		states = append(states, row{p.key, p.seq, t.Version, uint8(t.Status), t.Delivered, t.Read, micros(t.DeliveredAt), micros(t.ReadAt), t.Failed})
	}
	for _, key := range sortedKeys(c.versions, cmp.Compare[int64]) {
		versions = append(versions, row{key, c.versions[key]})
	}
	if err := l.putFree(ctx, q, b, l.addReaders, rowsOf(c.readers)); err != nil {
		return nil, err
	}
	if err := execAll(ctx, q, batch{l.putReceipts, receipts}, batch{l.putStates, states}, batch{l.putVersions, versions}); err != nil {
		return nil, err
	}
	return l.announce(ctx, q, c.events, lease)
}

// rowsOf returns names as rows, in order.
func rowsOf(names map[name]int) (rows []itemRow) {
	for _, n := range sortedKeys(names, name.compare) {
		rows = append(rows, itemRow{names[n], row{n.key, n.of}})
	}
	return rows
}
