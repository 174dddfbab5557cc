package sseadapter

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/deliverywire"
)

var (
	errNotRunning = errors.New("the Handler's Run is not under way")
	errTooMany    = errors.New("the user has too many streams")
)

// Pauses after which clients come again.
const (
	pauseOfFailure = 2 * time.Second
	pauseOfMany    = 30 * time.Second
)

func pauseOf(err error) time.Duration {
	if errors.Is(err, errTooMany) {
		return pauseOfMany
	}
	return pauseOfFailure
}

// Pauses between two tries to subscribe, the first and the longest.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// Run passes the events of the bus to the streams until ctx ends, and returns nil then, once all
// streams have ended. Their clients come again after 1 to 3 s, to whatever process serves them. A
// second Run at the same time is [ErrRunning].
//
// If the bus fails, Run subscribes again, after pauses of up to 5 s. Every stream then reads the
// changes that it may have missed.
func (h *Handler) Run(ctx context.Context) error {
	if !h.hub.begin() {
		return ErrRunning
	}
	defer h.hub.end()
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { h.watchEpoch(ctx) })
	pause := firstPause
	for ctx.Err() == nil {
		err := h.bus.Subscribe(ctx, func(event delivery.Event) {
			pause = firstPause
			h.hub.hear(event, h.log)
		})
		if ctx.Err() != nil {
			break
		}
		h.log.Error("sseadapter: the bus failed; trying again", "error", err, "pause", pause)
		select {
		case <-time.After(jitter(pause)):
		case <-ctx.Done():
		}
		pause = min(2*pause, longestPause)
	}
	return nil
}

// watchEpoch looks once a heartbeat whether the store was restored, which no event says: the events
// that follow have versions that streams have told before.
func (h *Handler) watchEpoch(ctx context.Context) {
	ticker := time.NewTicker(h.opts.Heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		conversation, any := h.hub.anyHeard()
		if !any {
			continue
		}
		looking, cancel := context.WithTimeout(ctx, readTimeout)
		page, err := h.source.Messages(looking, delivery.Query{Conversation: conversation, Before: delivery.Latest, Limit: 1})
		cancel()
		if err == nil { // else the next look may tell
			h.hub.restored(page.Epoch)
		}
	}
}

// jitter returns a duration between half of d and one and a half times d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d) // #nosec G404 -- spreads calls, and keeps nobody out
}

// hub knows the streams of the process.
type hub struct {
	mu      sync.Mutex
	ended   chan struct{} // closed when the Run that is under way ends; nil if none is
	served  sync.WaitGroup
	streams map[*stream]struct{}
	users   map[string]int             // streams of each
	heard   map[string]map[*stream]int // by conversation; which of the stream's topics it is
}

// begin reports whether a Run may begin.
func (b *hub) begin() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != nil {
		return false
	}
	b.ended = make(chan struct{})
	if b.streams == nil {
		b.streams = make(map[*stream]struct{})
		b.users = make(map[string]int)
		b.heard = make(map[string]map[*stream]int)
	}
	return true
}

// end ends all streams and waits until they have.
func (b *hub) end() {
	b.mu.Lock()
	close(b.ended)
	b.mu.Unlock()
	b.served.Wait()
	b.mu.Lock()
	b.ended = nil
	b.mu.Unlock()
}

// open adds a stream, which hears all that comes from now on.
func (b *hub) open(s *stream, most int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil || isClosed(b.ended) {
		return errNotRunning
	}
	if b.users[s.user] >= most {
		return errTooMany
	}
	b.served.Add(1)
	s.ended = b.ended
	b.streams[s] = struct{}{}
	b.users[s.user]++
	for i, t := range s.topics {
		if !t.heard {
			continue
		}
		if b.heard[t.conversation] == nil {
			b.heard[t.conversation] = make(map[*stream]int)
		}
		b.heard[t.conversation][s] = i
	}
	return nil
}

// close removes a stream.
func (b *hub) close(s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, s)
	if b.users[s.user]--; b.users[s.user] == 0 {
		delete(b.users, s.user)
	}
	for _, t := range s.topics {
		delete(b.heard[t.conversation], s)
		if len(b.heard[t.conversation]) == 0 {
			delete(b.heard, t.conversation)
		}
	}
	b.served.Done()
}

// anyHeard returns a conversation that a stream hears, if there is one.
func (b *hub) anyHeard() (conversation string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for conversation := range b.heard {
		return conversation, true
	}
	return "", false
}

// restored has the streams of another epoch read the changes.
func (b *hub) restored(epoch int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.streams {
		if s.epoch.Load() != epoch {
			s.fallBehind()
		}
	}
}

// hear passes an event of the bus to the streams of its conversation. It is encoded once, whatever
// their number.
func (b *hub) hear(event delivery.Event, log *slog.Logger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if event.Kind == 0 { // events may have been lost
		for s := range b.streams {
			s.fallBehind()
		}
		return
	}
	listeners, last := b.heard[event.Conversation], event.To
	if event.Kind == delivery.OwnChanged {
		listeners, last = b.devices(event), math.MaxInt64 // it is of no version, and told to all of them
	}
	if len(listeners) == 0 {
		return
	}
	parts, err := deliverywire.Split(event, MaxData)
	if err != nil {
		// The streams read the changes once they see the gap that it leaves.
		log.Error("sseadapter: an event was not told", "event", event.ID, "error", err)
		return
	}
	n := &news{kind: event.Kind, from: event.From, to: event.To, last: last, parts: parts}
	for _, u := range event.Updates {
		n.last = max(n.last, u.Version)
	}
	for _, data := range parts {
		n.size += len(data)
	}
	for s, i := range listeners {
		s.put(i, n, event.Except != "" && event.Except == s.socket)
	}
}

// devices returns the streams of the user whom an event is for that hear its conversation.
func (b *hub) devices(event delivery.Event) map[*stream]int {
	streams := make(map[*stream]int)
	if len(event.Updates) == 0 || event.Updates[0].Own == nil {
		return streams
	}
	for s, i := range b.heard[event.Updates[0].Own.Conversation] {
		if s.user == event.User {
			streams[s] = i
		}
	}
	return streams
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
