package memstore

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/drift"
	"github.com/msgdelivery/delivery/internal/nameless"
)

var _ delivery.Keeper = (*Store)(nil)

// Delete deletes messages, as [delivery.Keeper] says. It never answers Blocked.
func (s *Store) Delete(ctx context.Context, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	results := make([]delivery.Deleted, len(deletions))
	var changed []int
	for i, d := range deletions {
		if m := s.messages[d.Message]; m != nil {
			results[i].Header = delivery.Header{ID: m.ID, Conversation: m.Conversation, Seq: m.Seq}
			if results[i].Changed = !m.deleted; results[i].Changed {
				changed = append(changed, i)
			}
		}
	}
	// Deletions that share an event go together, and in the order of the argument.
	slices.SortStableFunc(changed, func(i, j int) int {
		return cmp.Or(cmp.Compare(results[i].Header.Conversation, results[j].Header.Conversation), cmp.Compare(deletions[i].Socket, deletions[j].Socket))
	})
	var events []delivery.Event
	for _, i := range changed {
		m := s.messages[deletions[i].Message]
		update := s.conversations[m.Conversation].remove(m)
		events = tell(events, delivery.MessageDeleted, m.Conversation, deletions[i].Socket, deletions[i].Trace, update)
	}
	return results, s.outbox.add(events, lease), nil
}

// Conversations returns the ids of conversations, as [delivery.Keeper] says.
func (s *Store) Conversations(ctx context.Context, after string, limit int) ([]string, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	ids := slices.DeleteFunc(slices.Sorted(maps.Keys(s.conversations)), func(id string) bool { return id <= after })
	return ids[:min(limit, len(ids))], nil
}

// Prune removes the first messages of a conversation, as [delivery.Keeper] says. It never answers
// Blocked.
func (s *Store) Prune(ctx context.Context, p delivery.Pruning) (result delivery.PruningResult, err error) {
	if err := s.enter(ctx); err != nil {
		return result, err
	}
	defer s.mu.Unlock()
	c := s.conversations[p.Conversation]
	if c == nil {
		return result, nil
	}
	gone := c.prune(p)
	for _, m := range gone {
		delete(s.messages, m.ID)
	}
	result = delivery.PruningResult{Removed: len(gone), Floor: c.floor, More: len(gone) == p.Limit}
	switch {
	case len(gone) > 0:
		s.outbox.add([]delivery.Event{{
			Kind: delivery.Pruned, Conversation: p.Conversation, From: c.version, To: c.version,
			Updates: []delivery.Update{{Version: c.version, Floor: c.floor}},
		}}, delivery.Lease{})
		result.More = result.More || p.All
	case p.All:
		clear(c.rosters)
		clear(c.places)
		clear(c.own)
	}
	return result, nil
}

// Compact removes the times at which receipts of a conversation changed, as [delivery.Keeper] says.
// It never answers Blocked, and it keeps the receipts.
func (s *Store) Compact(ctx context.Context, x delivery.Compaction) (result delivery.CompactionResult, err error) {
	if err := s.enter(ctx); err != nil {
		return result, err
	}
	defer s.mu.Unlock()
	if c := s.conversations[x.Conversation]; c != nil {
		result.Compacted = c.compact(x)
		result.More = result.Compacted == x.Limit
	}
	return result, nil
}

// Erase takes a user's name out of conversations, as [delivery.Keeper] says. It never answers
// Blocked.
func (s *Store) Erase(ctx context.Context, user string, limit int) (result delivery.ErasureResult, err error) {
	if err := s.enter(ctx); err != nil {
		return result, err
	}
	defer s.mu.Unlock()
	for _, c := range s.conversations {
		switch {
		case !c.knows(user):
		case result.Erased == limit:
			result.More = true
			return result, nil
		default:
			s.erased++
			c.erase(user, nameless.Name(s.erased))
			result.Erased++
		}
	}
	s.outbox.erase(user)
	return result, nil
}

// Verify counts receipts again, as [delivery.Keeper] says.
func (s *Store) Verify(ctx context.Context, conversation string, after int64, limit int) (v delivery.Verification, err error) {
	if err := s.enter(ctx); err != nil {
		return v, err
	}
	defer s.mu.Unlock()
	c := s.conversations[conversation]
	if c == nil {
		return v, nil
	}
	for _, m := range c.messages[c.search(after+1):] {
		if v.Messages == limit {
			v.More = true
			break
		}
		v.Messages, v.Last = v.Messages+1, m.Seq
		if m.deleted {
			continue
		}
		delivered, read, failed := 0, 0, 0
		for user, r := range m.receipts {
			switch delivery.Shown(r.Status, m.cap(user)) {
			case delivery.Read:
				read++
				fallthrough
			case delivery.Delivered:
				delivered++
			}
		}
		for user := range m.failures {
			if r, _ := m.shown(user); r.Failure != "" {
				failed++
			}
		}
		if d := drift.Of(m.Header, m.Tally, delivered, read, failed, !m.Open && m.roster.members == nil); d != (delivery.Drift{}) {
			v.Drifts = append(v.Drifts, d)
		}
	}
	return v, nil
}
