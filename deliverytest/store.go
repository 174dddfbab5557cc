package deliverytest

import (
	"context"
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
)

// TestStore tests that a store keeps the contract of [delivery.Store]. Each subtest is one rule of
// it, and gets a store of its own from open, which must be empty. Open should close it in a
// t.Cleanup. The subtests are not run in parallel, and wait for short leases in real time.
//
// For a [delivery.SingleStore] each rule is tested once more, with another store, where every mark that
// comes alone goes through AdvanceOne.
func TestStore(t *testing.T, open func(t *testing.T) delivery.Store) {
	for _, c := range storeCases {
		t.Run(c.rule, func(t *testing.T) {
			store := open(t)
			c.run(t, store)
			if _, ok := store.(delivery.SingleStore); ok {
				c.rule += ", and so by AdvanceOne"
				c.run(t, &oneByOne{open(t).(delivery.SingleStore)})
			}
		})
	}
}

// oneByOne is a store whose Advance of one mark is AdvanceOne.
type oneByOne struct{ delivery.SingleStore }

func (s *oneByOne) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if len(marks) != 1 {
		return s.SingleStore.Advance(ctx, marks, lease)
	}
	marked, claimed, err := s.AdvanceOne(ctx, marks[0], lease)
	if err != nil {
		return nil, nil, err
	}
	if claimed.Lease == 0 {
		return []delivery.Marked{marked}, nil, nil
	}
	return []delivery.Marked{marked}, []delivery.Claimed{claimed}, nil
}

// storeCase is one rule, and the test that a store keeps it.
type storeCase struct {
	rule string
	test func(*probe)
}

var storeCases = slices.Concat(
	createCases, advanceCases, upToCases, listCases, pendingCases, leaseCases, settleCases, dataCases, callCases, raceCases,
)

// run tests the rule, and after it what holds after everything: that the events told all.
func (c storeCase) run(t testing.TB, store delivery.Store) {
	p := newProbe(t, c.rule, store)
	c.test(p)
	p.audit()
}
