package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/msgdelivery/delivery"
)

// fate is what an error from the database says about the statement or the commit that failed.
type fate uint8

const (
	unknown  fate = iota // it may have been carried out: the answer is missing
	ended                // the server says that it has ended the session: unknown, if it was to commit
	refused              // the database did not do it, and would not do it the next time
	conflict             // the database did not do it because of someone else, and may do it the next time
	readOnly             // this session did not do it because it may not write, and another may do it
	pooled               // this session did not do it because its prepared statements are another client's
	away                 // the database did not do it because it lacks room, connections or time, or is not up yet
)

// outcome marks the error of a commit that may have succeeded.
func (s *session) outcome(err error) error {
	if err != nil {
		switch s.classify(err) {
		case unknown, ended:
			return fmt.Errorf("%w: %w", delivery.ErrOutcomeUnknown, err)
		}
	}
	return err
}

// leave closes a connection whose session does not do what others may do, and returns the error.
func (s *session) leave(conn *sql.Conn, err error) error {
	if err != nil {
		switch s.classify(err) {
		case ended, readOnly, pooled:
			drop(conn)
		}
	}
	return err
}

const (
	maxBackoff = 25 * time.Millisecond // between repetitions
	maxUseless = 10                    // connections found broken or read-only, by one call
)

// repeat calls fn again as long as it fails by conflicts, until ctx ends, and on other connections
// if it was the connection that failed before anything was carried out. What the database says on a
// connection that was just opened is final.
func (s *session) repeat(ctx context.Context, fn func() error) error {
	backoff := time.Millisecond
	for useless, opened, again := 0, false, false; ; {
		err := s.checkPool(ctx)
		if err == nil {
			err = fn()
		}
		if err == nil || errors.Is(err, delivery.ErrOutcomeUnknown) {
			return ofContext(ctx, err)
		}
		switch fate := s.classify(err); {
		case useless < maxUseless && (errors.Is(err, driver.ErrBadConn) || !opened && (fate == ended || fate == readOnly)):
			useless, opened = useless+1, s.db.opensNext()
			continue
		case fate == pooled && !again:
			again = true
			continue
		case fate != conflict && !errors.Is(err, errSnapshot):
			return s.explain(ctx, err, fate)
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

// explain adds to an error what the caller may do about it.
func (s *session) explain(ctx context.Context, err error, fate fate) error {
	switch {
	case ctx.Err() != nil:
		return ofContext(ctx, err)
	case fate == ended || fate == readOnly || fate == away || fate == unknown && isLoss(err):
		return fmt.Errorf("%w: %w", delivery.ErrUnavailable, err)
	case fate == pooled:
		return fmt.Errorf("a connection pooler gives a session's prepared statements to others: with pgx set "+
			"default_query_exec_mode=exec in the DSN, or have the pooler keep a session for each client: %w", err)
	}
	return s.orMigrate(err)
}

// ofContext adds that ctx has ended to an error that does not say so: lib/pq and two drivers for
// SQLite only repeat the database's words, that somebody interrupted the statement.
func ofContext(ctx context.Context, err error) error {
	if cause := ctx.Err(); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// isLoss reports whether an error is the loss of a connection, or that none could be made.
func isLoss(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
