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
//   - It is cut to 7/10 when more than 2 % of a round of calls have failed, or the fastest of them
//     took more than twice as long as a call does while few are under way, and 20 ms more.
//   - After a cut it grows by CUBIC's curve: fast at first, slowly where it was cut the last time,
//     and then faster again. So a limit of the endpoint's is touched once in some seconds only.
//   - When the breaker opens it starts over from 4 calls, the least, up to where a cut would be.
//
// It grows only while it is full. What a call says that began before the last cut is not counted.
type window struct {
	mu    sync.Mutex
	most  float64
	size  float64
	slow  float64       // slow start ends here
	peak  float64       // the size at the last cut
	calls int           // under way
	base  time.Duration // how long a call takes while few are under way
	cut   time.Time     // the last one
	grown time.Time     // the last time

	// Of this round, which ends after about as many calls as the window has.
	answers, failures int
	fastest           time.Duration
}

const (
	firstWindow  = 10 // calls, and what counts as few
	leastWindow  = 4
	cubicBeta    = 0.7  // what a cut leaves
	cubicC       = 0.4  // calls a second^3
	probing      = 1.0  // calls a second, at least, that the window grows by
	failureShare = 0.02 // of a round, that is no congestion yet
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
)

// limit returns how many calls may be under way.
func (w *window) limit() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int(w.size)
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
	return flight{time.Now(), w.calls}
}

func (w *window) end(f flight, v verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	full := w.calls >= int(w.size)
	w.calls--
	if v == nothing || v == failed && f.calls == 1 || f.began.Before(w.cut) {
		return // one that failed alone, as a probe of the breaker's does, was not one too many
	}
	took := time.Since(f.began)
	if w.answers == 0 || took < w.fastest {
		w.fastest = took
	}
	w.answers++
	if v == failed {
		w.failures++
	} else {
		w.measure(f, took)
		if full {
			w.grow(took)
		}
	}
	if w.answers < max(firstWindow, int(w.size)) {
		return
	}
	if float64(w.failures) > failureShare*float64(w.answers) || w.fastest > 2*w.base+patience {
		w.shrink(cubicBeta * w.size)
	}
	w.answers, w.failures = 0, 0
}

// measure keeps the base: the least of what it sees, or a little more if all of it is more.
func (w *window) measure(f flight, took time.Duration) {
	switch {
	case w.base == 0 || took < w.base:
		w.base = took
	case f.calls <= firstWindow:
		w.base += (took - w.base) / 16
	}
}

func (w *window) grow(took time.Duration) {
	now := time.Now()
	if w.size < w.slow {
		w.size++
	} else {
		d := w.size - w.peak
		w.size += max(probing, 3*math.Cbrt(cubicC*d*d)) * min(now.Sub(w.grown), took).Seconds()
	}
	w.size = min(w.size, w.most)
	w.grown = now
}

// shrink cuts the window.
func (w *window) shrink(to float64) {
	w.peak, w.slow, w.cut = w.size, max(cubicBeta*w.size, leastWindow), time.Now()
	w.size = min(max(to, leastWindow), w.most)
	w.answers, w.failures = 0, 0
}

// restart is for when the breaker has opened.
func (w *window) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shrink(leastWindow)
}
