package delivery

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// Sends share a common lane, and marks do. Batches that are written at the same time have no
// conversation in common, or they would block each other's; a mark of a message that is not known
// counts to where its user marked last. What comes back as blocked is tried again, now that its
// conversation is known. A conversation that is blocked for longer, by someone's transaction, is
// tried again from time to time in a lane of its own, so that it delays nobody else's.

const (
	common   = "" // lane, and no conversation's id
	maxTries = 3  // of a mark in the common lane: two batches seldom block it, a transaction does

	minPause, maxPause = 5 * time.Millisecond, 100 * time.Millisecond // between tries after that
)

// route is the way of one mark.
type route struct {
	lane         string
	conversation string // as far as known; "" if it does not matter
	tries        int
}

// spread writes marks with those of other callers.
func (m *marking) spread(ctx context.Context, marks []Mark) ([]marked, error) {
	outs, routes, todo := make([]marked, len(marks)), make([]route, len(marks)), make([]int, len(marks))
	for i := range marks {
		if m.t.marks.Writers > 1 {
			routes[i].conversation = m.t.whereabouts(marks[i])
		}
		todo[i] = i
	}
	for len(todo) > 0 {
		m.batch(ctx, marks, outs, routes, todo)
		pause := time.Duration(0)
		todo, pause = m.blocked(outs, routes)
		if err := rest(ctx, pause); err != nil {
			for _, i := range todo {
				outs[i] = marked{err: err}
			}
			break
		}
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

// blocked finds the marks that came back blocked, and gives them their next way, and how long to
// wait before.
func (m *marking) blocked(outs []marked, routes []route) (at []int, pause time.Duration) {
	for i, out := range outs {
		if out.err != nil || !out.Blocked {
			continue
		}
		r := &routes[i]
		r.conversation = out.Header.Conversation
		if r.tries++; r.tries >= maxTries {
			r.lane = r.conversation
			pause = max(pause, pauseOf(r.tries-maxTries))
		}
		at = append(at, i)
	}
	return at, pause
}

// pauseOf returns how long to wait for a blocked conversation after so many pauses.
func pauseOf(pauses int) time.Duration { return min(minPause<<min(pauses, 8), maxPause) }

// rest waits, unless ctx ends before.
func rest(ctx context.Context, pause time.Duration) error {
	if pause == 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
