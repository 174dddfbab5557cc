package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/nameless"
)

// Erase takes the name of a user out of conversations, as [delivery.Keeper] says.
func (s *Store) Erase(ctx context.Context, user string, limit int) (result delivery.ErasureResult, err error) {
	err = s.session.write(ctx, func(q delivery.DBTX) error {
		result, err = s.session.erase(ctx, q, user, limit)
		return err
	})
	if err == nil && !result.More && !result.Blocked {
		err = s.session.eraseFromEvents(ctx, user)
	}
	if err != nil {
		return delivery.ErasureResult{}, fmt.Errorf("sqlstore: erasing a user: %w", err)
	}
	return result, nil
}

// erase gives readers of that name other names, under the locks of their conversations. These come
// first, as for all who lock readers.
func (s *session) erase(ctx context.Context, q delivery.DBTX, user string, limit int) (result delivery.ErasureResult, err error) {
	wait := strings.TrimSuffix(s.ifFree, " SKIP LOCKED")
	lock := s.ifFree
	if s.tx != nil {
		lock = wait
	}
	conversations, err := query(ctx, q, scanInt, s.say(`
SELECT conv FROM delivery_readers /*! FORCE INDEX (delivery_readers_name) */ WHERE name = ? ORDER BY conv LIMIT ?`), user, limit)
	if err != nil {
		return result, err
	}
	for _, conv := range conversations {
		const text = "SELECT conv FROM delivery_conversations WHERE conv = ?"
		free, err := query(ctx, q, scanInt, s.say(text+lock), conv)
		if err == nil && len(free) == 0 && s.tx == nil {
			var there []int64
			if there, err = query(ctx, q, scanInt, s.say(text), conv); len(there) > 0 {
				result.Blocked = true
				continue
			} // else it is a row that belongs to no conversation
		}
		if err != nil {
			return result, err
		}
		readers, err := query(ctx, q, scanInt, s.say("SELECT reader FROM delivery_readers /*! FORCE INDEX (PRIMARY) */ WHERE conv = ? AND name = ?"+wait), conv, user)
		if err != nil {
			return result, err
		}
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

// eraseFromEvents takes the name out of the outbox and then out of the dead letters, to which
// events go from there.
func (s *session) eraseFromEvents(ctx context.Context, user string) error {
	lock := strings.TrimSuffix(s.ifFree, " SKIP LOCKED")
	for _, table := range []string{"delivery_outbox", "delivery_dead"} {
		var ids []string
		err := s.read(ctx, func(q delivery.DBTX) (err error) {
			ids, err = query(ctx, q, scanString, s.say("SELECT id FROM "+table+" WHERE payload LIKE ? ESCAPE '!' ORDER BY id"), mentions(user))
			return err
		})
		if err != nil {
			return err
		}
		for some := range slices.Chunk(ids, 100) {
			err := s.write(ctx, func(q delivery.DBTX) error {
				text := "SELECT id, payload FROM " + table + " /*! FORCE INDEX (PRIMARY) */ WHERE id IN (" + strings.Join(some, ", ") + ") ORDER BY id" + lock
				type event struct {
					id      int64
					payload []byte
				}
				events, err := query(ctx, q, func(rows *sql.Rows) (e event, err error) {
					err = rows.Scan(&e.id, &e.payload)
					return e, err
				}, text)
				if err != nil {
					return err
				}
				for _, e := range events {
					payload, keep := without(user, e.payload)
					if keep {
						err = s.exec(ctx, q, "UPDATE "+table+" SET payload = ? WHERE id = ?", payload, e.id)
					} else {
						err = s.exec(ctx, q, "DELETE FROM "+table+" WHERE id = ?", e.id)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// mentions returns a pattern for LIKE that fits all payloads that have the name. It leaves open how
// the JSON writes what is not a letter, a digit or the like.
func mentions(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r == '!' || r == '_':
			b.WriteString("!" + string(r))
		case r == '%', r < ' ', r > '~', strings.ContainsRune(`"\/<>&`, r):
			b.WriteString("%")
		default:
			b.WriteRune(r)
		}
	}
	return `%"` + b.String() + `"%`
}

// without returns a payload without the name, and whether the event is to be kept: one that is for
// the user alone is not. A payload that cannot be decoded becomes one that says nothing.
func without(name string, text []byte) (changed string, keep bool) {
	var p payload
	if err := json.Unmarshal(text, &p); err != nil {
		return "{}", true
	}
	if p.User == name {
		return "", false
	}
	for i := range p.Updates {
		u := &p.Updates[i]
		if u.Sender == name {
			u.Sender = ""
		}
		if u.Receipt != nil && u.Receipt.Recipient == name {
			u.Receipt.Recipient = ""
		}
	}
	rest, err := json.Marshal(p)
	if err != nil {
		panic(err) // it was JSON
	}
	return string(rest), true
}
