package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/msgdelivery/delivery"
)

// session is where a store's statements run: on the pool, in transactions of the store's own, or in
// the one transaction of a caller, which it neither ends nor repeats.
type session struct {
	*dialect
	db    *sql.DB
	queue chan shift    // of the writers of a serial dialect
	tx    delivery.DBTX // the caller's, or nil
	sweep *sweep        // of the claims of a dialect that looks back
}

// fate is what an error from the database says about the statement or the commit that failed.
type fate uint8

const (
	unknown  fate = iota // it may have been carried out: the answer is missing
	refused              // the database did not do it, and would not do it the next time
	conflict             // the database did not do it because of someone else, and may do it the next time
)

// read runs statements that change nothing. Each sees a moment of its own.
func (s *session) read(ctx context.Context, fn func(q delivery.DBTX) error) error {
	if s.tx != nil {
		return fn(s.tx)
	}
	return s.repeat(ctx, func() error { return fn(s.db) })
}

// single runs one statement that writes and is a transaction of its own.
func (s *session) single(ctx context.Context, fn func(q delivery.DBTX) error) error {
	if s.tx != nil {
		return s.writeInTx(ctx, fn)
	}
	return s.repeat(ctx, func() error {
		// With a connection in hand, an error can only be about the statement.
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err = fn(conn); errors.Is(err, driver.ErrBadConn) {
			return err // nothing was sent
		}
		return s.outcome(err)
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
	if s.serial {
		leave, err := s.enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ended := false
	defer func() { // after a panic too
		if !ended {
			rollback(ctx, conn)
		}
	}()
	if err := s.begin(ctx, conn); err != nil {
		return err
	}
	if err := fn(conn); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	ended = err == nil
	return s.outcome(err)
}

const rollbackTimeout = 5 * time.Second

// rollback ends the connection's transaction even if ctx has ended, or else the connection.
func rollback(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	_, err := conn.ExecContext(ctx, "ROLLBACK")
	if err != nil {
		// SQLite may have rolled back by itself. Then a transaction can begin, and the connection stays:
		// a database in memory would go with it.
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

// outcome marks the error of a commit that may have succeeded.
func (s *session) outcome(err error) error {
	if err == nil || s.classify(err) != unknown {
		return err
	}
	return fmt.Errorf("%w: %w", delivery.ErrOutcomeUnknown, err)
}

const (
	maxBackoff = 25 * time.Millisecond // between repetitions
	maxStale   = 10                    // connections found broken before use, by one call
)

// repeat calls fn again as long as it fails by conflicts, until ctx ends.
func (s *session) repeat(ctx context.Context, fn func() error) error {
	backoff := time.Millisecond
	for stale := 0; ; {
		err := fn()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, delivery.ErrOutcomeUnknown):
			return err
		case errors.Is(err, driver.ErrBadConn) && stale < maxStale:
			stale++
			continue
		case s.classify(err) != conflict:
			return err
		}
		timer := time.NewTimer(rand.N(backoff)) // #nosec G404 -- nothing to guess: it only spreads load
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w, after: %w", ctx.Err(), err)
		}
		backoff = min(2*backoff, maxBackoff)
	}
}
