package sqlstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/msgdelivery/delivery"
)

// Rare operations that need not be one statement are written once for all dialects: in statements
// about one key or one range of keys, whose arguments are ?.

// say returns a statement as the dialect writes its arguments.
func (d *dialect) say(text string) string {
	if !d.numbered {
		return text
	}
	var b strings.Builder
	for i, part := range strings.Split(text, "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// one joins the one row that fits, found by the index, and orNone does so if there is one. The row
// is sought by the whole key of the table.
func (d *dialect) one(table, index, key string) string {
	if d.numbered {
		return "\nCROSS JOIN" + lookup(table, key)
	}
	return "\nCROSS JOIN " + table + " /*! FORCE INDEX (" + index + ") */ ON " + key
}

func (d *dialect) orNone(table, index, key string) string {
	if d.numbered {
		return "\nLEFT JOIN" + lookup(table, key) + " ON true"
	}
	return "\nLEFT JOIN " + table + " /*! FORCE INDEX (" + index + ") */ ON " + key
}

// lookup is a row as Postgres looks it up, whatever it knows of the table.
func lookup(table, key string) string {
	_, alias, _ := strings.Cut(table, " ")
	return " LATERAL (SELECT * FROM " + table + " WHERE " + key + " LIMIT 1) " + alias
}

// between returns the condition of a conversation's messages between two seqs, and its arguments.
// By the columns one by one, Postgres might read all of them and sort, where the last one is
// wanted. MySQL compares pairs without an index.
func (d *dialect) between(conv, after, before int64) (condition string, args []any) {
	if d.numbered {
		return "(conv, seq) > (?, ?) AND (conv, seq) < (?, ?)", []any{conv, after, conv, before}
	}
	return "conv = ? AND seq > ? AND seq < ?", []any{conv, after, before}
}

// fromStored and whereStored are the parts of a statement about the messages m that were stored
// after one time, and not after another.
const (
	fromStored  = " FROM delivery_messages m /*! FORCE INDEX (delivery_messages_stored) */"
	whereStored = " WHERE m.stored_at > ? AND m.stored_at <= ?"
)

// storedUpTo returns when the last of the first n of these messages was stored, or if there are
// fewer, the time to.
func (d *dialect) storedUpTo(ctx context.Context, q delivery.DBTX, from, to int64, n int) (int64, error) {
	last, err := query(ctx, q, scanInt, d.say("SELECT m.stored_at"+fromStored+whereStored+" ORDER BY m.stored_at LIMIT 1 OFFSET ?"), from, to, n-1)
	return append(last, to)[0], err
}

// keepOnConflict is [dialect.keep] of Postgres and SQLite, which wants the WHERE to tell this ON
// from that of a join.
func keepOnConflict(string) string { return " WHERE true\nON CONFLICT DO NOTHING" }

// exec executes a statement that is written once for all dialects.
func (d *dialect) exec(ctx context.Context, q delivery.DBTX, text string, args ...any) error {
	_, err := q.ExecContext(ctx, d.say(text), args...)
	return err
}

// dropRosters drops those of the rosters of a locked conversation that have no messages, and counts
// them as drops.
func (d *dialect) dropRosters(ctx context.Context, q delivery.DBTX, conv int64, rosters []int64) error {
	// Postgres would look for equality in any order, if most rows had the roster by its statistics.
	const inUse = `SELECT seq FROM delivery_messages /*! FORCE INDEX (delivery_messages_roster) */
WHERE roster BETWEEN ? AND ? ORDER BY roster LIMIT 1`
	for _, roster := range rosters {
		seqs, err := query(ctx, q, scanInt, d.say(inUse), roster, roster)
		if err != nil {
			return err
		}
		if len(seqs) > 0 {
			continue
		}
		for _, drop := range []string{"DELETE FROM delivery_members WHERE roster = ?", "DELETE FROM delivery_rosters WHERE roster = ?"} {
			if err := d.exec(ctx, q, drop, roster); err != nil {
				return err
			}
		}
		if err := d.exec(ctx, q, "UPDATE delivery_conversations SET drops = drops + 1 WHERE conv = ?", conv); err != nil {
			return err
		}
	}
	return nil
}
