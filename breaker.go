package delivery

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// BreakerState says whether the relay trusts the Notifier's endpoint.
type BreakerState uint8

const (
	BreakerClosed   BreakerState = iota // the endpoint answers
	BreakerOpen                         // it failed several times: nothing is published for a while
	BreakerHalfOpen                     // the pause is over: one event tests the endpoint
)

// String returns "closed", "open" or "half-open".
func (s BreakerState) String() string {
	switch s {
	case BreakerClosed:
		return "closed"
	case BreakerOpen:
		return "open"
	case BreakerHalfOpen:
		return "half-open"
	}
	return fmt.Sprintf("BreakerState(%d)", uint8(s))
}

const (
	breakerTrips  = 5 // failures in a row that open it
	firstPause    = 200 * time.Millisecond
	longestPause  = 10 * time.Second
	probeTime     = 30 * time.Second // after which a half-open breaker tries again, though no answer came
	minRetryAfter = time.Second
	maxRetryAfter = 10 * time.Minute
)

// breaker keeps the relay from hammering a failing endpoint. Only failures of the endpoint count,
// never the refusal of an event: that proves the endpoint alive.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // open before it, half-open after; zero is closed
	probe    time.Time // when the one publish began that tries a half-open endpoint; zero if none is under way
}

func (b *breaker) state() BreakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stateLocked()
}

func (b *breaker) stateLocked() BreakerState {
	switch {
	case b.until.IsZero():
		return BreakerClosed
	case time.Now().Before(b.until):
		return BreakerOpen
	}
	return BreakerHalfOpen
}

// probed reports whether a publish tries the endpoint now. A publish that takes longer than
// probeTime, as one does whose Notifier hangs, no longer counts.
func (b *breaker) probed() bool { return !b.probe.IsZero() && time.Since(b.probe) < probeTime }

// wants returns how many of n events to get ready for publishing: all, none, or, to try the
// endpoint again, one.
func (b *breaker) wants(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.stateLocked() {
	case BreakerClosed:
		return n
	case BreakerHalfOpen:
		if !b.probed() {
			return min(n, 1)
		}
	}
	return 0
}

// allow returns how many of n events may be published now, as wants does, and for how long the
// others are to rest. A publish must be followed by success, failure or abort.
func (b *breaker) allow(n int) (now int, rest time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.stateLocked() {
	case BreakerOpen:
		return 0, time.Until(b.until)
	case BreakerHalfOpen:
		if b.probed() {
			return 0, firstPause
		}
		b.probe = time.Now()
		return 1, firstPause
	}
	return n, 0
}

// success closes the breaker, and reports whether that is a change. It leaves an open one open: the
// call was under way when that opened.
func (b *breaker) success() (changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stateLocked() == BreakerOpen {
		return false
	}
	changed = !b.until.IsZero()
	b.failures, b.until, b.probe = 0, time.Time{}, time.Time{}
	return changed
}

// failure counts a failure and returns for how long its events should rest. It opens the breaker
// after several in a row, or at once if the endpoint asked for a pause (retryAfter > 0), and
// reports whether it was closed until now.
func (b *breaker) failure(retryAfter time.Duration) (rest time.Duration, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if rest = time.Until(b.until); rest > 0 && retryAfter <= 0 {
		return rest, false // it was under way when the breaker opened, and tells nothing new
	}
	b.failures++
	b.probe = time.Time{}
	rest = backoff(max(b.failures-breakerTrips, 0) + 1)
	if retryAfter > 0 {
		rest = min(max(retryAfter, minRetryAfter), maxRetryAfter)
	}
	if b.failures < breakerTrips && retryAfter <= 0 && b.until.IsZero() {
		return rest, false
	}
	opened = b.until.IsZero()
	if until := time.Now().Add(rest); until.After(b.until) {
		b.until = until
	}
	return rest, opened
}

// abort takes back an allowed publish that told nothing about the endpoint.
func (b *breaker) abort() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probe = time.Time{}
}

// backoff returns a pause that doubles with each failure, up to longestPause, of which the upper
// half is random, so that many who failed together do not come back together.
func backoff(failures int) time.Duration {
	d := longestPause
	if shift := failures - 1; shift < 16 {
		d = min(d, firstPause<<max(shift, 0))
	}
	return d/2 + rand.N(d/2+1) // #nosec G404 -- nothing to guess: it only spreads load
}
