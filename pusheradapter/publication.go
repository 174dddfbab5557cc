package pusheradapter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/msgdelivery/delivery"
)

// publication is the work of one Notify.
type publication struct {
	notifier *Notifier
	events   []delivery.Event

	mu      sync.Mutex
	failure error         // of the endpoint; ends the publication
	refused map[int]error // by index of the event
	apart   []int         // events refused together with others, so that none is to blame yet
	pauses  int           // after 429s in a row

	gate   sync.Mutex
	slowly bool // this publication has the endpoint for itself
}

// publish encodes and sends parcels, unless the publication has ended.
func (p *publication) publish(ctx context.Context, parcels []parcel) {
	if p.failed() {
		return
	}
	triggers := make([]outgoing, 0, len(parcels))
	for _, each := range parcels {
		encoded, err := p.notifier.encode(ctx, each.Event)
		if ctx.Err() != nil {
			p.fail(fmt.Errorf("pusheradapter: encoding: %w", ctx.Err()))
			return
		}
		if err != nil {
			p.refuse(each.of, err, false)
		}
		for _, t := range encoded {
			triggers = append(triggers, outgoing{t, each.of})
		}
	}
	bytes, limited := p.notifier.limit.get()
	if limited {
		triggers = p.notifier.shrink(triggers, bytes)
	} else {
		bytes = maxBatch * MaxData
	}
	events, slow := p.notifier.pace.slow()
	if slow && !p.goSlowly(ctx) {
		p.fail(&Error{Status: http.StatusTooManyRequests}) // as it would be
		return
	}
	var wait sync.WaitGroup
	for _, lane := range lanes(triggers, events, bytes) {
		select {
		case p.notifier.slots <- struct{}{}:
			work := func() {
				defer func() { <-p.notifier.slots }()
				p.sendLane(ctx, lane)
			}
			if slow {
				work()
			} else {
				wait.Go(work)
			}
		case <-ctx.Done():
			p.fail(&Error{err: ctx.Err()})
		}
	}
	wait.Wait()
}

// sendLane publishes batches one after another.
func (p *publication) sendLane(ctx context.Context, lane [][]outgoing) {
	defer func() {
		if recover() != nil { // of the app's own Transport: nobody else could catch it here
			p.fail(&Error{err: errors.New("the transport panicked")})
		}
	}()
	for _, batch := range lane {
		p.send(ctx, batch)
	}
}

// send publishes a batch, unless the publication has ended, and takes down what became of it. It
// reports whether the endpoint took the batch as it was.
func (p *publication) send(ctx context.Context, batch []outgoing) bool {
	if p.failed() {
		return false
	}
	err := p.notifier.call(ctx, batch, p.key(batch))
	var answer *Error
	switch {
	case err == nil:
		p.mu.Lock()
		p.pauses = 0
		p.mu.Unlock()
		return true
	case errors.As(err, &answer) && answer.Status == http.StatusTooManyRequests && p.sendLater(ctx, batch, answer.pause):
	case answer == nil || !blamesTrigger(answer.Status):
		p.fail(err)
	case answer.Status == http.StatusRequestEntityTooLarge && p.sendSmaller(ctx, batch):
	case len(batch) > 1:
		for i := range batch {
			p.send(ctx, batch[i:i+1])
		}
	case answer.Status == http.StatusRequestEntityTooLarge:
		p.refuse(batch[0].of, delivery.Permanent(answer), true)
	default:
		p.refuse(batch[0].of, answer, false)
	}
	return false
}

// sendSmaller publishes a batch that was too large in smaller requests. It reports false if it
// cannot be made smaller. Of several events that are small together each is better sent by itself.
func (p *publication) sendSmaller(ctx context.Context, batch []outgoing) bool {
	bytes := below(sizeOf(batch))
	smaller := pack(p.notifier.shrink(batch, bytes), maxBatch, bytes)
	alone := len(batch) == 1 && len(batch[0].of) == 1
	if !alone && sizeOf(batch) < plausible || len(smaller) == 1 && sizeOf(smaller[0]) >= sizeOf(batch) {
		return false
	}
	taken := true
	for _, each := range smaller {
		if alone && p.isRefused(batch[0].of[0]) {
			break // what is left of it would be told again, or never
		}
		taken = p.send(ctx, each) && taken
	}
	if taken {
		p.notifier.limit.learn(bytes)
	}
	return true
}

// key returns what names a batch: the ids of its events, which are the same at every attempt, and
// what is sent of them.
func (p *publication) key(batch []outgoing) string {
	hash := sha256.New()
	for i := range batch {
		for _, of := range batch[i].of {
			fmt.Fprint(hash, p.events[of].ID, ",")
		}
		fmt.Fprintf(hash, "%q %q %q %d ", batch[i].Channel, batch[i].Name, batch[i].Except, len(batch[i].Data))
		hash.Write(batch[i].Data)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

func (p *publication) isRefused(event int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[event] != nil
}

func (p *publication) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failure != nil
}

func (p *publication) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure == nil {
		p.failure = err
	}
}

// refuse blames an event; the first refusal counts, unless a later one is final. Of several events
// that were sent as one it blames none, and has each sent by itself.
func (p *publication) refuse(of []int, err error, final bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(of) > 1 {
		p.apart = append(p.apart, of...)
	} else if final || p.refused[of[0]] == nil {
		p.refused[of[0]] = err
	}
}
