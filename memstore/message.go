package memstore

import (
	"maps"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// message is a message with its receipts, by recipient.
type message struct {
	delivery.Message
	conversation *conversation
	receipts     map[string]delivery.Receipt
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
	receipt delivery.Receipt
	at      time.Time
	index   int // of the mark that asked for it
}

// judge applies a mark to a copy of the user's receipt, and says whether it counts.
func (m *message) judge(user string, to delivery.Status, at time.Time, admitted bool) (step, verdict) {
	receipt, exists := m.receipts[user]
	at = precise(at)
	switch {
	case user == m.Sender, !m.Open && !exists, !receipt.Advance(to, at):
		return step{}, stays
	case m.Open && !admitted:
		return step{}, lacksAdmission
	}
	receipt.Message, receipt.Recipient = m.ID, user
	return step{message: m, receipt: receipt, at: at}, advances
}

// take stores a step's receipt, at the given version, and counts it.
func (s *step) take(version int64) {
	m := s.message
	before := m.receipts[s.receipt.Recipient].Status
	s.receipt.Version, m.Version = version, version
	m.receipts[s.receipt.Recipient] = s.receipt
	m.Count(before, s.receipt.Status, s.at, m.Quorum)
}

// update is where the message stands.
func (m *message) update() delivery.Update {
	return delivery.Update{
		Message: m.ID, Sender: m.Sender, Version: m.Version,
		Status: m.Status, Delivered: m.Delivered, Read: m.Read, Total: m.Total,
	}
}

// seenBy returns the message with the viewer's own receipt.
func (m *message) seenBy(viewer string) delivery.Message {
	seen := m.Message
	if receipt, ok := m.receipts[viewer]; ok {
		seen.Own = &receipt
	}
	return seen
}

// appendReceipts appends the message's receipts in order of recipient.
func (m *message) appendReceipts(receipts []delivery.Receipt) []delivery.Receipt {
	receipts = slices.Grow(receipts, len(m.receipts))
	for _, user := range slices.Sorted(maps.Keys(m.receipts)) {
		receipts = append(receipts, m.receipts[user])
	}
	return receipts
}

// stepsBySocket gathers the steps of a batch into those that share an event.
type stepsBySocket struct {
	groups []stepGroup
	index  map[groupKey]int
}

type groupKey struct {
	conversation *conversation
	socket       string
}

type stepGroup struct {
	groupKey
	steps []step
}

func (s *stepsBySocket) add(socket string, step step) {
	key := groupKey{step.message.conversation, socket}
	i, ok := s.index[key]
	if !ok {
		if s.index == nil {
			s.index = map[groupKey]int{}
		}
		i = len(s.groups)
		s.index[key] = i
		s.groups = append(s.groups, stepGroup{groupKey: key})
	}
	s.groups[i].steps = append(s.groups[i].steps, step)
}

// precise is a time as the contract keeps it: in UTC, to the microsecond.
func precise(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
