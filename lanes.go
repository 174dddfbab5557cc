package delivery

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// Sends are written in a few common lanes, and marks in as many, each with one batch under way at a time. A
// batch has a price of its own, so while they are few they all go in the first lane. In a crowd each goes in the
// lane of its conversation, so that batches don't hold each other's conversations; a mark of a message that is
// not known goes where its user marked last. What comes back as held is tried again, in the lane where it
// belongs. A conversation that is held for longer, by someone's transaction, is waited for in a lane of its
// own, so that it delays nobody else's.

const (
	crowd    = 32 // more than that at a time are one, until they are half as many: it should not change all the time
	maxTries = 3  // of a mark in common lanes: two batches seldom hold it, a transaction does
)

// lanes are the common lanes of a group.
type lanes struct {
	names   []string // which are no conversations' ids
	pending func(lanes []string) int
	crowded atomic.Bool
}

func (l *lanes) init(n int, pending func(lanes []string) int) {
	l.pending = pending
	for i := range max(n, 1) {
		l.names = append(l.names, strings.Repeat("\x00", i))
	}
}

// several reports whether there is a choice.
func (l *lanes) several() bool { return len(l.names) > 1 }

// crowd reports whether so many that come now, in their group's weights, are or join a crowd.
func (l *lanes) crowd(n int) bool {
	if !l.several() {
		return false
	}
	switch n += l.pending(l.names); {
	case n > crowd:
		l.crowded.Store(true)
	case n <= crowd/2:
		l.crowded.Store(false)
	}
	return l.crowded.Load()
}

// first is the lane of the few.
func (l *lanes) first() string { return l.names[0] }

// of returns the lane where a conversation belongs.
func (l *lanes) of(conversation string) string {
	return l.names[maphash.String(laneSeed, conversation)%uint64(len(l.names))]
}

// laneSeed spreads conversations over lanes.
var laneSeed = maphash.MakeSeed()

// route is the way of one mark.
type route struct {
	lane  string
	tries int
}

// spread writes marks in their lanes, with those of other callers.
func (m *marking) spread(ctx context.Context, marks []Mark) ([]marked, error) {
	marks = slices.Clone(marks) // the way of this attempt is noted in them
	outs, routes, todo := make([]marked, len(marks)), make([]route, len(marks)), make([]int, len(marks))
	lanes := &m.t.markLanes
	crowded := lanes.crowd(len(marks))
	for i := range marks {
		if routes[i].lane = lanes.first(); crowded {
			routes[i].lane = lanes.of(m.t.whereabouts(marks[i]))
		}
		todo[i] = i
	}
	for len(todo) > 0 {
		m.batch(ctx, marks, outs, routes, todo)
		todo = m.held(marks, outs, routes)
	}
	err := outs[0].err
	for _, out := range outs {
		switch {
		case out.err == nil:
			return outs, nil
		case errors.Is(out.err, coalesce.ErrUnknown) || errors.Is(out.err, ErrOutcomeUnknown):
			err = out.err
		}
	}
	return nil, err
}

// whereabouts returns the mark's conversation, or what is the best guess.
func (t *Tracker) whereabouts(m Mark) string {
	if h, known := t.headers.get(m.Message); known {
		return h.Conversation
	}
	if last, known := t.places.get(m.User); known {
		return last
	}
	return m.User
}

// batch has the marks at these indexes written, in all their lanes at the same time.
func (m *marking) batch(ctx context.Context, marks []Mark, outs []marked, routes []route, at []int) {
	write := func(at []int) {
		results, err := m.t.marks.Do(ctx, routes[at[0]].lane, pick(marks, at)...)
		for k, i := range at {
			if err != nil {
				outs[i] = marked{err: err}
			} else {
				outs[i] = results[k]
			}
		}
	}
	var wg sync.WaitGroup
	slices.SortStableFunc(at, func(i, j int) int { return strings.Compare(routes[i].lane, routes[j].lane) })
	for len(at) > 0 {
		n := 1
		for n < len(at) && routes[at[n]].lane == routes[at[0]].lane {
			n++
		}
		one, rest := at[:n], at[n:]
		if len(rest) > 0 {
			wg.Go(func() { write(one) })
		} else {
			write(one)
		}
		at = rest
	}
	wg.Wait()
}

// held finds the marks that were held back, and gives them their next way.
func (m *marking) held(marks []Mark, outs []marked, routes []route) (at []int) {
	for i, out := range outs {
		if !out.Held || !marks[i].NoWait {
			continue
		}
		r, conversation := &routes[i], out.Header.Conversation
		if r.tries++; r.tries < maxTries {
			r.lane = m.t.markLanes.of(conversation)
		} else {
			r.lane, marks[i].NoWait = conversation, false
		}
		at = append(at, i)
	}
	return at
}
