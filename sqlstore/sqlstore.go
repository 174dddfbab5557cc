package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/msgdelivery/delivery"
)

// Store is a [delivery.TxStore], a [delivery.Keeper], a [delivery.FailureStore], a
// [delivery.OverdueStore], a [delivery.HourStore] and a [delivery.ImportStore] in an SQL database.
// Make it with [New]. It is safe for concurrent use.
type Store struct {
	session *session
}

var (
	_ delivery.TxStore       = (*Store)(nil)
	_ delivery.Keeper        = (*Store)(nil)
	_ delivery.FailureStore  = (*Store)(nil)
	_ delivery.OverdueStore  = (*Store)(nil)
	_ delivery.HourStore     = (*Store)(nil)
	_ delivery.ImportStore   = (*Store)(nil)
	_ delivery.ParallelStore = (*Store)(nil)
	_ delivery.SweepStore    = (*Store)(nil)
)

// New returns a store in the database, whose tables [Migrate] has made. It does not connect: ask
// [Validate] whether the tables are there. The caller keeps the pool and closes it.
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
	s := &session{dialect: impl, db: newPool(db, impl.serial), checked: new(checked)}
	if impl.writes != nil {
		s.writes = impl.writes()
	}
	if impl.turns != nil {
		s.enter = impl.turns()
	}
	return s
}

// InTx returns a [delivery.Keeper] that works inside the caller's transaction, as
// [delivery.TxStore] says. Tx is a transaction of [database/sql] or of a library around it, or a
// [*sql.Conn] on which the caller has begun one. After an error the caller must roll back, to a
// savepoint or as a whole. The methods Prune, Compact, Fail, Import and CountHour of the returned
// store return [errors.ErrUnsupported].
func (s *Store) InTx(tx delivery.DBTX) delivery.Store {
	inner := *s.session
	inner.tx, inner.writes = tx, inner.dialect.writes() // whose claims may be rolled back
	return &Store{&inner}
}

// Writers implements [delivery.ParallelStore]. It returns 2, so that the next batch is on its way
// while the database works on the one before. With SQLite, which lets in one writer at a time, it
// returns 1.
func (s *Store) Writers() int {
	if s.session.serial {
		return 1
	}
	return 2
}

// Sweep implements [delivery.SweepStore]: the claims that follow look at the whole outbox.
func (s *Store) Sweep() {
	if w, ok := s.session.writes.(*postgresWrites); ok { // the others always do
		w.sweep.ask()
	}
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

// unreadable is what became of a message whose id is taken by one that cannot be read, if there is
// one for the reason of err: by a read that a connection pooler sent to a server which is behind,
// say.
func unreadable(err error) delivery.Created {
	reason := fmt.Errorf("%w: the id is taken, and what has it cannot be read", delivery.ErrOutcomeUnknown)
	if err != nil {
		reason = fmt.Errorf("%w: %w", reason, err)
	}
	return delivery.Created{Existed: true, Err: reason}
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

// AdvanceUpTo marks all messages up to a named one, as [delivery.Store] says.
func (s *Store) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	if len(upTo) == 0 {
		return nil, nil, nil
	}
	marked, claimed, err := s.session.writes.advanceUpTo(ctx, s.session, upTo, limit, s.session.lease(lease))
	if err != nil {
		return nil, nil, fmt.Errorf("sqlstore: advancing receipts up to a message: %w", err)
	}
	return marked, claimed, nil
}

// AdvanceOwn applies marks that only their user may know, as [delivery.Store] says.
func (s *Store) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	if len(marks) == 0 {
		return nil, nil, nil
	}
	a, err := awaitWrite(ctx, s.session, "marking for a user alone", func() (a told[[]delivery.MarkedOwn], err error) {
		a.result, a.claimed, err = s.session.advanceOwn(ctx, marks, s.session.lease(lease))
		return a, err
	})
	return a.result, a.claimed, err
}

// Delete deletes messages, as [delivery.Keeper] says.
func (s *Store) Delete(ctx context.Context, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
	if len(deletions) == 0 {
		return nil, nil, nil
	}
	deleted, claimed, err := s.session.writes.delete(ctx, s.session, deletions, s.session.lease(lease))
	if err != nil {
		return nil, nil, fmt.Errorf("sqlstore: deleting messages: %w", err)
	}
	return deleted, claimed, nil
}

// Load returns messages, as [delivery.Store] says.
func (s *Store) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return awaitRead(ctx, s.session, "loading messages", func() (messages []delivery.Message, err error) {
		existing, err := s.session.load(ctx, ids)
		for _, c := range existing {
			if !c.Gone {
				messages = append(messages, c.Message)
			}
		}
		return messages, err
	})
}

// List returns a page of a conversation, as [delivery.Store] says.
func (s *Store) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	return awaitRead(ctx, s.session, "listing messages", func() (delivery.Page, error) { return s.session.list(ctx, list) })
}

// Unread counts what a user has not read, as [delivery.Store] says.
func (s *Store) Unread(ctx context.Context, user string, conversations []string, limit int) ([]delivery.Unread, error) {
	if len(conversations) == 0 {
		return nil, nil
	}
	return awaitRead(ctx, s.session, "counting unread messages", func() ([]delivery.Unread, error) {
		return s.session.unread(ctx, user, conversations, limit)
	})
}

// Receipts returns a page of a message's receipts, as [delivery.Store] says.
func (s *Store) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	return awaitRead(ctx, s.session, "listing receipts", func() (delivery.ReceiptPage, error) { return s.session.receipts(ctx, list) })
}

// ReceiptsOf returns receipts by their keys, as [delivery.Store] says.
func (s *Store) ReceiptsOf(ctx context.Context, keys []delivery.ReceiptKey) ([]delivery.Receipt, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	return awaitRead(ctx, s.session, "loading receipts", func() ([]delivery.Receipt, error) { return s.session.receiptsOf(ctx, keys) })
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

// Settle ends claims and moves dead letters, as [delivery.Outbox] says.
func (s *Store) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	if len(settlements) == 0 {
		return 0, nil
	}
	return awaitWrite(ctx, s.session, "settling events", func() (int, error) { return s.session.writes.settle(ctx, s.session, settlements) })
}

// Dead returns dead letters, as [delivery.Store] says.
func (s *Store) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	return awaitRead(ctx, s.session, "listing dead letters", func() ([]delivery.DeadLetter, error) { return s.session.dead(ctx, after, limit) })
}

// Backlog counts the outbox, as [delivery.Store] says.
func (s *Store) Backlog(ctx context.Context) (delivery.Backlog, error) {
	return awaitRead(ctx, s.session, "counting the outbox", func() (delivery.Backlog, error) { return s.session.backlog(ctx) })
}

// lease is the lease that events are born with: none in a caller's transaction.
func (s *session) lease(lease delivery.Lease) delivery.Lease {
	if s.tx != nil {
		return delivery.Lease{}
	}
	return lease
}
