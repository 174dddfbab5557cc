package memstore

import (
	"cmp"
	"container/heap"
	"math"
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
	schedule schedule              // those that are, by when they are due
	dead     []delivery.DeadLetter // by id
}

// waiting is an entry and its id. Ids grow, so that a new one goes to the end; one that is done stays
// behind without its entry, until half of all are such.
type waiting struct {
	id    int64
	entry *entry
}

// entry is one waiting event. Its news never change.
type entry struct {
	id        int64
	news      news
	committed time.Duration
	ready     time.Duration // when it is due; under a lease, when that ends
	lease     int64         // the holder's token, 0 if nobody holds it
	scheduled int           // index in the schedule
	attempts  int32
	requeued  bool // it was a dead letter, and committed again then
}

// add adds an event that was just committed. Under a lease, it returns the claim of it.
func (o *outbox) add(id int64, news news, lease delivery.Lease, now time.Duration) delivery.Claimed {
	e := &entry{id: id, news: news, committed: now, ready: now}
	if lease.Token != 0 {
		e.hold(lease, now)
	}
	o.insert(e)
	if lease.Token == 0 {
		return delivery.Claimed{}
	}
	return e.claimed()
}

func (o *outbox) insert(e *entry) {
	at := len(o.waiting)
	if at > 0 && o.waiting[at-1].id >= e.id { // it was a dead letter
		at, _ = o.search(e.id)
	}
	o.waiting = slices.Insert(o.waiting, at, waiting{e.id, e})
	heap.Push(&o.schedule, e)
}

func (o *outbox) remove(e *entry) {
	at, _ := o.search(e.id)
	o.waiting[at].entry = nil
	if o.gone++; o.gone > len(o.waiting)/2+8 {
		o.waiting = slices.DeleteFunc(o.waiting, func(w waiting) bool { return w.entry == nil })
		o.gone = 0
	}
	heap.Remove(&o.schedule, e.scheduled)
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

// hold puts the entry under a lease. Whoever calls it sees to the schedule.
func (e *entry) hold(lease delivery.Lease, now time.Duration) {
	e.lease, e.ready = lease.Token, now+lease.For
	e.attempts++
}

func (e *entry) claimed() delivery.Claimed {
	return delivery.Claimed{Event: e.news.event(e.id), Lease: e.lease, Attempts: int(e.attempts)}
}

// next returns when the next event is due, and its id.
func (o *outbox) next() (due time.Duration, id int64) {
	if len(o.schedule) == 0 {
		return math.MaxInt64, math.MaxInt64
	}
	return o.schedule[0].ready, o.schedule[0].id
}

// claim claims the event that is due longest, if one is due.
func (o *outbox) claim(lease delivery.Lease, now time.Duration) (claimed delivery.Claimed, ok bool) {
	if due, _ := o.next(); due > now {
		return delivery.Claimed{}, false
	}
	e := o.schedule[0]
	e.hold(lease, now)
	heap.Fix(&o.schedule, 0)
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
		o.remove(e)
		at, _ := o.searchDead(s.ID)
		o.dead = slices.Insert(o.dead, at, delivery.DeadLetter{
			Event: e.news.event(s.ID), Attempts: int(e.attempts), Reason: s.Reason, At: precise(time.Now()),
		})
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
		o.insert(&entry{id: s.ID, news: news{whole: &event}, committed: now, ready: now, requeued: true})
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

func (s schedule) Less(i, j int) bool {
	return s[i].ready < s[j].ready || s[i].ready == s[j].ready && s[i].id < s[j].id
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
