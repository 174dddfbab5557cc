package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// Conversations returns the ids of conversations, as [delivery.Keeper] says.
func (s *Store) Conversations(ctx context.Context, after string, limit int) (ids []string, err error) {
	err = s.session.read(ctx, func(q delivery.DBTX) error {
		const text = "SELECT id FROM delivery_conversations WHERE id > ? ORDER BY id LIMIT ?"
		ids, err = query(ctx, q, scanString, s.session.say(text), after, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sqlstore: listing conversations: %w", err)
	}
	return ids, nil
}

// Prune removes the first messages of a conversation, as [delivery.Keeper] says. It has no form in a
// caller's transaction.
func (s *Store) Prune(ctx context.Context, p delivery.Pruning) (result delivery.PruningResult, err error) {
	if s.session.tx != nil {
		return result, errors.ErrUnsupported
	}
	if result, err = s.session.prune(ctx, p); err != nil {
		return delivery.PruningResult{}, fmt.Errorf("sqlstore: pruning: %w", err)
	}
	return result, nil
}

// mostPruned is how many receipts a call of Prune removes, if its messages have more than one.
const mostPruned = 5000

// prefix is what is to be pruned of a conversation.
type prefix struct {
	conv, version, floor int64
	messages             int
	last                 int64   // seq of the last of them
	rosters              []int64 // which they have, each once
	more                 bool    // perhaps
}

func (s *session) prune(ctx context.Context, p delivery.Pruning) (result delivery.PruningResult, err error) {
	var found *prefix
	err = s.read(ctx, func(q delivery.DBTX) error { // mostly there is nothing to do, and to see that takes no lock
		found, err = s.findPrefix(ctx, q, p, "")
		return err
	})
	if err != nil || found == nil || found.messages == 0 && !p.All {
		if found != nil {
			result.Floor = found.floor
		}
		return result, err
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		found, err := s.findPrefix(ctx, q, p, s.ifFree)
		switch {
		case err != nil:
			return err
		case found == nil:
			result = delivery.PruningResult{Blocked: true}
			return nil
		}
		result = delivery.PruningResult{Removed: found.messages, Floor: found.last, More: found.more || found.messages > 0 && p.All}
		switch {
		case found.messages > 0:
			return s.removePrefix(ctx, q, p.Conversation, found)
		case p.All:
			return s.removeConversation(ctx, q, found)
		}
		return nil
	})
	return result, err
}

// findPrefix returns what is to be pruned, nil if the conversation is not there, or not free to lock.
func (s *session) findPrefix(ctx context.Context, q delivery.DBTX, p delivery.Pruning, lock string) (*prefix, error) {
	all, err := queryInto(ctx, q, 1, func(c *prefix) []any { return []any{&c.conv, &c.version, &c.floor} },
		s.say("SELECT conv, version, floor FROM delivery_conversations WHERE id = ?"+lock), p.Conversation)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	found := &all[0]
	found.last = found.floor
	type message struct {
		seq, roster int64
		receipts    int
		sent        time.Time
	}
	columns := func(m *message) []any {
		return []any{&m.seq, orZero[int64]{&m.roster}, timestamp{&m.sent}, &m.receipts}
	}
	receipts := 0
	err = each(ctx, q, into(columns), func(m message) bool {
		receipts += m.receipts
		old := p.All || m.sent.Before(p.Before)
		if !old || receipts > mostPruned && found.messages > 0 {
			found.more = old
			return false
		}
		found.messages++
		found.last = m.seq
		if m.roster != 0 && !slices.Contains(found.rosters, m.roster) {
			found.rosters = append(found.rosters, m.roster)
		}
		found.more = found.messages == p.Limit
		return true
	}, s.say(`
SELECT m.seq, m.roster, m.sent_at, t.delivered_count
FROM delivery_messages m /*! FORCE INDEX (PRIMARY) */
JOIN delivery_states t /*! FORCE INDEX (PRIMARY) */ ON t.conv = m.conv AND t.seq = m.seq
WHERE m.conv = ? AND m.seq > ? ORDER BY m.seq LIMIT ?`), found.conv, found.floor, p.Limit)
	return found, err
}

// dropRange returns a statement that deletes rows of one conversation, between two seqs.
func dropRange(table string) string {
	return "DELETE /*! t */ FROM " + table + " /*! t FORCE INDEX (PRIMARY) */ WHERE conv = ? AND seq > ? AND seq <= ?"
}

// removePrefix removes messages, whose conversation is locked, and tells of that.
func (s *session) removePrefix(ctx context.Context, q delivery.DBTX, conversation string, found *prefix) error {
	for _, table := range []string{"delivery_receipts", "delivery_states", "delivery_messages"} {
		if err := s.exec(ctx, q, dropRange(table), found.conv, found.floor, found.last); err != nil {
			return err
		}
	}
	if err := s.dropRosters(ctx, q, found.conv, found.rosters); err != nil {
		return err
	}
	version := found.version + 1
	if err := s.exec(ctx, q, "UPDATE delivery_conversations SET version = ?, floor = ? WHERE conv = ?", version, found.last, found.conv); err != nil {
		return err
	}
	if !found.more {
		if err := s.removeOwn(ctx, q, found.conv, found.last); err != nil {
			return err
		}
	}
	payload, err := encodeEvent(delivery.Event{
		Kind: delivery.Pruned, Conversation: conversation, From: version, To: version,
		Updates: []delivery.Update{{Version: version, Floor: found.last}},
	})
	if err != nil {
		return err
	}
	return s.exec(ctx, q, s.tell, payload)
}

// removeOwn removes what the readers of a conversation know of themselves up to a seq.
func (s *session) removeOwn(ctx context.Context, q delivery.DBTX, conv, last int64) error {
	readers, err := query(ctx, q, scanString, s.say("SELECT reader FROM delivery_readers /*! FORCE INDEX (PRIMARY) */ WHERE conv = ?"), conv)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(readers, 1000) {
		text := "DELETE /*! t */ FROM delivery_own /*! t FORCE INDEX (PRIMARY) */ WHERE reader IN (" + strings.Join(some, ", ") + ") AND seq <= ?"
		if err := s.exec(ctx, q, text, last); err != nil {
			return err
		}
	}
	return nil
}

// removeConversation removes what is left of a locked conversation without messages.
func (s *session) removeConversation(ctx context.Context, q delivery.DBTX, found *prefix) error {
	rosters, err := query(ctx, q, scanInt, s.say("SELECT roster FROM delivery_rosters /*! FORCE INDEX (PRIMARY) */ WHERE conv = ?"), found.conv)
	if err != nil {
		return err
	}
	if err := s.dropRosters(ctx, q, found.conv, rosters); err != nil {
		return err
	}
	if err := s.removeOwn(ctx, q, found.conv, found.version); err != nil {
		return err
	}
	for _, table := range []string{"delivery_readers", "delivery_conversations"} {
		if err := s.exec(ctx, q, "DELETE /*! t */ FROM "+table+" /*! t FORCE INDEX (PRIMARY) */ WHERE conv = ?", found.conv); err != nil {
			return err
		}
	}
	return nil
}
