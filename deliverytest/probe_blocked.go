package deliverytest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
)

// create stores messages whose events are due at once, whoever else writes to their conversations.
func create(ctx context.Context, store delivery.Store, messages []delivery.NewMessage) ([]delivery.Created, error) {
	return untilTried(ctx, "Create", messages, func(some []delivery.NewMessage) ([]delivery.Created, error) {
		created, _, err := store.Create(ctx, some, delivery.Lease{})
		return created, err
	}, func(c delivery.Created) (blocked, clean bool) { return c.Blocked, c == delivery.Created{Blocked: true} })
}

// advance applies marks whose events are due at once, whoever else writes to their conversations.
func advance(ctx context.Context, store delivery.Store, marks []delivery.Mark) ([]delivery.Marked, error) {
	return untilTried(ctx, "Advance", marks, func(some []delivery.Mark) ([]delivery.Marked, error) {
		marked, _, err := store.Advance(ctx, some, delivery.Lease{})
		return marked, err
	}, func(m delivery.Marked) (blocked, clean bool) {
		return m.Blocked, m == delivery.Marked{Header: m.Header, Blocked: true}
	})
}

// advanceUpTo applies up-to marks whose events are due at once, whoever else writes to their
// conversations.
func advanceUpTo(ctx context.Context, store delivery.Store, limit int, upTo ...delivery.UpTo) ([]delivery.MarkedUpTo, error) {
	return untilTried(ctx, "AdvanceUpTo", upTo, func(some []delivery.UpTo) ([]delivery.MarkedUpTo, error) {
		marked, _, err := store.AdvanceUpTo(ctx, some, limit, delivery.Lease{})
		return marked, err
	}, func(m delivery.MarkedUpTo) (blocked, clean bool) {
		return m.Blocked, m == delivery.MarkedUpTo{Header: m.Header, Blocked: true}
	})
}

// untilTried makes a call, and makes it again for the items that came back blocked: at once the
// first time, and then after pauses that grow to 20 ms. Judge reports whether a result says that
// its item was blocked, and whether the result then says nothing else but the header.
func untilTried[In, Out any](ctx context.Context, method string, items []In, call func([]In) ([]Out, error),
	judge func(Out) (blocked, clean bool),
) ([]Out, error) {
	results, todo := make([]Out, len(items)), make([]int, len(items))
	for i := range items {
		todo[i] = i
	}
	for pause := time.Duration(0); len(todo) > 0; pause = min(2*pause+time.Millisecond, 20*time.Millisecond) {
		if err := sleep(ctx, pause-time.Millisecond); pause > 0 && err != nil {
			return nil, err
		}
		some := make([]In, len(todo))
		for k, i := range todo {
			some[k] = items[i]
		}
		outs, err := call(some)
		if err != nil {
			return nil, err
		}
		if len(outs) != len(some) {
			return nil, fmt.Errorf("%s returned %d results for %d items", method, len(outs), len(some))
		}
		var blocked []int
		for k, i := range todo {
			switch was, clean := judge(outs[k]); {
			case !was:
				results[i] = outs[k]
			case !clean:
				return nil, fmt.Errorf("%s says that item %d was blocked, and yet returned %+v", method, i, outs[k])
			default:
				blocked = append(blocked, i)
			}
		}
		todo = blocked
	}
	return results, nil
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waiting is a store that may not answer Blocked, as those inside transactions.
type waiting struct{ delivery.Store }

var errBlocked = errors.New("an item came back blocked, though the call was to wait")

func (s waiting) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created, claimed, err := s.Store.Create(ctx, messages, lease)
	for _, c := range created {
		if err == nil && c.Blocked {
			err = errBlocked
		}
	}
	return created, claimed, err
}

func (s waiting) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.Advance(ctx, marks, lease)
	for _, m := range marked {
		if err == nil && m.Blocked {
			err = errBlocked
		}
	}
	return marked, claimed, err
}

func (s waiting) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.AdvanceUpTo(ctx, upTo, limit, lease)
	for _, m := range marked {
		if err == nil && m.Blocked {
			err = errBlocked
		}
	}
	return marked, claimed, err
}
