// Package sqlstore keeps messages, receipts and the outbox in the app's own SQL database.
//
//	db, err := sql.Open("pgx", dsn) // the app brings its driver
//	err = sqlstore.Migrate(ctx, db, sqlstore.Postgres)
//	store, err := sqlstore.New(db, sqlstore.Postgres)
//	tracker, err := delivery.New(store, notifier, nil)
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/msgdelivery/delivery"
)

// Store is a [delivery.TxStore] in an SQL database. Make it with [New]. It is safe for concurrent use.
type Store struct {
	session *session
}

var _ delivery.TxStore = (*Store)(nil)

// New returns a store in the database, whose tables [Migrate] has made. It does not connect: ask
// [Validate] whether the tables are there. The pool stays the caller's, who closes it.
func New(db *sql.DB, dialect Dialect) (*Store, error) {
	impl, err := dialect.impl()
	if err != nil {
		return nil, err
	}
	if db == nil {
		return nil, errors.New("sqlstore: the database is nil")
	}
	return &Store{newSession(db, impl)}, nil
}

func newSession(db *sql.DB, impl *dialect) *session {
	return &session{dialect: impl, db: db, queue: make(chan struct{}, 1)}
}

// InTx returns a store that works inside the caller's transaction, as [delivery.TxStore] says. The
// caller must roll back after an error. The transaction's isolation is the caller's choice and decides
// what is visible; the store's guarantees hold at any.
func (s *Store) InTx(tx delivery.DBTX) delivery.Store {
	inner := *s.session
	inner.tx = tx
	return &Store{&inner}
}

// Create stores new messages, as [delivery.Store] says.
func (s *Store) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	if len(messages) == 0 {
		return nil, nil, nil
	}
	created, claimed, err := s.session.writes.create(ctx, s.session, messages, s.session.lease(lease))
	if err != nil {
		return nil, nil, fmt.Errorf("sqlstore: creating messages: %w", err)
	}
	return created, claimed, nil
}

// Advance applies marks, as [delivery.Store] says.
func (s *Store) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if len(marks) == 0 {
		return nil, nil, nil
	}
	marked, claimed, err := s.session.writes.advance(ctx, s.session, marks, s.session.lease(lease))
	if err != nil {
		return nil, nil, fmt.Errorf("sqlstore: advancing receipts: %w", err)
	}
	return marked, claimed, nil
}

// AdvanceUpTo applies a mark to all messages up to one, as [delivery.Store] says.
func (s *Store) AdvanceUpTo(ctx context.Context, upTo delivery.UpTo, lease delivery.Lease) (delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := s.session.writes.advanceUpTo(ctx, s.session, upTo, s.session.lease(lease))
	if err != nil {
		return delivery.MarkedUpTo{}, nil, fmt.Errorf("sqlstore: advancing receipts up to a message: %w", err)
	}
	return marked, claimed, nil
}

// Load returns messages, as [delivery.Store] says.
func (s *Store) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	messages, err := s.session.load(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: loading messages: %w", err)
	}
	return messages, nil
}

// List returns a page of a conversation, as [delivery.Store] says.
func (s *Store) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	page, err := s.session.list(ctx, list)
	if err != nil {
		return delivery.Page{}, fmt.Errorf("sqlstore: listing messages: %w", err)
	}
	return page, nil
}

// Receipts returns the receipts of messages, as [delivery.Store] says.
func (s *Store) Receipts(ctx context.Context, ids []string) ([]delivery.Receipt, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	receipts, err := s.session.receipts(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: loading receipts: %w", err)
	}
	return receipts, nil
}

// Claim puts due events under a lease, as [delivery.Store] says.
func (s *Store) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	if limit <= 0 {
		return nil, nil
	}
	claimed, err := s.session.writes.claim(ctx, s.session, limit, lease)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: claiming events: %w", err)
	}
	return claimed, nil
}

// Settle ends claims and moves dead letters, as [delivery.Store] says.
func (s *Store) Settle(ctx context.Context, settlements []delivery.Settlement) (held int, err error) {
	if len(settlements) == 0 {
		return 0, nil
	}
	held, err = s.session.writes.settle(ctx, s.session, settlements)
	if err != nil {
		return 0, fmt.Errorf("sqlstore: settling events: %w", err)
	}
	return held, nil
}

// Dead returns dead letters, as [delivery.Store] says.
func (s *Store) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	dead, err := s.session.dead(ctx, after, limit)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: listing dead letters: %w", err)
	}
	return dead, nil
}

// Backlog counts the outbox, as [delivery.Store] says.
func (s *Store) Backlog(ctx context.Context) (delivery.Backlog, error) {
	backlog, err := s.session.backlog(ctx)
	if err != nil {
		return delivery.Backlog{}, fmt.Errorf("sqlstore: counting the outbox: %w", err)
	}
	return backlog, nil
}

// lease is the lease that events are born with: none in a caller's transaction.
func (s *session) lease(lease delivery.Lease) delivery.Lease {
	if s.tx != nil {
		return delivery.Lease{}
	}
	return lease
}
