// Package deliverytest tests stores and notifiers of one's own against the contract of package
// delivery, and helps to test an app that uses them.
//
// # A store of your own
//
// [TestStore] is the contract of [delivery.Store] in executable form. Each of its subtests is one
// rule, and the test of a new store is this:
//
//	package mystore_test
//
//	import (
//		"testing"
//
//		"github.com/msgdelivery/delivery"
//		"github.com/msgdelivery/delivery/deliverytest"
//		"example.com/mystore"
//	)
//
//	func TestStore(t *testing.T) {
//		deliverytest.TestStore(t, func(t *testing.T) delivery.Store { return mystore.Open(t.TempDir()) }, nil)
//	}
//
// Pass [StoreOptions] if the store's data remains when the store is closed, or if several processes
// can open it at the same time. [TestKeeper] tests what a [delivery.Keeper] adds,
// [TestFailureStore] what a [delivery.FailureStore] adds, [TestOverdueStore] what a
// [delivery.OverdueStore] adds, and [TestImportStore] what a [delivery.ImportStore] adds.
// [TestTxStore] does the same for a [delivery.TxStore], at the
// isolation levels that [TxOptions] names. Run them with -race.
//
// A subtest that fails quotes its rule. The rules are in the files rule_*.go, word for word, and
// what they call to probe a store is in the files probe*.go.
//
// # A notifier of your own
//
// [TestNotifier] is the contract of [delivery.Notifier]. Your test passes an [Endpoint], which
// describes where the notifier's calls arrive. Rules that need a function which the Endpoint does
// not have are left out. [TestBus] is the contract of [delivery.Bus], by which a notifier reaches
// the clients of other processes.
//
// # An app
//
// A [Recorder] is a notifier that remembers what it was told, to be used with memstore and, where
// time matters, testing/synctest. Small wrappers add faults to a real store or notifier, and can be
// nested. They are [FailingStore], [LosingStore], [FailingNotifier], [LosingNotifier],
// [RefusingNotifier] and [SlowNotifier]. A store or a notifier that is wrapped in a fault still
// implements the optional interfaces of the one inside, such as [delivery.TxStore].
package deliverytest
