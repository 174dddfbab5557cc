package sseadapter

import (
	"cmp"
	"slices"
	"time"
)

// patience is how long a stream waits for an event that another one overtook, before it reads the
// changes.
const patience = time.Second

// maxSpans is how many ranges beyond a gap a reach remembers. More are told like the others, and
// once more when the gap is closed by a read.
const maxSpans = 32

// reach is how far a stream has told a conversation: every version up to `to`, and some ranges
// after a gap.
type reach struct {
	to      int64
	beyond  []span    // sorted and apart, each after to+1
	stalled time.Time // since when there has been a gap after to; zero if there is none
}

type span struct{ from, to int64 }

// add takes down that a range of versions was told.
func (r *reach) add(from, to int64, now time.Time) {
	before := r.to
	if from <= r.to+1 {
		r.to = max(r.to, to)
	} else if len(r.beyond) < maxSpans {
		i, _ := slices.BinarySearchFunc(r.beyond, from, func(s span, from int64) int { return cmp.Compare(s.from, from) })
		r.beyond = slices.Insert(r.beyond, i, span{from, to})
	}
	for len(r.beyond) > 0 && r.beyond[0].from <= r.to+1 {
		r.to = max(r.to, r.beyond[0].to)
		r.beyond = slices.Delete(r.beyond, 0, 1)
	}
	switch {
	case len(r.beyond) == 0:
		r.stalled = time.Time{}
	case r.to > before || r.stalled.IsZero():
		r.stalled = now
	}
}

// overdue reports whether an event has been missing for too long.
func (r *reach) overdue(now time.Time) bool {
	return !r.stalled.IsZero() && now.Sub(r.stalled) >= patience
}

// wait begins the patience anew.
func (r *reach) wait(now time.Time) {
	if !r.stalled.IsZero() {
		r.stalled = now
	}
}
