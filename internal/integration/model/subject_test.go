package model

import (
	"context"
	"database/sql"
	"log/slog"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/memstore"
)

// keeper is what a store under test can do.
type keeper interface {
	delivery.Keeper
	delivery.FailureStore
	delivery.ImportStore
}

// subject is a store under test.
type subject struct {
	stores [2]keeper // two faces of the same store, as two processes have them
	db     *sql.DB   // nil if it has no transactions
	commit bool      // even what is to be rolled back
}

// each runs test on memory and on every engine.
func each(t *testing.T, test func(t *testing.T, s subject)) {
	t.Run("memory", func(t *testing.T) { test(t, inMemory()) })
	engines.Each(t, func(t *testing.T, e engines.Engine) { test(t, inDatabase(t, e)) })
}

func inMemory() subject {
	store := memstore.New()
	return subject{stores: [2]keeper{store, store}}
}

func inDatabase(t *testing.T, e engines.Engine) (s subject) {
	t.Helper()
	database := stores.Database(t, e)
	for i := range s.stores {
		s.db = database.Open(t)
		s.stores[i] = stores.Open(t, e, s.db)
	}
	return s
}

// over returns the subject with both faces of its store changed.
func (s subject) over(change func(keeper) keeper) subject {
	for i, store := range s.stores {
		s.stores[i] = change(store)
	}
	return s
}

// trackers returns a tracker over each face of the store.
func (s subject) trackers(notifier delivery.Notifier, opts delivery.Options) (both [2]*delivery.Tracker, err error) {
	opts.Logger = slog.New(slog.DiscardHandler)
	for i, store := range s.stores {
		if both[i], err = delivery.New(store, notifier, &opts); err != nil {
			return both, err
		}
	}
	return both, nil
}

// drain empties the outbox and the dead letters.
func (s subject) drain(ctx context.Context) error {
	for {
		claimed, err := s.stores[0].Claim(ctx, 100, delivery.Lease{Token: 1, For: time.Minute})
		if err != nil {
			return err
		}
		dead, err := s.stores[0].Dead(ctx, 0, 100)
		if err != nil || len(claimed)+len(dead) == 0 {
			return err
		}
		var settlements []delivery.Settlement
		for _, c := range claimed {
			settlements = append(settlements, delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.SettleDone})
		}
		for _, d := range dead {
			settlements = append(settlements, delivery.Settlement{ID: d.Event.ID, Outcome: delivery.SettleDiscard})
		}
		if _, err := s.stores[0].Settle(ctx, settlements); err != nil {
			return err
		}
	}
}

// impatient is a store in which nothing that failed has to rest.
type impatient struct{ keeper }

func (s impatient) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	for i := range settlements {
		settlements[i].After = 0
	}
	return s.keeper.Settle(ctx, settlements)
}

func (s impatient) InTx(tx delivery.DBTX) delivery.Store { return s.keeper.(delivery.TxStore).InTx(tx) }

// calls are what a sequence writes with: by itself or in a transaction of the app's.
type calls interface {
	Send(ctx context.Context, draft delivery.Draft) (delivery.Message, error)
	Mark(ctx context.Context, actor delivery.Actor, status delivery.Status, messages ...string) ([]delivery.MarkResult, error)
	MarkUpTo(ctx context.Context, actor delivery.Actor, status delivery.Status, message delivery.MessageRef) (delivery.UpToResult, error)
	Delete(ctx context.Context, actor delivery.Actor, messages ...string) (int, error)
	receipts(ctx context.Context, messages []string) ([]delivery.Receipt, error)
}

// process makes the calls of a tracker.
type process struct {
	*delivery.Tracker
	store keeper
}

func (p process) receipts(ctx context.Context, messages []string) ([]delivery.Receipt, error) {
	return stores.Receipts(ctx, p.store, messages...)
}

// transaction makes the same calls inside a transaction.
type transaction struct {
	process
	tx *sql.Tx
}

func (t transaction) Send(ctx context.Context, draft delivery.Draft) (delivery.Message, error) {
	return t.SendTx(ctx, t.tx, draft)
}

func (t transaction) Mark(ctx context.Context, actor delivery.Actor, status delivery.Status, messages ...string) ([]delivery.MarkResult, error) {
	return t.MarkTx(ctx, t.tx, actor, status, messages...)
}

func (t transaction) MarkUpTo(ctx context.Context, actor delivery.Actor, status delivery.Status, message delivery.MessageRef) (delivery.UpToResult, error) {
	return t.MarkUpToTx(ctx, t.tx, actor, status, message)
}

func (t transaction) Delete(ctx context.Context, actor delivery.Actor, messages ...string) (int, error) {
	return t.DeleteTx(ctx, t.tx, actor, messages...)
}

func (t transaction) receipts(ctx context.Context, messages []string) ([]delivery.Receipt, error) {
	return stores.Receipts(ctx, t.store.(delivery.TxStore).InTx(t.tx), messages...)
}
