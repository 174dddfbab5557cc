package coalesce

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Lag is how long after its context's end a function may still answer, before it is left behind.
const Lag = 500 * time.Millisecond

// errExit is the error of a function that ended its goroutine, as t.FailNow does.
var errExit = errors.New("the function ended its goroutine")

// Await calls do and returns its results. If do panics or ends its goroutine, Await returns an
// error that wraps [ErrUnknown]: do may have done its work before. When ctx ends and do does not
// return within [Lag], as with a driver that waits on a silent connection, Await returns
// [ErrUnknown] and ctx's error. Then do goes on in the background, and nobody waits for it.
func Await[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		a := answer{err: fmt.Errorf("%w: %w", ErrUnknown, errExit)}
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("%w: panic: %v", ErrUnknown, p)
			}
			answers <- a
		}()
		a.value, a.err = do()
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(Lag)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-timer.C:
		var none T
		return none, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
}
