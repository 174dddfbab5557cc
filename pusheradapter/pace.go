package pusheradapter

import (
	"context"
	"sync"
	"time"
)

// Pauses after a 429 that does not say how long: as many short ones as cover a second, which is
// what most limits count by, and then longer ones.
const (
	shortPause  = 250 * time.Millisecond
	shortPauses = 4
	longPause   = 2 * time.Second
)

// pace is how fast the endpoint lets itself be called, as far as a 429 has told.
type pace struct {
	gate chan struct{} // holds a value while a Notify goes slowly; the others wait for it

	mu    sync.Mutex
	batch int       // events of a request, at most
	until time.Time // when the endpoint is called at full speed again
}

// slow returns how many events a request may have, and whether the endpoint is to be spared.
func (p *pace) slow() (batch int, slow bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().After(p.until) {
		return maxBatch, false
	}
	return p.batch, true
}

// tooMany takes down that a request with so many events met a 429, and returns how many to try
// next.
func (p *pace) tooMany(events int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batch, p.until = max(events/2, 1), time.Now().Add(time.Minute)
	return p.batch
}

// goSlowly waits until no other Notify goes slowly. It reports false if 1/2 of the time that ctx
// leaves has passed before: with less, some events would be accepted and come again all the same.
func (p *publication) goSlowly(ctx context.Context) bool {
	p.gate.Lock()
	defer p.gate.Unlock()
	if p.slowly {
		return true
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return false
	}
	half, cancel := context.WithTimeout(ctx, time.Until(deadline)/2)
	defer cancel()
	select {
	case p.notifier.pace.gate <- struct{}{}:
		p.slowly = true
	case <-half.Done():
	}
	return p.slowly
}

// end lets the next Notify go, if this one went slowly.
func (p *publication) end() {
	if p.slowly {
		<-p.notifier.pace.gate
	}
}

// sendLater publishes a batch that met a 429, after a pause and in smaller requests. It reports
// false if ctx leaves no time for it.
func (p *publication) sendLater(ctx context.Context, batch []outgoing, pause time.Duration) bool {
	if !p.goSlowly(ctx) {
		return false
	}
	if pause == 0 {
		pause = p.nextPause()
	}
	deadline, ok := ctx.Deadline()
	if !ok || time.Until(deadline) <= pause {
		return false
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return false
	}
	n := p.notifier.pace.tooMany(len(batch))
	for ; len(batch) > 0; batch = batch[min(n, len(batch)):] {
		p.send(ctx, batch[:min(n, len(batch))])
	}
	return true
}

// nextPause returns the pause after a 429.
func (p *publication) nextPause() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pauses++; p.pauses > shortPauses {
		return longPause
	}
	return shortPause
}
