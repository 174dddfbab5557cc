package memstore

import (
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// message is a message with its receipts.
type message struct {
	delivery.Header
	delivery.Tally
	body     string
	sent     time.Time // as the header has it, until the message is deleted
	stored   time.Time // by the store's clock; zero if it was imported
	deleted  bool
	key      string // of its roster
	roster   roster
	receipts map[string]delivery.Receipt // by recipient; those that have advanced
	failures map[string]failure          // by recipient; nil if there are none
}

// receipt returns a user's receipt, if there is one.
func (m *message) receipt(user string) (r delivery.Receipt, exists bool) {
	if r, exists = m.receipts[user]; exists || user == m.Sender {
		return r, exists
	}
	if m.roster.cap(user) == 0 {
		return delivery.Receipt{}, false
	}
	return delivery.Receipt{Message: m.ID, Recipient: user, Status: delivery.Sent, Version: m.Seq}, true
}

// cap returns the most that others may ever see of the user.
func (m *message) cap(user string) delivery.Status {
	if m.Open {
		return delivery.Read
	}
	return m.roster.cap(user)
}

// verdict says what a mark may do to a receipt.
type verdict uint8

const (
	stays          verdict = iota // it is there already, or the user may not mark the message
	lacksAdmission                // only the app's yes is missing
	advances
)

// step is one receipt's advance.
type step struct {
	message *message
	receipt delivery.Receipt // as it will be, but for its version
	at      time.Time
	socket  string
	trace   string
	mark    int // index of the mark that asked for it
}

// judge applies a mark to a copy of the user's receipt, and says whether it counts.
func (m *message) judge(user string, to delivery.Status, at time.Time, admitted bool) (step, verdict) {
	receipt, exists := m.receipt(user)
	at = precise(at)
	switch {
	case m.deleted, user == m.Sender, !m.Open && !exists, !receipt.Advance(m.Header, delivery.Shown(to, m.cap(user)), at):
		return step{}, stays
	case m.Open && !admitted:
		return step{}, lacksAdmission
	}
	receipt.Message, receipt.Recipient = m.ID, user
	return step{message: m, receipt: receipt, at: at}, advances
}

// take stores a step's receipt at the given version, counts it, and returns what is new.
func (m *message) take(s step, version int64) delivery.Update {
	receipt := s.receipt
	receipt.Version, m.Version = version, version
	was, _ := m.shown(receipt.Recipient)
	m.Count(m.Header, was, receipt)
	m.receipts[receipt.Recipient] = receipt
	update := m.update()
	update.Receipt = &receipt
	return update
}

// expire removes the times at which the message's receipts changed.
func (m *message) expire() {
	m.DeliveredAt, m.ReadAt = time.Time{}, time.Time{}
	for user, r := range m.receipts {
		r.Version, r.DeliveredAt, r.ReadAt = m.Seq, time.Time{}, time.Time{}
		m.receipts[user] = r
	}
	for user, f := range m.failures {
		f.version = min(f.version, m.Seq)
		m.failures[user] = f
	}
}

// update is where the message stands.
func (m *message) update() delivery.Update {
	return delivery.Update{
		Message: m.ID, Sender: m.Sender, Version: m.Version,
		Status: m.Status, Delivered: m.Delivered, Read: m.Read, Failed: m.Failed, Total: m.Total, Readers: m.Readers,
	}
}

// public returns the message as all others see it.
func (m *message) public() delivery.Message {
	return delivery.Message{Header: m.Header, Body: m.body, Tally: m.Tally, Deleted: m.deleted}
}

// receiptsAfter returns the receipts of recipients greater than one, in order of recipient, with
// their reasons.
func (m *message) receiptsAfter(after string) iter.Seq[delivery.Receipt] {
	recipients := m.roster.members
	if m.Open {
		recipients = slices.Sorted(maps.Keys(m.receipts))
	}
	at, found := slices.BinarySearch(recipients, after)
	if found {
		at++
	}
	return func(yield func(delivery.Receipt) bool) {
		for _, user := range recipients[at:] {
			if r, exists := m.shown(user); exists {
				r.Reason = delivery.ReasonFor(r, m.cap(user))
				if !yield(r) {
					return
				}
			}
		}
	}
}

// tell adds an update to the events: to the last one, if that is of the same conversation and
// socket and has room.
func tell(events []delivery.Event, kind delivery.Kind, conversation, socket, trace string, update delivery.Update) []delivery.Event {
	n := len(events)
	if n == 0 || events[n-1].Conversation != conversation || events[n-1].Except != socket || len(events[n-1].Updates) == delivery.MaxBatch {
		events = append(events, delivery.Event{Kind: kind, Conversation: conversation, Except: socket, From: update.Version})
		n++
	}
	last := &events[n-1]
	last.To = update.Version
	last.Updates = append(last.Updates, update)
	last.AddTrace(trace)
	return events
}

// precise is a time as the contract keeps it: in UTC, to the microsecond.
func precise(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
