package delivery

import (
	"cmp"
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
)

// Marks are written in a few common lanes, each with one batch under way at a time. The marks of one
// conversation share a lane, so that batches don't hold each other's conversations; where a mark's
// conversation is not known, its message chooses the lane. A conversation that someone's transaction
// holds is waited for in a lane of its own, so that it delays nobody else's marks.

// route is the way of one mark.
type route struct {
	lane  string
	known bool // the lane is that of the conversation
}

// laneSeed spreads keys over lanes.
var laneSeed = maphash.MakeSeed()

// lane returns the name of one of the common lanes, which is no conversation's id.
func (t *Tracker) lane(key string) string {
	return strings.Repeat("\x00", int(maphash.String(laneSeed, key)%uint64(t.lanes)))
}

// spread writes marks in their lanes, with those of other callers.
func (m *marking) spread(ctx context.Context, marks []Mark) ([]marked, error) {
	outs, routes, todo := make([]marked, len(marks)), make([]route, len(marks)), make([]int, len(marks))
	for i := range marks {
		h, known := m.t.headers.get(marks[i].Message)
		routes[i] = route{m.t.lane(cmp.Or(h.Conversation, marks[i].Message)), known}
		todo[i] = i
	}
	for len(todo) > 0 {
		m.batch(ctx, marks, outs, routes, todo)
		todo = m.held(marks, outs, routes)
	}
	for _, out := range outs {
		if out.err == nil {
			return outs, nil
		}
	}
	return nil, outs[0].err
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

// held finds the marks that were held back, perhaps by a batch of our own in another lane, and sends them the
// way that is known now. Those that took it already are to wait, in a lane of their conversation's own.
func (m *marking) held(marks []Mark, outs []marked, routes []route) (at []int) {
	for i, out := range outs {
		if !out.Held || !marks[i].NoWait {
			continue
		}
		if conversation := out.Header.Conversation; routes[i].known {
			routes[i].lane, marks[i].NoWait = conversation, false
		} else {
			routes[i] = route{m.t.lane(conversation), true}
		}
		at = append(at, i)
	}
	return at
}
