package sseadapter

import (
	"context"
	"crypto/rand"
	"encoding/json"
	mathrand "math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery"
)

// news is an event as streams tell it, encoded once for all of them.
type news struct {
	kind     delivery.Kind
	from, to int64
	last     int64 // the greatest version in it
	parts    [][]byte
	size     int
}

// item is news for one stream.
type item struct {
	topic    int
	news     *news
	excluded bool // it is counted as told
}

// stream is one response. The hub puts news into its queue, and the goroutine of the request writes
// them.
type stream struct {
	handler *Handler
	user    string
	socket  string
	ended   <-chan struct{} // closed when the Handler's Run ends
	wake    chan struct{}   // something was put

	mu     sync.Mutex
	queue  []item
	size   int  // bytes of data in the queue
	behind bool // news were lost or dropped: the changes are to be read

	// These belong to the goroutine of the request.
	out    *writer
	topics []topic
	id     []byte

	epoch atomic.Int64 // the goroutine of the request sets it
}

func newStream(h *Handler, user string, topics []topic, epoch int64) *stream {
	s := &stream{handler: h, user: user, socket: "sse-" + rand.Text(), wake: make(chan struct{}, 1), topics: topics}
	s.epoch.Store(epoch)
	return s
}

// put adds news to the queue. If the queue has no room for them, it is dropped, and the stream
// falls behind.
func (s *stream) put(topic int, n *news, excluded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind {
		return // the changes are read later than this, and have it
	}
	if !excluded {
		s.size += n.size
	}
	s.queue = append(s.queue, item{topic, n, excluded})
	if s.size > s.handler.opts.Buffer || len(s.queue) > s.handler.opts.Buffer/leastItem {
		s.drop()
	}
	s.signal()
}

// leastItem is how many bytes an item of the queue counts for at least.
const leastItem = 64

// fallBehind has the stream read the changes.
func (s *stream) fallBehind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	s.signal()
}

func (s *stream) drop() { s.queue, s.size, s.behind = nil, 0, true }

func (s *stream) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (s *stream) take() (items []item, behind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items, behind = s.queue, s.behind
	s.queue, s.size, s.behind = nil, 0, false
	return items, behind
}

// serve writes the stream until its client leaves, it ends, or something fails. The error is a
// [*leftError] if the client left or is too slow.
func (s *stream) serve(ctx context.Context, out *writer) error {
	s.out = out
	if err := s.start(ctx); err != nil {
		out.later(pauseOfFailure)
		return err
	}
	if err := out.begin(); err != nil {
		return err
	}
	defer out.end()
	out.retry(pauseOfFailure)
	if err := s.hello(ctx); err != nil {
		return err
	}
	lifetime := s.handler.opts.Lifetime
	life := time.NewTimer(lifetime - lifetime/10 + mathrand.N(lifetime/5+1)) // #nosec G404 -- spreads connections
	beat := time.NewTimer(s.handler.opts.Heartbeat)
	gap := time.NewTimer(0)
	defer life.Stop()
	defer beat.Stop()
	defer gap.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.ended:
			return nil
		case <-life.C:
			return nil
		case <-s.wake:
		case <-gap.C:
		case <-beat.C:
			if err := s.tell("ping", []byte("{}")); err != nil {
				return err
			}
		}
		if err := s.pass(ctx); err != nil {
			return err
		}
		if out.pending() {
			if err := out.flush(); err != nil {
				return err
			}
			beat.Reset(s.handler.opts.Heartbeat)
		}
		if wait, ok := s.stalled(); ok {
			gap.Reset(wait)
		}
	}
}

// tell writes an event with the id of where the stream stands, at the next flush or before.
func (s *stream) tell(name string, data []byte) error {
	if isClosed(s.ended) {
		return &leftError{errEnding}
	}
	s.id = appendID(s.id[:0], s.epoch.Load(), s.topics)
	return s.out.event(name, s.id, data)
}

// tellJSON writes an event that is none of the tracker's.
func (s *stream) tellJSON(name string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.tell(name, data)
}

// tellParts writes an event of the tracker's, and takes down that it was told.
func (s *stream) tellParts(t *topic, n *news) error {
	for i, data := range n.parts {
		if i == len(n.parts)-1 {
			t.reach.add(n.from, n.to, time.Now())
		}
		if err := s.tell(n.kind.String(), data); err != nil {
			return err
		}
	}
	return nil
}

// pass writes the queue, and reads the changes where something is missing.
func (s *stream) pass(ctx context.Context) error {
	items, behind := s.take()
	for _, x := range items {
		t := &s.topics[x.topic]
		if x.excluded || x.news.last <= t.reach.to { // or it was told before
			t.reach.add(x.news.from, x.news.to, time.Now())
		} else if err := s.tellParts(t, x.news); err != nil {
			return err
		}
	}
	for i := range s.topics {
		t := &s.topics[i]
		if t.heard && (behind || t.reach.overdue(time.Now())) {
			if err := s.catchUp(ctx, t); err != nil {
				return err
			}
		}
	}
	if behind {
		return s.greet() // "own" events may be missing, too
	}
	return nil
}

// stalled returns how long the stream waits at most for an event that is missing.
func (s *stream) stalled() (wait time.Duration, ok bool) {
	for i := range s.topics {
		if r := &s.topics[i].reach; !r.stalled.IsZero() {
			left := time.Until(r.stalled.Add(patience))
			if !ok || left < wait {
				wait, ok = left, true
			}
		}
	}
	return max(wait, 0), ok
}
