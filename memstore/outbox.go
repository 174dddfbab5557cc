package memstore

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// outbox holds the events of a shard that were committed and not accepted yet, and its dead letters. Its
// times are those of the store's clock.
type outbox struct {
	waiting  []waiting             // by id
	gone     int                   // how many of them are not there any more
	fresh    int                   // before this index all of them are in the schedule or gone
	schedule schedule              // those that were claimed or requeued, by when they are due
	dead     []delivery.DeadLetter // by id
	spare    []*entry              // some that are done, for new ones
}

// waiting is an entry and its id. Ids grow, so that a new one goes to the end; one that is done stays
// behind without its entry, until half of all are such.
type waiting struct {
	id    int64
	entry *entry
}

// entry is one waiting event. What it tells stays the same as long as it waits; then the entry may serve another.
type entry struct {
	id        int64
	news      news
	committed time.Duration
	ready     time.Duration // when it is due; under a lease, when that ends
	lease     int64         // the holder's token, 0 if nobody holds it
	scheduled int           // index in the schedule, or unscheduled
	attempts  int32
	requeued  bool // it was a dead letter, and committed again then
}

// unscheduled is an entry that nobody has claimed yet. Such entries are due since they were committed, in order
// of their ids, and need no schedule.
const unscheduled = -1

// maxSpare is how many entries are kept for new ones: most events are done soon.
const maxSpare = 8

// add adds an event that was just committed. Under a lease, it returns the claim of it.
func (o *outbox) add(id int64, news news, lease delivery.Lease, now time.Duration) delivery.Claimed {
	var e *entry
	if last := len(o.spare) - 1; last >= 0 {
		e, o.spare = o.spare[last], o.spare[:last]
	} else {
		e = new(entry)
	}
	*e = entry{id: id, news: news, committed: now, ready: now, scheduled: unscheduled}
	o.waiting = append(o.waiting, waiting{id, e})
	if lease.Token == 0 {
		return delivery.Claimed{}
	}
	o.hold(e, lease, now)
	return e.claimed()
}

// requeue adds an event that was a dead letter.
func (o *outbox) requeue(e *entry) {
	at, _ := o.search(e.id)
	o.waiting = slices.Insert(o.waiting, at, waiting{e.id, e})
	heap.Push(&o.schedule, e)
}

func (o *outbox) remove(e *entry) {
	at, _ := o.search(e.id)
	o.waiting[at].entry = nil
	if o.gone++; o.gone > len(o.waiting)/2+8 {
		o.waiting = slices.DeleteFunc(o.waiting, func(w waiting) bool { return w.entry == nil })
		o.gone, o.fresh = 0, 0
	}
	heap.Remove(&o.schedule, e.scheduled)
	if len(o.spare) < maxSpare {
		e.news = news{} // holds nothing back
		o.spare = append(o.spare, e)
	}
}

// search returns the index of the first waiting event whose id is at least this one.
func (o *outbox) search(id int64) (int, bool) {
	return slices.BinarySearchFunc(o.waiting, id, func(w waiting, id int64) int { return cmp.Compare(w.id, id) })
}

// find returns the waiting event with this id, nil if there is none.
func (o *outbox) find(id int64) *entry {
	if at, found := o.search(id); found {
		return o.waiting[at].entry
	}
	return nil
}

// oldest returns the age of the event that was committed first, 0 if there is none. Ids tell the order but
// for those that were requeued, which came after what stands before them and was not.
func (o *outbox) oldest(now time.Duration) (age time.Duration) {
	for _, w := range o.waiting {
		if w.entry == nil {
			continue
		}
		age = max(age, now-w.entry.committed)
		if !w.entry.requeued {
			break
		}
	}
	return age
}

// hold puts an entry under a lease.
func (o *outbox) hold(e *entry, lease delivery.Lease, now time.Duration) {
	e.lease, e.ready = lease.Token, now+lease.For
	e.attempts++
	if e.scheduled == unscheduled {
		heap.Push(&o.schedule, e)
	} else {
		heap.Fix(&o.schedule, e.scheduled)
	}
}

func (e *entry) before(other *entry) bool {
	return e.ready < other.ready || e.ready == other.ready && e.id < other.id
}

func (e *entry) claimed() delivery.Claimed {
	return delivery.Claimed{Event: e.news.event(e.id), Lease: e.lease, Attempts: int(e.attempts)}
}

// next returns the entry that is due next, nil if there is none.
func (o *outbox) next() (next *entry) {
	for ; o.fresh < len(o.waiting); o.fresh++ {
		if e := o.waiting[o.fresh].entry; e != nil && e.scheduled == unscheduled {
			next = e
			break
		}
	}
	if len(o.schedule) > 0 && (next == nil || o.schedule[0].before(next)) {
		next = o.schedule[0]
	}
	return next
}

// claim claims the event that is due longest, if one is due.
func (o *outbox) claim(lease delivery.Lease, now time.Duration) (claimed delivery.Claimed, ok bool) {
	e := o.next()
	if e == nil || e.ready > now {
		return delivery.Claimed{}, false
	}
	o.hold(e, lease, now)
	return e.claimed(), true
}

// settle applies one settlement and reports whether its event was there to settle.
func (o *outbox) settle(s *delivery.Settlement, now time.Duration) bool {
	if s.Outcome == delivery.Requeue || s.Outcome == delivery.Discard {
		return o.exhume(s, now)
	}
	e := o.find(s.ID)
	if e == nil || s.Lease == 0 || e.lease != s.Lease {
		return false
	}
	switch s.Outcome {
	case delivery.Done:
		o.remove(e)
	case delivery.Bury:
		at, _ := o.searchDead(s.ID)
		o.dead = slices.Insert(o.dead, at, delivery.DeadLetter{
			Event: e.news.event(s.ID), Attempts: int(e.attempts), Reason: s.Reason, At: precise(time.Now()),
		})
		o.remove(e)
	case delivery.Release:
		e.attempts--
		fallthrough
	case delivery.Retry:
		e.lease, e.ready = 0, now+s.After
		heap.Fix(&o.schedule, e.scheduled)
	}
	return true
}

// exhume ends a dead letter: it is requeued or discarded.
func (o *outbox) exhume(s *delivery.Settlement, now time.Duration) bool {
	at, found := o.searchDead(s.ID)
	if !found {
		return false
	}
	o.dead = slices.Delete(o.dead, at, at+1)
	if s.Outcome == delivery.Requeue {
		event := clone.Event(s.Event)
		o.requeue(&entry{id: s.ID, news: news{whole: &event}, committed: now, ready: now, requeued: true})
	}
	return true
}

func (o *outbox) searchDead(id int64) (int, bool) {
	return slices.BinarySearchFunc(o.dead, id, func(d delivery.DeadLetter, id int64) int { return cmp.Compare(d.Event.ID, id) })
}

// deadAfter appends up to limit dead letters with ids greater than after.
func (o *outbox) deadAfter(letters []delivery.DeadLetter, after int64, limit int) []delivery.DeadLetter {
	at, found := o.searchDead(after)
	if found {
		at++
	}
	for _, letter := range o.dead[at:min(at+limit, len(o.dead))] {
		letter.Event = clone.Event(letter.Event)
		letters = append(letters, letter)
	}
	return letters
}

// schedule is a [heap.Interface] of entries, those due longest first.
type schedule []*entry

func (s schedule) Len() int { return len(s) }

func (s schedule) Less(i, j int) bool { return s[i].before(s[j]) }

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
