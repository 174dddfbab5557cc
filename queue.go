package delivery

import (
	"math"
	"sync"
	"time"
)

// queue holds the events that wait for their publish, while it is open. Those of a conversation
// stand in a line, and the lines take turns, so that none waits for another's backlog.
type queue struct {
	share int // events that a conversation may have waiting however full it is

	mu      sync.Mutex
	open    bool
	lines   map[string]*line
	turns   []*line // those that have events
	events  int
	claimed int // events that were claimed, and not born here
	bytes   int
	arrived chan struct{} // holds a word when events have come
}

// leased is an event that this process may publish.
type leased struct {
	Claimed
	since   time.Time // a moment before the lease began
	claimed bool      // from the outbox, and not from a write of this process
	bytes   int
}

type line struct {
	of     string // the conversation, or the user whose devices are told
	events []leased
}

func newQueue(share int) queue {
	return queue{share: share, lines: map[string]*line{}, arrived: make(chan struct{}, 1)}
}

// set opens or closes the queue.
func (q *queue) set(open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = open
}

func (q *queue) isOpen() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open
}

// admits reports whether a write's events are to be born here: unless very many conversations have
// some. That few have very many is no reason: the write may be of another one.
func (q *queue) admits(goal int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open && len(q.turns) < 2*goal
}

// room returns how many events to claim, 0 if these are too few to be worth a claim. Events of this
// process's own writes don't count: they could keep the events in the outbox waiting forever.
func (q *queue) room(goal int) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	room := goal - q.claimed
	if !q.open || room < goal/4 {
		return 0
	}
	return min(room, MaxBatch)
}

// put adds events and returns those that have no room. A closed queue takes none, an open one every
// event that was claimed. Events of this process's own writes have room up to the goal and a full
// batch, or 3 times that if their conversation has fewer than its share waiting.
func (q *queue) put(events []leased, goal int) (left []leased) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, h := range events {
		of := h.Event.Conversation
		if h.Event.Kind == OwnChanged {
			of = "\x00" + h.Event.User // which is no conversation's id
		}
		l := q.lines[of]
		if l == nil {
			l = &line{of: of}
		}
		n, born, most := len(l.events), q.events-q.claimed, goal+MaxBatch
		if n < q.share {
			most *= 3
		}
		if !q.open || !h.claimed && born >= most {
			left = append(left, h)
			continue
		}
		if n == 0 {
			q.lines[l.of] = l
			q.turns = append(q.turns, l)
		}
		l.events = append(l.events, h)
		q.count(h, 1)
	}
	if q.events > 0 {
		say(q.arrived)
	}
	return left
}

// count counts an event that comes or goes.
func (q *queue) count(h leased, by int) {
	q.events += by
	q.bytes += by * h.bytes
	if h.claimed {
		q.claimed += by
	}
}

// waiting returns how many events there are, and of how many bytes.
func (q *queue) waiting() (events, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.events, q.bytes
}

// take takes a batch of so many events and bytes at most, and of one event at least. The line whose
// turn it is gives all that fit, so that what follows each other can be told as one.
func (q *queue) take(events, bytes int) (batch []leased) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for fits := true; fits && len(q.turns) > 0 && len(batch) < events; {
		l, before := q.turns[0], len(batch)
		for len(l.events) > 0 && len(batch) < events {
			h := l.events[0]
			bytes -= h.bytes
			if fits = bytes >= 0 || len(batch) == 0; !fits {
				break
			}
			l.events[0] = leased{}
			l.events = l.events[1:]
			q.count(h, -1)
			batch = append(batch, h)
		}
		if !fits && len(batch) == before {
			break // it gave nothing, and begins the next batch
		}
		q.turns[0] = nil
		q.turns = q.turns[1:]
		if len(l.events) > 0 {
			q.turns = append(q.turns, l)
		} else {
			delete(q.lines, l.of)
		}
	}
	return batch
}

// close stops the queue from taking events and returns those that are in it.
func (q *queue) close() []leased {
	q.set(false)
	return q.take(math.MaxInt, math.MaxInt)
}
