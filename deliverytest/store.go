package deliverytest

import (
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
)

// TestStore tests that a store keeps the contract of [delivery.Store]. Each subtest is one rule of
// it, and gets a store of its own from open, which must be empty. Open should close it in a
// t.Cleanup. The subtests are not run in parallel, and wait for short leases in real time.
func TestStore(t *testing.T, open func(t *testing.T) delivery.Store) {
	for _, c := range storeCases {
		t.Run(c.rule, func(t *testing.T) {
			c.run(t, open(t))
		})
	}
}

// storeCase is one rule, and the test that a store keeps it.
type storeCase struct {
	rule string
	test func(*probe)
}

var storeCases = slices.Concat(
	createCases, rosterCases, advanceCases, upToCases, upToBatchCases, listCases, pendingCases, leaseCases, settleCases, dataCases, callCases, raceCases,
)

// run tests the rule, and after it what holds after everything: that the events told all.
func (c storeCase) run(t testing.TB, store delivery.Store) {
	p := newProbe(t, c.rule, store)
	c.test(p)
	p.audit()
}
