package pusheradapter

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery/deliverywire"
)

const (
	// reverbData is how many bytes of data fit into a request that Reverb takes at its default:
	// 10,000 bytes, the header and the escapes of the data included.
	reverbData = 8_300

	// plausible is how many bytes of data the events of a request have together at least if a 413
	// is about its size, and not about one of them.
	plausible = 4_096

	// remembered is how long a limit is remembered. The endpoint's may be raised, and one try in a
	// while costs little.
	remembered = 10 * time.Minute
)

// limit is how many bytes of data the endpoint takes in one request, as far as is known.
type limit struct {
	mu    sync.Mutex
	bytes int       // 0 while nothing was refused for its size
	until time.Time // when that is forgotten
}

// get returns the limit, and false if none is known.
func (l *limit) get() (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes, l.bytes > 0 && time.Now().Before(l.until)
}

// learn remembers that requests of so many bytes are taken, and larger ones are not.
func (l *limit) learn(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes, l.until = bytes, time.Now().Add(remembered)
}

// below returns how many bytes of data to try after a request of so many was too large.
func below(size int) int {
	if size > reverbData {
		return reverbData
	}
	return size * 3 / 4
}

// shrink returns the triggers with those of events that have more than so many bytes of data in a
// trigger made into more triggers. An app's own, and one with a single update and no body, stay as
// they are.
func (n *Notifier) shrink(triggers []outgoing, bytes int) []outgoing {
	if n.ownChannels {
		return triggers
	}
	var shrunk []outgoing
	for len(triggers) > 0 {
		parts := 1 // of the same event
		for parts < len(triggers) && triggers[parts].continues(&triggers[0]) {
			parts++
		}
		shrunk = append(shrunk, shrinkEvent(triggers[:parts], bytes)...)
		triggers = triggers[parts:]
	}
	return shrunk
}

// continues reports whether a trigger tells another part of what a trigger tells.
func (o *outgoing) continues(first *outgoing) bool {
	return o.Channel == first.Channel && o.Name == first.Name && o.Except == first.Except && slices.Equal(o.of, first.of)
}

// shrinkEvent is shrink for the triggers of one event.
func shrinkEvent(triggers []outgoing, bytes int) []outgoing {
	if !slices.ContainsFunc(triggers, func(t outgoing) bool { return len(t.Data) > bytes }) {
		return triggers
	}
	var whole deliverywire.Payload
	for i := range triggers {
		var part deliverywire.Payload
		if json.Unmarshal(triggers[i].Data, &part) != nil {
			return triggers
		}
		if i == 0 {
			whole = part
		} else {
			whole.To, whole.Updates = part.To, append(whole.Updates, part.Updates...)
		}
	}
	parts, err := whole.Split(bytes)
	if err != nil { // what the updates share takes most of it
		parts, err = whole.Split(sizeOf(triggers) - 1)
	}
	if err != nil {
		return triggers
	}
	shrunk := make([]outgoing, len(parts))
	for i, data := range parts {
		shrunk[i] = triggers[0]
		shrunk[i].Data = data
	}
	return shrunk
}

// pack arranges triggers in batches of up to so many events, in their order. A batch with more than
// so many bytes of data has one trigger.
func pack(triggers []outgoing, events, bytes int) (batches [][]outgoing) {
	for len(triggers) > 0 {
		n, size := 1, len(triggers[0].Data)
		for n < min(len(triggers), events) && size+len(triggers[n].Data) <= bytes {
			size += len(triggers[n].Data)
			n++
		}
		batches, triggers = append(batches, triggers[:n]), triggers[n:]
	}
	return batches
}

// sizeOf returns how many bytes of data triggers have.
func sizeOf(triggers []outgoing) (bytes int) {
	for i := range triggers {
		bytes += len(triggers[i].Data)
	}
	return bytes
}
