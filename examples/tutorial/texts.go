package main

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/msgdelivery/delivery"
)

// texts remembers the texts of messages that were lately sent or listed. Most marks follow soon,
// and their events then need no SQL statement. A text never changes, so what is remembered cannot
// be out of date. There are two generations; when the younger is full, the older is dropped.
type texts struct {
	mu         sync.Mutex
	young, old map[string]string // by the message's id
	size       int               // of the young one
}

const (
	textGeneration = 4 << 20 // bytes
	textOverhead   = 128     // bytes that an entry takes beside its id and text, about
)

func (t *texts) get(id string) (text string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text, ok = t.young[id]; !ok {
		text, ok = t.old[id]
	}
	return text, ok
}

func (t *texts) put(id, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.young[id]; ok {
		return
	}
	size := textOverhead + len(id) + len(text)
	if t.young == nil || t.size+size > textGeneration {
		t.young, t.old, t.size = make(map[string]string), t.young, 0
	}
	t.young[strings.Clone(id)] = strings.Clone(text) // they may be parts of something larger, which would stay with them
	t.size += size
}

// objects returns the messages of an event, each once. Messages whose text is not remembered are
// loaded. New messages are always loaded: if their event is late, they have been marked meanwhile,
// and the event must not set them back to "Sent".
func (s *server) objects(ctx context.Context, event delivery.Event) ([]object, error) {
	found := make(map[string]object)
	var unknown []string
	for _, u := range event.Updates {
		if text, ok := s.texts.get(u.Message); ok && event.Kind == delivery.StatusChanged {
			found[u.Message] = object{u.Message, u.Sender, text, word(u.Status)}
		} else {
			unknown = append(unknown, u.Message)
		}
	}
	for some := range slices.Chunk(unknown, delivery.MaxBatch) {
		messages, err := s.tracker.Load(ctx, some...)
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			s.texts.put(m.ID, m.Body)
			found[m.ID] = show(m)
		}
	}
	var objects []object
	for _, u := range event.Updates {
		if o, ok := found[u.Message]; ok {
			objects = append(objects, o)
			delete(found, u.Message)
		}
	}
	return objects, nil
}
