package deliverytest

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery"
)

// Fault decides which calls fail. It is told the method's name, such as "Advance" or "Notify"; the
// call fails with the error it returns, if any. It may be called concurrently.
type Fault func(method string) error

// OnCall returns a [Fault] that fails the n-th call, counted from 1, and no other. If methods are
// named, only calls of these are counted.
func OnCall(n int, err error, methods ...string) Fault {
	var calls atomic.Int64
	return func(method string) error {
		if len(methods) > 0 && !slices.Contains(methods, method) {
			return nil
		}
		if calls.Add(1) != int64(n) {
			return nil
		}
		return err
	}
}

// FailingStore returns a store that fails the calls for which fault returns an error. A call that
// fails does nothing. The result is a [delivery.TxStore] if the store is one, with the same fault
// inside transactions.
func FailingStore(store delivery.Store, fault Fault) delivery.Store {
	return faulty(&faultyStore{store: store, before: fault})
}

// LosingStore returns a store that loses the answers of the calls for which fault returns an error.
// Such a call does its work first, as when a connection breaks during a commit. The fault is not
// asked about calls that failed by themselves. The result is a [delivery.TxStore] if the store is
// one, with the same fault inside transactions.
func LosingStore(store delivery.Store, fault Fault) delivery.Store {
	return faulty(&faultyStore{store: store, after: fault})
}

// faultyStore is a [delivery.ParallelStore], a [delivery.SweepStore], a [delivery.Keeper], a
// [delivery.FailureStore], a [delivery.OverdueStore], a [delivery.HourStore] and a
// [delivery.ImportStore] over any store: over one that is none of them, it does what the Tracker
// does with such a store.
type faultyStore struct {
	store         delivery.Store
	before, after Fault
}

// faultyTxStore is a faultyStore over a [delivery.TxStore].
type faultyTxStore struct{ *faultyStore }

var (
	_ delivery.ParallelStore = (*faultyStore)(nil)
	_ delivery.SweepStore    = (*faultyStore)(nil)
	_ delivery.Keeper        = (*faultyStore)(nil)
	_ delivery.FailureStore  = (*faultyStore)(nil)
	_ delivery.OverdueStore  = (*faultyStore)(nil)
	_ delivery.HourStore     = (*faultyStore)(nil)
	_ delivery.ImportStore   = (*faultyStore)(nil)
	_ delivery.TxStore       = faultyTxStore{}
)

// faulty adds the Tx forms if the store has them.
func faulty(s *faultyStore) delivery.Store {
	if _, ok := s.store.(delivery.TxStore); ok {
		return faultyTxStore{s}
	}
	return s
}

func (s faultyTxStore) InTx(tx delivery.DBTX) delivery.Store {
	return &faultyStore{store: s.store.(delivery.TxStore).InTx(tx), before: s.before, after: s.after}
}

func (s *faultyStore) Writers() int {
	if store, ok := s.store.(delivery.ParallelStore); ok {
		return store.Writers()
	}
	return 1
}

func (s *faultyStore) Sweep() {
	if store, ok := s.store.(delivery.SweepStore); ok {
		store.Sweep()
	}
}

func (s *faultyStore) Delete(ctx context.Context, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
	keeper, ok := s.store.(delivery.Keeper)
	if !ok {
		return nil, nil, errors.ErrUnsupported
	}
	return call2(s, "Delete", func() ([]delivery.Deleted, []delivery.Claimed, error) { return keeper.Delete(ctx, deletions, lease) })
}

func (s *faultyStore) Conversations(ctx context.Context, after string, limit int) ([]string, error) {
	return keep(s, "Conversations", func(k delivery.Keeper) ([]string, error) { return k.Conversations(ctx, after, limit) })
}

func (s *faultyStore) Prune(ctx context.Context, p delivery.Pruning) (delivery.PruningResult, error) {
	return keep(s, "Prune", func(k delivery.Keeper) (delivery.PruningResult, error) { return k.Prune(ctx, p) })
}

func (s *faultyStore) Compact(ctx context.Context, c delivery.Compaction) (delivery.CompactionResult, error) {
	return keep(s, "Compact", func(k delivery.Keeper) (delivery.CompactionResult, error) { return k.Compact(ctx, c) })
}

func (s *faultyStore) Erase(ctx context.Context, user string, limit int) (delivery.ErasureResult, error) {
	return keep(s, "Erase", func(k delivery.Keeper) (delivery.ErasureResult, error) { return k.Erase(ctx, user, limit) })
}

func (s *faultyStore) Verify(ctx context.Context, conversation string, after int64, limit int) (delivery.Verification, error) {
	return keep(s, "Verify", func(k delivery.Keeper) (delivery.Verification, error) {
		return k.Verify(ctx, conversation, after, limit)
	})
}

func (s *faultyStore) Fail(ctx context.Context, f delivery.NewFailure, lease delivery.Lease) (delivery.Failed, []delivery.Claimed, error) {
	store, ok := s.store.(delivery.FailureStore)
	if !ok {
		return delivery.Failed{}, nil, errors.ErrUnsupported
	}
	return call2(s, "Fail", func() (delivery.Failed, []delivery.Claimed, error) { return store.Fail(ctx, f, lease) })
}

func (s *faultyStore) Overdue(ctx context.Context, rule delivery.OverdueRule, limit int, lease delivery.Lease) (delivery.OverdueResult, error) {
	return keep(s, "Overdue", func(o delivery.OverdueStore) (delivery.OverdueResult, error) {
		return o.Overdue(ctx, rule, limit, lease)
	})
}

func (s *faultyStore) SettleOverdue(ctx context.Context, claims []delivery.OverdueClaim) (int, error) {
	return keep(s, "SettleOverdue", func(o delivery.OverdueStore) (int, error) { return o.SettleOverdue(ctx, claims) })
}

func (s *faultyStore) CountHour(ctx context.Context) (bool, error) {
	return keep(s, "CountHour", func(h delivery.HourStore) (bool, error) { return h.CountHour(ctx) })
}

func (s *faultyStore) Hours(ctx context.Context, from time.Time, limit int) ([]delivery.Hour, error) {
	return keep(s, "Hours", func(h delivery.HourStore) ([]delivery.Hour, error) { return h.Hours(ctx, from, limit) })
}

func (s *faultyStore) Import(ctx context.Context, messages []delivery.NewImport) ([]delivery.ImportOutcome, error) {
	return keep(s, "Import", func(i delivery.ImportStore) ([]delivery.ImportOutcome, error) { return i.Import(ctx, messages) })
}

// keep is call1 for what not every store can do.
func keep[S delivery.Store, T any](s *faultyStore, method string, work func(S) (T, error)) (result T, err error) {
	store, ok := s.store.(S)
	if !ok {
		return result, errors.ErrUnsupported
	}
	return call1(s, method, func() (T, error) { return work(store) })
}

func (s *faultyStore) call(method string, work func() error) error {
	if s.before != nil {
		if err := s.before(method); err != nil {
			return err
		}
	}
	if err := work(); err != nil || s.after == nil {
		return err
	}
	return s.after(method)
}

// call1 is for calls with one result, which an error takes away.
func call1[T any](s *faultyStore, method string, work func() (T, error)) (result T, err error) {
	if err = s.call(method, func() (err error) { result, err = work(); return err }); err != nil {
		return *new(T), err
	}
	return result, nil
}

// call2 is for calls with two results.
func call2[T, U any](s *faultyStore, method string, work func() (T, U, error)) (T, U, error) {
	var second U
	first, err := call1(s, method, func() (first T, err error) { first, second, err = work(); return first, err })
	if err != nil {
		return first, *new(U), err
	}
	return first, second, nil
}

func (s *faultyStore) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	return call2(s, "Create", func() ([]delivery.Created, []delivery.Claimed, error) { return s.store.Create(ctx, messages, lease) })
}

func (s *faultyStore) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	return call2(s, "Advance", func() ([]delivery.Marked, []delivery.Claimed, error) { return s.store.Advance(ctx, marks, lease) })
}

func (s *faultyStore) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	return call2(s, "AdvanceUpTo", func() ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
		return s.store.AdvanceUpTo(ctx, upTo, limit, lease)
	})
}

func (s *faultyStore) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	return call2(s, "AdvanceOwn", func() ([]delivery.MarkedOwn, []delivery.Claimed, error) { return s.store.AdvanceOwn(ctx, marks, lease) })
}

func (s *faultyStore) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	return call1(s, "Load", func() ([]delivery.Message, error) { return s.store.Load(ctx, ids) })
}

func (s *faultyStore) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	return call1(s, "List", func() (delivery.Page, error) { return s.store.List(ctx, list) })
}

func (s *faultyStore) Unread(ctx context.Context, user string, conversations []string, limit int) ([]delivery.Unread, error) {
	return call1(s, "Unread", func() ([]delivery.Unread, error) { return s.store.Unread(ctx, user, conversations, limit) })
}

func (s *faultyStore) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	return call1(s, "Receipts", func() (delivery.ReceiptPage, error) { return s.store.Receipts(ctx, list) })
}

func (s *faultyStore) ReceiptsOf(ctx context.Context, keys []delivery.ReceiptKey) ([]delivery.Receipt, error) {
	return call1(s, "ReceiptsOf", func() ([]delivery.Receipt, error) { return s.store.ReceiptsOf(ctx, keys) })
}

func (s *faultyStore) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	return call1(s, "Claim", func() ([]delivery.Claimed, error) { return s.store.Claim(ctx, limit, lease) })
}

func (s *faultyStore) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	return call1(s, "Settle", func() (int, error) { return s.store.Settle(ctx, settlements) })
}

func (s *faultyStore) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	return call1(s, "Dead", func() ([]delivery.DeadLetter, error) { return s.store.Dead(ctx, after, limit) })
}

func (s *faultyStore) Backlog(ctx context.Context) (delivery.Backlog, error) {
	return call1(s, "Backlog", func() (delivery.Backlog, error) { return s.store.Backlog(ctx) })
}
