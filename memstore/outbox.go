package memstore

import (
	"cmp"
	"container/heap"
	"container/list"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// outbox holds the events that were committed and not accepted yet, and the dead letters.
type outbox struct {
	lastID   int64
	waiting  map[int64]*entry      // by id
	schedule schedule              // the same, by when they are due
	ages     list.List             // the same, by when they were committed: *entry
	dead     []delivery.DeadLetter // by id
}

// entry is one waiting event.
type entry struct {
	event     delivery.Event
	committed time.Time
	ready     time.Time // when it is due; under a lease, when that ends
	lease     int64     // the holder's token, 0 if nobody holds it
	attempts  int
	scheduled int // index in the schedule
	age       *list.Element
}

// birth adds the events of one commit.
type birth struct {
	outbox  *outbox
	lease   delivery.Lease
	now     time.Time
	claimed []delivery.Claimed
}

func (o *outbox) birth(lease delivery.Lease, events int) birth {
	b := birth{outbox: o, lease: lease}
	if events > 0 {
		b.now = time.Now()
	}
	if events > 0 && lease.Token != 0 {
		b.claimed = make([]delivery.Claimed, 0, events)
	}
	return b
}

func (b *birth) add(event delivery.Event) {
	b.outbox.lastID++
	event.ID = b.outbox.lastID
	e := &entry{event: event, committed: b.now, ready: b.now}
	if b.lease.Token != 0 {
		e.hold(b.lease, b.now)
		b.claimed = append(b.claimed, e.claimed())
	}
	b.outbox.insert(e)
}

func (o *outbox) insert(e *entry) {
	o.waiting[e.event.ID] = e
	heap.Push(&o.schedule, e)
	e.age = o.ages.PushBack(e)
}

func (o *outbox) remove(e *entry) {
	delete(o.waiting, e.event.ID)
	heap.Remove(&o.schedule, e.scheduled)
	o.ages.Remove(e.age)
}

// hold puts the entry under a lease. Whoever calls it fixes the schedule.
func (e *entry) hold(lease delivery.Lease, now time.Time) {
	e.lease, e.ready = lease.Token, now.Add(lease.For)
	e.attempts++
}

func (e *entry) claimed() delivery.Claimed {
	return delivery.Claimed{Event: clone.Event(e.event), Lease: e.lease, Attempts: e.attempts}
}

func (o *outbox) claim(limit int, lease delivery.Lease) []delivery.Claimed {
	var due []*entry
	now := time.Now()
	for len(due) < limit && len(o.schedule) > 0 && !o.schedule[0].ready.After(now) {
		due = append(due, heap.Pop(&o.schedule).(*entry))
	}
	claimed := make([]delivery.Claimed, len(due))
	for i, e := range due {
		e.hold(lease, now)
		heap.Push(&o.schedule, e)
		claimed[i] = e.claimed()
	}
	return claimed
}

// settle applies one settlement and reports whether its event was there to settle.
func (o *outbox) settle(s *delivery.Settlement, now time.Time) bool {
	if s.Outcome == delivery.Requeue || s.Outcome == delivery.Discard {
		return o.exhume(s, now)
	}
	e := o.waiting[s.ID]
	if e == nil || s.Lease == 0 || e.lease != s.Lease {
		return false
	}
	switch s.Outcome {
	case delivery.Done:
		o.remove(e)
	case delivery.Bury:
		o.remove(e)
		at, _ := o.searchDead(s.ID)
		o.dead = slices.Insert(o.dead, at, delivery.DeadLetter{
			Event: e.event, Attempts: e.attempts, Reason: s.Reason, At: precise(now),
		})
	case delivery.Release:
		e.attempts--
		fallthrough
	case delivery.Retry:
		e.lease, e.ready = 0, now.Add(s.After)
		heap.Fix(&o.schedule, e.scheduled)
	}
	return true
}

// exhume ends a dead letter: it is requeued or discarded.
func (o *outbox) exhume(s *delivery.Settlement, now time.Time) bool {
	at, found := o.searchDead(s.ID)
	if !found {
		return false
	}
	o.dead = slices.Delete(o.dead, at, at+1)
	if s.Outcome == delivery.Requeue {
		event := clone.Event(s.Event)
		event.ID = s.ID
		o.insert(&entry{event: event, committed: now, ready: now})
	}
	return true
}

func (o *outbox) searchDead(id int64) (int, bool) {
	return slices.BinarySearchFunc(o.dead, id, func(d delivery.DeadLetter, id int64) int { return cmp.Compare(d.Event.ID, id) })
}

func (o *outbox) deadAfter(after int64, limit int) []delivery.DeadLetter {
	at, found := o.searchDead(after)
	if found {
		at++
	}
	letters := slices.Clone(o.dead[at:min(at+limit, len(o.dead))])
	for i := range letters {
		letters[i].Event = clone.Event(letters[i].Event)
	}
	return letters
}

func (o *outbox) backlog(now time.Time) delivery.Backlog {
	b := delivery.Backlog{Waiting: len(o.waiting), Dead: len(o.dead)}
	if oldest := o.ages.Front(); oldest != nil {
		b.Oldest = now.Sub(oldest.Value.(*entry).committed)
	}
	return b
}

// schedule is a [heap.Interface] of entries, those due longest first.
type schedule []*entry

func (s schedule) Len() int { return len(s) }

func (s schedule) Less(i, j int) bool {
	if !s[i].ready.Equal(s[j].ready) {
		return s[i].ready.Before(s[j].ready)
	}
	return s[i].event.ID < s[j].event.ID
}

func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].scheduled, s[j].scheduled = i, j
}

func (s *schedule) Push(e any) {
	e.(*entry).scheduled = len(*s)
	*s = append(*s, e.(*entry))
}

func (s *schedule) Pop() any {
	last := len(*s) - 1
	e := (*s)[last]
	(*s)[last] = nil
	*s = (*s)[:last]
	return e
}
