package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/coalesce"
)

// session is where a store's statements run: on the pool, in transactions of the store's own, or in
// the one transaction of a caller, which it neither ends nor repeats.
type session struct {
	*dialect
	db     *pool
	writes writes
	enter  func(ctx context.Context) (leave func(), err error) // see dialect.turns; may be nil
	tx     delivery.DBTX                                       // the caller's, or nil

	checked *checked // of the store, also in callers' transactions
}

// read runs statements that change nothing. Each sees a moment of its own.
func (s *session) read(ctx context.Context, fn func(q delivery.DBTX) error) error {
	if s.tx != nil {
		if err := s.check(ctx, s.tx); err != nil {
			return err
		}
		return s.txError(ctx, fn(s.tx))
	}
	return s.repeat(ctx, func() error {
		conn, done, err := s.db.take(ctx)
		if err != nil {
			return err
		}
		defer done()
		if s.checked.isolate.Load() {
			defer rollback(ctx, conn)
			if err := s.begin(ctx, conn); err != nil {
				return s.leave(conn, err)
			}
		}
		return s.leave(conn, fn(conn))
	})
}

// single runs one statement that writes and is a transaction of its own.
func (s *session) single(ctx context.Context, fn func(q delivery.DBTX) error) error {
	if s.tx != nil {
		return s.writeInTx(ctx, fn)
	}
	return s.repeat(ctx, func() error {
		if s.checked.isolate.Load() {
			return s.transact(ctx, fn)
		}
		// With a connection in hand, an error can only be about the statement.
		conn, done, err := s.db.take(ctx)
		if err != nil {
			return err
		}
		defer done()
		return s.leave(conn, s.outcome(fn(conn))) // even driver.ErrBadConn: lib/pq says so of what it has sent, too
	})
}

// write runs a transaction.
func (s *session) write(ctx context.Context, fn func(q delivery.DBTX) error) error {
	if s.tx != nil {
		return s.writeInTx(ctx, fn)
	}
	return s.repeat(ctx, func() error { return s.transact(ctx, fn) })
}

// transact runs a transaction once. It uses a connection and not a [sql.Tx] for the sake of SQLite,
// whose drivers offer no other way to choose how a transaction begins.
func (s *session) transact(ctx context.Context, fn func(q delivery.DBTX) error) error {
	if s.enter != nil {
		leave, err := s.enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
	}
	conn, done, err := s.db.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	ended := false
	defer func() { // after a panic too
		switch {
		case ended:
		case ctx.Err() != nil && !s.serial:
			drop(conn) // nobody has time to see whether it still answers
		default:
			rollback(ctx, conn)
		}
	}()
	if err := s.begin(ctx, conn); err != nil {
		return s.leave(conn, err)
	}
	if err := fn(conn); err != nil {
		return s.leave(conn, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	ended = err == nil
	return s.leave(conn, s.outcome(err))
}

const rollbackTimeout = 5 * time.Second

// rollback ends the connection's transaction even if ctx has ended, or else the connection.
func rollback(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_, err := conn.ExecContext(ctx, "ROLLBACK")
	if err != nil {
		// SQLite may have rolled back by itself. Then a transaction can begin, and the connection
		// stays: a database in memory would go with it.
		if _, err = conn.ExecContext(ctx, "BEGIN"); err == nil {
			_, err = conn.ExecContext(ctx, "ROLLBACK")
		}
	}
	if err != nil {
		drop(conn)
	}
}

// drop makes the pool close a connection.
func drop(conn *sql.Conn) {
	conn.Raw(func(any) error { return driver.ErrBadConn })
}

// awaitRead runs do for a method of a store that changes nothing, and awaitWrite for one that
// writes. The error says what the method was doing. They return when ctx ends even if do does not:
// lib/pq waits on a silent connection for as long as the kernel does. Then do goes on in the
// background, with its connection. In a caller's transaction they wait for do, because the caller
// needs the connection back.
//
// The methods Create, Advance, AdvanceUpTo, Delete and Claim do without, because the Tracker calls
// them in the background.
func awaitRead[T any](ctx context.Context, s *session, doing string, do func() (T, error)) (T, error) {
	return await(ctx, s, doing, errNoAnswer, do)
}

func awaitWrite[T any](ctx context.Context, s *session, doing string, do func() (T, error)) (T, error) {
	return await(ctx, s, doing, delivery.ErrOutcomeUnknown, do)
}

// told is a result, and the events of it that were stored under the caller's lease.
type told[T any] struct {
	result  T
	claimed []delivery.Claimed
}

var errNoAnswer = errors.New("no answer")

// await returns an error that wraps lost if do does not return.
func await[T any](ctx context.Context, s *session, doing string, lost error, do func() (T, error)) (value T, err error) {
	if s.tx != nil || s.db.local {
		value, err = do()
	} else {
		value, err = coalesce.Await(ctx, do)
	}
	if errors.Is(err, coalesce.ErrUnknown) {
		err = fmt.Errorf("%w: %w", lost, cmp.Or(ctx.Err(), err))
	}
	if err != nil {
		var none T
		return none, fmt.Errorf("sqlstore: %s: %w", doing, err)
	}
	return value, nil
}
