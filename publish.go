package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxAttempts = 3   // claims, of which the last ended with a refusal, before an event goes to the dead letters
	maxClaims   = 20  // claims without any outcome: the event seems to kill its holders
	maxReason   = 500 // bytes kept of a refusal
)

// Flush publishes what is due now and returns when nothing is: for tests, and for scripts that have
// no [Tracker.Run]. It stops at the first failure of the endpoint and returns it. Refused events
// are no failure: they come again later, or go to the dead letters. Events that a running relay
// holds are not due.
func (t *Tracker) Flush(ctx context.Context) error {
	t.sweep()
	for {
		began := time.Now()
		claimed, err := t.store.Claim(ctx, publishBatch, newLease(t.opts.Lease))
		if err != nil {
			return fmt.Errorf("delivery: claiming events: %w", err)
		}
		if len(claimed) == 0 {
			return nil
		}
		batch := make([]held, len(claimed))
		for i, c := range claimed {
			batch[i] = held{c, began}
		}
		t.relay.hurry() // should there be a Run: the next batch waits for this one's settlements
		if err := t.notify(ctx, batch, func() {}); err != nil {
			return fmt.Errorf("delivery: notifying: %w", err)
		}
	}
}

// publish has a batch notified, if its leases and the breaker allow. It says once when no call is
// under way for it any more, which may be long before it is settled.
func (t *Tracker) publish(ctx context.Context, batch []held, answered func()) {
	answered = sync.OnceFunc(answered)
	defer answered()
	stale, fresh := part(batch, t.stale)
	t.release(stale)
	if len(fresh) == 0 {
		return
	}
	if wait, ok := t.breaker.allow(); !ok {
		t.settle(fresh, func(held) Settlement { return Settlement{Outcome: Release, After: wait} })
		return
	}
	_ = t.notify(ctx, fresh, answered) // the breaker and the outbox hold what a failure means
}

// stale reports whether an event has waited so long that its lease might not cover a publish and
// its settlement.
func (t *Tracker) stale(h held) bool { return time.Since(h.since) > t.opts.Lease/3 }

// notify calls the Notifier with a batch and settles each event by what it said. It returns the
// failure of the endpoint, if that is what it was. It may say that the call was answered, once the
// breaker knows how.
func (t *Tracker) notify(ctx context.Context, batch []held, answered func()) error {
	if batch = t.sift(batch); len(batch) == 0 {
		t.breaker.abort()
		return nil
	}
	began := time.Now()
	err := t.callNotifier(ctx, batch)
	t.opts.Observer.notified(len(batch), time.Since(began), err)

	var refused *RefusedError
	var crash *notifierPanic
	switch {
	case errors.As(err, &crash):
		t.breaker.abort()
		return t.isolate(ctx, batch, crash)
	case err == nil || errors.As(err, &refused):
		if t.breaker.success() {
			t.breakerChanged(BreakerClosed, nil)
		}
		answered()
		i := -1
		t.settle(batch, func(h held) Settlement {
			i++
			if refused == nil || refused.ByIndex[i] == nil {
				return Settlement{Outcome: Done}
			}
			return t.refusal(h, refused.ByIndex[i])
		})
		return nil
	case ctx.Err() != nil:
		t.breaker.abort()
		answered()
		t.release(batch)
		return err
	}
	var after *retryAfterError
	var pause time.Duration
	if errors.As(err, &after) {
		pause = max(after.after, minRetryAfter)
	}
	rest, opened := t.breaker.failure(pause)
	if opened {
		t.breakerChanged(BreakerOpen, err)
	}
	answered()
	t.settle(batch, func(held) Settlement { return Settlement{Outcome: Release, After: rest} })
	return err
}

// sift buries the events that nobody can publish, and returns the rest.
func (t *Tracker) sift(batch []held) (sound []held) {
	unreadable, batch := part(batch, func(h held) bool { return !h.Event.Kind.Valid() })
	deadly, sound := part(batch, func(h held) bool { return h.Attempts > maxClaims })
	t.settle(unreadable, func(h held) Settlement { return t.bury(h, "cannot be read") })
	t.settle(deadly, func(h held) Settlement { return t.bury(h, "claimed too often without an outcome") })
	return sound
}

// part returns the events for which is reports true, mostly none, and the others.
func part(batch []held, is func(held) bool) (these, others []held) {
	if !slices.ContainsFunc(batch, is) {
		return nil, batch
	}
	for _, h := range batch {
		if is(h) {
			these = append(these, h)
		} else {
			others = append(others, h)
		}
	}
	return these, others
}

// callNotifier calls the Notifier with a time limit that leaves room in the lease to settle.
func (t *Tracker) callNotifier(ctx context.Context, batch []held) (err error) {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Lease/3)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = &notifierPanic{p}
		}
	}()
	events := make([]Event, len(batch))
	for i, h := range batch {
		events[i] = h.Event
	}
	return t.notifier.Notify(ctx, events)
}

type notifierPanic struct{ value any }

func (p *notifierPanic) Error() string { return fmt.Sprintf("notifier panicked: %v", p.value) }

// isolate finds out which events make the Notifier panic, and counts it as their refusal.
func (t *Tracker) isolate(ctx context.Context, batch []held, crash *notifierPanic) error {
	if len(batch) == 1 {
		t.settle(batch, func(h held) Settlement { return t.refusal(h, crash) })
		return nil
	}
	for i := range batch {
		if t.stale(batch[i]) {
			t.release(batch[i:])
			return nil
		}
		t.relay.hurry() // the next one waits for this one's settlement
		if err := t.notify(ctx, batch[i:i+1], func() {}); err != nil {
			t.release(batch[i+1:])
			return err
		}
	}
	return nil
}

// refusal decides what becomes of an event that was refused.
func (t *Tracker) refusal(h held, err error) Settlement {
	var permanent *permanentError
	if errors.As(err, &permanent) || h.Attempts >= maxAttempts {
		return t.bury(h, err.Error())
	}
	rest := backoff(h.Attempts)
	var after *retryAfterError
	if errors.As(err, &after) {
		rest = min(max(after.after, minRetryAfter), maxRetryAfter)
	}
	return Settlement{Outcome: Retry, After: rest}
}

func (t *Tracker) bury(h held, reason string) Settlement {
	reason = strings.ReplaceAll(reason, "\x00", "")
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
	t.opts.Logger.Error("delivery: event went to the dead letters", "event", h.Event.ID, "attempts", h.Attempts, "reason", reason)
	t.opts.Observer.buried(h.Event, reason)
	return Settlement{Outcome: Bury, Reason: reason}
}

// release gives events back, due at once, as if they had not been claimed.
func (t *Tracker) release(batch []held) {
	t.settle(batch, func(held) Settlement { return Settlement{Outcome: Release} })
}

// settle ends the claims of a batch. What cannot be settled comes again when its lease has run out.
func (t *Tracker) settle(batch []held, how func(held) Settlement) {
	if len(batch) == 0 {
		return
	}
	settlements := make([]Settlement, len(batch))
	for i, h := range batch {
		settlements[i] = how(h)
		settlements[i].ID, settlements[i].Lease = h.Event.ID, h.Lease
		if settlements[i].Outcome != Done {
			t.relay.hurry() // it may be just too early, and these gather after all
		}
	}
	_, err := t.settles.Do(context.Background(), common, nil, settlements...)
	t.trouble(&t.settling, err, "settling events failed; they will be published again", "events", len(batch))
}

// flushSettlements settles for several publishers at once.
func (t *Tracker) flushSettlements(ctx context.Context, _ string, settlements []Settlement) ([]struct{}, error) {
	held, err := t.store.Settle(ctx, settlements)
	if err != nil {
		return nil, err
	}
	if lost := len(settlements) - held; lost > 0 {
		t.opts.Observer.leaseLost(lost)
	}
	return make([]struct{}, len(settlements)), nil
}

func (t *Tracker) breakerChanged(to BreakerState, err error) {
	if to == BreakerOpen {
		t.opts.Logger.Error("delivery: the notifier's endpoint fails; events are kept until it answers", "error", err)
	} else {
		t.opts.Logger.Info("delivery: the notifier's endpoint answers again")
	}
	t.opts.Observer.breakerChanged(to)
}
