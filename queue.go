package delivery

import (
	"slices"
	"sync"
	"time"
)

// held is an event that this process may publish.
type held struct {
	Claimed
	since time.Time // a moment before the lease began
}

// queue holds the events that wait for their publish, while it is open.
type queue struct {
	events chan held

	mu   sync.RWMutex
	open bool
}

// set opens or closes the queue.
func (q *queue) set(open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = open
}

func (q *queue) isOpen() bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.open
}

// room returns how many more events the relay wants; 0 if the queue is closed.
func (q *queue) room() int {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if !q.open {
		return 0
	}
	return max(queueGoal-len(q.events), 0)
}

// put adds an event, and reports whether that was possible.
func (q *queue) put(h held) bool {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if !q.open {
		return false
	}
	select {
	case q.events <- h:
		return true
	default:
		return false
	}
}

// fill adds what is in the queue to a batch, until it is full.
func (q *queue) fill(batch []held) []held {
	batch = slices.Grow(batch, publishBatch-len(batch))
	for len(batch) < publishBatch {
		select {
		case h := <-q.events:
			batch = append(batch, h)
		default:
			return batch
		}
	}
	return batch
}

// close stops the queue from taking events and returns those that are in it.
func (q *queue) close() (left []held) {
	q.set(false)
	for {
		select {
		case h := <-q.events:
			left = append(left, h)
		default:
			return left
		}
	}
}
