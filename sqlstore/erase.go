package sqlstore

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/nameless"
)

// Erase takes the name of a user out of conversations, as [delivery.Keeper] says.
func (s *Store) Erase(ctx context.Context, user string, limit int) (delivery.ErasureResult, error) {
	return awaitWrite(ctx, s.session, "erasing a user", func() (result delivery.ErasureResult, err error) {
		err = s.session.write(ctx, func(q delivery.DBTX) error {
			result, err = s.session.erase(ctx, q, user, limit)
			return err
		})
		if err == nil && !result.More && !result.Blocked {
			err = s.session.eraseFromEvents(ctx, user)
		}
		return result, err
	})
}

// erase gives readers of that name other names, under the locks of their conversations. These come
// first, as for all who lock readers.
func (s *session) erase(ctx context.Context, q delivery.DBTX, user string, limit int) (result delivery.ErasureResult, err error) {
	conversations, err := query(ctx, q, scanInt, s.say(`
SELECT conv FROM delivery_readers /*! FORCE INDEX (delivery_readers_name) */ WHERE name = ? ORDER BY conv LIMIT ?`), user, limit)
	if err != nil {
		return result, err
	}
	for _, conv := range conversations {
		var readers []int64
		_, blocked, err := s.lockFree(ctx, q, "SELECT conv FROM delivery_conversations WHERE conv = ?", conv)
		if err == nil && !blocked { // it is there, or else the reader's row belongs to no conversation
			readers, blocked, err = s.lockFree(ctx, q, "SELECT reader FROM delivery_readers /*! FORCE INDEX (PRIMARY) */ WHERE conv = ? AND name = ?", conv, user)
		}
		if err != nil {
			return result, err
		}
		result.Blocked = result.Blocked || blocked
		for _, reader := range readers { // none, if it was erased meanwhile
			result.Erased++
			if err := s.eraseReader(ctx, q, conv, reader); err != nil {
				return result, err
			}
		}
	}
	// An old snapshot of a caller's transaction may show names that are gone, however often it is
	// read.
	result.More = len(conversations) == limit && (s.tx == nil || result.Erased > 0)
	return result, nil
}

// lockFree locks rows, which may be none. Outside a caller's transaction it does not wait, and
// reports whether another transaction has locked them: nobody is to wait for it, with the
// conversations that are locked already.
func (s *session) lockFree(ctx context.Context, q delivery.DBTX, text string, args ...any) (rows []int64, blocked bool, err error) {
	text = s.say(text)
	if s.tx != nil {
		rows, err = query(ctx, q, scanInt, text+s.wait(), args...)
		return rows, false, err
	}
	rows, err = query(ctx, q, scanInt, text+s.ifFree, args...)
	if err != nil || len(rows) > 0 {
		return rows, false, err
	}
	there, err := query(ctx, q, scanInt, text, args...)
	return nil, len(there) > 0, err
}

// wait, behind a SELECT, locks its rows, and waits for those that are locked.
func (s *session) wait() string { return strings.TrimSuffix(s.ifFree, " SKIP LOCKED") }

// eraseReader erases one reader of a locked conversation.
func (s *session) eraseReader(ctx context.Context, q delivery.DBTX, conv, reader int64) error {
	rosters, err := query(ctx, q, scanInt, s.say(`
SELECT /*! STRAIGHT_JOIN */ g.roster FROM delivery_rosters g /*! FORCE INDEX (PRIMARY) */
JOIN delivery_members b /*! FORCE INDEX (PRIMARY) */ ON b.roster = g.roster AND b.reader = ?
WHERE g.conv = ?`), reader, conv)
	if err != nil {
		return err
	}
	for _, roster := range rosters {
		if err := s.exec(ctx, q, "UPDATE delivery_rosters SET name = ? WHERE roster = ?", nameless.Name(roster), roster); err != nil {
			return err
		}
	}
	for _, change := range []struct {
		text string
		args []any
	}{
		{"UPDATE delivery_conversations SET drops = drops + 1 WHERE conv = ?", []any{conv}},
		{"UPDATE delivery_readers SET name = ? WHERE reader = ?", []any{nameless.Name(reader), reader}},
		{"DELETE FROM delivery_own WHERE reader = ?", []any{reader}},
	} {
		if err := s.exec(ctx, q, change.text, change.args...); err != nil {
			return err
		}
	}
	return nil
}

// storedEvent is a row of the outbox or of the dead letters.
type storedEvent struct {
	id      int64
	payload []byte
}

func (e *storedEvent) columns() []any { return []any{&e.id, &e.payload} }

// eraseFromEvents takes the name out of the outbox and then out of the dead letters, to which
// events go from there. It locks no event that does not have the name: in a caller's transaction
// such an event could be neither published nor settled until the commit.
func (s *session) eraseFromEvents(ctx context.Context, user string) error {
	find := s.read
	if s.tx != nil {
		find = s.write // which fails for the whole transaction
	}
	for _, table := range []string{"delivery_outbox", "delivery_dead"} {
		var ids []string
		err := find(ctx, func(q delivery.DBTX) error {
			ids = nil
			return each(ctx, q, into((*storedEvent).columns), func(e storedEvent) bool {
				if _, change := without(user, e.payload); change != keepEvent {
					ids = append(ids, strconv.FormatInt(e.id, 10))
				}
				return true
			}, s.say("SELECT id, payload FROM "+table+" WHERE payload LIKE ? ESCAPE '!' ORDER BY id"), mentions(user))
		})
		if err != nil {
			return err
		}
		for some := range slices.Chunk(ids, 100) {
			err := s.write(ctx, func(q delivery.DBTX) error { return s.eraseFrom(ctx, q, table, user, some) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// eraseFrom takes the name out of the events of these ids.
func (s *session) eraseFrom(ctx context.Context, q delivery.DBTX, table, user string, ids []string) error {
	text := "SELECT id, payload FROM " + table + " /*! FORCE INDEX (PRIMARY) */ WHERE id IN (" + strings.Join(ids, ", ") + ") ORDER BY id"
	events, err := queryInto(ctx, q, len(ids), (*storedEvent).columns, text+s.wait())
	if err != nil {
		return err
	}
	for _, e := range events {
		switch payload, change := without(user, e.payload); change {
		case rewriteEvent:
			err = s.exec(ctx, q, "UPDATE "+table+" SET payload = ? WHERE id = ?", payload, e.id)
		case removeEvent:
			err = s.exec(ctx, q, "DELETE FROM "+table+" WHERE id = ?", e.id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mentions returns a pattern for LIKE that fits all payloads that have the name. It leaves open how
// the JSON writes what may be escaped in it.
func mentions(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r == '!' || r == '_':
			b.WriteString("!" + string(r))
		case r < ' ', strings.ContainsRune("%\"\\/<>&\x7f\u2028\u2029", r):
			b.WriteString("%")
		default:
			b.WriteRune(r)
		}
	}
	return `%"` + b.String() + `"%`
}

// change is what an erasure does with an event.
type change uint8

const (
	keepEvent    change = iota
	rewriteEvent        // without the name
	removeEvent         // it is for the user alone
)

// without returns what becomes of an event, and its payload without the name if that is another. A
// payload that cannot be decoded becomes one that says nothing.
func without(name string, text []byte) (changed string, what change) {
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return "{}", rewriteEvent
	}
	if p.User == name {
		return "", removeEvent
	}
	for i := range p.Updates {
		u := &p.Updates[i]
		if u.Sender == name {
			u.Sender, what = "", rewriteEvent
		}
		if u.Receipt != nil && u.Receipt.Recipient == name {
			u.Receipt.Recipient, what = "", rewriteEvent
		}
	}
	if what == keepEvent {
		return "", keepEvent
	}
	rest, err := json.Marshal(p)
	if err != nil {
		panic(err) // it was JSON
	}
	return string(rest), rewriteEvent
}
