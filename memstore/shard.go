package memstore

import (
	"hash/maphash"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// shards is how many parts a store has: enough that processors seldom meet in one, and a set of them is
// a word.
const shards = 64

// shard is a part of a store: some of the conversations, with their messages, receipts and events. Its
// lock guards all of that, so that what a change brings about is there at one moment.
type shard struct {
	number        int
	mu            sync.Mutex
	conversations map[string]*conversation
	outbox        outbox

	// When the next of its events is due, and which that is: for those who look without the lock.
	due, next atomic.Int64

	_ [64]byte // keeps the neighbours out of this cache line
}

func (s *shard) lock() { s.mu.Lock() }

func (s *shard) unlock() {
	due, next := int64(math.MaxInt64), int64(math.MaxInt64)
	if e := s.outbox.next(); e != nil {
		due, next = int64(e.ready), e.id
	}
	if due != s.due.Load() || next != s.next.Load() {
		s.due.Store(due)
		s.next.Store(next)
	}
	s.mu.Unlock()
}

// set is a set of shards. They are locked in the order of their numbers, so that no two callers wait
// for each other.
type set uint64

const all set = math.MaxUint64

func (s *set) add(shard *shard) { *s |= 1 << shard.number }

func (s *Store) lock(set set) {
	for rest := set; rest != 0; rest &= rest - 1 {
		s.shards[bits.TrailingZeros64(uint64(rest))].lock()
	}
}

func (s *Store) unlock(set set) {
	for rest := set; rest != 0; rest &= rest - 1 {
		s.shards[bits.TrailingZeros64(uint64(rest))].unlock()
	}
}

// shardOf returns the shard of a conversation.
func (s *Store) shardOf(conversation string) *shard {
	return &s.shards[maphash.String(s.seed, conversation)%shards]
}

// longestDue returns the shard whose next event is due longest, nil if none is.
func (s *Store) longestDue(now time.Duration) (longest *shard) {
	earliest, first := int64(now), int64(math.MaxInt64)
	for i := range s.shards {
		shard := &s.shards[i]
		if due := shard.due.Load(); due < earliest || due == earliest && shard.next.Load() < first {
			earliest, first, longest = due, shard.next.Load(), shard
		}
	}
	return longest
}

// index finds messages by their ids. It is sharded by those, since a mark names no conversation. A
// message is never taken out, and its conversation never changes; all else of it is guarded by the
// shard of its conversation.
type index [shards]struct {
	mu       sync.RWMutex
	messages map[string]*message
	_        [32]byte // a cache line each
}

func (s *Store) find(id string) *message {
	part := &s.index[maphash.String(s.seed, id)%shards]
	part.mu.RLock()
	defer part.mu.RUnlock()
	return part.messages[id]
}

// findOrAdd returns the message that has the id already, or adds this one.
func (s *Store) findOrAdd(m *message) (there *message) {
	part := &s.index[maphash.String(s.seed, m.ID)%shards]
	part.mu.Lock()
	defer part.mu.Unlock()
	if there := part.messages[m.ID]; there != nil {
		return there
	}
	part.messages[m.ID] = m
	return nil
}

// findAll returns the messages with these ids that exist, and the set of their shards.
func (s *Store) findAll(ids []string) (found []*message, held set) {
	found = make([]*message, 0, len(ids))
	for _, id := range distinct(ids) {
		if m := s.find(id); m != nil {
			found = append(found, m)
			held.add(m.conversation.shard)
		}
	}
	return found, held
}
