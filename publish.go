package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

const (
	maxAttempts = 3   // claims, of which the last ended with a refusal, before an event goes to the dead letters
	maxClaims   = 20  // claims without any outcome: the event seems to kill its holders
	maxReason   = 500 // bytes kept of a refusal
)

// flush is [Tracker.Flush].
func (r *relay) flush(ctx context.Context) error {
	r.sweep()
	for {
		began := time.Now()
		claimed, err := coalesce.Await(ctx, func() ([]Claimed, error) { return r.outbox.Claim(ctx, r.events, r.newLease()) })
		if err != nil {
			return fmt.Errorf("delivery: claiming events: %w", err)
		}
		if len(claimed) == 0 {
			return nil
		}
		r.hurry() // should there be a Run: the next batch waits for this one's settlements
		batches := newQueue(r.events)
		batches.open = true
		batches.put(r.hold(claimed, began, true), len(claimed))
		for batch := batches.take(r.events, r.bytes); len(batch) > 0; batch = batches.take(r.events, r.bytes) {
			if batch = r.fresh(batch); len(batch) == 0 {
				continue
			}
			if err := r.notify(ctx, batch, func(verdict) {}); err != nil {
				r.release(batches.close())
				return fmt.Errorf("delivery: notifying: %w", err)
			}
		}
	}
}

// publish has a batch notified, if its leases and the breaker allow. It says what the call was like
// once it is not under way any more, which may be long before the batch is settled.
func (r *relay) publish(ctx context.Context, batch []leased, answered func(verdict)) {
	fresh := r.fresh(batch)
	if len(fresh) == 0 {
		return
	}
	n, rest := r.breaker.allow(len(fresh))
	if others := fresh[n:]; len(others) > 0 {
		r.settle(others, func(leased) Settlement { return Settlement{Outcome: SettleRelease, After: rest} })
	}
	if n > 0 {
		_ = r.notify(ctx, fresh[:n], answered) // the breaker and the outbox hold what a failure means
	}
}

// stale reports whether an event has waited so long that its lease might not cover a publish and
// its settlement.
func (r *relay) stale(h leased) bool { return time.Since(h.since) > r.term/3 }

// fresh gives back the events that are stale, and returns the others.
func (r *relay) fresh(batch []leased) []leased {
	stale, fresh := part(batch, r.stale)
	r.release(stale)
	return fresh
}

// notify calls the Notifier with a batch and settles each event by what it said. It returns the
// failure of the endpoint, if that is what it was. It may say that the call was answered, once the
// breaker knows how.
func (r *relay) notify(ctx context.Context, batch []leased, answered func(verdict)) error {
	if batch = r.sift(batch); len(batch) == 0 {
		r.breaker.abort()
		return nil
	}
	events := make([]Event, len(batch))
	for i, h := range batch {
		events[i] = h.Event
	}
	began := time.Now()
	err := r.callNotifier(ctx, events)
	r.observer.Notified(ctx, NotifiedInfo{len(events), time.Since(began), err, events})

	var refused *RefusedError
	var crash *notifierPanic
	switch {
	case errors.As(err, &crash):
		r.breaker.abort()
		return r.isolate(ctx, batch, crash)
	case err == nil || errors.As(err, &refused):
		if r.breaker.success() {
			r.breakerChanged(BreakerClosed, nil)
		}
		answered(wentWell)
		i := -1
		r.settle(batch, func(h leased) Settlement {
			i++
			if refused == nil || refused.ByIndex[i] == nil {
				return Settlement{Outcome: SettleDone}
			}
			return r.refusal(h, refused.ByIndex[i])
		})
		return nil
	case ctx.Err() != nil:
		r.breaker.abort()
		answered(nothing)
		r.release(batch)
		return err
	}
	var after *retryAfterError
	var pause time.Duration
	if errors.As(err, &after) {
		pause = max(after.after, minRetryAfter)
	}
	says := failed
	rest, opened := r.breaker.failure(pause)
	if opened {
		says = brokeDown
		r.breakerChanged(BreakerOpen, err)
	} else if r.failing.due(remindEvery) {
		r.log.Error("delivery: a call of the notifier failed; its events are published again", "events", len(batch), "error", err)
	}
	answered(says)
	r.giveBack(batch, rest)
	return err
}

// giveBack releases the events of a call that failed, perhaps for one of them alone. While the
// breaker is closed, those that fail again rest for longer each time, and each for a time of its
// own. So they soon go out apart.
func (r *relay) giveBack(batch []leased, rest time.Duration) {
	closed := r.breaker.state() == BreakerClosed
	r.settle(batch, func(h leased) Settlement {
		after := rest
		if id := strconv.FormatInt(h.Event.ID, 10); closed {
			failures, again := r.failures.get(id)
			if again {
				after += rand.N(backoff(failures + 1)) // #nosec G404 -- nothing to guess: it only spreads load
			}
			r.failures.put(id, failures+1)
		}
		return Settlement{Outcome: SettleRelease, After: after}
	})
}

// sift buries the events that nobody can publish, and returns the rest.
func (r *relay) sift(batch []leased) (sound []leased) {
	unreadable, batch := part(batch, func(h leased) bool { return !h.Event.Kind.Valid() })
	deadly, sound := part(batch, func(h leased) bool { return h.Attempts > maxClaims })
	own, sound := part(sound, func(h leased) bool { return h.Event.Kind == OwnChanged && !r.tellsOwn })
	r.settle(unreadable, func(leased) Settlement { return bury("cannot be read") })
	r.settle(own, func(leased) Settlement {
		return bury("is for one user's devices, and the notifier takes no such events")
	})
	r.settle(deadly, func(leased) Settlement { return bury("claimed too often without an outcome") })
	return sound
}

// part returns the events for which is reports true, mostly none, and the others.
func part(batch []leased, is func(leased) bool) (these, others []leased) {
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
func (r *relay) callNotifier(ctx context.Context, events []Event) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.term/3)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = &notifierPanic{p}
		}
	}()
	return r.notifier.Notify(ctx, events)
}

type notifierPanic struct{ value any }

func (p *notifierPanic) Error() string { return fmt.Sprintf("notifier panicked: %v", p.value) }

// isolate finds out which events make the Notifier panic, and counts it as their refusal.
func (r *relay) isolate(ctx context.Context, batch []leased, crash *notifierPanic) error {
	if len(batch) == 1 {
		r.settle(batch, func(h leased) Settlement { return r.refusal(h, crash) })
		return nil
	}
	for i := range batch {
		if r.stale(batch[i]) {
			r.release(batch[i:])
			return nil
		}
		r.hurry() // the next one waits for this one's settlement
		if err := r.notify(ctx, batch[i:i+1], func(verdict) {}); err != nil {
			r.release(batch[i+1:])
			return err
		}
	}
	return nil
}

// refusal decides what becomes of an event that was refused.
func (r *relay) refusal(h leased, err error) Settlement {
	var permanent *permanentError
	if errors.As(err, &permanent) || h.Attempts >= maxAttempts {
		return bury(err.Error())
	}
	rest := backoff(h.Attempts)
	var after *retryAfterError
	if errors.As(err, &after) {
		rest = min(max(after.after, minRetryAfter), maxRetryAfter)
	}
	return Settlement{Outcome: SettleRetry, After: rest}
}

func bury(reason string) Settlement {
	reason = strings.ReplaceAll(reason, "\x00", "")
	return Settlement{Outcome: SettleBury, Reason: strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")}
}

func (r *relay) breakerChanged(to BreakerState, err error) {
	if to == BreakerOpen {
		r.log.Error("delivery: the notifier's endpoint fails; events are kept until it answers", "error", err)
	} else {
		r.log.Info("delivery: the notifier's endpoint answers again")
	}
	r.observer.BreakerChanged(context.Background(), BreakerInfo{to, err})
}
