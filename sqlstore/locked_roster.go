package sqlstore

import (
	"context"
	"database/sql"
	"slices"

	"github.com/msgdelivery/delivery"
)

// A conversation's rosters and readers are made under its lock, in the transaction of the first
// message that needs them, and never change. A roster is gone with its last message, which counts
// as one of the conversation's drops. If a call finds out that an id is taken, a rollback to a
// savepoint undoes what it has made.

const setRosters, undoRosters = "SAVEPOINT delivery_rosters", "ROLLBACK TO SAVEPOINT delivery_rosters"

// draft is a message that is to be stored.
type draft struct {
	*delivery.NewMessage
	item         int           // index among those of the call
	index        int           // of its result
	conversation *conversation // nil if another transaction has it, or a reader that the draft needs
	audience     audience
}

// audience is whom a message is for, as far as the database has it.
type audience struct {
	i      int
	key    int64           // of the conversation; 0 if it is not there
	drops  int64           // of the conversation
	roster int64           // 0 if it is not there, or the message is open
	size   sizes           // of the roster
	reader bool            // whether the sender is one
	cap    delivery.Status // of the sender in the roster; 0 if it is no member
}

// address finds the rosters of the drafts, and makes those that are new. It makes readers of the
// senders. It returns the drafts that are addressed so, and whether something was made.
func (l *locked) address(ctx context.Context, q delivery.DBTX, s *session, drafts []*draft, b *busy) (addressed []*draft, made bool, err error) {
	// A roster that was found before the lock is still there, as long as nothing is dropped. The
	// others may have been made meanwhile.
	unsure := slices.DeleteFunc(slices.Clone(drafts), func(d *draft) bool { return !d.lacks() && !d.outdated() })
	if err := l.findAudiences(ctx, q, l.audiences, unsure); err != nil {
		return nil, false, err
	}
	if slices.ContainsFunc(unsure, (*draft).outdated) { // the transaction's snapshot shows what is gone
		return nil, false, errSnapshot
	}
	var lacking []*draft
	fresh := map[name]*draft{} // the first draft for each new roster
	for _, d := range drafts {
		switch {
		case d.Open, d.audience.roster != 0, fresh[d.rosterName()] != nil:
		case d.Members != nil:
			fresh[d.rosterName()] = d
		default:
			lacking = append(lacking, d)
		}
	}
	lacking, hidden, err := l.confirmLacking(ctx, q, s, lacking)
	if err != nil {
		return nil, false, err
	}
	addressed = slices.DeleteFunc(drafts, func(d *draft) bool { return slices.Contains(lacking, d) })
	if !slices.ContainsFunc(addressed, (*draft).lacks) {
		return addressed, false, nil
	}
	if err := execEach(ctx, q, setRosters); err != nil {
		return nil, false, err
	}
	more, err := l.makeRosters(ctx, q, b, addressed, fresh)
	if err != nil {
		return nil, false, err
	}
	return addressed, true, l.findHidden(ctx, q, append(hidden, more...))
}

// lacks reports whether the draft's roster or its sender is not found.
func (d *draft) lacks() bool { return !d.audience.reader || !d.Open && d.audience.roster == 0 }

// outdated reports whether rosters of the conversation were dropped since the draft's was looked
// for.
func (d *draft) outdated() bool { return d.audience.drops != d.conversation.drops }

// rosterName is the key of the draft's roster.
func (d *draft) rosterName() name { return name{d.conversation.key, d.Roster} }

// sizes says how many members a roster has, how many of them are tracked, and how many of these do
// not hide reads.
type sizes struct{ all, tracked, readers int }

// recipients returns how many there are, tracked or not: the roster without the sender.
func (a *audience) recipients() int {
	if a.cap != 0 {
		return a.size.all - 1
	}
	return a.size.all
}

// findAudiences fills in the audiences as a statement sees them.
func (l *locked) findAudiences(ctx context.Context, q delivery.DBTX, text string, drafts []*draft) error {
	if len(drafts) == 0 {
		return nil
	}
	rows := make([]row, len(drafts))
	for i, d := range drafts {
		var roster any
		if !d.Open {
			roster = d.Roster
		}
		rows[i] = row{i, d.Conversation, roster, d.Sender}
	}
	return each(ctx, q, scanAudience, func(a audience) bool {
		drafts[a.i].audience = a
		return true
	}, text, toJSON(rows))
}

func scanAudience(rows *sql.Rows) (a audience, err error) {
	err = rows.Scan(&a.i, &a.key, &a.drops, orZero[int64]{&a.roster}, orZero[int]{&a.size.all}, orZero[int]{&a.size.tracked}, orZero[int]{&a.size.readers}, &a.reader, status{&a.cap})
	return a, err
}

// makeRosters makes the rosters of the drafts that are the first for theirs, with their members. It
// makes readers of these and of all senders, and fills in the audiences. It returns the drafts
// whose rosters are hidden from the transaction's snapshot, since somebody else has made them.
func (l *locked) makeRosters(ctx context.Context, q delivery.DBTX, b *busy, drafts []*draft, fresh map[name]*draft) (hidden []*draft, err error) {
	var rosters, members, numbered []row
	var readers []itemRow
	var fromFresh []*draft
	for _, d := range drafts {
		if first := fresh[d.rosterName()]; first != nil {
			fromFresh = append(fromFresh, d)
			if d == first {
				tracked, readers := d.Sizes()
				rosters = append(rosters, row{d.conversation.key, d.Roster, len(d.Members), tracked, readers})
			}
		}
		if !d.audience.reader {
			readers = append(readers, itemRow{d.item, row{d.conversation.key, d.Sender}})
		}
	}
	if err := execAll(ctx, q, batch{l.addRosters, rosters}); err != nil {
		return nil, err
	}
	if err := l.findAudiences(ctx, q, l.audiences, fromFresh); err != nil {
		return nil, err
	}
	for _, d := range fromFresh {
		first := fresh[d.rosterName()]
		if d.audience.roster == 0 {
			hidden = append(hidden, d)
			continue
		}
		if i, member := slices.BinarySearch(first.Members, d.Sender); member {
			d.audience.cap = first.CapOf(i)
		}
		if d == first {
			numbers, err := l.findNumbers(ctx, q, d.conversation.key, d.Members)
			if err != nil {
				return nil, err
			}
			for i, member := range d.Members {
				if numbers[i] != 0 {
					numbered = append(numbered, row{d.audience.roster, numbers[i], uint8(d.CapOf(i))})
					continue
				}
				readers = append(readers, itemRow{d.item, row{d.conversation.key, member}})
				members = append(members, row{d.audience.roster, d.conversation.key, member, uint8(d.CapOf(i))})
			}
		}
	}
	if err := l.putFree(ctx, q, b, l.addReaders, readers); err != nil {
		return nil, err
	}
	return hidden, execAll(ctx, q, batch{l.addMembers, members}, batch{l.addNumbered, numbered})
}

// findNumbers returns the numbers of those of a conversation's readers that a statement sees, 0 for
// the others. An INSERT that met or joined their rows would lock them until the commit, and private
// marks of theirs would wait.
func (l *locked) findNumbers(ctx context.Context, q delivery.DBTX, key int64, names []string) ([]int64, error) {
	numbers := make([]int64, len(names))
	type number struct{ i, number int64 }
	columns := func(n *number) []any { return []any{&n.i, &n.number} }
	for from := 0; from < len(names); from += delivery.MaxBatch {
		var rows []row
		for i, name := range names[from:min(from+delivery.MaxBatch, len(names))] {
			rows = append(rows, row{from + i, key, name})
		}
		err := each(ctx, q, into(columns), func(n number) bool {
			numbers[n.i] = n.number
			return true
		}, l.numbers, toJSON(rows))
		if err != nil {
			return nil, err
		}
	}
	return numbers, nil
}

// confirmLacking returns the drafts whose rosters are not there, and those whose rosters are hidden
// from the transaction's snapshot. To look for them would lock the gaps between others. Therefore
// it makes them, for a moment: the snapshot shows what the transaction has made itself.
func (l *locked) confirmLacking(ctx context.Context, q delivery.DBTX, s *session, drafts []*draft) (lacking, hidden []*draft, err error) {
	if len(drafts) == 0 || !l.newest.in(s) {
		return drafts, nil, nil
	}
	var rosters []row
	for _, d := range drafts {
		rosters = append(rosters, row{d.conversation.key, d.Roster, 0, 0, 0})
	}
	if err := execEach(ctx, q, setRosters); err != nil {
		return nil, nil, err
	}
	if err := execAll(ctx, q, batch{l.addRosters, rosters}); err != nil {
		return nil, nil, err
	}
	if err := l.findAudiences(ctx, q, l.audiences, drafts); err != nil {
		return nil, nil, err
	}
	for _, d := range drafts {
		if d.audience.roster == 0 {
			hidden = append(hidden, d)
		} else {
			lacking = append(lacking, d)
		}
	}
	return lacking, hidden, execEach(ctx, q, undoRosters)
}

// findHidden fills in the audiences of drafts whose rosters and senders are hidden from the
// transaction's snapshot. It looks up a sender among the members, and would lock a gap if that is
// none: then it reports a conflict, for the transaction to start anew.
func (l *locked) findHidden(ctx context.Context, q delivery.DBTX, drafts []*draft) error {
	if err := l.findAudiences(ctx, q, l.audiences+l.newest.lock, drafts); err != nil {
		return err
	}
	if slices.ContainsFunc(drafts, func(d *draft) bool { return d.audience.cap == 0 }) {
		return errSnapshot
	}
	return nil
}
