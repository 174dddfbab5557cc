package deliverytest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// revisionist takes a history that it spoils.
type revisionist struct {
	*memstore.Store
	items    func([]delivery.NewImport)
	outcome  func(delivery.NewImport, *delivery.ImportOutcome)
	instead  func(context.Context, *memstore.Store, []delivery.NewImport) ([]delivery.ImportOutcome, error)
	unread   func([]delivery.Unread)
	pruning  func(*delivery.Pruning)
	verified func(*delivery.Verification)
}

func (r *revisionist) Import(ctx context.Context, messages []delivery.NewImport) ([]delivery.ImportOutcome, error) {
	messages = slices.Clone(messages)
	for i := range messages {
		messages[i].Receipts = slices.Clone(messages[i].Receipts)
	}
	apply(r.items, messages)
	if r.instead != nil {
		return r.instead(ctx, r.Store, messages)
	}
	outcomes, err := r.Store.Import(ctx, messages)
	for i := range outcomes {
		if r.outcome != nil {
			r.outcome(messages[i], &outcomes[i])
		}
	}
	return outcomes, err
}

func (r *revisionist) Unread(ctx context.Context, user string, conversations []string, limit int) ([]delivery.Unread, error) {
	all, err := r.Store.Unread(ctx, user, conversations, limit)
	apply(r.unread, all)
	return all, err
}

func (r *revisionist) Prune(ctx context.Context, p delivery.Pruning) (delivery.PruningResult, error) {
	apply(r.pruning, &p)
	return r.Store.Prune(ctx, p)
}

func (r *revisionist) Verify(ctx context.Context, conversation string, after int64, limit int) (delivery.Verification, error) {
	v, err := r.Store.Verify(ctx, conversation, after, limit)
	apply(r.verified, &v)
	return v, err
}

// sending imports by sends and marks.
func sending(ctx context.Context, store *memstore.Store, messages []delivery.NewImport) ([]delivery.ImportOutcome, error) {
	for _, m := range messages {
		if _, _, err := store.Create(ctx, []delivery.NewMessage{m.NewMessage}, delivery.Lease{}); err != nil {
			return nil, err
		}
		for _, r := range m.Receipts {
			mark := delivery.Mark{Message: m.ID, User: r.Recipient, Status: r.Status, At: r.ReadAt, Admitted: true}
			if _, _, err := store.Advance(ctx, []delivery.Mark{mark}, delivery.Lease{}); err != nil {
				return nil, err
			}
		}
	}
	return slices.Repeat([]delivery.ImportOutcome{delivery.ImportStored}, len(messages)), nil
}

// answering answers one outcome in place of another.
func answering(instead map[delivery.ImportOutcome]delivery.ImportOutcome) func(delivery.NewImport, *delivery.ImportOutcome) {
	return func(_ delivery.NewImport, o *delivery.ImportOutcome) {
		if other, wrong := instead[*o]; wrong {
			*o = other
		}
	}
}

func eachReceipt(change func(m delivery.NewImport, r *delivery.ImportReceipt)) func([]delivery.NewImport) {
	return func(messages []delivery.NewImport) {
		for _, m := range messages {
			for i := range m.Receipts {
				change(m, &m.Receipts[i])
			}
		}
	}
}

func TestStoresThatSpoilAHistoryFailByName(t *testing.T) {
	all := slices.Concat(importCases, importKeeperCases, importOverdueCases, importHourCases)
	type outcomes = map[delivery.ImportOutcome]delivery.ImportOutcome
	for _, l := range []struct {
		name  string
		rules []string
		store revisionist
	}{
		{"it sends", []string{"an imported message has", "nobody is overdue", "no hour counts"}, revisionist{instead: sending}},
		{"messages have the time of the call", []string{"an imported message has", "a prune goes by"}, revisionist{items: func(messages []delivery.NewImport) {
			for i := range messages {
				messages[i].SentAt = time.Now()
			}
		}}},
		{"messages come in any order", []string{"an imported message has"}, revisionist{items: slices.Reverse[[]delivery.NewImport]}},
		{"receipts have one time", []string{"an imported message has", "all is as if"}, revisionist{items: eachReceipt(func(m delivery.NewImport, r *delivery.ImportReceipt) {
			r.DeliveredAt = r.ReadAt
		})}},
		{"receipts are lost", []string{"all is as if", "what others do not see", "who has read all", "sends and marks", "receipts without times", "where no message is left"},
			revisionist{items: func(messages []delivery.NewImport) {
				for i := range messages {
					messages[i].Receipts = nil
				}
			}}},
		{"unknown times are those of the message", []string{"a time that is not known"}, revisionist{items: eachReceipt(func(m delivery.NewImport, r *delivery.ImportReceipt) {
			if r.DeliveredAt.IsZero() {
				r.DeliveredAt = m.SentAt
			}
		})}},
		{"others see all", []string{"what others do not see", "all is as if"}, revisionist{items: func(messages []delivery.NewImport) {
			for i := range messages {
				messages[i].Caps = nil
			}
		}}},
		{"a recipient knows no more than others", []string{"what others do not see", "all is as if"}, revisionist{items: eachReceipt(func(m delivery.NewImport, r *delivery.ImportReceipt) {
			if i := slices.Index(m.Members, r.Recipient); i >= 0 && m.CapOf(i) < delivery.Read {
				r.Status, r.ReadAt = delivery.Delivered, time.Time{}
			}
		})}},
		{"all counts as unread", []string{"who has read all", "sends and marks"}, revisionist{unread: func(all []delivery.Unread) {
			for i := range all {
				all[i].Count += 3
			}
		}}},
		{"it imports beside what was sent", []string{"nothing is imported beside", "an id that another message has"}, revisionist{outcome: answering(outcomes{delivery.ImportConflict: delivery.ImportStored})}},
		{"it says that it stored what it did not", []string{"an import and sends"}, revisionist{instead: func(context.Context, *memstore.Store, []delivery.NewImport) ([]delivery.ImportOutcome, error) {
			return []delivery.ImportOutcome{delivery.ImportStored}, nil
		}}},
		{"it imports again", []string{"a message that is there", "nothing is imported beside"}, revisionist{outcome: answering(outcomes{delivery.ImportKnown: delivery.ImportStored})}},
		{"what is there is in the way", []string{"a message that is there", "nothing is imported beside"}, revisionist{outcome: answering(outcomes{delivery.ImportKnown: delivery.ImportConflict})}},
		{"strangers lose their receipts", []string{"only recipients"}, revisionist{items: func(messages []delivery.NewImport) {
			for i := range messages {
				m := &messages[i]
				m.Receipts = slices.DeleteFunc(m.Receipts, func(r delivery.ImportReceipt) bool {
					return m.Members != nil && !slices.Contains(m.Members, r.Recipient)
				})
			}
		}}},
		{"it knows all rosters", []string{"only recipients"}, revisionist{items: func(messages []delivery.NewImport) {
			for i := range messages {
				if messages[i].Members == nil {
					messages[i].Members = []string{"bob", "carol", "dan"}
				}
			}
		}}},
		{"it verifies no receipts", []string{"Verify finds", "receipts without times"}, revisionist{verified: func(v *delivery.Verification) { v.Drifts = make([]delivery.Drift, 1) }}},
		{"ids of tombstones are free", []string{"a tombstone's id"}, revisionist{outcome: answering(outcomes{delivery.ImportGone: delivery.ImportStored})}},
		{"a tombstone is in nobody's way", []string{"a tombstone's id"}, revisionist{outcome: answering(outcomes{delivery.ImportConflict: delivery.ImportStored})}},
		{"it prunes by when messages were stored", []string{"a prune goes by"}, revisionist{pruning: func(p *delivery.Pruning) { p.All = true }}},
	} {
		t.Run(l.name, func(t *testing.T) {
			for _, rule := range l.rules {
				i := slices.IndexFunc(all, func(c storeCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				synctest.Test(t, func(t *testing.T) {
					spoiled := l.store
					spoiled.Store = memstore.New()
					try(t, func(tb testing.TB) { all[i].run(tb, &spoiled, nil) }).mustFail(t, all[i].rule)
					if tr := try(t, func(tb testing.TB) { all[i].run(tb, &revisionist{Store: memstore.New()}, nil) }); tr.failed {
						t.Errorf("a sound store fails too: %v", tr.failures)
					}
				})
			}
		})
	}
}
