package delivery

import (
	"strings"
	"sync"
)

// recent remembers what was lately put under each key. It is bounded: of two generations the older
// is dropped when the younger is full.
type recent[V comparable] struct {
	mu         sync.RWMutex
	young, old map[string]V
}

const generation = 4096 // keys; with a header, some 250 bytes each

func (r *recent[V]) get(key string) (V, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if value, ok := r.young[key]; ok {
		return value, true
	}
	value, ok := r.old[key]
	return value, ok
}

func (r *recent[V]) put(key string, value V) {
	r.mu.RLock()
	last, known := r.young[key]
	r.mu.RUnlock()
	if known && last == value {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.young == nil || !known && len(r.young) >= generation {
		r.young, r.old = make(map[string]V, len(r.young)), r.young
	}
	if !known {
		key = strings.Clone(key) // it may be a part of something larger, which would stay with it
	}
	r.young[key] = value
}
