package deliverytest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestTakingTurnsIsASoundTxStore(t *testing.T) {
	TestTxStore(t, func(t *testing.T) (delivery.TxStore, *sql.DB) { return newTurns(t, flaws{}) })
}

func TestBrokenTxStoresFailByName(t *testing.T) {
	for _, b := range []struct {
		name  string
		flaws flaws
		rules []string
	}{
		{"it writes outside of the transaction", flaws{leaks: true}, []string{"after a rollback", "nobody sees a change"}},
		{"it puts events under leases", flaws{leases: true}, []string{"after a commit"}},
		{"it reads outside of the transaction", flaws{blind: true}, []string{"reads inside"}},
		{"it lets transactions run side by side", flaws{crowded: true}, []string{"transactions on one conversation", "whatever transactions race"}},
		{"it forgets the events at the commit", flaws{mute: true}, []string{"after a commit", "nobody sees a change", "whatever transactions race"}},
	} {
		t.Run(b.name, func(t *testing.T) {
			for _, rule := range b.rules {
				i := slices.IndexFunc(txCases, func(c txCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				store, db := newTurns(t, b.flaws)
				try(t, func(tb testing.TB) { txCases[i].run(tb, store, db) }).mustFail(t, txCases[i].rule)
			}
		})
	}
}

// turns is a TxStore in memory, and the driver of the database that goes with it. Transactions
// take turns for all of it. What one does is done on a copy, made by repeating all that was ever
// committed, and at the commit is repeated on the store itself.
type turns struct {
	flaws
	delivery.Store
	turn chan struct{} // full while someone writes

	mu        sync.Mutex
	committed []write
	open      []*turn // by their numbers
}

// flaws are what is wrong with it, for once.
type flaws struct{ leaks, leases, blind, crowded, mute bool }

// write is a call that wrote something.
type write func(delivery.Store)

// turn is one transaction. It is a [driver.Tx].
type turn struct {
	*turns
	delivery.Store // the copy
	writes         []write
}

func newTurns(t *testing.T, flaws flaws) (delivery.TxStore, *sql.DB) {
	store := &turns{flaws: flaws, Store: memstore.New(), turn: make(chan struct{}, 1)}
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

func (s *turns) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	if err := s.take(ctx); err != nil {
		return nil, nil, err
	}
	defer s.end()
	s.commit(func(to delivery.Store) { to.Create(context.Background(), messages, delivery.Lease{}) })
	return s.Store.Create(ctx, messages, lease)
}

func (s *turns) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if err := s.take(ctx); err != nil {
		return nil, nil, err
	}
	defer s.end()
	s.commit(func(to delivery.Store) { to.Advance(context.Background(), marks, delivery.Lease{}) })
	return s.Store.Advance(ctx, marks, lease)
}

func (s *turns) AdvanceUpTo(ctx context.Context, upTo delivery.UpTo, lease delivery.Lease) (delivery.MarkedUpTo, []delivery.Claimed, error) {
	if err := s.take(ctx); err != nil {
		return delivery.MarkedUpTo{}, nil, err
	}
	defer s.end()
	s.commit(func(to delivery.Store) { to.AdvanceUpTo(context.Background(), upTo, delivery.Lease{}) })
	return s.Store.AdvanceUpTo(ctx, upTo, lease)
}

// InTx finds out which transaction it is by asking it.
func (s *turns) InTx(tx delivery.DBTX) delivery.Store {
	result, err := tx.ExecContext(context.Background(), "which")
	if err != nil {
		return FailingStore(s, func(string) error { return err })
	}
	number, _ := result.LastInsertId()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[number]
}

func (t *turn) done(w write) { t.writes = append(t.writes, w) }

func (t *turn) lease(lease delivery.Lease) delivery.Lease {
	if t.leases {
		return lease
	}
	return delivery.Lease{}
}

func (t *turn) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	t.done(func(to delivery.Store) { to.Create(context.Background(), messages, delivery.Lease{}) })
	return t.Store.Create(ctx, messages, t.lease(lease))
}

func (t *turn) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	t.done(func(to delivery.Store) { to.Advance(context.Background(), marks, delivery.Lease{}) })
	return t.Store.Advance(ctx, marks, t.lease(lease))
}

func (t *turn) AdvanceUpTo(ctx context.Context, upTo delivery.UpTo, lease delivery.Lease) (delivery.MarkedUpTo, []delivery.Claimed, error) {
	t.done(func(to delivery.Store) { to.AdvanceUpTo(context.Background(), upTo, delivery.Lease{}) })
	return t.Store.AdvanceUpTo(ctx, upTo, t.lease(lease))
}

func (t *turn) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	if t.blind {
		return t.turns.List(ctx, list)
	}
	return t.Store.List(ctx, list)
}

func (t *turn) Commit() error {
	defer t.end()
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
			t.turns.Settle(context.Background(), []delivery.Settlement{settlement(c, delivery.Done)})
		}
	}
	return nil
}

func (t *turn) Rollback() error {
	t.end()
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
	if err := c.take(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &turn{turns: c.turns, Store: c.turns.Store}
	if !c.leaks {
		t.Store = memstore.New()
		for _, w := range c.committed {
			w(t.Store)
		}
	}
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
