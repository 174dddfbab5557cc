package delivery

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// Sends are written in a few common lanes, and marks in as many, each with one batch under way at a time. A
// batch has a price of its own, so all go in the first lane until enough wait there for a batch that is worth
// its price; the others take what is more. What is of one conversation shares a lane then, so that batches
// don't hold each other's conversations, but for marks whose conversation is not known, which go by their
// message. What comes back as held is tried again, where it belongs. A conversation that is held for longer,
// by someone's transaction, is waited for in a lane of its own, so that it delays nobody else's.

const (
	crowd    = 10 // items that wait in the first lane before others are used
	maxTries = 3  // of a mark in common lanes: two batches seldom hold it, a transaction does
)

// route is the way of one mark.
type route struct {
	lane  string
	tries int
}

// laneSeed spreads keys over lanes.
var laneSeed = maphash.MakeSeed()

// home returns the common lane where what has this key belongs.
func (t *Tracker) home(key string) string {
	return t.lanes[maphash.String(laneSeed, key)%uint64(len(t.lanes))]
}

// lane returns the common lane that one of so many items, which have come together, is to take now.
func (t *Tracker) lane(waiting func(lane string) int, items int, key string) string {
	first, home := t.lanes[0], t.home(key)
	if home != first && waiting(first)+items <= crowd {
		return first
	}
	return home
}

// spread writes marks in their lanes, with those of other callers.
func (m *marking) spread(ctx context.Context, marks []Mark) ([]marked, error) {
	marks = slices.Clone(marks) // the way of this attempt is noted in them
	outs, routes, todo := make([]marked, len(marks)), make([]route, len(marks)), make([]int, len(marks))
	for i := range marks {
		key := marks[i].Message
		if h, known := m.t.headers.get(key); known {
			key = h.Conversation
		}
		routes[i].lane = m.t.lane(m.t.marks.Waiting, len(marks), key)
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
			r.lane = m.t.home(conversation)
		} else {
			r.lane, marks[i].NoWait = conversation, false
		}
		at = append(at, i)
	}
	return at
}
