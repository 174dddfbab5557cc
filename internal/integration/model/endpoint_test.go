package model

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/msgdelivery/delivery"
	"pgregory.net/rapid"
)

// behaviour is how the endpoint takes what it is told.
type behaviour struct {
	name     string
	fails    error        // the endpoint fails
	refuses  func() error // what it says of an event of the victim; it may panic
	attempts int          // that it takes until such an event is dead
}

var errEndpoint = errors.New("no endpoint there")

var (
	accepting  = behaviour{name: "accepts"}
	behaviours = []behaviour{
		accepting,
		{name: "fails", fails: errEndpoint},
		{name: "refuses", refuses: func() error { return errors.New("not this one") }, attempts: 3},
		{name: "refuses for good", refuses: func() error { return delivery.Permanent(errors.New("never this one")) }, attempts: 1},
		{name: "panics", refuses: func() error { panic("what is this?") }, attempts: 3},
	}
)

// endpoint is a notifier that remembers what it was told.
type endpoint struct {
	behaviour
	victim            string           // the conversation whose events it does not take
	accepted, refused []delivery.Event // the latter once each
}

// Notify implements [delivery.Notifier].
func (e *endpoint) Notify(_ context.Context, events []delivery.Event) error {
	if e.fails != nil {
		return e.fails
	}
	refused := map[int]error{}
	for i, event := range events {
		if e.refuses == nil || event.Conversation != e.victim {
			continue
		}
		if again := func(r delivery.Event) bool { return r.ID == event.ID }; !slices.ContainsFunc(e.refused, again) {
			e.refused = append(e.refused, event)
		}
		refused[i] = e.refuses()
	}
	for i, event := range events {
		if refused[i] == nil {
			e.accepted = append(e.accepted, event)
		}
	}
	return delivery.Refused(refused)
}

// flush publishes what waits. What the endpoint is told must be each change since the last time,
// once.
func (m *machine) flush(how behaviour) {
	m.Helper()
	*m.endpoint = endpoint{behaviour: how, victim: m.prefix + conversations.Draw(m.T, "victim")}
	waits := len(m.ref.pending)+len(m.ref.replayed) > 0
	err := m.trackers[rapid.IntRange(0, 1).Draw(m.T, "process")].Flush(m.ctx)
	if how.fails != nil && waits {
		m.sameError("Flush", err, how.fails)
		m.backlog()
		return
	}
	m.sameError("Flush", err, nil)
	for _, event := range slices.Concat(m.endpoint.accepted, m.endpoint.refused) {
		m.told(event)
	}
	if len(m.ref.pending)+len(m.ref.replayed) > 0 {
		m.Fatalf("Flush did not tell of %v and %v", m.ref.pending, m.ref.replayed)
	}
	for _, event := range m.endpoint.refused {
		m.ref.dead[place{event.Conversation, event.From}] = m.event(event)
	}
	m.backlog()
	m.deadLetters(how.attempts)
}

// told takes what an event says off what is to be told.
func (m *machine) told(event delivery.Event) {
	m.Helper()
	event = m.event(event)
	first := place{event.Conversation, event.From}
	if want, ok := m.ref.replayed[first]; ok {
		m.same("the replayed event", event, want)
		delete(m.ref.replayed, first)
		return
	}
	for i, update := range event.Updates {
		at := place{event.Conversation, event.From + int64(i)}
		want, ok := m.ref.pending[at]
		if !ok {
			m.Fatalf("there is nothing to tell of %v, but an event does: %s", at, text(event))
		}
		m.same("the event", change{event.Kind, event.Except, update}, want)
		delete(m.ref.pending, at)
	}
	if event.To-event.From+1 != int64(len(event.Updates)) {
		m.Fatalf("the event does not have one update for each of its versions: %s", text(event))
	}
}

// backlog compares the counts. How many events tell of what is pending is the library's to choose.
func (m *machine) backlog() {
	m.Helper()
	got, err := m.tracker().Backlog(m.ctx)
	m.sameError("Backlog", err, nil)
	least, most := len(m.ref.replayed), len(m.ref.replayed)+len(m.ref.pending)
	if most > least {
		least++
	}
	if got.Waiting < least || got.Waiting > most || got.Waiting == 0 && got.Oldest != 0 || got.Dead != len(m.ref.dead) {
		m.Fatalf("Backlog says %+v, want %d to %d waiting and %d dead", got, least, most, len(m.ref.dead))
	}
}

// deadLetters compares the dead letters, read page by page. Those that are new took so many
// attempts.
func (m *machine) deadLetters(attempts int) {
	m.Helper()
	got := map[place]delivery.Event{}
	for after := int64(0); ; {
		page, err := m.tracker().DeadLetters(m.ctx, delivery.DeadQuery{After: after, Limit: 2})
		m.sameError("DeadLetters", err, nil)
		for _, d := range page {
			if d.Event.ID <= after || d.Reason == "" {
				m.Fatalf("after the dead letter %d comes %+v", after, d)
			}
			after = d.Event.ID
			isNew := slices.ContainsFunc(m.endpoint.refused, func(e delivery.Event) bool { return e.ID == after })
			if isNew && d.Attempts != attempts {
				m.Fatalf("%+v took %d attempts, want %d", d, d.Attempts, attempts)
			}
			got[place{d.Event.Conversation, d.Event.From}] = m.event(d.Event)
		}
		if len(page) < 2 {
			break
		}
	}
	m.same("DeadLetters", got, m.ref.dead)
}

// draw takes some of the dead letters, and perhaps an id that is none.
func (m *machine) draw() (places []place, ids []int64, err error) {
	all := slices.SortedFunc(maps.Keys(m.ref.dead), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.conversation, b.conversation), cmp.Compare(a.version, b.version))
	})
	for _, p := range all {
		if rapid.Bool().Draw(m.T, "this one") {
			places, ids = append(places, p), append(ids, m.ref.dead[p].ID)
		}
	}
	if rapid.IntRange(0, 3).Draw(m.T, "none") == 0 {
		ids, err = append(ids, 1<<60), delivery.ErrNotFound
	}
	return places, ids, err
}

func (m *machine) replay() {
	m.Helper()
	places, ids, want := m.draw()
	err := m.tracker().Replay(m.ctx, ids...)
	m.sameError("Replay", err, want)
	for _, p := range places {
		if event := m.ref.refresh(m.ref.dead[p]); len(event.Updates) > 0 {
			m.ref.replayed[p] = event
		}
		delete(m.ref.dead, p)
	}
	m.backlog()
}

func (m *machine) discard() {
	m.Helper()
	places, ids, want := m.draw()
	err := m.tracker().Discard(m.ctx, ids...)
	m.sameError("Discard", err, want)
	for _, p := range places {
		delete(m.ref.dead, p)
	}
	m.backlog()
}
