//go:build !race

package deliverytest

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// forgetful finds who is overdue with a rule, a lease or answers that are spoiled.
type forgetful struct {
	*memstore.Store
	rule   func(*delivery.OverdueRule)
	lease  func(*delivery.Lease)
	limit  func(*int)
	found  func(*delivery.OverdueResult)
	claims func([]delivery.OverdueClaim) []delivery.OverdueClaim
}

func (f *forgetful) Overdue(ctx context.Context, rule delivery.OverdueRule, limit int, lease delivery.Lease) (delivery.OverdueResult, error) {
	apply(f.rule, &rule)
	apply(f.lease, &lease)
	apply(f.limit, &limit)
	result, err := f.Store.Overdue(ctx, rule, limit, lease)
	apply(f.found, &result)
	return result, err
}

func (f *forgetful) SettleOverdue(ctx context.Context, claims []delivery.OverdueClaim) (int, error) {
	if f.claims != nil {
		claims = f.claims(slices.Clone(claims))
	}
	return f.Store.SettleOverdue(ctx, claims)
}

func TestStoresThatMissWhoIsOverdueFailByName(t *testing.T) {
	for _, l := range []struct {
		name  string
		rules []string
		spoil func(*forgetful)
	}{
		{"its rule begins with the store", []string{"a rule does not look at", "each rule has a progress"}, func(f *forgetful) {
			f.rule = func(r *delivery.OverdueRule) { r.Name = "any" }
			f.Overdue(context.Background(), unread, 1, delivery.Lease{})
			f.rule = func(r *delivery.OverdueRule) { r.Name = "any" }
			time.Sleep(2 * grain)
		}},
		{"it is early", []string{"nobody is returned before"}, func(f *forgetful) {
			f.rule = func(r *delivery.OverdueRule) { r.After /= 5 }
		}},
		{"delivered is enough", []string{"nobody is returned before", "what has been delivered"}, func(f *forgetful) {
			f.rule = func(r *delivery.OverdueRule) { r.Status = delivery.Delivered }
		}},
		{"it goes beyond the limit", []string{"a call returns no more than its limit"}, func(f *forgetful) {
			f.limit = func(n *int) { *n++ }
		}},
		{"it loses one", []string{"a call returns no more than its limit", "callers at the same time"}, func(f *forgetful) {
			var lost atomic.Bool
			f.found = func(r *delivery.OverdueResult) {
				if n := len(r.Due); n > 0 && lost.CompareAndSwap(false, true) {
					r.Due = r.Due[:n-1]
				}
			}
		}},
		{"it knows rules by their names alone", []string{"rules with one name"}, func(f *forgetful) {
			f.rule = func(r *delivery.OverdueRule) { r.Status, r.For = unread.Status, unread.For }
		}},
		{"who comes again comes first", []string{"those who come again leave 1/2"}, func(f *forgetful) {
			f.found = func(r *delivery.OverdueResult) {
				if slices.ContainsFunc(r.Due, func(d delivery.Due) bool { return d.Attempts > 1 }) {
					r.Due = slices.DeleteFunc(r.Due, func(d delivery.Due) bool { return d.Attempts == 1 })
				}
			}
		}},
		{"who has read hides others", []string{"who has read is not returned again"}, func(f *forgetful) {
			f.found = func(r *delivery.OverdueResult) { r.More = r.More && len(r.Due) > 0 }
		}},
		{"its leases do not end", []string{"who is not settled"}, func(f *forgetful) {
			f.lease = func(l *delivery.Lease) { l.For = long }
		}},
		{"it leases nothing", []string{"who is not settled", "callers at the same time", "nobody is returned before"}, func(f *forgetful) {
			f.lease = func(l *delivery.Lease) { l.For = 0 }
		}},
		{"it counts no attempts", []string{"who is not settled"}, func(f *forgetful) {
			f.found = func(r *delivery.OverdueResult) {
				for i := range r.Due {
					r.Due[i].Attempts = 1
				}
			}
		}},
		{"it settles nothing", []string{"who is settled", "a lease that has run out"}, func(f *forgetful) {
			f.claims = func([]delivery.OverdueClaim) []delivery.OverdueClaim { return nil }
		}},
		{"it tells the sender what is private", []string{"a rule for the recipient", "who is untracked or hides reads is reminded"}, func(f *forgetful) {
			f.rule = func(r *delivery.OverdueRule) { r.For = delivery.ForRecipient }
		}},
		{"it tells the recipient what is shown", []string{"a rule for the recipient", "who is untracked or hides reads is reminded"}, func(f *forgetful) {
			f.rule = func(r *delivery.OverdueRule) { r.For = delivery.ForSender }
		}},
		{"it never gives up", []string{"a rule gives up"}, func(f *forgetful) {
			f.rule = func(r *delivery.OverdueRule) { r.Within = long }
		}},
		{"it says that there is no more", []string{"many messages"}, func(f *forgetful) {
			var calls atomic.Int64
			f.found = func(r *delivery.OverdueResult) {
				if calls.Add(1) > 2 {
					*r = delivery.OverdueResult{}
				}
			}
		}},
	} {
		t.Run(l.name, func(t *testing.T) {
			for _, rule := range l.rules {
				i := slices.IndexFunc(allOverdueCases, func(c storeCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				synctest.Test(t, func(t *testing.T) {
					spoiled := &forgetful{Store: memstore.New()}
					l.spoil(spoiled)
					try(t, func(tb testing.TB) { allOverdueCases[i].run(tb, spoiled, nil) }).mustFail(t, allOverdueCases[i].rule)
				})
			}
		})
	}
}
