package deliverytest

import (
	"errors"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

var errFault = errors.New("fault")

// call calls every method of a store and returns the errors by the methods' names.
func call(t *testing.T, store delivery.Store) map[string]error {
	ctx, errs := t.Context(), map[string]error{}
	created, claimed, err := store.Create(ctx, []delivery.NewMessage{frozen("c", "m", "alice", "bob")}, lease(long))
	errs["Create"] = err
	marked, advanced, err := store.Advance(ctx, []delivery.Mark{delivered("m", "bob", noon)}, lease(long))
	errs["Advance"] = err
	upTo, upped, err := store.AdvanceUpTo(ctx, []delivery.UpTo{upTo("m", delivery.Read)}, plenty, lease(long))
	errs["AdvanceUpTo"] = err
	loaded, err := store.Load(ctx, []string{"m"})
	errs["Load"] = err
	page, err := store.List(ctx, delivery.List{Conversation: "c", Limit: 1})
	errs["List"] = err
	badges, err := store.Unread(ctx, "bob", []string{"c"}, 1)
	errs["Unread"] = err
	receipts, err := store.Receipts(ctx, delivery.ReceiptList{Message: "m", Limit: 1})
	errs["Receipts"] = err
	some, err := store.ReceiptsOf(ctx, []delivery.ReceiptKey{{Message: "m", Recipient: "bob"}})
	errs["ReceiptsOf"] = err
	deleted, gone, err := store.(delivery.Keeper).Delete(ctx, []delivery.Deletion{{Message: "m"}}, lease(long))
	errs["Delete"] = err
	failed, told, err := store.(delivery.FailureStore).Fail(ctx, delivery.NewFailure{Failure: delivery.Failure{Message: "m", Recipient: "bob", Code: "lost"}}, lease(long))
	errs["Fail"] = err
	overdue, err := store.(delivery.OverdueStore).Overdue(ctx, unread, 1, lease(long))
	errs["Overdue"] = err
	_, errs["SettleOverdue"] = store.(delivery.OverdueStore).SettleOverdue(ctx, nil)
	imported, err := store.(delivery.ImportStore).Import(ctx, []delivery.NewImport{past(open("d", "n", "alice"))})
	errs["Import"] = err
	_, errs["CountHour"] = store.(delivery.HourStore).CountHour(ctx)
	_, errs["Hours"] = store.(delivery.HourStore).Hours(ctx, noon, 1)
	_, errs["Claim"] = store.Claim(ctx, 1, lease(long))
	_, errs["Settle"] = store.Settle(ctx, nil)
	_, errs["Dead"] = store.Dead(ctx, 0, 1)
	_, errs["Backlog"] = store.Backlog(ctx)
	if errs["Fail"] != nil && failed != (delivery.Failed{}) {
		t.Error("Fail returned an error and a result too")
	}
	for method, results := range map[string]int{
		"Import": len(imported),
		"Fail":   len(told),
		"Create": len(created) + len(claimed), "Advance": len(marked) + len(advanced), "AdvanceUpTo": len(upTo) + len(upped),
		"Load": len(loaded), "List": len(page.Messages), "Unread": len(badges), "Receipts": len(receipts.Receipts), "ReceiptsOf": len(some), "Delete": len(deleted) + len(gone), "Overdue": len(overdue.Due),
	} {
		if errs[method] != nil && results != 0 {
			t.Errorf("%s returned an error and results too", method)
		}
	}
	return errs
}

func TestFaultsHitEveryMethod(t *testing.T) {
	for name, wrap := range map[string]func(delivery.Store, Fault) delivery.Store{"FailingStore": FailingStore, "LosingStore": LosingStore} {
		t.Run(name, func(t *testing.T) {
			methods := map[string]int{}
			for method, err := range call(t, wrap(memstore.New(), func(method string) error { methods[method]++; return errFault })) {
				if err != errFault || methods[method] != 1 {
					t.Errorf("%s returned %v and asked the fault %d times", method, err, methods[method])
				}
			}
			for method, err := range call(t, wrap(memstore.New(), func(string) error { return nil })) {
				if err != nil {
					t.Errorf("without a fault %s returned %v", method, err)
				}
			}
		})
	}
}

func TestWithoutAFaultAStoreAnswersAsItDoes(t *testing.T) {
	store := LosingStore(FailingStore(memstore.New(), OnCall(0, errFault)), OnCall(0, errFault))
	created, one, err := store.Create(t.Context(), []delivery.NewMessage{frozen("c", "m", "alice", "bob")}, lease(long))
	if err != nil || len(created) != 1 || created[0].Message.ID != "m" || len(one) != 1 || one[0].Event.Kind != delivery.MessageSent {
		t.Errorf("Create: %+v, %+v, %v", created, one, err)
	}
	marked, two, err := store.Advance(t.Context(), []delivery.Mark{delivered("m", "bob", noon)}, lease(long))
	if err != nil || len(marked) != 1 || !marked[0].Changed || len(two) != 1 || two[0].Event.Kind != delivery.StatusChanged {
		t.Errorf("Advance: %+v, %+v, %v", marked, two, err)
	}
	if backlog, err := store.Backlog(t.Context()); err != nil || backlog.Waiting != 2 {
		t.Errorf("Backlog: %+v, %v", backlog, err)
	}
}

func TestAFailingStoreDoesNothingAndALosingOneDoesIt(t *testing.T) {
	for _, c := range []struct {
		wrap func(delivery.Store, Fault) delivery.Store
		want int
	}{{FailingStore, 0}, {LosingStore, 1}} {
		store := memstore.New()
		_, _, err := c.wrap(store, OnCall(1, errFault)).Create(t.Context(), []delivery.NewMessage{open("c", "m", "alice")}, delivery.Lease{})
		there, _ := store.Load(t.Context(), []string{"m"})
		if err != errFault || len(there) != c.want {
			t.Errorf("Create returned %v and left %d messages, want %d", err, len(there), c.want)
		}
	}
}

// able is a store that can all that a store may.
type able struct {
	delivery.TxStore
	swept int
}

func (s *able) Writers() int { return 3 }
func (s *able) Sweep()       { s.swept++ }

func TestAFaultTakesNothingFromWhatAStoreCan(t *testing.T) {
	for name, wrap := range map[string]func(delivery.Store, Fault) delivery.Store{"FailingStore": FailingStore, "LosingStore": LosingStore} {
		t.Run(name, func(t *testing.T) {
			turns, db := newTurns(t, false, flaws{})
			inner := &able{TxStore: turns}
			store := wrap(wrap(inner, OnCall(1, errFault, "Advance")), OnCall(1, errFault, "Load"))
			if writers := store.(delivery.ParallelStore).Writers(); writers != 3 {
				t.Errorf("it has %d writers, want 3", writers)
			}
			if store.(delivery.SweepStore).Sweep(); inner.swept != 1 {
				t.Errorf("it was swept %d times", inner.swept)
			}
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			for method, err := range call(t, store.(delivery.TxStore).InTx(tx)) {
				if want := method == "Advance" || method == "Load"; errors.Is(err, errFault) != want {
					t.Errorf("inside a transaction %s returned %v", method, err)
				}
			}
			if loaded, err := turns.Load(t.Context(), []string{"m"}); err != nil || len(loaded) != 0 {
				t.Errorf("before the commit there are %d messages, %v", len(loaded), err)
			}

			plain := wrap(memstore.New(), OnCall(1, errFault))
			if _, ok := plain.(delivery.TxStore); ok {
				t.Error("over a store without Tx forms it has some")
			}
			if writers := plain.(delivery.ParallelStore).Writers(); writers != 1 {
				t.Errorf("over a store without writers it has %d, want 1", writers)
			}
			plain.(delivery.SweepStore).Sweep()
		})
	}
}

func TestOnCallCountsTheCallsOfTheNamedMethods(t *testing.T) {
	fault := OnCall(2, errFault, "Claim", "Settle")
	for i, c := range []struct {
		method string
		want   error
	}{{"Claim", nil}, {"Load", nil}, {"Settle", errFault}, {"Claim", nil}} {
		if got := fault(c.method); got != c.want {
			t.Errorf("call %d, of %s, fails with %v, want %v", i+1, c.method, got, c.want)
		}
	}
}

func TestDiffNamesTheFirstDifference(t *testing.T) {
	type inner struct {
		N  int
		At time.Time
	}
	type outer struct {
		List []inner
		One  *inner
	}
	east := time.FixedZone("east", 3600)
	for _, c := range []struct {
		got, want outer
		diff      string
	}{
		{outer{}, outer{List: []inner{}}, ""},
		{outer{List: []inner{{At: noon}}}, outer{List: []inner{{At: noon.In(east)}}}, ""},
		{outer{List: []inner{{}, {N: 1}}}, outer{List: []inner{{}, {N: 2}}}, ".List[1].N is 1, want 2"},
		{outer{List: []inner{{}}}, outer{}, ".List has 1 elements, want 0"},
		{outer{One: &inner{N: 1}}, outer{One: &inner{N: 1}}, ""},
		{outer{One: &inner{N: 1}}, outer{One: &inner{N: 3}}, ".One.N is 1, want 3"},
		{outer{}, outer{One: &inner{N: 3}}, ".One is nil, want {N:3 At:0001-01-01 00:00:00 +0000 UTC}"},
	} {
		if got := diff("", c.got, c.want); got != c.diff {
			t.Errorf("diff is %q, want %q", got, c.diff)
		}
	}
	if got, want := diff("it", "a\n", "b"), `it is "a\n", want "b"`; got != want {
		t.Errorf("diff is %q, want %q", got, want)
	}
}
