package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/msgdelivery/delivery"
)

// guard makes a write in a caller's transaction change all or nothing, and makes all later ones
// fail after one that failed. Postgres does so by itself. MySQL and SQLite undo one statement at
// most, or end the transaction and have later statements commit by themselves.
type guard struct {
	enter func(ctx context.Context, tx delivery.DBTX) error // before a write
	leave string                                            // after one, if set
	fail  func(ctx context.Context, tx delivery.DBTX) error // after one that failed, perhaps in the middle of enter
}

var (
	errFailedTx = errors.New("an earlier call in this transaction failed: roll it back")
	errNoTx     = errors.New("no transaction is under way")
	errSnapshot = errors.New("the transaction's snapshot lacks a message, a roster or a receipt that exists")
)

// writeInTx runs fn inside the caller's transaction.
func (s *session) writeInTx(ctx context.Context, fn func(q delivery.DBTX) error) (err error) {
	done := false
	defer func() { // after a panic too
		if done {
			return
		}
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
		defer cancel()
		if failure := s.inTx.fail(undo, s.tx); failure != nil && !errors.Is(failure, sql.ErrTxDone) {
			err = errors.Join(err, failure)
		}
		err = s.txError(ctx, err)
	}()
	err = s.inTx.enter(ctx, s.tx)
	if errors.Is(err, errFailedTx) || errors.Is(err, errNoTx) {
		done = true // it has failed already, or there is none that could
		return s.txError(ctx, err)
	}
	if err == nil {
		err = s.check(ctx, s.tx)
	}
	if err == nil {
		err = fn(s.tx)
	}
	if err == nil && s.inTx.leave != "" {
		_, err = s.tx.ExecContext(ctx, s.inTx.leave)
	}
	done = err == nil
	return err
}

// txError gives an error inside the caller's transaction its public form.
func (s *session) txError(ctx context.Context, err error) error {
	_, isConn := s.tx.(*sql.Conn)
	err = ofContext(ctx, err)
	switch {
	case err == nil || errors.Is(err, delivery.ErrTxConflict) || errors.Is(err, delivery.ErrUnavailable):
		return err // of a read within a write, which has its public form
	case errors.Is(err, errNoTx) && isConn:
		return &delivery.InvalidError{Field: "tx", Reason: "is a connection on which no transaction is under way"}
	case errors.Is(err, errNoTx) || errors.Is(err, errSnapshot) || s.classify(err) == conflict:
		return fmt.Errorf("%w: %w", delivery.ErrTxConflict, err)
	}
	return s.explain(ctx, err, s.classify(err))
}

// IsConflict reports whether err, from one of the caller's own statements or from the commit, means
// that the transaction conflicted with another. If so, roll back and run the whole transaction
// again. It knows the codes of all dialects: SQLSTATE 40001, 40P01 and 55P03 of Postgres, 1213,
// 1205, 1020 and 1467 of MySQL and MariaDB, SQLITE_BUSY and SQLITE_LOCKED. IsConflict is also true
// for errors that wrap [delivery.ErrTxConflict], such as those of the Tx forms of
// [delivery.Tracker].
func IsConflict(err error) bool {
	if err == nil {
		return false
	}
	return errors.Is(err, delivery.ErrTxConflict) ||
		pgClassify(err) == conflict || mysqlFate(err) == conflict || sqliteFate(err) == conflict
}

// execEach executes statements one after the other, up to the first that fails.
func execEach(ctx context.Context, q delivery.DBTX, statements ...string) error {
	for _, statement := range statements {
		if _, err := q.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
