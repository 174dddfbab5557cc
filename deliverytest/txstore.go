package deliverytest

import (
	"database/sql"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
)

// TestTxStore tests what a [delivery.TxStore] promises beyond a [delivery.Store]: what its calls
// inside a caller's transaction do. [TestStore] is to be run as well. Each subtest gets an empty
// store from open, and the database whose transactions the store can join. The rules about what
// other transactions commit meanwhile are tested at each isolation of the options, and all other
// rules at the driver's default.
func TestTxStore(t *testing.T, open func(t *testing.T) (delivery.TxStore, *sql.DB), opts *TxOptions) {
	if opts == nil {
		opts = new(TxOptions)
	}
	levels := opts.Isolations
	if levels == nil {
		levels = []sql.IsolationLevel{sql.LevelDefault}
	}
	test := func(t *testing.T, c txCase, level sql.IsolationLevel) {
		store, db := open(t)
		c.run(t, store, db, level, opts)
	}
	cases := slices.Concat(txCases, blockedCases)
	if !opts.OneWriter {
		cases = slices.Concat(cases, besideCases)
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) { test(t, c, sql.LevelDefault) })
	}
	for _, level := range levels {
		for _, c := range isolationCases {
			t.Run(c.rule+", at isolation "+level.String(), func(t *testing.T) { test(t, c, level) })
		}
	}
}

// TxOptions says at which isolations [TestTxStore] tests a store, and which errors are conflicts.
type TxOptions struct {
	// Isolations are the isolation levels of callers' transactions. Nil is the driver's default
	// alone.
	Isolations []sql.IsolationLevel

	// Conflict reports whether an error of a commit, or of a read inside a transaction, says to run
	// the transaction again. Nil means that none does. Errors of Create, Advance and AdvanceUpTo
	// say so by wrapping [delivery.ErrTxConflict].
	Conflict func(err error) bool

	// OneWriter says that the store allows one writer at a time, as SQLite does: after a
	// transaction has written, all other writers wait until it ends. The rules about calls that
	// must not wait are skipped. In the remaining rules, other callers write during a transaction
	// only at moments when they do not have to wait until it ends.
	OneWriter bool
}

// txCase is one rule of transactions, and the test that a store keeps it.
type txCase struct {
	rule string
	test func(*txProbe)
}

func (c txCase) run(t testing.TB, store delivery.TxStore, db *sql.DB, level sql.IsolationLevel, opts *TxOptions) {
	p := &txProbe{
		probe: newProbe(t, c.rule, store), txStore: store, db: db,
		options: sql.TxOptions{Isolation: level}, conflict: opts.Conflict, oneWriter: opts.OneWriter, lockedOut: map[moment]bool{},
	}
	c.test(p)
	p.audit()
}
