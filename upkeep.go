package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// everywhere has work done in each conversation, about messages that were sent before a time, and
// returns the sum of what it returned. The time must be [Options.PruneAge] ago. A conversation that
// fails does not end the work, and the first such error is returned, unless the database or ctx is
// at fault.
func (t *Tracker) everywhere(ctx context.Context, before time.Time, work func(keeper Keeper, conversation string) (int, error)) (sum int, err error) {
	if before.IsZero() || time.Since(before) < t.opts.PruneAge {
		return 0, &InvalidError{Field: "before", Reason: "is not at least " + t.opts.PruneAge.String() + " ago"}
	}
	keeper, err := keeperOf(t.store)
	if err != nil {
		return 0, err
	}
	var failed error
	for after, more := "", true; more; {
		conversations, err := keeper.Conversations(ctx, after, MaxBatch)
		if err != nil {
			return sum, fmt.Errorf("delivery: listing conversations: %w", err)
		}
		for _, c := range conversations {
			n, err := work(keeper, c)
			if sum += n; err != nil && (ctx.Err() != nil || errors.Is(err, ErrUnavailable)) {
				return sum, err
			}
			failed, after = cmp.Or(failed, err), c
		}
		more = len(conversations) == MaxBatch
	}
	return sum, failed
}

// rest is how many times as long as a transaction took unhurried pauses after it, and leaves the
// database to the others.
const rest = 2

// portion is what one transaction of a long work has done.
type portion struct {
	done int
	more bool // there may be more to do
}

// unhurried takes steps until nothing is left to do, and returns the sum of what they have done.
// None waits for another transaction for longer than the limit.
func unhurried(ctx context.Context, what string, limit time.Duration, step func() (p portion, blocked bool, err error)) (sum int, err error) {
	for {
		var began time.Time
		waiting, cancel := context.WithTimeout(ctx, limit)
		p, err := patient(waiting, func() (portion, bool, error) {
			began = time.Now() // what it waits for others is not its work
			return step()
		})
		cancel()
		if sum += p.done; err != nil {
			return sum, outcome(what, err)
		}
		if !p.more && p.done == 0 {
			return sum, nil
		}
		select {
		case <-ctx.Done():
			return sum, outcome(what, ctx.Err())
		case <-time.After(rest * time.Since(began)):
		}
		if !p.more {
			return sum, nil
		}
	}
}

// patient calls again, after a pause, as long as another transaction is in the way and ctx has not
// ended.
func patient[T any](ctx context.Context, call func() (result T, blocked bool, err error)) (T, error) {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		result, blocked, err := call()
		if !blocked || err != nil {
			return result, err
		}
		if err := sleep(ctx, pause); err != nil {
			return result, fmt.Errorf("%w: %w", errBlocked, err)
		}
	}
}
