package sqlstore

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery"
)

// prepare finds the readers and the members of rosters that messages need, and makes the readers
// and the rosters that are new.
func (im *importing) prepare(messages []delivery.NewImport, fresh []int, brings map[string]*delivery.NewMessage) error {
	var needed, named []string // users who become readers, and others who may be readers
	for _, i := range fresh {
		m := &messages[i]
		needed = append(needed, m.Sender)
		for _, r := range m.Receipts {
			named = append(named, r.Recipient)
		}
		if m.Open {
			needed = append(needed, named[len(named)-len(m.Receipts):]...)
		}
	}
	for _, roster := range im.rosters {
		if err := im.findCaps(roster, slices.Concat(needed, named)); err != nil {
			return err
		}
	}
	for _, m := range brings {
		needed = append(needed, m.Members...)
	}
	if err := im.makeReaders(needed); err != nil {
		return err
	}
	for _, name := range sortedKeys(brings, cmp.Compare[string]) {
		if err := im.makeRoster(brings[name]); err != nil {
			return err
		}
	}
	return im.findReaders(named)
}

// makeReaders makes readers of the users who are none.
func (im *importing) makeReaders(names []string) error {
	if err := im.findReaders(names); err != nil {
		return err
	}
	var rows []row
	for _, name := range distinct(names) {
		if im.readers[name] == nil {
			rows = append(rows, row{im.conv, name, 0, 0})
		}
	}
	if err := im.insert(im.ctx, im.q, "delivery_readers", "conv, name, delivered_seq, read_seq", rows); err != nil {
		return err
	}
	return im.findReaders(names)
}

// findReaders fills in those of the users who are readers, and are not known yet.
func (im *importing) findReaders(names []string) error {
	names = slices.DeleteFunc(distinct(names), func(name string) bool { return im.readers[name] != nil })
	type found struct {
		name string
		importReader
	}
	columns := func(f *found) []any {
		return []any{&f.name, &f.number, &f.reach[delivery.Delivered], &f.reach[delivery.Read]}
	}
	text := im.say("SELECT /*! STRAIGHT_JOIN */ p.name, p.reader, p.delivered_seq, p.read_seq FROM " + im.ids + " j" +
		im.one("delivery_readers p", "PRIMARY", "p.conv = ? AND p.name = j.id"))
	for some := range slices.Chunk(names, delivery.MaxBatch) {
		err := each(im.ctx, im.q, into(columns), func(f found) bool {
			im.readers[f.name] = &f.importReader
			return true
		}, text, toJSON(some), im.conv)
		if err != nil {
			return err
		}
	}
	return nil
}

func (im *importing) findRoster(name string) error {
	columns := func(r *importRoster) []any { return []any{&r.number, &r.size.all, &r.size.tracked, &r.size.readers} }
	return each(im.ctx, im.q, into(columns), func(r importRoster) bool {
		im.rosters[name] = &r
		return true
	}, im.say("SELECT roster, size, tracked, readers FROM delivery_rosters /*! FORCE INDEX (PRIMARY) */ WHERE conv = ? AND name = ?"), im.conv, name)
}

// makeRoster makes the roster that a message brings. Its members are readers.
func (im *importing) makeRoster(m *delivery.NewMessage) error {
	tracked, readers := m.Sizes()
	err := im.exec(im.ctx, im.q, "INSERT INTO delivery_rosters (conv, name, size, tracked, readers) VALUES (?, ?, ?, ?, ?)",
		im.conv, m.Roster, len(m.Members), tracked, readers)
	if err == nil {
		err = im.findRoster(m.Roster)
	}
	if err != nil {
		return err
	}
	roster, members := im.rosters[m.Roster], make([]row, len(m.Members))
	roster.caps = map[string]delivery.Status{}
	for i, name := range m.Members {
		roster.caps[name] = m.CapOf(i)
		members[i] = row{roster.number, im.readers[name].number, uint8(m.CapOf(i))}
	}
	return im.insert(im.ctx, im.q, "delivery_members", "roster, reader, cap", members)
}

// findCaps fills in the caps of those of the users who are members.
func (im *importing) findCaps(roster *importRoster, names []string) error {
	roster.caps = map[string]delivery.Status{}
	type member struct {
		name string
		cap  delivery.Status
	}
	text := im.say("SELECT /*! STRAIGHT_JOIN */ p.name, b.cap FROM " + im.ids + " j" +
		im.one("delivery_readers p", "PRIMARY", "p.conv = ? AND p.name = j.id") +
		im.one("delivery_members b", "PRIMARY", "b.roster = ? AND b.reader = p.reader"))
	for some := range slices.Chunk(distinct(names), delivery.MaxBatch) {
		err := each(im.ctx, im.q, into(func(m *member) []any { return []any{&m.name, status{&m.cap}} }), func(m member) bool {
			roster.caps[m.name] = m.cap
			return true
		}, text, toJSON(some), im.conv, roster.number)
		if err != nil {
			return err
		}
	}
	return nil
}

// put writes what was added.
func (im *importing) put() error {
	for _, b := range []struct {
		table, columns string
		rows           []row
	}{
		{"delivery_messages", "conv, seq, id, sender, body, roster, recipients, total, readers, quorum, sent_at, stored_at", im.messages},
		{"delivery_states", "conv, seq, version, status, delivered_count, read_count, delivered_at, read_at", im.states},
		{"delivery_receipts", "conv, seq, reader, status, version, delivered_at, read_at", im.receipts},
		{"delivery_own", "reader, seq, status", im.own},
	} {
		if err := im.insert(im.ctx, im.q, b.table, b.columns, b.rows); err != nil {
			return err
		}
	}
	// Most readers of a group have come equally far.
	type change struct {
		moved places
		alone int
	}
	changes := map[change][]int64{}
	for _, r := range im.readers {
		if c := (change{r.moved, r.alone}); c != (change{}) {
			changes[c] = append(changes[c], r.number)
		}
	}
	compare := func(a, b change) int {
		return cmp.Or(slices.Compare(a.moved[:], b.moved[:]), cmp.Compare(a.alone, b.alone))
	}
	for _, c := range sortedKeys(changes, compare) {
		slices.Sort(changes[c])
		for some := range slices.Chunk(changes[c], delivery.MaxBatch) {
			free, err := query(im.ctx, im.q, scanInt, im.say("SELECT reader FROM delivery_readers /*! FORCE INDEX (delivery_readers_reader) */ WHERE reader IN ("+commas(some)+")"+im.ifFree))
			// If a private mark has one of them, nobody is to wait for it with the conversation locked.
			if err == nil && len(free) < len(some) {
				err = errSnapshot
			}
			if err != nil {
				return err
			}
			delivered, read := c.moved[delivery.Delivered], c.moved[delivery.Read]
			err = im.exec(im.ctx, im.q, `
UPDATE delivery_readers /*! FORCE INDEX (delivery_readers_reader) */ SET
	delivered_seq = CASE WHEN delivered_seq < ? THEN ? ELSE delivered_seq END,
	read_seq = CASE WHEN read_seq < ? THEN ? ELSE read_seq END, rev = rev + ?
WHERE reader IN (`+commas(some)+")", delivered, delivered, read, read, c.alone)
			if err != nil {
				return err
			}
		}
	}
	return im.exec(im.ctx, im.q, "UPDATE delivery_conversations SET version = ?, compacted = ? WHERE conv = ?", im.version, im.compacted, im.conv)
}

// time is a time as the database keeps it, or NULL.
func (d *dialect) time(at time.Time) any {
	switch {
	case at.IsZero():
		return nil
	case d.numbered:
		return at
	}
	return at.UnixMicro()
}

// insert inserts rows, some of them per statement.
func (s *session) insert(ctx context.Context, q delivery.DBTX, table, columns string, rows []row) error {
	for some := range slices.Chunk(rows, delivery.MaxBatch) {
		one := "(?" + strings.Repeat(", ?", len(some[0])-1) + ")"
		err := s.exec(ctx, q, "INSERT INTO "+table+" ("+columns+") VALUES "+one+strings.Repeat(", "+one, len(some)-1), slices.Concat(some...)...)
		if mysqlNumber(err) == 1062 { // somebody else has inserted it since, which is no conflict to MySQL
			return errSnapshot
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// distinct returns the names in order, each once.
func distinct(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }
