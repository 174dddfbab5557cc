package deliverytest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// clumsy keeps failures, and its answers are spoiled.
type clumsy struct {
	*careless
	failure  func(*delivery.NewFailure)
	until    func(*delivery.Lease)
	failed   func(delivery.NewFailure, *delivery.Failed)
	messages func([]delivery.Message)
	overdue  func(*delivery.OverdueResult)
}

func (c *clumsy) inner() *memstore.Store { return c.careless.broken.Store.(*memstore.Store) }

func (c *clumsy) Fail(ctx context.Context, f delivery.NewFailure, lease delivery.Lease) (delivery.Failed, []delivery.Claimed, error) {
	apply(c.failure, &f)
	apply(c.until, &lease)
	out, claimed, err := c.inner().Fail(ctx, f, lease)
	if c.failed != nil {
		c.failed(f, &out)
	}
	return out, claimed, err
}

func (c *clumsy) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	messages, err := c.careless.Load(ctx, ids)
	apply(c.messages, messages)
	return messages, err
}

func (c *clumsy) Overdue(ctx context.Context, rule delivery.OverdueRule, limit int, lease delivery.Lease) (delivery.OverdueResult, error) {
	result, err := c.inner().Overdue(ctx, rule, limit, lease)
	apply(c.overdue, &result)
	return result, err
}

func (c *clumsy) SettleOverdue(ctx context.Context, claims []delivery.OverdueClaim) (int, error) {
	return c.inner().SettleOverdue(ctx, claims)
}

func newClumsy() *clumsy {
	return &clumsy{careless: &careless{broken: &broken{Store: memstore.New()}}}
}

func TestStoresThatLoseOrTellFailuresFailByName(t *testing.T) {
	all := slices.Concat(failCases, failKeeperCases, failOverdueCases)
	for _, l := range []struct {
		name  string
		rules []string
		spoil func(*clumsy)
	}{
		{"it keeps one code", []string{"a failure is seen", "the last failure", "receipts with a failure", "who is overdue"}, func(c *clumsy) {
			c.failure = func(f *delivery.NewFailure) { f.Code = "any" }
		}},
		{"the first failure wins", []string{"the last failure", "who is overdue"}, func(c *clumsy) {
			first := map[delivery.Failure]string{}
			c.failure = func(f *delivery.NewFailure) {
				of := delivery.Failure{Message: f.Message, Recipient: f.Recipient}
				if first[of] == "" {
					first[of] = f.Code
				}
				f.Code = first[of]
			}
		}},
		{"each failure is another", []string{"the last failure", "a failure is seen"}, func(c *clumsy) {
			n := 0
			c.failure = func(f *delivery.NewFailure) {
				n++
				f.Code += strings.Repeat(".", n)
			}
		}},
		{"it hides the count", []string{"a failure is seen", "the last failure", "a mark leaves", "whatever failures"}, func(c *clumsy) {
			c.messages = func(messages []delivery.Message) {
				for i := range messages {
					messages[i].Failed = 0
				}
			}
		}},
		{"a count never falls", []string{"a receipt that advances"}, func(c *clumsy) {
			most := map[string]int{}
			c.claimed = func(claimed []delivery.Claimed) {
				for _, c := range claimed {
					for i := range c.Event.Updates {
						u := &c.Event.Updates[i]
						most[u.Message] = max(most[u.Message], u.Failed)
						u.Failed = most[u.Message]
					}
				}
			}
		}},
		{"any mark takes all failures of a message", []string{"a mark leaves"}, func(c *clumsy) {
			marked := false
			c.marks = func([]delivery.Mark) { marked = true }
			c.receipts = func(receipts []delivery.Receipt) {
				for i := range receipts {
					if marked {
						receipts[i].Failure = ""
					}
				}
			}
		}},
		{"its answer says what has come", []string{"a failure of a receipt that has advanced"}, func(c *clumsy) {
			c.failed = func(f delivery.NewFailure, out *delivery.Failed) { out.Receipt.Failure = f.Code }
		}},
		{"it shows failures of who is untracked", []string{"a failure of an untracked"}, func(c *clumsy) {
			c.receipts = func(receipts []delivery.Receipt) {
				for i := range receipts {
					if receipts[i].Reason == delivery.Untracked {
						receipts[i].Failure = "lost"
					}
				}
			}
			c.messages = func(messages []delivery.Message) {
				for i := range messages {
					messages[i].Failed++
				}
			}
			c.failed = func(f delivery.NewFailure, out *delivery.Failed) { out.Receipt.Failure = f.Code }
		}},
		{"it knows who has read in private", []string{"what a recipient knows alone"}, func(c *clumsy) {
			c.failed = func(f delivery.NewFailure, out *delivery.Failed) { out.Changed = out.Changed && f.Recipient != "bob" }
		}},
		{"it tells a recipient's own devices", []string{"what a recipient knows alone"}, func(c *clumsy) {
			failed := false
			c.failure = func(*delivery.NewFailure) { failed = true }
			c.unread = func(all []delivery.Unread) {
				if own := all[0].Newest.Own; failed && own != nil {
					own.Failure = "lost"
				}
			}
		}},
		{"anybody can fail", []string{"only a recipient", "nothing can fail"}, func(c *clumsy) {
			c.failed = func(f delivery.NewFailure, out *delivery.Failed) { out.Receipt.Recipient = f.Recipient }
		}},
		{"it lists all receipts", []string{"receipts with a failure", "the receipts of many", "a failure of an untracked"}, func(c *clumsy) {
			c.receiptList = func(l *delivery.ReceiptList) { l.Failed = false }
		}},
		{"it forgets the lease", []string{"the event of a failure"}, func(c *clumsy) {
			c.until = func(l *delivery.Lease) { *l = delivery.Lease{} }
		}},
		{"it forgets the trace", []string{"the event of a failure"}, func(c *clumsy) {
			c.failure = func(f *delivery.NewFailure) { f.Trace = "" }
		}},
		{"tombstones count", []string{"a deleted message"}, func(c *clumsy) {
			c.page = func(p *delivery.Page) {
				for i := range p.Messages {
					if p.Messages[i].Deleted {
						p.Messages[i].Failed = 1
					}
				}
			}
		}},
		{"it verifies no failures", []string{"failures that others see"}, func(c *clumsy) {
			c.verified = func(v *delivery.Verification) { v.Drifts = make([]delivery.Drift, 1) }
		}},
		{"who is overdue has no failure", []string{"who is overdue"}, func(c *clumsy) {
			c.overdue = func(r *delivery.OverdueResult) {
				for i := range r.Due {
					r.Due[i].Failure = ""
				}
			}
		}},
		{"the sender hears of failures that nobody sees", []string{"who is overdue"}, func(c *clumsy) {
			c.overdue = func(r *delivery.OverdueResult) {
				for i := range r.Due {
					if r.Due[i].Status == delivery.Delivered {
						r.Due[i].Failure = "late"
					}
				}
			}
		}},
	} {
		t.Run(l.name, func(t *testing.T) {
			for _, rule := range l.rules {
				i := slices.IndexFunc(all, func(c storeCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				synctest.Test(t, func(t *testing.T) {
					spoiled := newClumsy()
					l.spoil(spoiled)
					try(t, func(tb testing.TB) { all[i].run(tb, spoiled, nil) }).mustFail(t, all[i].rule)
					if tr := try(t, func(tb testing.TB) { all[i].run(tb, newClumsy(), nil) }); tr.failed {
						t.Errorf("a sound store fails too: %v", tr.failures)
					}
				})
			}
		})
	}
}
