package deliverytest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// turns is a TxStore in memory, and the driver of the database that goes with it. Transactions
// take turns for all of it. What one does is done on a copy, made by repeating all that was ever
// committed, and at the commit is repeated on the store itself.
type turns struct {
	flaws
	delivery.Store
	snapshots bool          // a transaction takes its turn with its first write, and the copy with its first call
	turn      chan struct{} // full while someone writes

	mu        sync.Mutex
	committed []write
	open      []*turn // by their numbers
}

// flaws are what is wrong with it, for once.
type flaws struct {
	leaks, leases, blind, crowded, mute bool
	stale, ownVersion, passesOver       bool // of snapshots
	deaf, nameless                      bool // to errors; of conflicts
	blocksAll, blocksInside, writesOn   bool
	forgetsOwn, leaksOwn, leaksDeletes  bool
}

// write is a call that wrote something.
type write func(delivery.Store)

// turn is one transaction. It is a [driver.Tx].
type turn struct {
	*turns
	copy   delivery.Keeper // nil before the first call
	seen   int             // how much of what was committed is in the copy
	taken  bool            // it has its turn
	writes []write
	failed error // of the first call that failed
}

func newTurns(t *testing.T, snapshots bool, flaws flaws) (delivery.TxStore, *sql.DB) {
	store := &turns{flaws: flaws, snapshots: snapshots, Store: memstore.New(), turn: make(chan struct{}, 1)}
	db := sql.OpenDB(store)
	t.Cleanup(func() { db.Close() })
	return store, db
}

func (s *turns) Connect(context.Context) (driver.Conn, error) { return &turnConn{turns: s}, nil }
func (s *turns) Driver() driver.Driver                        { return nil }

func (s *turns) take(ctx context.Context) error {
	if s.crowded {
		return nil
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// busy reports whether somebody has the turn.
func (s *turns) busy() bool { return len(s.turn) > 0 }

func (s *turns) end() {
	if !s.crowded {
		<-s.turn
	}
}

// commit remembers writes. Whoever calls it has done them on the store itself.
func (s *turns) commit(writes ...write) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = append(s.committed, writes...)
}

func (s *turns) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) (created []delivery.Created, claimed []delivery.Claimed, err error) {
	busy, blocked := s.busy(), slices.Repeat([]delivery.Created{{Blocked: true}}, len(messages))
	if busy && s.blocksAll {
		return blocked, nil, nil
	}
	if err := s.take(ctx); err != nil {
		return nil, nil, err
	}
	defer s.end()
	if busy && s.writesOn {
		defer func() { created = blocked }()
	}
	s.commit(func(to delivery.Store) { to.Create(context.Background(), messages, delivery.Lease{}) })
	return s.Store.Create(ctx, messages, lease)
}

func (s *turns) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) (marked []delivery.Marked, claimed []delivery.Claimed, err error) {
	busy, blocked := s.busy(), slices.Repeat([]delivery.Marked{{Blocked: true}}, len(marks))
	if busy && s.blocksAll {
		return blocked, nil, nil
	}
	if err := s.take(ctx); err != nil {
		return nil, nil, err
	}
	defer s.end()
	if busy && s.writesOn {
		defer func() { marked = blocked }()
	}
	s.commit(func(to delivery.Store) { to.Advance(context.Background(), marks, delivery.Lease{}) })
	return s.Store.Advance(ctx, marks, lease)
}

func (s *turns) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) (marked []delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	busy, blocked := s.busy(), slices.Repeat([]delivery.MarkedUpTo{{Blocked: true}}, len(upTo))
	if busy && s.blocksAll {
		return blocked, nil, nil
	}
	if err := s.take(ctx); err != nil {
		return nil, nil, err
	}
	defer s.end()
	if busy && s.writesOn {
		defer func() { marked = blocked }()
	}
	s.commit(func(to delivery.Store) { to.AdvanceUpTo(context.Background(), upTo, limit, delivery.Lease{}) })
	return s.Store.AdvanceUpTo(ctx, upTo, limit, lease)
}

func (s *turns) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	if err := s.take(ctx); err != nil {
		return nil, nil, err
	}
	defer s.end()
	s.commit(func(to delivery.Store) { to.AdvanceOwn(context.Background(), marks, delivery.Lease{}) })
	return s.Store.AdvanceOwn(ctx, marks, lease)
}

// InTx finds out which transaction it is by asking it, which then has its snapshot.
func (s *turns) InTx(tx delivery.DBTX) delivery.Store {
	result, err := tx.ExecContext(context.Background(), "which")
	if err != nil {
		return FailingStore(s, func(string) error { return err })
	}
	number, _ := result.LastInsertId()
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.open[number]
	if t.copy == nil {
		t.copy, t.seen = t.fresh(), len(s.committed)
	}
	return &turnStore{t.copy, t}
}

// fresh returns a copy of what is committed, with the transaction's own writes.
func (t *turn) fresh() delivery.Keeper {
	if t.leaks {
		return t.turns.Store.(delivery.Keeper)
	}
	fresh := memstore.New()
	for _, w := range slices.Concat(t.committed, t.writes) {
		w(fresh)
	}
	return fresh
}

// at returns what a call works on, once the transaction has its turn.
func (t *turn) at(form string) (delivery.Store, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.seen == len(t.committed), t.stale, t.ownVersion && len(t.writes) > 0, t.passesOver && form == "AdvanceUpTo":
		return t.copy, nil
	case t.ownVersion, t.passesOver:
		return t.fresh(), nil
	case t.nameless:
		return nil, errors.New("somebody else was faster")
	}
	return nil, fmt.Errorf("somebody else was faster: %w", delivery.ErrTxConflict)
}

// turnStore is the store in a transaction.
type turnStore struct {
	delivery.Keeper // the copy
	*turn
}

// turnCall makes a call of a Tx form.
func turnCall[Answer any](ctx context.Context, t *turn, form string, l delivery.Lease,
	call func(context.Context, delivery.Store, delivery.Lease) (Answer, []delivery.Claimed, error),
) (answer Answer, claimed []delivery.Claimed, err error) {
	if t.failed != nil && !t.deaf {
		return answer, nil, t.failed
	}
	defer func() { t.failed = err }()
	if !t.taken {
		if err := t.take(ctx); err != nil {
			return answer, nil, err
		}
		t.taken = true
	}
	store, err := t.at(form)
	if err != nil {
		return answer, nil, err
	}
	if !t.leases {
		l = delivery.Lease{}
	}
	if answer, claimed, err = call(ctx, store, l); err != nil {
		return answer, nil, err
	}
	again := func(to delivery.Store) { call(context.Background(), to, delivery.Lease{}) }
	if store != t.copy {
		again(t.copy)
	}
	t.writes = append(t.writes, again)
	return answer, claimed, nil
}

func (s *turnStore) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	return turnCall(ctx, s.turn, "Create", lease, func(ctx context.Context, to delivery.Store, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
		return to.Create(ctx, messages, lease)
	})
}

func (s *turnStore) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if s.blocksInside {
		return slices.Repeat([]delivery.Marked{{Blocked: true}}, len(marks)), nil, nil
	}
	return turnCall(ctx, s.turn, "Advance", lease, func(ctx context.Context, to delivery.Store, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
		return to.Advance(ctx, marks, lease)
	})
}

func (s *turnStore) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	return turnCall(ctx, s.turn, "AdvanceUpTo", lease, func(ctx context.Context, to delivery.Store, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
		return to.AdvanceUpTo(ctx, upTo, limit, lease)
	})
}

func (s *turnStore) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	if s.blind {
		return s.turns.List(ctx, list)
	}
	return s.Keeper.List(ctx, list)
}

func (s *turnStore) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	switch {
	case s.forgetsOwn:
		return s.Keeper.AdvanceOwn(ctx, marks, delivery.Lease{})
	case s.leaksOwn:
		return s.turns.Store.AdvanceOwn(ctx, marks, delivery.Lease{})
	}
	return turnCall(ctx, s.turn, "AdvanceOwn", lease, func(ctx context.Context, to delivery.Store, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
		return to.AdvanceOwn(ctx, marks, lease)
	})
}

func (s *turnStore) Delete(ctx context.Context, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
	if s.leaksDeletes {
		return s.turns.Store.(delivery.Keeper).Delete(ctx, deletions, delivery.Lease{})
	}
	return turnCall(ctx, s.turn, "Delete", lease, func(ctx context.Context, to delivery.Store, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
		return to.(delivery.Keeper).Delete(ctx, deletions, lease)
	})
}

func (t *turn) Commit() error {
	defer t.Rollback()
	if t.leaks {
		return nil
	}
	if t.crowded {
		<-time.After(time.Millisecond) // for the crowd to come
	}
	for _, w := range t.writes {
		w(t.turns.Store)
	}
	t.commit(t.writes...)
	if t.mute {
		hidden, _ := t.turns.Claim(context.Background(), 1000, lease(long))
		for _, c := range hidden {
			t.turns.Settle(context.Background(), []delivery.Settlement{settlement(c, delivery.SettleDone)})
		}
	}
	return nil
}

func (t *turn) Rollback() error {
	if t.taken {
		t.end()
	}
	return nil
}

// turnConn is a connection: all it can do is to begin transactions and to tell which it is in.
type turnConn struct {
	*turns
	number int64
}

func (c *turnConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (c *turnConn) Close() error                        { return nil }
func (c *turnConn) Begin() (driver.Tx, error)           { return nil, errors.ErrUnsupported }

func (c *turnConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	t := &turn{turns: c.turns, taken: !c.snapshots}
	if t.taken {
		if err := c.take(ctx); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number = int64(len(c.open))
	c.open = append(c.open, t)
	return t, nil
}

func (c *turnConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	return whichResult(c.number), nil
}

// whichResult is a result that is just a number.
type whichResult int64

func (r whichResult) LastInsertId() (int64, error) { return int64(r), nil }
func (r whichResult) RowsAffected() (int64, error) { return 0, nil }
