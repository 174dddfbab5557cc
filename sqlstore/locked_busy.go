package sqlstore

import (
	"context"
	"errors"
	"slices"

	"github.com/msgdelivery/delivery"
)

// busy is what others have locked, as earlier tries of a call found out. No try waits for it with
// its own locks. It is nil in a caller's transaction, which does wait.
type busy struct {
	conversations map[string]bool
	items         map[int]bool // indexes of the call's items for which a row of a reader is needed that is locked
	first         bool         // conversations are to be locked before anything else, and alone
	singly        bool         // rows of readers are to be written one by one, to find those that are locked
	events        bool         // events that are locked are to be left out
}

// has reports whether a row is locked that an item needs.
func (b *busy) has(item int) bool { return b != nil && b.items[item] }

// foundBusy says that a try found something locked. The server may have ended the transaction
// there, so all is done again by what note makes of it.
type foundBusy struct{ note func(b *busy) }

func (*foundBusy) Error() string { return "another transaction has a row" }

// write runs a transaction, again and again as long as it finds more that others have locked.
func (l *locked) write(ctx context.Context, s *session, fn func(q delivery.DBTX, b *busy) error) error {
	if s.tx != nil {
		return s.write(ctx, func(q delivery.DBTX) error { return fn(q, nil) })
	}
	b := &busy{conversations: map[string]bool{}, items: map[int]bool{}}
	for {
		err := s.write(ctx, func(q delivery.DBTX) error { return fn(q, b) })
		var found *foundBusy
		if !errors.As(err, &found) {
			return err
		}
		found.note(b)
	}
}

// itemRow is a row that an item of a call needs written.
type itemRow struct {
	item int
	row  row
}

// putFree writes rows of readers. The lock of their conversations does not keep others from them:
// private marks lock them alone.
func (l *locked) putFree(ctx context.Context, q delivery.DBTX, b *busy, text whether, rows []itemRow) error {
	parts := [][]itemRow{rows}
	if b != nil && b.singly {
		parts = slices.Collect(slices.Chunk(rows, 1))
	}
	for _, part := range parts {
		all := batch{text: text.of(b != nil)}
		for _, r := range part {
			all.rows = append(all.rows, r.row)
		}
		err := execAll(ctx, q, all)
		switch {
		case err == nil:
		case b == nil || !l.isLocked(err):
			return err
		case len(part) > 1:
			return &foundBusy{func(b *busy) { b.singly = true }}
		default:
			return &foundBusy{func(b *busy) { b.items[part[0].item] = true }}
		}
	}
	return nil
}

// whether has two texts of a statement: one waits for rows that are locked, the other one fails.
type whether struct{ waits, fails string }

func (w whether) of(fails bool) string {
	if fails {
		return w.fails
	}
	return w.waits
}
