package delivery

import (
	"math"
	"sync"
	"time"
)

// window is how many calls of the Notifier may be under way. It follows CUBIC, the congestion
// control of TCP (RFC 9438), with calls in the place of segments:
//
//   - It starts at 10 calls (RFC 6928) and grows by one with each call that is accepted, which
//     doubles it in the time of a call (slow start).
//   - It is cut to 7/10 when more than 2 % of a round of calls have failed, or more than 50 % of
//     them took over twice as long as a call does while the window is small, and 20 ms more.
//   - After a cut it grows by CUBIC's curve: fast at first, slowly where it was cut the last time,
//     and then faster again. So a limit of the endpoint's is touched once in some seconds only.
//   - When the breaker opens it starts over from 4 calls, the least, up to where a cut would be.
//
// It grows only while it is used: in slow start by 1/2, and later in full. Calls that began before
// the last cut are not counted.
type window struct {
	mu    sync.Mutex
	most  float64
	size  float64
	slow  float64       // slow start ends here
	peak  float64       // the size at the last cut
	calls int           // under way
	base  time.Duration // how long a call takes while the window is small
	cut   time.Time     // the last one
	grown time.Time     // the last time

	// Of this round, which ends after about as many calls as the window has.
	answers, failures, late int
	busiest                 int // calls under way, at most
}

const (
	firstWindow  = 10 // calls, and what counts as small
	leastWindow  = 4
	cubicBeta    = 0.7  // what a cut leaves
	cubicC       = 0.4  // calls a second^3
	leastGrowth  = 1.0  // calls a second, at least, that the window grows by
	failureShare = 0.02 // of a round, that is no congestion yet
	lateShare    = 0.5  // likewise
)

func newWindow(most int) window {
	return window{most: float64(most), size: float64(min(firstWindow, most)), slow: math.Inf(1)}
}

// flight is a call that has begun.
type flight struct {
	began time.Time
	calls int // under way at its beginning, itself included
}

// verdict is what a call says of the endpoint.
type verdict uint8

const (
	nothing verdict = iota
	wentWell
	failed
	brokeDown // failed, and the breaker opened
)

// limit returns how many calls may be under way.
func (w *window) limit() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int(w.size)
}

// underWay returns how many calls have begun and not ended.
func (w *window) underWay() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

// free reports whether another call may begin.
func (w *window) free() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls < int(w.size)
}

func (w *window) begin() flight {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	w.busiest = max(w.busiest, w.calls)
	return flight{time.Now(), w.calls}
}

func (w *window) end(f flight, v verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	switch {
	case v == brokeDown && f.began.After(w.cut):
		w.shrink(leastWindow)
		return
	case v == brokeDown: // the same failures had the window cut just now
		w.size, w.cut = min(leastWindow, w.most), time.Now()
		w.round()
		return
	case v == nothing || v == failed && f.calls == 1 || !f.began.After(w.cut):
		return // one that failed alone, as a probe of the breaker's does, was not one too many
	}
	w.answers++
	switch took := time.Since(f.began); v {
	case wentWell:
		w.measure(took)
		w.grow(took)
	case failed:
		w.failures++
	}
	n := float64(w.answers)
	switch {
	case w.answers < max(firstWindow, int(w.size)):
		return
	case float64(w.failures) > failureShare*n, float64(w.late) > lateShare*n:
		w.shrink(cubicBeta * w.size)
	}
	w.round()
}

// round begins a round.
func (w *window) round() {
	w.answers, w.failures, w.late, w.busiest = 0, 0, 0, w.calls
}

// measure counts a call that is late, and keeps the base: the least of what it sees, or a little
// more if all of it is more.
func (w *window) measure(took time.Duration) {
	if took > 2*w.base+patience {
		w.late++
	}
	switch {
	case w.base == 0, took < w.base:
		w.base = took
	case w.size <= firstWindow:
		w.base += (took - w.base) / 16
	}
}

func (w *window) grow(took time.Duration) {
	now := time.Now()
	switch {
	case w.size < w.slow && w.size < 2*float64(w.busiest):
		w.size++
	case w.size >= w.slow && w.busiest >= int(w.size):
		d := w.size - w.peak
		w.size += max(leastGrowth, 3*math.Cbrt(cubicC*d*d)) * min(now.Sub(w.grown), took).Seconds()
	}
	w.size = min(w.size, w.most)
	w.grown = now
}

// shrink cuts the window.
func (w *window) shrink(to float64) {
	w.peak, w.slow, w.cut = w.size, max(cubicBeta*w.size, leastWindow), time.Now()
	w.size = min(max(to, leastWindow), w.most)
	w.round()
}
