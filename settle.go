package delivery

import (
	"cmp"
	"context"
	"slices"

	"github.com/msgdelivery/delivery/internal/coalesce"
)

// release gives events back, due at once, as if they had not been claimed.
func (r *relay) release(batch []leased) {
	r.settle(batch, func(leased) Settlement { return Settlement{Outcome: SettleRelease} })
}

// settle ends the claims of a batch. An event that cannot be settled comes again when its lease has
// run out.
func (r *relay) settle(batch []leased, how func(leased) Settlement) {
	if len(batch) == 0 {
		return
	}
	items := make([]coalesce.Item[Settlement], len(batch))
	for i, h := range batch {
		s := how(h)
		s.ID, s.Lease = h.Event.ID, h.Lease
		items[i].In = s
		if s.Outcome != SettleDone {
			r.hurry() // it may be just too early, and these gather after all
		}
	}
	var err error
	results := r.settles.Do(context.Background(), "", items...)
	ctx, cancel := context.WithTimeout(context.Background(), r.term/3)
	defer cancel()
	for i, result := range results {
		err = cmp.Or(err, result.Err)
		if s := items[i].In; result.Err == nil && s.Outcome == SettleBury && (result.Out || r.isDead(ctx, batch[i])) {
			r.buried(BuriedInfo{batch[i].Event, batch[i].Attempts, s.Reason})
		}
	}
	r.trouble(&r.settling, err, "settling events failed; they will be published again", "events", len(batch))
}

// isDead reports whether an event is a dead letter, and no other relay has claimed it since.
func (r *relay) isDead(ctx context.Context, h leased) bool {
	dead, err := coalesce.Await(ctx, func() ([]DeadLetter, error) { return r.outbox.Dead(ctx, h.Event.ID-1, 1) })
	return err == nil && len(dead) == 1 && dead[0].Event.ID == h.Event.ID && dead[0].Attempts == h.Attempts
}

func (r *relay) buried(b BuriedInfo) {
	r.log.Error("delivery: event went to the dead letters", "event", b.Event.ID, "attempts", b.Attempts, "reason", b.Reason)
	r.observer.Buried(context.Background(), b)
}

// flushSettlements settles for several publishers at once. The results say whether all of the
// settlements took effect: the outbox does not say which ones.
func (r *relay) flushSettlements(ctx context.Context, settlements []Settlement) []coalesce.Result[bool] {
	settled, err := r.outbox.Settle(ctx, settlements)
	lost := len(settlements) - settled
	if lost > 0 && err == nil {
		r.observer.LeaseLost(ctx, LeaseLostInfo{lost})
	}
	return slices.Repeat([]coalesce.Result[bool]{{Out: lost == 0, Err: err}}, len(settlements))
}
