package watchers

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
)

// line is a connection between a watcher and the Pusher server, on which events get lost, come
// twice and overtake each other. It implements [pushertest.Conn].
type line struct {
	toServer, toWatcher chan []byte
	random              *rand.Rand
	calm                *atomic.Bool // all goes well from now on
	late                []byte       // an event that the next one overtakes
}

func newLine(random *rand.Rand, calm *atomic.Bool) *line {
	return &line{toServer: make(chan []byte, 1), toWatcher: make(chan []byte), random: random, calm: calm}
}

// Read returns what the watcher sent next.
func (l *line) Read(ctx context.Context) ([]byte, error) {
	select {
	case message := <-l.toServer:
		return message, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Write brings the watcher a message, or not.
func (l *line) Write(ctx context.Context, message []byte) error {
	messages := [][]byte{message}
	isEvent := !strings.Contains(string(message[:min(len(message), 20)]), `"pusher`)
	if chance := l.random.Float64(); isEvent && !l.calm.Load() {
		switch {
		case chance < 0.03:
			messages = nil
		case chance < 0.06:
			messages = append(messages, message)
		case chance < 0.12 && l.late == nil:
			l.late, messages = message, nil
		}
	}
	if len(messages) > 0 && l.late != nil {
		messages = append(messages, l.late)
		l.late = nil
	}
	for _, m := range messages {
		select {
		case l.toWatcher <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
