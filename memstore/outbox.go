package memstore

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// outbox holds the events that were committed and not accepted yet, and the dead letters.
type outbox struct {
	body    func(conversation, message string) string // "" once the message is gone
	last    int64                                     // id that was given
	waiting map[int64]*entry
	dead    map[int64]delivery.DeadLetter
}

// entry is one waiting event.
type entry struct {
	event     delivery.Event
	committed time.Time
	ready     time.Time // when it is due; under a lease, when that ends
	lease     int64     // the holder's token, 0 if nobody holds it
	attempts  int
}

func newOutbox(body func(conversation, message string) string) outbox {
	return outbox{body: body, waiting: map[int64]*entry{}, dead: map[int64]delivery.DeadLetter{}}
}

// add adds events that were just committed. Under a lease, it returns the claims of them.
func (o *outbox) add(events []delivery.Event, lease delivery.Lease) (claimed []delivery.Claimed) {
	now := time.Now()
	for _, event := range events {
		o.last++
		event.ID = o.last
		e := &entry{event: event, committed: now, ready: now}
		o.waiting[event.ID] = e
		if lease.Token != 0 {
			claimed = append(claimed, o.put(e, lease, now))
		}
	}
	return claimed
}

// show returns a copy of an event, in which a body is what the message has now.
func (o *outbox) show(event delivery.Event) delivery.Event {
	event = clone.Event(event)
	for i := range event.Updates {
		if u := &event.Updates[i]; u.Body != "" {
			u.Body = o.body(event.Conversation, u.Message)
		}
	}
	return event
}

// put puts an entry under a lease.
func (o *outbox) put(e *entry, lease delivery.Lease, now time.Time) delivery.Claimed {
	e.lease, e.ready = lease.Token, now.Add(lease.For)
	e.attempts++
	return delivery.Claimed{Event: o.show(e.event), Lease: e.lease, Attempts: e.attempts}
}

// claim claims the events that are due longest.
func (o *outbox) claim(limit int, lease delivery.Lease) (claimed []delivery.Claimed) {
	now := time.Now()
	var due []*entry
	for _, e := range o.waiting {
		if !e.ready.After(now) {
			due = append(due, e)
		}
	}
	slices.SortFunc(due, func(a, b *entry) int { return cmp.Or(a.ready.Compare(b.ready), cmp.Compare(a.event.ID, b.event.ID)) })
	for _, e := range due[:min(max(limit, 0), len(due))] {
		claimed = append(claimed, o.put(e, lease, now))
	}
	return claimed
}

// erase takes a user's name out of all events. Those for the user alone are dropped.
func (o *outbox) erase(user string) {
	blank := func(e delivery.Event) (gone bool) {
		for i := range e.Updates {
			u := &e.Updates[i]
			if u.Sender == user {
				u.Sender = ""
			}
			if u.Receipt != nil && u.Receipt.Recipient == user {
				u.Receipt.Recipient = ""
			}
		}
		return e.User == user
	}
	maps.DeleteFunc(o.waiting, func(_ int64, e *entry) bool { return blank(e.event) })
	maps.DeleteFunc(o.dead, func(_ int64, letter delivery.DeadLetter) bool { return blank(letter.Event) })
}

// settle applies one settlement and reports whether its event was there to settle.
func (o *outbox) settle(s delivery.Settlement) bool {
	now := time.Now()
	if s.Outcome == delivery.SettleRequeue || s.Outcome == delivery.SettleDiscard {
		_, found := o.dead[s.ID]
		delete(o.dead, s.ID)
		if found && s.Outcome == delivery.SettleRequeue {
			event := clone.Event(s.Event)
			event.ID = s.ID
			o.waiting[s.ID] = &entry{event: event, committed: now, ready: now}
		}
		return found
	}
	e := o.waiting[s.ID]
	if e == nil || s.Lease == 0 || e.lease != s.Lease {
		return false
	}
	switch s.Outcome {
	case delivery.SettleDone:
		delete(o.waiting, s.ID)
	case delivery.SettleBury:
		delete(o.waiting, s.ID)
		o.dead[s.ID] = delivery.DeadLetter{Event: e.event, Attempts: e.attempts, Reason: s.Reason, At: precise(now)}
	case delivery.SettleRelease:
		e.attempts--
		fallthrough
	case delivery.SettleRetry:
		e.lease, e.ready = 0, now.Add(s.After)
	}
	return true
}

// deadAfter returns up to limit dead letters with ids greater than after, in order of id.
func (o *outbox) deadAfter(after int64, limit int) (letters []delivery.DeadLetter) {
	for _, id := range slices.Sorted(maps.Keys(o.dead)) {
		if id > after && len(letters) < limit {
			letter := o.dead[id]
			letter.Event = o.show(letter.Event)
			letters = append(letters, letter)
		}
	}
	return letters
}

// backlog counts the events, and finds the age of the oldest.
func (o *outbox) backlog() delivery.Backlog {
	backlog := delivery.Backlog{Waiting: len(o.waiting), Dead: len(o.dead)}
	for _, e := range o.waiting {
		backlog.Oldest = max(backlog.Oldest, time.Since(e.committed))
	}
	return backlog
}
