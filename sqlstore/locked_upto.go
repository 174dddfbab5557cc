package sqlstore

import (
	"context"
	"database/sql"

	"github.com/msgdelivery/delivery"
)

func (l *locked) advanceUpTo(ctx context.Context, s *session, upTo delivery.UpTo, lease delivery.Lease) (marked delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	err = s.write(ctx, func(q delivery.DBTX) error {
		marked, claimed, err = l.advanceUpToIn(ctx, q, upTo, lease)
		return err
	})
	return marked, claimed, err
}

func (l *locked) advanceUpToIn(ctx context.Context, q delivery.DBTX, u delivery.UpTo, lease delivery.Lease) (marked delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	found, err := l.find(ctx, q, []delivery.Mark{{Message: u.Message}})
	named, ok := found[u.Message]
	if err != nil || !ok || named.header.Conversation != u.Conversation {
		return marked, nil, err
	}
	marked.Header = named.header
	reader, err := l.readerOf(ctx, q, u.User, named)
	if err != nil {
		return marked, nil, err
	}
	marked.Receipt = reader.receipt

	last := named.header.Seq
	after := reader.places[u.Status]
	rows, err := query(ctx, q, scanPending, l.pending, u.User, named.key, after, last, u.User, u.Status, u.Admitted, u.Limit+1)
	if err != nil {
		return marked, nil, err
	}
	if marked.More = len(rows) > u.Limit; marked.More {
		rows = rows[:u.Limit]
		last = rows[u.Limit-1].header.Seq
	}
	if !u.Admitted {
		err := q.QueryRowContext(ctx, l.leftOut, u.User, named.key, after, last, u.User, u.Status).Scan(&marked.LeftOut)
		if err != nil {
			return marked, nil, err
		}
	}

	var c changes
	for i := range rows {
		r := &rows[i]
		r.key, r.user, r.header.Conversation, r.version = named.key, u.User, u.Conversation, reader.version
		if !c.advance(r, u.Socket, u.Status, u.At) {
			continue
		}
		marked.Changed++
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
	if belongs := marked.Changed > 0 || marked.Receipt.Status.Valid() || named.header.Sender == u.User; belongs && marked.LeftOut == 0 && last > after {
		reader.places.move(u.Status, last)
		_, err = q.ExecContext(ctx, l.putReader, named.key, u.User, reader.places[delivery.Delivered], reader.places[delivery.Read])
	}
	return marked, claimed, err
}

// reader is a user who marks up to a message.
type reader struct {
	version int64 // of the conversation
	places  places
	receipt delivery.Receipt // of the named message
}

// places holds, for each status, the seq up to which a reader has nothing left to advance to it.
type places [delivery.Read + 1]int64

// move moves the places of a status and of those it implies.
func (p *places) move(status delivery.Status, seq int64) {
	for s := delivery.Delivered; s <= status; s++ {
		p[s] = max(p[s], seq)
	}
}

// readerOf locks the conversation of the named message and reads how its reader stands.
func (l *locked) readerOf(ctx context.Context, q delivery.DBTX, user string, named standing) (r reader, err error) {
	columns := append([]any{&r.version, orZero[int64]{&r.places[delivery.Delivered]}, orZero[int64]{&r.places[delivery.Read]}}, progressColumns(&r.receipt)...)
	err = q.QueryRowContext(ctx, l.reader, user, named.header.Seq, user, named.key).Scan(columns...)
	if r.receipt.Status.Valid() {
		r.receipt.Message, r.receipt.Recipient = named.header.ID, user
	}
	return r, err
}

func scanPending(rows *sql.Rows) (s standing, err error) {
	columns := append(headerColumns(&s.header), tallyColumns(&s.tally)...)
	err = rows.Scan(append(columns, progressColumns(&s.receipt)...)...)
	return s, err
}
