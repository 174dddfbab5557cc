// Package load makes callers call, and says how long that took.
package load

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limit ends a run: whichever comes first.
type Limit struct {
	Calls int
	For   time.Duration
}

// Result is what a run did.
type Result struct {
	Calls int // that returned without an error
	Start time.Time
	Took  time.Duration   // from the first call to the end of the last
	Waits []time.Duration // of the calls but each caller's first, in order of length
}

// Rate is calls a second.
func (r Result) Rate() float64 { return float64(r.Calls) / r.Took.Seconds() }

// Quantile returns the wait that a share q of the calls did not exceed; 0 if there were no calls.
func (r Result) Quantile(q float64) time.Duration { return Quantile(r.Waits, q) }

// Quantile returns the value that a share q of the sorted values does not exceed; 0 if there are
// none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Run has so many callers call do, each one call after another, until the limit or the first error.
// The calls get consecutive numbers from *next on; the next run goes on from there. No two runs
// share it at a time.
//
// The callers begin all at once, which they never do again: how long their first calls wait says
// nothing of those that follow, and in a short run they alone could be more than a hundredth of
// all.
func Run(ctx context.Context, callers int, limit Limit, next *atomic.Int64, do func(ctx context.Context, i int) error) (Result, error) {
	// The deadline only stops new calls: one that has begun is finished, and counts.
	deadline := time.Now().Add(limit.For)
	end := next.Load() + int64(limit.Calls)
	var failed atomic.Bool
	waits := make([][]time.Duration, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	result := Result{Start: time.Now()}
	for caller := range callers {
		wg.Go(func() {
			// Calls may take less than a microsecond: there is one look at the clock and one shared
			// counter for each.
			for began := time.Now(); ctx.Err() == nil && !failed.Load() && !began.After(deadline); {
				i := next.Add(1) - 1
				if i >= end {
					return
				}
				if errs[caller] = do(ctx, int(i)); errs[caller] != nil {
					failed.Store(true) // nobody needs to go on
					return
				}
				now := time.Now()
				waits[caller] = append(waits[caller], now.Sub(began))
				began = now
			}
		})
	}
	wg.Wait()
	next.Store(min(next.Load(), end))
	result.Took = time.Since(result.Start)
	for _, w := range waits {
		if len(w) > 0 {
			result.Calls += len(w)
			result.Waits = append(result.Waits, w[1:]...)
		}
	}
	slices.Sort(result.Waits)
	return result, errors.Join(append(errs, ctx.Err())...)
}
