package sqlstore

import (
	"context"
	"database/sql"
	"slices"

	"github.com/msgdelivery/delivery"
)

// newest reads what was committed last, for calls in a caller's transaction that may see an older
// snapshot.
//
// MariaDB and MySQL begin transactions at REPEATABLE READ by default. Plain reads then show what
// was committed when the transaction first read anything, and the transaction's own changes; even a
// row that the transaction has changed says nothing about what others did to its neighbours in
// between. Locking reads show what was committed last. So under the lock of a conversation all that
// decides is read again by them.
//
// At REPEATABLE READ a locking read that finds nothing, or goes beyond the last row it wants, locks
// the gap in its place until the commit, and with it strangers: the gap after a conversation's last
// row is where the next conversation's first one goes. Therefore these reads look up rows that
// exist. A receipt that does not exist yet is inserted first, and so is a reader. Rosters never
// change, so of one that the snapshot shows it shows everything. Only a message that the snapshot
// does not show, and a member of a roster that it does not show, are looked for where there may be
// none.
//
// None of them locks the row of a reader who has not called, since a private mark changes that row
// alone: of other readers they read names and numbers only, which are all in the index of numbers.
//
// With no texts, every read shows what was committed last, or the transaction fails.
type newest struct {
	lock    string // makes headers read what was committed last, and lock it for reading
	load    string // is reads.load with that lock
	seen    string // [index, key, seq, roster, name] → index, whether the snapshot shows the roster, relation…
	members string // [index, key, seq, roster, name] → index; of members of the roster, with that lock
	reserve string // [key, seq, name]: makes the receipts of readers that do not exist, at version 0
	marked  string // [index, key, seq] → index, number: of the readers who have marked the messages
	counted string // [index, key, seq] → index, and how many recipients have a frozen message and have read it
	unmark  string // [key, seq, reader's number]: drops receipts
	first   string // key, from seq → seq; of the first message or tombstone that the snapshot shows
	stretch string // key, from seq, before seq, limit → key, roster, header…, in order of seq; tombstones too; with that lock
}

// stretchLength is how many messages an up-to mark looks at in one read.
const stretchLength = 500

// in reports whether calls in the session need these reads.
func (n newest) in(s *session) bool { return s.tx != nil && n.lock != "" }

// readNewest fills in how things stand with the receipts, whose conversations are locked. It leaves
// out those that cannot be marked: of deleted messages, of frozen ones, where the user is no
// recipient, and of open ones, where the user has no receipt that the snapshot shows and is not
// admitted.
func (l *locked) readNewest(ctx context.Context, q delivery.DBTX, receipts []*standing, admitted func(*standing) bool) error {
	all, err := query(ctx, q, scanSeen, l.newest.seen, wanted(receipts))
	if err != nil {
		return err
	}
	var there, unknown []*standing
	var reserve []row
	readers := map[name]int{} // that the snapshot does not show
	add := func(s *standing) {
		there = append(there, s)
		reserve = append(reserve, row{s.key, s.header.Seq, s.user})
	}
	for _, r := range all {
		s := receipts[r.i]
		s.relate(r.relation)
		switch {
		case s.gone():
		case r.relation.receipt.Status.Valid():
			there = append(there, s)
		case s.receipt.Status.Valid():
			add(s)
		case s.header.Open && admitted(s):
			add(s)
			readers[name{s.key, s.user}] = s.mark
		case !s.header.Open && !r.roster:
			unknown = append(unknown, s)
		}
	}
	if len(unknown) > 0 {
		members, err := query(ctx, q, scanInt, l.newest.members, wanted(unknown))
		if err != nil {
			return err
		}
		for _, i := range members {
			add(unknown[i])
		}
	}
	if err := l.putFree(ctx, q, nil, l.addReaders, rowsOf(readers)); err != nil {
		return err
	}
	if err := execAll(ctx, q, batch{l.newest.reserve, reserve}); err != nil {
		return err
	}
	return l.readFrom(ctx, q, l.standing+l.wait, there)
}

// seen is what a snapshot shows.
type seen struct {
	i        int
	roster   bool // of the message, if that has one
	relation relation
}

func scanSeen(rows *sql.Rows) (s seen, err error) {
	err = rows.Scan(append([]any{&s.i, &s.roster}, s.relation.columns()...)...)
	return s, err
}

// findStepsNewest is findSteps for a session that reads by newest.
func (l *locked) findStepsNewest(ctx context.Context, q delivery.DBTX, upTo []delivery.UpTo, looks []*look, limit int) error {
	for i, k := range looks {
		u := upTo[i]
		var receipts []*standing
		named := &k.named
		first, err := query(ctx, q, scanInt, l.newest.first, k.named.key, k.begin)
		if err != nil {
			return err
		}
		from := max(k.begin, 1) // which is a row if the snapshot shows none, or the transaction has to start anew
		if len(first) > 0 {
			from = first[0]
		}
		for at := k.begin; ; from = at {
			// Both ends are rows of the conversation, so that no gap beyond it is locked.
			var part []*standing
			if from < k.named.header.Seq {
				if part, err = query(ctx, q, scanHeader, l.newest.stretch, k.named.key, from, k.named.header.Seq, stretchLength); err != nil {
					return err
				}
				if len(part) == 0 || part[0].header.Seq != from { // it was pruned
					return errSnapshot
				}
			}
			next := k.named.header.Seq
			if len(part) == stretchLength {
				next = part[stretchLength-1].header.Seq
			} else if named.header.ID != "" {
				part = append(part, named)
			}
			part = slices.DeleteFunc(part, func(r *standing) bool {
				return r.header.Sender == u.User || r != named && (r.gone() || r.header.Seq <= at)
			})
			for _, r := range part {
				r.mark, r.user = i, u.User
			}
			if err := l.readNewest(ctx, q, part, func(*standing) bool { return u.Admitted }); err != nil {
				return err
			}
			receipts = append(receipts, part...)
			if at = next; at >= named.header.Seq || len(receipts) >= lookLength {
				k.till = max(k.begin, min(at, named.header.Seq))
				break
			}
		}
		if take(upTo, looks, receipts, limit) {
			break
		}
		limit -= len(k.steps)
	}
	return nil
}
