package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/msgdelivery/delivery"
)

func (l *locked) advanceUpTo(ctx context.Context, s *session, upTo delivery.UpTo, lease delivery.Lease) (marked delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	err = s.write(ctx, func(q delivery.DBTX) error {
		marked, claimed, err = l.advanceUpToIn(ctx, q, s, upTo, lease)
		return err
	})
	return marked, claimed, err
}

func (l *locked) advanceUpToIn(ctx context.Context, q delivery.DBTX, s *session, u delivery.UpTo, lease delivery.Lease) (marked delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	found, err := l.find(ctx, q, s, []delivery.Mark{{Message: u.Message}})
	if err != nil {
		return marked, nil, err
	}
	named := found[u.Message]
	if named == nil || named.header.Conversation != u.Conversation {
		named = new(standing) // in no conversation: to find nothing there takes as long as to find nothing for the user
	}
	marked.Header = named.header
	if _, err := l.lockAll(ctx, q, []int64{named.key}); err != nil {
		return marked, nil, err
	}
	places, receipt, err := l.readerOf(ctx, q, u.User, named)
	if err != nil {
		return marked, nil, err
	}
	marked.Receipt = receipt

	after := places[u.Status]
	var n needs
	if l.newest.in(s) {
		n, err = l.needsNewest(ctx, q, u, named, after)
		if named.receipt.Status.Valid() {
			marked.Receipt = named.receipt
		}
	} else {
		n, err = l.needs(ctx, q, u, named, after)
	}
	if err != nil {
		return marked, nil, err
	}
	marked.More, marked.LeftOut = n.more, n.leftOut

	var c changes
	for _, r := range n.receipts {
		if c.advance(r, u.Socket, u.Status, u.At) {
			marked.Changed++
		}
		if r.header.Seq == named.header.Seq {
			marked.Receipt = r.receipt
		}
	}
	if marked.Changed > 0 {
		marked.From, marked.To = c.events[0].From, c.events[0].To
	}
	if claimed, err = l.put(ctx, q, &c, lease); err != nil {
		return marked, nil, err
	}
	// Strangers leave no place behind.
	if belongs := marked.Changed > 0 || marked.Receipt.Status.Valid() || named.header.Sender == u.User; belongs && marked.LeftOut == 0 && n.last > after {
		places.move(u.Status, n.last)
		_, err = q.ExecContext(ctx, l.putReader, named.key, u.User, places[delivery.Delivered], places[delivery.Read])
	}
	return marked, claimed, err
}

// needs is what a reader lacks up to a message.
type needs struct {
	receipts []*standing // to advance, in order of seq, at most as many as the limit
	last     int64       // the seq up to which these are all
	more     bool        // there are others after it
	leftOut  int         // those up to it that lack admission
}

// needs finds what a reader lacks, after its place, up to the named message.
func (l *locked) needs(ctx context.Context, q delivery.DBTX, u delivery.UpTo, named *standing, after int64) (n needs, err error) {
	n.last = named.header.Seq
	n.receipts, err = query(ctx, q, scanHeader, l.pending, u.User, named.key, after, n.last, u.User, u.Status, u.Admitted, u.Limit+1)
	if err != nil {
		return n, err
	}
	if n.more = len(n.receipts) > u.Limit; n.more {
		n.receipts = n.receipts[:u.Limit]
		n.last = n.receipts[u.Limit-1].header.Seq
	}
	if !u.Admitted {
		err := queryOne(ctx, q, []any{&n.leftOut}, l.leftOut, u.User, named.key, after, n.last, u.User, u.Status)
		if err != nil {
			return n, err
		}
	}
	for _, r := range n.receipts {
		r.user = u.User
	}
	if len(n.receipts) > 0 {
		err = l.readFrom(ctx, q, l.standing+l.wait, n.receipts)
	}
	return n, err
}

// places holds, for each status, the seq up to which a reader has nothing left to advance to it.
type places [delivery.Read + 1]int64

// move moves the places of a status and of those it implies.
func (p *places) move(status delivery.Status, seq int64) {
	for s := delivery.Delivered; s <= status; s++ {
		p[s] = max(p[s], seq)
	}
}

// readerOf returns a reader's places, and the receipt of the named message.
func (l *locked) readerOf(ctx context.Context, q delivery.DBTX, user string, named *standing) (p places, r delivery.Receipt, err error) {
	columns := append([]any{orZero[int64]{&p[delivery.Delivered]}, orZero[int64]{&p[delivery.Read]}}, progressColumns(&r)...)
	err = queryOne(ctx, q, columns, l.reader, user, named.header.Seq, user, named.key)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil // there is no such conversation
	}
	if r.Status.Valid() {
		r.Message, r.Recipient = named.header.ID, user
	}
	return p, r, err
}
