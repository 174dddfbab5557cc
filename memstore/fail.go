package memstore

import (
	"context"

	"github.com/msgdelivery/delivery"
)

var _ delivery.FailureStore = (*Store)(nil)

// failure is what kept a message from a recipient.
type failure struct {
	code    string
	version int64 // that it took; 0 if others have not seen it
}

// Fail keeps a failure, as [delivery.FailureStore] says. It never answers Blocked.
func (s *Store) Fail(ctx context.Context, f delivery.NewFailure, lease delivery.Lease) (result delivery.Failed, claimed []delivery.Claimed, err error) {
	if err := s.enter(ctx); err != nil {
		return result, nil, err
	}
	defer s.mu.Unlock()
	m := s.messages[f.Message]
	if m == nil || m.deleted {
		return result, nil, nil
	}
	result.Header = m.Header
	receipt, exists := m.shown(f.Recipient)
	if m.Open || !exists {
		return result, nil, nil
	}
	kept := failure{code: f.Code}
	was := receipt
	if result.Changed = receipt.Fail(f.Code, m.cap(f.Recipient)); result.Changed {
		c := s.conversations[m.Conversation]
		c.version++
		m.Version, receipt.Version, kept.version = c.version, c.version, c.version
		m.Count(m.Header, was, receipt)
		update, told := m.update(), receipt
		update.Receipt = &told
		claimed = s.outbox.add(tell(nil, delivery.StatusChanged, m.Conversation, "", f.Trace, update), lease)
	}
	if m.failures[f.Recipient].code != f.Code {
		if m.failures == nil {
			m.failures = map[string]failure{}
		}
		m.failures[f.Recipient] = kept
	}
	result.Receipt = receipt
	return result, claimed, nil
}

// shown returns a user's receipt as others see it, with its failure.
func (m *message) shown(user string) (r delivery.Receipt, exists bool) {
	r, exists = m.receipt(user)
	if f := m.failures[user]; f.version > 0 && r.Status == delivery.Sent {
		r.Failure, r.Version = f.code, f.version
	}
	return r, exists
}
