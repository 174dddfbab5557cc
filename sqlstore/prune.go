package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// Conversations returns the ids of conversations, as [delivery.Keeper] says.
func (s *Store) Conversations(ctx context.Context, after string, limit int) ([]string, error) {
	return awaitRead(ctx, s.session, "listing conversations", func() (ids []string, err error) {
		err = s.session.read(ctx, func(q delivery.DBTX) error {
			const text = "SELECT id FROM delivery_conversations WHERE id > ? ORDER BY id LIMIT ?"
			ids, err = query(ctx, q, scanString, s.session.say(text), after, limit)
			return err
		})
		return ids, err
	})
}

// Prune removes the first messages of a conversation, as [delivery.Keeper] says. It cannot run in a
// caller's transaction.
func (s *Store) Prune(ctx context.Context, p delivery.Pruning) (delivery.PruningResult, error) {
	if s.session.tx != nil {
		return delivery.PruningResult{}, errors.ErrUnsupported
	}
	return awaitWrite(ctx, s.session, "pruning", func() (delivery.PruningResult, error) { return s.session.prune(ctx, p) })
}

// How much one call of Prune removes.
const (
	mostPruned = 5000 // receipts, failures, and members of rosters, if its messages have more than one
	mostForgot = 500  // of what readers know of themselves, and of readers
)

// prefix is what is to be pruned of a conversation.
type prefix struct {
	conv, version, floor int64
	messages             []row   // that are to be removed: key, seq, id
	last                 int64   // seq of the last of them
	rosters              []int64 // which they have, each once
	more                 bool
	forgotten            forgotten
}

func (s *session) prune(ctx context.Context, p delivery.Pruning) (result delivery.PruningResult, err error) {
	var found *prefix
	err = s.read(ctx, func(q delivery.DBTX) error { // mostly there is nothing to do, and to see that takes no lock
		found, err = s.findPrefix(ctx, q, p, "")
		return err
	})
	if err != nil || found == nil {
		return result, err
	}
	if len(found.messages) == 0 && !found.forgotten.none() {
		// A reader's private mark may be under way, which nobody else is to wait for: no lock but
		// the reader's.
		result = delivery.PruningResult{Floor: found.floor, More: p.All || found.forgotten.more()}
		return result, s.write(ctx, func(q delivery.DBTX) error { return s.forget(ctx, q, found.forgotten) })
	}
	if len(found.messages) == 0 && !p.All {
		return delivery.PruningResult{Floor: found.floor}, nil
	}
	err = s.write(ctx, func(q delivery.DBTX) error {
		found, err := s.findPrefix(ctx, q, p, s.ifFree)
		if err != nil {
			return err
		}
		free := found != nil
		if free {
			free, err = s.takeMessages(ctx, q, found.messages)
		}
		if err != nil || !free {
			result = delivery.PruningResult{Blocked: true}
			return err
		}
		result = delivery.PruningResult{Removed: len(found.messages), Floor: found.last, More: found.more || !found.forgotten.none()}
		if len(found.messages) > 0 {
			result.More = result.More || p.All
			return s.removePrefix(ctx, q, p.Conversation, found)
		}
		if p.All && !result.More {
			result.More, err = s.removeRest(ctx, q, found.conv)
		}
		return err
	})
	return result, err
}

// findPrefix returns what is to be pruned, nil if the conversation is not there, or not free to
// lock.
func (s *session) findPrefix(ctx context.Context, q delivery.DBTX, p delivery.Pruning, lock string) (*prefix, error) {
	all, err := queryInto(ctx, q, 1, func(c *prefix) []any { return []any{&c.conv, &c.version, &c.floor} },
		s.say("SELECT conv, version, floor FROM delivery_conversations WHERE id = ?"+lock), p.Conversation)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	found := &all[0]
	found.last = found.floor
	type message struct {
		id          string
		seq, roster int64
		members     int
		receipts    int
		sent        time.Time
	}
	columns := func(m *message) []any {
		return []any{&m.id, &m.seq, orZero[int64]{&m.roster}, orZero[int]{&m.members}, timestamp{&m.sent}, &m.receipts}
	}
	rows := 0
	err = each(ctx, q, into(columns), func(m message) bool {
		fresh := m.roster != 0 && !slices.Contains(found.rosters, m.roster)
		rows += m.receipts
		if fresh && len(found.messages) > 0 { // the first message's may go however large it is
			rows += m.members
		}
		old := p.All || m.sent.Before(p.Before)
		if !old || len(found.messages) == p.Limit || rows > mostPruned && len(found.messages) > 0 {
			found.more = old
			return false
		}
		found.messages = append(found.messages, row{found.conv, m.seq, m.id})
		found.last = m.seq
		if fresh {
			found.rosters = append(found.rosters, m.roster)
		}
		return true
	}, s.say(`
SELECT m.id, m.seq, m.roster, (SELECT size FROM delivery_rosters /*! FORCE INDEX (delivery_rosters_roster) */ WHERE roster = m.roster), m.sent_at, t.delivered_count + t.failed
FROM delivery_messages m /*! FORCE INDEX (PRIMARY) */
JOIN delivery_states t /*! FORCE INDEX (PRIMARY) */ ON t.conv = m.conv AND t.seq = m.seq
WHERE m.conv = ? AND m.seq > ? ORDER BY m.seq LIMIT ?`), found.conv, found.floor, p.Limit+1)
	if err == nil && !found.more && found.last > 0 {
		found.forgotten, err = s.findForgotten(ctx, q, found.conv, found.last)
	}
	return found, err
}

// takeMessages locks messages against private marks, and reports whether none is under way.
func (s *session) takeMessages(ctx context.Context, q delivery.DBTX, messages []row) (free bool, err error) {
	if s.own.take == "" || len(messages) == 0 {
		return true, nil
	}
	taken, err := query(ctx, q, scanInt, s.own.take, toJSON(messages))
	return len(taken) == len(messages), err
}

// dropRange returns a statement that deletes rows of one conversation, between two seqs.
func dropRange(table string) string {
	return "DELETE /*! t */ FROM " + table + " /*! t FORCE INDEX (PRIMARY) */ WHERE conv = ? AND seq > ? AND seq <= ?"
}

// removePrefix removes messages, whose conversation is locked, and announces that.
func (s *session) removePrefix(ctx context.Context, q delivery.DBTX, conversation string, found *prefix) error {
	for _, table := range []string{"delivery_receipts", "delivery_failures", "delivery_states", "delivery_messages"} {
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
	payload, err := encodeEvent(delivery.Event{
		Kind: delivery.Pruned, Conversation: conversation, From: version, To: version,
		Updates: []delivery.Update{{Version: version, Floor: found.last}},
	})
	if err != nil {
		return err
	}
	return s.exec(ctx, q, s.tell, payload)
}

// forgotten is what the readers of a conversation know of themselves, and of messages that are
// gone: as much of it as one call removes.
type forgotten struct {
	flags []string        // numbers of readers
	own   map[int64]int64 // by reader's number: up to which seq
	marks int             // so many
	last  int64           // the seq up to which messages are gone
}

func (f forgotten) none() bool { return len(f.flags) == 0 && f.marks == 0 }
func (f forgotten) more() bool { return len(f.flags) == mostForgot || f.marks == mostForgot }

// findForgotten finds what is to be forgotten of the messages up to a seq.
func (s *session) findForgotten(ctx context.Context, q delivery.DBTX, conv, last int64) (f forgotten, err error) {
	f.last = last
	f.flags, err = query(ctx, q, scanString, s.say(`
SELECT reader FROM delivery_readers /*! FORCE INDEX (PRIMARY) */ WHERE conv = ? AND flag BETWEEN 1 AND ? LIMIT ?`), conv, last, mostForgot)
	if err != nil {
		return f, err
	}
	f.own = map[int64]int64{}
	type mark struct{ reader, seq int64 }
	err = each(ctx, q, into(func(m *mark) []any { return []any{&m.reader, &m.seq} }), func(m mark) bool {
		f.own[m.reader] = max(f.own[m.reader], m.seq)
		f.marks++
		return true
	}, s.say(`
SELECT /*! STRAIGHT_JOIN */ o.reader, o.seq FROM delivery_readers p /*! FORCE INDEX (PRIMARY) */
JOIN delivery_own o /*! FORCE INDEX (PRIMARY) */ ON o.reader = p.reader AND o.seq <= ?
WHERE p.conv = ? LIMIT ?`), last, conv, mostForgot)
	return f, err
}

// forget removes what was found, and no flag that was set since.
func (s *session) forget(ctx context.Context, q delivery.DBTX, f forgotten) error {
	if len(f.flags) > 0 {
		if err := s.exec(ctx, q, "UPDATE delivery_readers SET flag = 0 WHERE reader IN ("+strings.Join(f.flags, ", ")+") AND flag <= ?", f.last); err != nil {
			return err
		}
	}
	for _, reader := range sortedKeys(f.own, cmp.Compare[int64]) {
		if err := s.exec(ctx, q, "DELETE FROM delivery_own WHERE reader = ? AND seq <= ?", reader, f.own[reader]); err != nil {
			return err
		}
	}
	return nil
}

// removeRest removes a part of what is left of a locked conversation without messages, and reports
// whether there may be more. Rosters have mostly gone with their last messages.
func (s *session) removeRest(ctx context.Context, q delivery.DBTX, conv int64) (more bool, err error) {
	rosters, err := query(ctx, q, scanInt, s.say("SELECT roster FROM delivery_rosters /*! FORCE INDEX (PRIMARY) */ WHERE conv = ? LIMIT 1"), conv)
	if err != nil || len(rosters) > 0 {
		return true, cmp.Or(err, s.dropRosters(ctx, q, conv, rosters))
	}
	readers, err := query(ctx, q, scanString, s.say("SELECT reader FROM delivery_readers /*! FORCE INDEX (PRIMARY) */ WHERE conv = ? LIMIT ?"), conv, mostForgot)
	if err != nil || len(readers) == 0 {
		return false, err
	}
	if err := s.exec(ctx, q, "DELETE FROM delivery_looked WHERE conv = ?", conv); err != nil {
		return false, err
	}
	for _, text := range []string{"DELETE FROM delivery_readers WHERE reader IN (%s)", "DELETE FROM delivery_own WHERE reader IN (%s)"} {
		if err := s.exec(ctx, q, fmt.Sprintf(text, strings.Join(readers, ", "))); err != nil {
			return false, err
		}
	}
	return len(readers) == mostForgot, s.exec(ctx, q, "UPDATE delivery_conversations SET drops = drops + 1 WHERE conv = ?", conv)
}
