package deliverytest

import (
	"slices"
	"strings"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

func TestDataThatIsOpenedAgainPasses(t *testing.T) {
	reopened, opened := 0, 0
	TestStore(t, func(*testing.T) delivery.Store { return memstore.New() }, &StoreOptions{
		Reopen: func(_ *testing.T, store delivery.Store) delivery.Store { reopened++; return store },
		Second: func(_ *testing.T, store delivery.Store) delivery.Store { opened++; return store },
	})
	if reopened != len(reopenCases) || opened != len(secondCases) {
		t.Errorf("stores were reopened %d times and opened again %d times", reopened, opened)
	}
}

func TestBrokenHandlesFailByName(t *testing.T) {
	const there, lease, seen, races = "what was acknowledged", "a lease outlasts", "what is written through one handle", "whatever races through two"
	for _, b := range []struct {
		name  string
		rules []string
		store func(sound delivery.Store) delivery.Store
		again func(store delivery.Store) delivery.Store
	}{
		{"it begins anew", []string{there, lease, seen, races}, nil,
			func(delivery.Store) delivery.Store { return memstore.New() }},
		{"it has another epoch each time", []string{there, seen}, nil,
			func(store delivery.Store) delivery.Store {
				return &broken{Store: store, page: func(page *delivery.Page) { page.Epoch++ }}
			}},
		{"what a user alone knows is of the process", []string{there, seen}, nil,
			func(store delivery.Store) delivery.Store {
				return &broken{Store: store, unread: func(unread []delivery.Unread) { unread[0].Place = delivery.Place{} }}
			}},
		{"its places are of one handle", []string{races},
			func(sound delivery.Store) delivery.Store { return &hasty{Store: sound} },
			func(store delivery.Store) delivery.Store { return &hasty{Store: store.(*hasty).Store, locks: true} }},
		{"it forgets its leases", []string{lease, seen, races},
			func(sound delivery.Store) delivery.Store { return &victim{Store: sound} },
			func(store delivery.Store) delivery.Store { return &poaching{store} }},
		{"it answers from what it has read before", []string{seen},
			func(sound delivery.Store) delivery.Store {
				return &remembering{sound, map[delivery.List]delivery.Page{}}
			},
			func(store delivery.Store) delivery.Store { return store.(*remembering).Store }},
		{"its locks lock out nobody who has another handle", []string{races},
			func(sound delivery.Store) delivery.Store { return &locking{stale: stale{sound}} },
			func(store delivery.Store) delivery.Store { return &locking{stale: stale{store.(*locking).Store}} }},
	} {
		t.Run(b.name, func(t *testing.T) {
			for _, rule := range b.rules {
				cases := slices.Concat(reopenCases, secondCases)
				i := slices.IndexFunc(cases, func(c storeCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				var store delivery.Store = memstore.New()
				if b.store != nil {
					store = b.store(store)
				}
				try(t, func(tb testing.TB) {
					cases[i].run(tb, store, func() delivery.Store { return b.again(store) })
				}).mustFail(t, cases[i].rule)
			}
		})
	}
}
