package deliverytest

import (
	"slices"
	"testing"

	"github.com/msgdelivery/delivery"
)

// TestStore tests that a store keeps the contract of [delivery.Store]. Each subtest is one rule of
// it, and gets a store of its own from open, which must be empty. Open should close it in a
// t.Cleanup. The subtests run one after the other, and wait for short leases in real time, so do
// not run them in a bubble of testing/synctest. Options may be nil.
func TestStore(t *testing.T, open func(t *testing.T) delivery.Store, opts *StoreOptions) {
	if opts == nil {
		opts = new(StoreOptions)
	}
	test := func(cases []storeCase, again func(*testing.T, delivery.Store) delivery.Store) {
		for _, c := range cases {
			t.Run(c.rule, func(t *testing.T) {
				store := open(t)
				c.run(t, store, func() delivery.Store { return again(t, store) })
			})
		}
	}
	test(storeCases, nil)
	if opts.Reopen != nil {
		test(reopenCases, opts.Reopen)
	}
	if opts.Second != nil {
		test(secondCases, opts.Second)
	}
}

// StoreOptions says what else [TestStore] may ask of a store.
type StoreOptions struct {
	// Reopen closes a store that open returned and opens its data again, like a process that
	// restarts. Nil says that the data does not outlast the store: the rules about reopened data
	// are left out.
	Reopen func(t *testing.T, store delivery.Store) delivery.Store

	// Second opens the data of a store that is already open, as another process would. Both handles
	// stay in use. Nil says that the data has one handle at a time: the rules about several handles
	// are left out.
	Second func(t *testing.T, store delivery.Store) delivery.Store
}

// TestKeeper tests what a [delivery.Keeper] promises beyond a [delivery.Store]. [TestStore] is to
// be run as well. Each subtest gets an empty store from open, as in TestStore.
func TestKeeper(t *testing.T, open func(t *testing.T) delivery.Keeper) {
	for _, c := range allKeeperCases {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t), nil) })
	}
}

// TestFailureStore tests what a [delivery.FailureStore] promises beyond a [delivery.Store], as
// TestKeeper does for a keeper. If what open returns is a [delivery.Keeper] or a
// [delivery.OverdueStore] too, the rules about what these do with failures are tested as well.
func TestFailureStore(t *testing.T, open func(t *testing.T) delivery.FailureStore) {
	cases, store := failCases, open(t)
	if _, keeps := store.(delivery.Keeper); keeps {
		cases = slices.Concat(cases, failKeeperCases)
	}
	if _, finds := store.(delivery.OverdueStore); finds {
		cases = slices.Concat(cases, failOverdueCases)
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t), nil) })
	}
}

// TestOverdueStore tests what a [delivery.OverdueStore] promises beyond a [delivery.Store], as
// TestKeeper does for a keeper. If what open returns is a [delivery.Keeper] too, the rules about
// deleted and pruned messages and about erased users are tested as well. TestOverdueStore waits for
// short times in real time.
func TestOverdueStore(t *testing.T, open func(t *testing.T) delivery.OverdueStore) {
	cases := allOverdueCases
	if _, keeps := open(t).(delivery.Keeper); keeps {
		cases = slices.Concat(cases, overdueKeeperCases)
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t), nil) })
	}
}

// TestHourStore tests what a [delivery.HourStore] promises beyond a [delivery.Store], as TestKeeper
// does for a keeper. It does not test which hours CountHour considers due. If what open returns is
// a [delivery.Keeper] too, the rule about messages that are deleted and users who are erased is
// tested as well.
func TestHourStore(t *testing.T, open func(t *testing.T) delivery.HourStore) {
	cases := hourCases
	if _, keeps := open(t).(delivery.Keeper); keeps {
		cases = slices.Concat(cases, hourKeeperCases)
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t), nil) })
	}
}

// TestImportStore tests what a [delivery.ImportStore] promises beyond a [delivery.Store], as
// TestKeeper does for a keeper. If what open returns is a [delivery.Keeper], a
// [delivery.OverdueStore] or a [delivery.HourStore] too, the rules about what these do with
// imported messages are tested as well.
func TestImportStore(t *testing.T, open func(t *testing.T) delivery.ImportStore) {
	cases, store := importCases, open(t)
	if _, keeps := store.(delivery.Keeper); keeps {
		cases = slices.Concat(cases, importKeeperCases)
	}
	if _, finds := store.(delivery.OverdueStore); finds {
		cases = slices.Concat(cases, importOverdueCases)
	}
	if _, counts := store.(delivery.HourStore); counts {
		cases = slices.Concat(cases, importHourCases)
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t), nil) })
	}
}

var allOverdueCases = slices.Concat(overdueCases, capOverdueCases)

var allKeeperCases = slices.Concat(keeperCases, pruneCases, compactCases, eraseCases, verifyCases, capKeeperCases)

// storeCase is one rule, and the test that a store keeps it.
type storeCase struct {
	rule string
	test func(*probe)
}

var storeCases = slices.Concat(
	createCases, rosterCases, capCases, advanceCases, upToCases, upToBatchCases, listCases, receiptCases, unreadCases, ownCases, leaseCases, settleCases, dataCases, traceCases, callCases, raceCases,
)

// run tests the rule, and after it what holds after everything: that the events told all. Some
// rules open the store's data again.
func (c storeCase) run(t testing.TB, store delivery.Store, again func() delivery.Store) {
	p := newProbe(t, c.rule, store)
	p.again = again
	c.test(p)
	p.audit()
}
