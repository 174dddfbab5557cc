package memstore

import (
	"time"

	"github.com/msgdelivery/delivery"
)

// message is a message with its receipts.
type message struct {
	delivery.Header
	delivery.Tally
	body         string
	conversation *conversation
	receipts     receipts
}

// verdict says what a mark may do to a receipt.
type verdict uint8

const (
	stays          verdict = iota // it is there already, or the user may not mark the message
	lacksAdmission                // only the app's yes is missing
	advances
)

// step is one receipt's advance: what it will be, but for its version.
type step struct {
	message *message
	place   int // of the receipt among the message's, -1 if it is new
	receipt delivery.Receipt
	at      time.Time
	index   int // of the mark that asked for it
}

// judge applies a mark to a copy of the user's receipt, and says whether it counts.
func (m *message) judge(user string, to delivery.Status, at time.Time, admitted bool) (step, verdict) {
	place := m.receipts.find(user)
	receipt := m.receipt(place)
	at = precise(at)
	switch {
	case user == m.Sender, !m.Open && place < 0, !receipt.Advance(to, at):
		return step{}, stays
	case m.Open && !admitted:
		return step{}, lacksAdmission
	}
	receipt.Message, receipt.Recipient = m.ID, user
	return step{message: m, place: place, receipt: receipt, at: at}, advances
}

// take stores a step's receipt, at the given version, and counts it.
func (s *step) take(version int64) {
	m := s.message
	s.receipt.Version, m.Version = version, version
	place, before := m.receipts.put(s.place, keep(s.receipt))
	s.place = place
	m.Count(before, s.receipt.Status, s.at, m.Quorum)
}

// update is where the message stands.
func (m *message) update() delivery.Update {
	return delivery.Update{
		Message: m.ID, Sender: m.Sender, Version: m.Version,
		Status: m.Status, Delivered: m.Delivered, Read: m.Read, Total: m.Total,
	}
}

// receiptOf returns a copy of the user's receipt.
func (m *message) receiptOf(user string) (copy delivery.Receipt, exists bool) {
	place := m.receipts.find(user)
	return m.receipt(place), place >= 0
}

// receipt returns a copy of the receipt at a place, the zero Receipt if that is -1.
func (m *message) receipt(place int) delivery.Receipt {
	if place < 0 {
		return delivery.Receipt{}
	}
	return m.receipts.list[place].of(m)
}

// public returns the message as those outside see it.
func (m *message) public() delivery.Message {
	return delivery.Message{Header: m.Header, Body: m.body, Tally: m.Tally}
}

// seenBy returns the message with the viewer's own receipt.
func (m *message) seenBy(viewer string) delivery.Message {
	seen := m.public()
	if own, ok := m.receiptOf(viewer); ok {
		seen.Own = &own
	}
	return seen
}

// precise is a time as the contract keeps it: in UTC, to the microsecond.
func precise(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
