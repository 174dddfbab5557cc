package delivery

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// markSingle is markOne for a store that gains nothing from batches: nobody waits for others, and nothing
// is remembered to save a round trip, as there is none.
func (t *Tracker) markSingle(ctx context.Context, store SingleStore, message string, actor Actor, status Status) (Receipt, error) {
	if err := cmp.Or(actor.check(), checkMarking(status), checkID("message", message)); err != nil {
		return Receipt{}, err
	}
	began := time.Now()
	m := Mark{
		Message: message, User: actor.User, Socket: actor.Socket, Status: status, At: stamp(began),
		Admitted: t.opts.Authorize == nil,
	}
	for {
		out, err := t.advanceOne(ctx, store, m, began)
		if err == nil && out.Held {
			err = errHeldBack
		}
		if err != nil {
			return Receipt{}, outcome("marking", err)
		}
		err = judge(m, out.Header, out.Receipt)
		if err == errUnadmitted {
			if err = t.Authorize(ctx, m.User, ToMark, out.Header.Conversation); err == nil {
				m.Admitted, began = true, time.Now()
				continue
			}
		}
		if err != nil {
			if isRefusal(err) {
				t.opts.Observer.refused(m.User, message, err)
			}
			return Receipt{}, err
		}
		t.opts.Observer.marked(status, out.Changed)
		return out.Receipt, nil
	}
}

// advanceOne writes one mark and hands over its event. A panic of the store is an error, as it is to those
// who wait for a batch.
func (t *Tracker) advanceOne(ctx context.Context, store SingleStore, m Mark, began time.Time) (out Marked, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	out, claimed, err := store.AdvanceOne(ctx, m, t.relay.lease(t.opts.Lease, &t.breaker))
	if claimed.Lease == 0 {
		t.handOver(nil, began)
	} else {
		t.handOver([]Claimed{claimed}, began)
	}
	return out, err
}
