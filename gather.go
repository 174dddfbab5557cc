package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// gather writes items of one kind (sends, marks or up-to marks) together with those of other
// callers. It is the one place that knows of batches: which items may share one, what happens to
// those whose conversation is blocked, and what to do if the database refuses a batch.
type gather[In any, Key comparable, Out any] struct {
	kind[In, Key, Out]
	write func(ctx context.Context, items []In, lease Lease) ([]Out, []Claimed, error) // the store's
	group *coalesce.Group[In, Out]
	relay *relay
	limit time.Duration // of a call whose ctx has no deadline
}

// kind is what gather knows of a kind of items.
type kind[In any, Key comparable, Out any] struct {
	what    Written
	weigh   func(In) int
	key     func(In) Key             // items of one call of the store have different keys
	implies func(done, also In) bool // of one key: the other changes nothing after the first
	repeat  func(Out) Out            // what an implied item gets, from the result of the first
	blocked func(Out) (conversation string, yes bool)
}

func newGather[In any, Key comparable, Out any](k kind[In, Key, Out], slots coalesce.Slots, r *relay, limit time.Duration,
	write func(context.Context, []In, Lease) ([]Out, []Claimed, error),
) *gather[In, Key, Out] {
	g := &gather[In, Key, Out]{kind: k, write: write, relay: r, limit: limit}
	g.group = coalesce.New(MaxBatch, limit, k.weigh, func(ctx context.Context, items []In) []coalesce.Result[Out] {
		return k.fold(items, func(round []In) []coalesce.Result[Out] { return g.apart(ctx, round) })
	})
	g.group.Slots = slots
	return g
}

// A blocked item is tried again at once, as it may be that only its conversation was not known or
// that another write was quicker, and then after pauses that double from the first to the last.
const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = 100 * time.Millisecond
)

// maxRounds is as many as marks can need: each receipt as delivered and as read, without and with
// the rule's yes.
const maxRounds = 4

var (
	errBlocked = errors.New("another transaction holds the conversation")
	errLater   = errors.New("left for another batch")
)

// do writes a user's items and returns what became of each, in the same order. The conversation of
// an item, as far as it is known, keeps it out of batches that are in each other's way. A wrong one
// costs a second try.
//
// A ctx without a deadline ends after the limit. An item whose conversation is blocked is tried
// until then. No connection waits with it.
func (g *gather[In, Key, Out]) do(ctx context.Context, user string, items []In, conversation func(In) string) []coalesce.Result[Out] {
	ctx, cancel := limited(ctx, g.limit)
	defer cancel()
	results := make([]coalesce.Result[Out], len(items))
	conversations := make([]string, len(items))
	todo := make([]int, len(items))
	for i, item := range items {
		conversations[i], todo[i] = conversation(item), i
	}
	for pause := time.Duration(0); ; {
		slices.SortStableFunc(todo, func(i, j int) int { return strings.Compare(conversations[i], conversations[j]) })
		batch := make([]coalesce.Item[In], len(todo))
		for k, i := range todo {
			batch[k] = coalesce.Item[In]{In: items[i], Key: conversations[i]}
		}
		again, waits := todo[:0], false
		for k, r := range g.group.Do(ctx, user, batch...) {
			i := todo[k]
			results[i] = r
			switch c, blocked := g.blocked(r.Out); {
			case r.Err == errLater:
				again = append(again, i)
			case r.Err == nil && blocked:
				conversations[i] = cmp.Or(c, conversations[i])
				again, waits = append(again, i), true
			}
		}
		if todo = again; len(todo) == 0 {
			return results
		}
		if !waits {
			continue
		}
		if err := sleep(ctx, pause); err != nil {
			for _, i := range todo {
				results[i].Err = fmt.Errorf("%w: %w", errBlocked, err)
			}
			return results
		}
		pause = min(max(2*pause, firstRetry), lastRetry)
	}
}

// sleep waits for 50 % to 100 % of the time, so that many who wait do not come back
// together.
func sleep(ctx context.Context, d time.Duration) error {
	if d > 0 {
		timer := time.NewTimer(d/2 + rand.N(d/2)) // #nosec G404 -- nothing to guess: it only spreads load
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// apart writes items at once, or, if the database refuses that, in halves, until an item that it
// refuses stands alone.
func (g *gather[In, Key, Out]) apart(ctx context.Context, items []In) []coalesce.Result[Out] {
	lease, began := g.relay.lease(), time.Now()
	outs, claimed, err := g.write(ctx, items, lease)
	took := time.Since(began)
	g.relay.handOver(claimed, began)
	g.relay.observer.Wrote(ctx, WroteInfo{g.what, len(items), took, err})
	if half := len(items) / 2; half > 0 && ctx.Err() == nil && refuses(err) {
		return append(g.apart(ctx, items[:half]), g.apart(ctx, items[half:])...)
	}
	return answers(items, outs, err)
}

// answers gives each item its result.
func answers[In, Out any](items []In, outs []Out, err error) []coalesce.Result[Out] {
	if err == nil && len(outs) != len(items) {
		err = fmt.Errorf("%w: the store returned %d results for %d items", ErrOutcomeUnknown, len(outs), len(items))
	}
	results := make([]coalesce.Result[Out], len(items))
	for i := range results {
		if results[i].Err = err; err == nil {
			results[i].Out = outs[i]
		}
	}
	return results
}

// refuses reports whether an error of the store's may be due to one of the items.
func refuses(err error) bool {
	return err != nil && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrOutcomeUnknown)
}

// inTx writes items in the caller's transaction, all or none.
func (k kind[In, Key, Out]) inTx(items []In, write func([]In) ([]Out, []Claimed, error)) ([]coalesce.Result[Out], error) {
	results := k.fold(items, func(round []In) []coalesce.Result[Out] {
		outs, _, err := write(round)
		return answers(round, outs, err)
	})
	for _, r := range results {
		if _, blocked := k.blocked(r.Out); blocked {
			r.Err = errBlocked // against the contract of TxStore
		}
		if r.Err != nil {
			return nil, r.Err
		}
	}
	return results, nil
}

// fold writes items in rounds of distinct keys. Repeats share a write: an item that an earlier one
// of its key implies is in no round. Everybody in a batch waits for all of its rounds, so items
// beyond the last round are left for another batch.
func (k kind[In, Key, Out]) fold(items []In, write func([]In) []coalesce.Result[Out]) []coalesce.Result[Out] {
	if len(items) == 1 {
		return write(items)
	}
	rounds, by := k.rounds(items)
	results := make([]coalesce.Result[Out], len(items))
	for n, round := range rounds {
		if n == maxRounds {
			for _, i := range slices.Concat(rounds[n:]...) {
				results[i].Err = errLater
			}
			break
		}
		for k, r := range write(pick(items, round)) {
			results[round[k]] = r
		}
	}
	for i, j := range by {
		if i != j {
			results[i] = coalesce.Result[Out]{Out: k.repeat(results[j].Out), Err: results[j].Err}
		}
	}
	return results
}

// rounds returns the indexes of the items of each round, in order. For each item, by is the index
// of the item that is written for it: its own, or that of the one that implies it.
func (k kind[In, Key, Out]) rounds(items []In) (rounds [][]int, by []int) {
	written := make(map[Key][]int, len(items)) // the items of a key
	by = make([]int, len(items))
next:
	for i, item := range items {
		same := written[k.key(item)]
		for _, j := range slices.Backward(same) {
			if k.implies(items[j], item) {
				by[i] = j
				continue next
			}
		}
		by[i], written[k.key(item)] = i, append(same, i)
		if len(same) == len(rounds) {
			rounds = append(rounds, nil)
		}
		rounds[len(same)] = append(rounds[len(same)], i)
	}
	return rounds, by
}

// pick returns the items at these indexes, which ascend.
func pick[T any](items []T, at []int) []T {
	if len(at) == len(items) {
		return items
	}
	out := make([]T, len(at))
	for i, j := range at {
		out[i] = items[j]
	}
	return out
}

// limited returns a ctx that ends after the limit, unless ctx has a deadline.
func limited(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if _, limited := ctx.Deadline(); limited {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}
