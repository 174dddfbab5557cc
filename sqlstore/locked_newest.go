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
// exist. Receipts of open messages that do not exist yet are inserted first; frozen ones exist
// since their message does. Only a message that the snapshot does not show is looked for where
// there may be none.
//
// With no texts, every read shows what was committed last, or the transaction fails.
type newest struct {
	lock    string // makes headers read what was committed last, and lock it for reading
	load    string // is reads.load with that lock
	seen    string // [index, key, seq, recipient] → index, receipt's status or NULL; of messages that the snapshot shows
	reserve string // [key, seq, recipient]: makes the receipts that do not exist, at version 0
	stretch string // key, from seq, before seq, limit → key, header…, in order of seq; with that lock
}

// stretchLength is how many messages an up-to mark looks at in one read.
const stretchLength = 500

// in reports whether calls in the session need these reads.
func (n newest) in(s *session) bool { return s.tx != nil && n.lock != "" }

// readNewest fills in how things stand with the receipts, whose conversations are locked. It leaves
// out those that cannot be marked: of frozen messages, where there is no receipt, and of open ones,
// where the user has none that the snapshot shows and is not admitted.
func (l *locked) readNewest(ctx context.Context, q delivery.DBTX, receipts []*standing, admitted func(*standing) bool) error {
	rows, err := query(ctx, q, scanSeen, l.newest.seen, wanted(receipts))
	if err != nil {
		return err
	}
	visible := make(map[int]delivery.Status, len(rows))
	for _, r := range rows {
		visible[r.mark] = r.receipt.Status
	}
	var there []*standing
	var reserve []row
	for i, r := range receipts {
		status, visible := visible[i]
		switch {
		case status != 0:
		case r.header.Open && admitted(r):
			reserve = append(reserve, row{r.key, r.header.Seq, r.user})
		case r.header.Open || visible:
			continue
		}
		there = append(there, r)
	}
	if err := execAll(ctx, q, batch{l.newest.reserve, reserve}); err != nil {
		return err
	}
	return l.readFrom(ctx, q, l.standing+l.wait, there)
}

func scanSeen(rows *sql.Rows) (s standing, err error) {
	err = rows.Scan(&s.mark, status{&s.receipt.Status})
	return s, err
}

// findStepsNewest is findSteps for a session that reads by newest.
func (l *locked) findStepsNewest(ctx context.Context, q delivery.DBTX, upTo []delivery.UpTo, looks []*look, limit int) error {
	for i, k := range looks {
		u := upTo[i]
		var receipts []*standing
		named := &k.named
		for at := k.begin; ; {
			// Both ends are rows of the conversation, so that no gap beyond it is locked.
			part, err := query(ctx, q, scanHeader, l.newest.stretch, k.named.key, max(at, 1), k.named.header.Seq, stretchLength)
			if err != nil {
				return err
			}
			next := k.named.header.Seq
			if len(part) == stretchLength {
				next = part[stretchLength-1].header.Seq
			} else if named.header.ID != "" {
				part = append(part, named)
			}
			part = slices.DeleteFunc(part, func(r *standing) bool {
				return r.header.Sender == u.User || r.header.Seq <= at && r != named
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
