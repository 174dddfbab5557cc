package delivery

import "sync"

// headerCache remembers the headers of messages lately sent or marked, so that a refusal or the
// app's rule needs no round trip. Headers never change, so it can't be stale. It is bounded: of two
// generations the older is dropped when the younger is full.
type headerCache struct {
	mu         sync.RWMutex
	young, old map[string]Header
}

const headerGeneration = 4096 // headers; some 250 bytes each

func (c *headerCache) get(id string) (Header, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if h, ok := c.young[id]; ok {
		return h, true
	}
	h, ok := c.old[id]
	return h, ok
}

func (c *headerCache) put(h Header) {
	c.mu.RLock()
	_, known := c.young[h.ID]
	c.mu.RUnlock()
	if known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young == nil || len(c.young) >= headerGeneration {
		c.young, c.old = make(map[string]Header), c.young
	}
	c.young[h.ID] = h
}
