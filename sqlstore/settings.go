package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/msgdelivery/delivery"
)

// findings is what a look at the settings of a connection and its database found.
type findings struct {
	// faults are what would lose or alter data, each in a sentence that says what to change.
	faults []string

	// isolate says that statements outside a transaction do not run at READ COMMITTED.
	isolate bool
}

// fault adds one.
func (f *findings) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// checked is what a store knows of its settings. A store looks at them in its first call, and in
// each later one until they are found in order. So no restart is needed after a fault is mended.
type checked struct {
	passed, isolate atomic.Bool
}

// check returns an error unless the settings are in order. It looks at them through q, a connection
// or the caller's transaction, since another connection may not be free. Its statements hinder
// nobody, and begin no snapshot in a caller's transaction that the next statement would not.
func (s *session) check(ctx context.Context, q delivery.DBTX) error {
	if s.settings == nil || s.checked.passed.Load() {
		return nil
	}
	found, err := s.settings(ctx, q)
	if err != nil {
		return fmt.Errorf("checking the settings of the database: %w", err)
	}
	if len(found.faults) > 0 {
		return errors.New(strings.Join(found.faults, "; "))
	}
	s.checked.isolate.Store(found.isolate)
	s.checked.passed.Store(true)
	return nil
}

// checkPool is check on a connection of the pool.
func (s *session) checkPool(ctx context.Context) error {
	if s.settings == nil || s.checked.passed.Load() {
		return nil
	}
	conn, done, err := s.db.take(ctx)
	if err != nil {
		return err
	}
	defer done()
	return s.leave(conn, s.check(ctx, conn))
}

// orMigrate says what to do about an error that comes from missing tables or columns.
func (s *session) orMigrate(err error) error {
	if err != nil && s.unmigrated != nil && s.unmigrated(err) {
		return fmt.Errorf("the tables are missing or out of date, run Migrate: %w", err)
	}
	return err
}
