package deliverytest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/msgdelivery/delivery"
)

// txProbe is a probe of the store outside of transactions.
type txProbe struct {
	*probe
	txStore delivery.TxStore
	db      *sql.DB

	options   sql.TxOptions
	conflict  func(error) bool
	oneWriter bool
	scenes    int
	lockedOut map[moment]bool // at which nobody can write beside a transaction
}

// begin begins a transaction and returns a probe of the store inside it.
func (p *txProbe) begin() (*sql.Tx, *probe) {
	p.Helper()
	tx, err := p.db.BeginTx(p.ctx, &p.options)
	p.must("BeginTx", err)
	p.Cleanup(func() { tx.Rollback() }) // in case the test ends early
	inside := *p.probe
	inside.store = p.inside(tx)
	return tx, &inside
}

// inside returns the store inside a transaction, where it may not answer Blocked.
func (p *txProbe) inside(tx delivery.DBTX) delivery.Store { return waiting{p.txStore.InTx(tx)} }

// duringAndAfter makes a call outside of the transaction, waits a while, and commits it. It tells
// whether the call came back early, before the commit.
func (p *txProbe) duringAndAfter(tx *sql.Tx, call func() error) (early bool) {
	p.Helper()
	failed := make(chan error, 1)
	go func() { failed <- call() }()
	var err error
	select {
	case err = <-failed:
		early = true
		p.must("Commit", tx.Commit())
	case <-time.After(4 * short):
		p.must("Commit", tx.Commit())
		err = <-failed
	}
	p.must("the call", err)
	return early
}

// blocked checks a call that met a transaction: if it came back before the commit, its item was
// blocked; and if it was, nothing has changed but what the transaction did.
func (p *txProbe) blocked(early, blocked bool, conversation string, version int64) {
	p.Helper()
	if early && !blocked {
		p.Errorf("an item in the locked conversation %q did not come back blocked, and did not wait", conversation)
	}
	if blocked {
		p.same("the version after the transaction, with the item blocked,", p.version(conversation), version)
	}
}

// inOwnTx applies a mark in a transaction of its own. It may be called on any goroutine.
func (p *txProbe) inOwnTx(mark delivery.Mark) (result delivery.Marked, err error) {
	err = p.inTx((*sql.Tx).Commit, func(store delivery.Store) error {
		marked, _, err := store.Advance(p.ctx, []delivery.Mark{mark}, delivery.Lease{})
		if err == nil && (len(marked) != 1) {
			err = fmt.Errorf("Advance of one mark inside a transaction returned %+v", marked)
		}
		if err == nil {
			result = marked[0]
		}
		return err
	})
	return result, err
}

// inTx runs a transaction until it comes to its end.
func (p *txProbe) inTx(end func(*sql.Tx) error, work func(delivery.Store) error) error {
	return p.transact(end, func(tx delivery.DBTX) error { return work(p.inside(tx)) })
}

const tries = 50 // of a transaction

// transact runs a transaction, and as its owner runs it again after a conflict, with a pause
// between. It may be called on any goroutine.
func (p *txProbe) transact(end func(*sql.Tx) error, work func(tx delivery.DBTX) error) (err error) {
	for try := range tries {
		time.Sleep(rand.N(time.Duration(1+try) * time.Millisecond)) // #nosec G404 -- nothing to guess: it only spreads load
		var tx *sql.Tx
		if tx, err = p.db.BeginTx(p.ctx, &p.options); err != nil {
			return err
		}
		conflict := false
		if err = work(tx); err != nil {
			tx.Rollback()
			conflict = errors.Is(err, delivery.ErrTxConflict) || errors.Is(err, errRead) && p.says(err)
		} else if err = end(tx); err != nil {
			conflict = p.says(err)
		}
		if !conflict {
			return err
		}
	}
	return fmt.Errorf("after %d tries: %w", tries, err)
}

// says reports whether an error of the caller's own statements says to run the transaction again.
func (p *txProbe) says(err error) bool { return p.conflict != nil && p.conflict(err) }

var errRead = errors.New("reading inside the transaction")

// look reads a conversation inside a transaction, as one of the caller's own statements would.
func (p *txProbe) look(inside delivery.Store, conversation, viewer string) error {
	_, err := inside.List(p.ctx, delivery.List{Conversation: conversation, Limit: 100, Viewer: viewer})
	if err != nil {
		err = fmt.Errorf("%w: %w", errRead, err)
	}
	return err
}

// patience is how long a call may take that does not wait for a transaction.
const patience = 5 * time.Second

// beside makes a call beside a transaction of this test. The call may fail only if the store lets
// in one writer at a time: then it may have to wait for the transaction, until its ctx ends.
func (p *txProbe) beside(what string, call func(ctx context.Context) error) {
	p.Helper()
	limit := patience
	if p.oneWriter {
		limit = 4 * short
	}
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	if err := call(ctx); err != nil && (!p.oneWriter || ctx.Err() == nil) {
		p.Errorf("%s beside a transaction failed: %v", what, err)
	}
}

// keeperIn returns the store inside a transaction as a keeper, or nil if it is none.
func (p *txProbe) keeperIn(tx delivery.DBTX) delivery.Keeper {
	keeper, _ := p.txStore.InTx(tx).(delivery.Keeper)
	return keeper
}

// deleteIn deletes a message inside a transaction, if the store can, and returns the number of
// deletions.
func (p *txProbe) deleteIn(tx delivery.DBTX, message string) int {
	p.Helper()
	keeper := p.keeperIn(tx)
	if keeper == nil {
		return 0
	}
	p.remember(message)
	deleted, claimed, err := keeper.Delete(p.ctx, []delivery.Deletion{{Message: message}}, lease(long))
	p.must("Delete", err)
	if len(deleted) != 1 || !deleted[0].Changed || len(claimed) != 0 {
		p.Fatalf("Delete inside a transaction returned %+v and %d claims", deleted, len(claimed))
	}
	return 1
}
