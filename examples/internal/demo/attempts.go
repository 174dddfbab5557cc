package demo

import (
	"sync"
	"time"
)

const (
	maxAttempts   = 10 // wrong passwords, and attempts under way, under one name from one address in a minute
	attemptMinute = time.Minute
	maxAddresses  = 10_000 // names and addresses that are counted at a time; beyond, nobody new is let in
)

// attempts counts the attempts to sign in.
type attempts struct {
	mu     sync.Mutex
	counts map[string]int
	since  time.Time // the minute's beginning
}

// begin counts an attempt and reports whether it is allowed. An attempt with the right password is
// taken off the count afterwards.
func (a *attempts) begin(key string, now time.Time) (end func(right bool), ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.since) >= attemptMinute {
		a.counts, a.since = make(map[string]int), now
	}
	n, known := a.counts[key]
	if n >= maxAttempts || !known && len(a.counts) >= maxAddresses {
		return nil, false
	}
	a.counts[key]++
	since := a.since
	return func(right bool) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if right && a.since.Equal(since) {
			a.counts[key]--
		}
	}, true
}
