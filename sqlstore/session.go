package sqlstore

import (
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

// await calls do, and returns when ctx ends even if do does not: lib/pq waits on a silent
// connection for as long as the kernel does. Then do goes on in the background, with its
// connection. A caller's transaction has one connection, which the caller needs back.
func await[T any](ctx context.Context, s *session, do func() (T, error)) (T, error) {
	if s.tx != nil || s.db.local {
		return do()
	}
	return coalesce.Await(ctx, do)
}

// awaitRead is await for what changes nothing.
func awaitRead[T any](ctx context.Context, s *session, do func() (T, error)) (T, error) {
	value, err := await(ctx, s, do)
	if errors.Is(err, coalesce.ErrUnknown) && ctx.Err() != nil {
		err = fmt.Errorf("no answer: %w", ctx.Err())
	}
	return value, err
}
