package sqlstore

import (
	"context"
	"database/sql"
	"slices"

	"github.com/msgdelivery/delivery"
)

// A conversation's rosters and readers are made under its lock, in the transaction of the first
// message that needs them, and never change. What a call makes before it finds out that an id is
// taken is undone by a rollback to a savepoint.

const setRosters, undoRosters = "SAVEPOINT delivery_rosters", "ROLLBACK TO SAVEPOINT delivery_rosters"

// draft is a message that is to be stored.
type draft struct {
	*delivery.NewMessage
	index        int // of the message
	conversation *conversation
	audience     audience
}

// audience is whom a message is for, as far as the database has it.
type audience struct {
	i      int
	roster int64 // 0 if it is not there, or the message is open
	size   int   // of the roster
	reader bool  // whether the sender is one
	member bool  // whether the sender is a member of the roster
}

// address finds the rosters of the drafts, and makes those that are new. It makes readers of the
// senders. It returns the drafts that are addressed so, and whether something was made.
func (l *locked) address(ctx context.Context, q delivery.DBTX, s *session, drafts []*draft) (addressed []*draft, made bool, err error) {
	if err := l.findAudiences(ctx, q, drafts); err != nil {
		return nil, false, err
	}
	var readers []row
	var lacking []*draft
	fresh := map[name]*draft{} // the first draft for each new roster
	for _, d := range drafts {
		key := d.conversation.key
		switch {
		case d.Open, d.audience.roster != 0, fresh[d.rosterName()] != nil:
		case d.Members != nil:
			fresh[d.rosterName()] = d
			for _, member := range d.Members {
				readers = append(readers, row{key, member})
			}
		default:
			lacking = append(lacking, d)
			continue
		}
		if !d.audience.reader {
			readers = append(readers, row{key, d.Sender})
		}
		addressed = append(addressed, d)
	}
	if err := l.confirmLacking(ctx, q, s, lacking); err != nil {
		return nil, false, err
	}
	if len(readers) == 0 && len(fresh) == 0 {
		return addressed, false, nil
	}
	if err := execEach(ctx, q, setRosters); err != nil {
		return nil, false, err
	}
	if err := execAll(ctx, q, batch{l.addReaders, readers}); err != nil {
		return nil, false, err
	}
	return addressed, true, l.makeRosters(ctx, q, addressed, fresh)
}

// rosterName is the key of the draft's roster.
func (d *draft) rosterName() name { return name{d.conversation.key, d.Roster} }

// recipients returns how many there are: the roster without the sender.
func (a *audience) recipients() int {
	if a.member {
		return a.size - 1
	}
	return a.size
}

// findAudiences fills in the audiences.
func (l *locked) findAudiences(ctx context.Context, q delivery.DBTX, drafts []*draft) error {
	if len(drafts) == 0 {
		return nil
	}
	rows := make([]row, len(drafts))
	for i, d := range drafts {
		var roster any
		if !d.Open {
			roster = d.Roster
		}
		rows[i] = row{i, d.conversation.key, roster, d.Sender}
	}
	return each(ctx, q, scanAudience, func(a audience) bool {
		drafts[a.i].audience = a
		return true
	}, l.audiences, toJSON(rows))
}

func scanAudience(rows *sql.Rows) (a audience, err error) {
	err = rows.Scan(&a.i, orZero[int64]{&a.roster}, orZero[int]{&a.size}, &a.reader, &a.member)
	return a, err
}

// makeRosters makes rosters whose members are readers, each from the draft that is the first for
// it, and fills in the audiences of all drafts for them.
func (l *locked) makeRosters(ctx context.Context, q delivery.DBTX, drafts []*draft, fresh map[name]*draft) error {
	if len(fresh) == 0 {
		return nil
	}
	drafts = slices.DeleteFunc(slices.Clone(drafts), func(d *draft) bool { return fresh[d.rosterName()] == nil })
	var rosters, members []row
	for _, d := range drafts {
		if d == fresh[d.rosterName()] {
			rosters = append(rosters, row{d.conversation.key, d.Roster, len(d.Members)})
		}
	}
	if err := execAll(ctx, q, batch{l.addRosters, rosters}); err != nil {
		return err
	}
	if err := l.findAudiences(ctx, q, drafts); err != nil {
		return err
	}
	for _, d := range drafts {
		if d.audience.roster == 0 {
			return errSnapshot // another transaction has made it
		}
		first := fresh[d.rosterName()]
		_, d.audience.member = slices.BinarySearch(first.Members, d.Sender)
		if d != first {
			continue
		}
		for _, member := range d.Members {
			members = append(members, row{d.audience.roster, d.conversation.key, member})
		}
	}
	return execAll(ctx, q, batch{l.addMembers, members})
}

// confirmLacking makes sure, in a session that reads by newest, that the rosters of the drafts are
// not there. To look for them would lock the gaps between others. Therefore it makes them, for a
// moment: only what it has made itself does the snapshot show.
func (l *locked) confirmLacking(ctx context.Context, q delivery.DBTX, s *session, drafts []*draft) error {
	if len(drafts) == 0 || !l.newest.in(s) {
		return nil
	}
	var rosters []row
	for _, d := range drafts {
		rosters = append(rosters, row{d.conversation.key, d.Roster, 0})
	}
	if err := execEach(ctx, q, setRosters); err != nil {
		return err
	}
	if err := execAll(ctx, q, batch{l.addRosters, rosters}); err != nil {
		return err
	}
	if err := l.findAudiences(ctx, q, drafts); err != nil {
		return err
	}
	if slices.ContainsFunc(drafts, func(d *draft) bool { return d.audience.roster == 0 }) {
		return errSnapshot
	}
	return execEach(ctx, q, undoRosters)
}
