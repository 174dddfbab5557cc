package delivery

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// Sends share a common lane, and marks do. Batches that are written at the same time have no
// conversation in common, or they would hold each other's; a mark of a message that is not known
// counts to where its user marked last. What comes back as held is tried again, now that its
// conversation is known. A conversation that is held for longer, by someone's transaction, is
// waited for in a lane of its own, so that it delays nobody else's.

const (
	common   = "" // lane, and no conversation's id
	maxTries = 3  // of a mark in the common lane: two batches seldom hold it, a transaction does
)

// route is the way of one mark.
type route struct {
	lane         string
	conversation string // as far as known; "" if it does not matter
	tries        int
}

// spread writes marks with those of other callers.
func (m *marking) spread(ctx context.Context, marks []Mark) ([]marked, error) {
	marks = slices.Clone(marks) // the way of this attempt is noted in them
	outs, routes, todo := make([]marked, len(marks)), make([]route, len(marks)), make([]int, len(marks))
	for i := range marks {
		if m.t.marks.Writers > 1 {
			routes[i].conversation = m.t.whereabouts(marks[i])
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

// whereabouts returns the mark's conversation, or what is the best guess. A mark that the app's
// rule refused is of none: it changes nothing, and how long it takes is not to tell a stranger what
// goes on there.
func (t *Tracker) whereabouts(m Mark) string {
	switch h, known := t.headers.get(m.Message); {
	case known && h.Open && !m.Admitted:
		return m.User
	case known:
		return h.Conversation
	}
	if last, known := t.places.get(m.User); known {
		return last
	}
	return m.User
}

// batch has the marks at these indexes written: at the same time those of each lane, and if they
// are many, as many parts of them as there are writers.
func (m *marking) batch(ctx context.Context, marks []Mark, outs []marked, routes []route, at []int) {
	slices.SortStableFunc(at, func(i, j int) int {
		return cmp.Or(strings.Compare(routes[i].lane, routes[j].lane), strings.Compare(routes[i].conversation, routes[j].conversation))
	})
	most := len(at)
	if most > coalesce.Crowd {
		most = (most + m.t.marks.Writers - 1) / m.t.marks.Writers
	}
	var wg sync.WaitGroup
	for len(at) > 0 {
		n := 1
		for n < len(at) && routes[at[n]].lane == routes[at[0]].lane && (n < most || routes[at[n]].conversation == routes[at[n-1]].conversation) {
			n++
		}
		part, rest := at[:n], at[n:]
		if len(rest) > 0 {
			wg.Go(func() { m.part(ctx, marks, outs, routes, part) })
		} else {
			m.part(ctx, marks, outs, routes, part)
		}
		at = rest
	}
	wg.Wait()
}

// part has marks of one lane written, which are sorted by conversation.
func (m *marking) part(ctx context.Context, marks []Mark, outs []marked, routes []route, at []int) {
	var few [1]string
	conversations := few[:0]
	for k, i := range at {
		if c := routes[i].conversation; c != "" && (k == 0 || c != conversations[len(conversations)-1]) {
			conversations = append(conversations, c)
		}
	}
	slices.Sort(at)
	results, err := m.t.marks.Do(ctx, routes[at[0]].lane, conversations, pick(marks, at)...)
	for k, i := range at {
		if err != nil {
			outs[i] = marked{err: err}
		} else {
			outs[i] = results[k]
		}
	}
}

// held finds the marks that were held back, and gives them their next way.
func (m *marking) held(marks []Mark, outs []marked, routes []route) (at []int) {
	for i, out := range outs {
		if !out.Held || !marks[i].NoWait {
			continue
		}
		r := &routes[i]
		r.conversation = out.Header.Conversation
		if r.tries++; r.tries == maxTries {
			r.lane, marks[i].NoWait = r.conversation, false
		}
		at = append(at, i)
	}
	return at
}
