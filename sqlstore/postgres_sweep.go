package sqlstore

import (
	"sync"
	"time"
)

// sweep says how far back claims look. Once one has left nothing, those after it look at what fell
// due since, and a while before: a transaction may commit after what it sent fell due. An event
// that came later still, or that a failed claimer left, is found when somebody asks for a look at
// everything, or it is time for one.
type sweep struct {
	mu    sync.Mutex
	swept time.Time // when one began that looked at everything and left nothing
	clear time.Time // when the latest began that left nothing of what it looked at
	asked time.Time // when somebody asked for a look at everything
}

const (
	sweepInterval = 30 * time.Second // as long as leases last by default
	lateCommits   = 10 * time.Second // after what they wrote, which is longer than a transaction should take
	everything    = 100 * 365 * 24 * time.Hour
)

// since returns how long ago what a claim looks for may have fallen due.
func (s *sweep) since(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) >= sweepInterval || s.swept.Before(s.asked) {
		return everything
	}
	return now.Sub(s.clear) + lateCommits
}

// ask makes claims look at everything, until one has left nothing.
func (s *sweep) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
}

// leftNothing notes a claim that left nothing of what it looked at.
func (s *sweep) leftNothing(began time.Time, since time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if began.After(s.clear) {
		s.clear = began
	}
	if since == everything && began.After(s.swept) {
		s.swept = began
	}
}
