package deliverytest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// careless is a keeper whose answers are spoiled.
type careless struct {
	*broken
	deletions  func([]delivery.Deletion) []delivery.Deletion
	lease      func(*delivery.Lease)
	deleted    func([]delivery.Deleted)
	prune      func(*delivery.Pruning)
	pruned     func(*delivery.PruningResult)
	rooms      func([]string)
	compact    func(*delivery.Compaction)
	compacted  func()
	erase      func(string) string
	verified   func(*delivery.Verification)
	verifies   func()
	eraseLimit func(int) int
}

func (c *careless) Delete(ctx context.Context, deletions []delivery.Deletion, lease delivery.Lease) ([]delivery.Deleted, []delivery.Claimed, error) {
	deletions = slices.Clone(deletions)
	if c.deletions != nil {
		deletions = c.deletions(deletions)
	}
	apply(c.lease, &lease)
	deleted, claimed, err := c.Store.(delivery.Keeper).Delete(ctx, deletions, lease)
	apply(c.deleted, deleted)
	return deleted, claimed, err
}

func (c *careless) Conversations(ctx context.Context, after string, limit int) ([]string, error) {
	ids, err := c.Store.(delivery.Keeper).Conversations(ctx, after, limit)
	apply(c.rooms, ids)
	return ids, err
}

func (c *careless) Prune(ctx context.Context, p delivery.Pruning) (delivery.PruningResult, error) {
	apply(c.prune, &p)
	r, err := c.Store.(delivery.Keeper).Prune(ctx, p)
	apply(c.pruned, &r)
	return r, err
}

func (c *careless) Compact(ctx context.Context, x delivery.Compaction) (delivery.CompactionResult, error) {
	apply(c.compact, &x)
	r, err := c.Store.(delivery.Keeper).Compact(ctx, x)
	if c.compacted != nil {
		c.compacted()
	}
	return r, err
}

func (c *careless) Erase(ctx context.Context, user string, limit int) (delivery.ErasureResult, error) {
	if c.erase != nil {
		user = c.erase(user)
	}
	if c.eraseLimit != nil {
		limit = c.eraseLimit(limit)
	}
	return c.Store.(delivery.Keeper).Erase(ctx, user, limit)
}

func (c *careless) Verify(ctx context.Context, conversation string, after int64, limit int) (delivery.Verification, error) {
	v, err := c.Store.(delivery.Keeper).Verify(ctx, conversation, after, limit)
	apply(c.verified, &v)
	if c.verifies != nil {
		c.verifies()
	}
	return v, err
}

// lapse is a way to break the contract of keepers, and beginnings of rules that must notice.
type lapse struct {
	name  string
	rules []string
	keep  func(*careless)
}

var lapses = []lapse{
	{"it keeps the receipts", []string{"a deleted message is as if"}, func(c *careless) {
		gone := map[string]bool{}
		c.deletions = func(deletions []delivery.Deletion) []delivery.Deletion {
			for _, d := range deletions {
				gone[d.Message] = true
			}
			return deletions
		}
		c.marked = func(marks []delivery.Mark, marked []delivery.Marked) {
			for i, m := range marks {
				if gone[m.Message] {
					marked[i].Header.ID = m.Message
				}
			}
		}
	}},
	{"it excludes nobody", []string{"each deletion takes a version"}, func(c *careless) {
		c.deletions = func(deletions []delivery.Deletion) []delivery.Deletion {
			for i := range deletions {
				deletions[i].Socket = ""
			}
			return deletions
		}
	}},
	{"it says that it deleted what was gone", []string{"what was deleted"}, func(c *careless) {
		c.deleted = func(deleted []delivery.Deleted) {
			for i := range deleted {
				deleted[i].Changed = true
			}
		}
	}},
	{"it tells of tombstones from the beginning", []string{"changes after a version"}, func(c *careless) {
		c.list = func(l *delivery.List) {
			if l.Changes && l.After == 0 {
				l.After = -1
			}
		}
	}},
	{"it hides tombstones", []string{"changes after a version"}, func(c *careless) {
		c.page = func(p *delivery.Page) {
			p.Messages = slices.DeleteFunc(p.Messages, func(m delivery.Message) bool { return m.Deleted })
		}
	}},
	{"it frees the id", []string{"the id of a deleted message"}, func(c *careless) {
		c.created = func(created []delivery.Created) {
			for i := range created {
				created[i].Gone = false
			}
		}
	}},
	{"it finds no tombstone by an up-to mark", []string{"an up-to mark passes over"}, func(c *careless) {
		c.markedUpTo = func(marked []delivery.MarkedUpTo) {
			for i := range marked {
				if marked[i].Header.Sender == "" {
					marked[i] = delivery.MarkedUpTo{}
				}
			}
		}
	}},
	{"it counts deleted messages as pending", []string{"deleted messages are not pending"}, func(c *careless) {
		deleted := 0
		c.deletions = func(deletions []delivery.Deletion) []delivery.Deletion { deleted += len(deletions); return deletions }
		c.unread = func(all []delivery.Unread) { all[0].Count += deleted }
	}},
	{"it forgets the lease", []string{"the events of deletions"}, func(c *careless) {
		c.lease = func(l *delivery.Lease) { *l = delivery.Lease{} }
	}},
	{"it keeps the text", []string{"a deleted message's body"}, func(c *careless) {
		texts := map[string]string{}
		c.messages = func(messages []delivery.NewMessage) {
			for _, m := range messages {
				texts[m.ID] = m.Body
			}
		}
		c.claimed = func(claimed []delivery.Claimed) {
			for _, c := range claimed {
				if c.Event.Kind == delivery.MessageSent {
					c.Event.Updates[0].Body = texts[c.Event.Updates[0].Message]
				}
			}
		}
	}},
	{"it keeps the rosters", []string{"a roster serves"}, func(c *careless) {
		rosters := map[string][]string{}
		c.messages = func(messages []delivery.NewMessage) {
			for i := range messages {
				m := &messages[i]
				if key := m.Conversation + m.Roster; rosters[key] != nil {
					m.Members = rosters[key]
				} else {
					rosters[key] = m.Members
				}
			}
		}
	}},
	{"it prunes what is younger", []string{"the first messages are pruned", "where there is nothing"}, func(c *careless) {
		c.prune = func(p *delivery.Pruning) { p.Before = p.Before.Add(time.Minute) }
	}},
	{"it hides the floor", []string{"the first messages are pruned"}, func(c *careless) {
		c.page = func(p *delivery.Page) { p.Floor = 0 }
	}},
	{"it hides the floor of what is unread", []string{"the first messages are pruned"}, func(c *careless) {
		c.unread = func(all []delivery.Unread) { all[0].Floor = 0 }
	}},
	{"it tells nobody of what it prunes", []string{"a prune takes one version"}, func(c *careless) {
		c.claimed = func(claimed []delivery.Claimed) {
			for i := range claimed {
				if claimed[i].Event.Kind == delivery.Pruned {
					claimed[i].Event.Updates[0].Floor = 0
				}
			}
		}
	}},
	{"it prunes all at once", []string{"a prune removes no more"}, func(c *careless) {
		c.prune = func(p *delivery.Pruning) { p.Limit = 100 }
	}},
	{"it prunes deletions at any age", []string{"what is left of a deleted"}, func(c *careless) {
		c.prune = func(p *delivery.Pruning) { p.All = true }
	}},
	{"it keeps the rosters of what it prunes", []string{"a roster is pruned"}, func(c *careless) {
		rosters := map[string][]string{}
		c.messages = func(messages []delivery.NewMessage) {
			for i := range messages {
				if m := &messages[i]; m.Members == nil {
					m.Members = rosters[m.Roster]
				} else {
					rosters[m.Roster] = m.Members
				}
			}
		}
	}},
	{"it keeps the conversation", []string{"a conversation is removed"}, func(c *careless) {
		c.prune = func(p *delivery.Pruning) { p.All, p.Before = false, noon.Add(time.Hour) }
	}},
	{"it keeps all times", []string{
		"the times of old receipts", "a mark that goes on", "a compaction goes through", "a receipt without its time", "whatever races with compactions",
	}, func(c *careless) {
		c.compact = func(x *delivery.Compaction) { x.Before = time.Time{} }
	}},
	{"it compacts what is younger", []string{"a compaction goes through", "where there is nothing to compact"}, func(c *careless) {
		c.compact = func(x *delivery.Compaction) { x.Before = x.Before.Add(time.Hour) }
	}},
	{"it compacts all at once", []string{"a compaction goes through"}, func(c *careless) {
		c.compact = func(x *delivery.Compaction) { x.Limit = 100 }
	}},
	{"it takes a version to compact", []string{"a compaction takes no version"}, func(c *careless) {
		taken := int64(0)
		c.compacted = func() { taken = 1 }
		c.page = func(p *delivery.Page) { p.Version += taken }
	}},
	{"a mark of what it compacted counts as the first", []string{"a mark of what was compacted"}, func(c *careless) {
		again := false
		c.compacted = func() { again = true }
		c.marked = func(_ []delivery.Mark, marked []delivery.Marked) {
			for i := range marked {
				marked[i].Changed = marked[i].Changed || again
			}
		}
	}},
	{"it forgets whose receipts it compacted", []string{"the times of old receipts", "a long list of receipts", "a receipt without its time"}, func(c *careless) {
		c.receiptPage = func(p *delivery.ReceiptPage) {
			p.Receipts = slices.DeleteFunc(p.Receipts, func(r delivery.Receipt) bool { return r.Reason == delivery.Expired })
		}
	}},
	{"its counts drift when it compacts", []string{"what was compacted can be deleted"}, func(c *careless) {
		drifts := 0
		c.compacted = func() { drifts = 1 }
		c.verified = func(v *delivery.Verification) { v.Drifts = make([]delivery.Drift, drifts) }
	}},
	{"it lists conversations in any order", []string{"conversations are listed"}, func(c *careless) { c.rooms = slices.Reverse[[]string] }},
	{"it erases nobody", []string{"an erased user's receipts", "an erased user is nobody", "a user of an erased name", "no roster that an erased", "waiting events and dead"}, func(c *careless) {
		c.erase = func(user string) string { return user + "?" }
	}},
	{"it takes messages of erased authors for deleted ones", []string{"messages of an erased author"}, func(c *careless) {
		c.markedOwn = func(marked []delivery.MarkedOwn) {
			for i := range marked {
				marked[i].May = marked[i].May && marked[i].Header.Sender != ""
			}
		}
	}},
	{"it shows the sender's name", []string{"an erased user's receipts"}, func(c *careless) {
		c.page = func(page *delivery.Page) {
			for i := range page.Messages {
				if page.Messages[i].Sender == "" {
					page.Messages[i].Sender = "bob"
				}
			}
		}
	}},
	{"it tells of an erased recipient", []string{"waiting events and dead"}, func(c *careless) {
		c.claimed = func(claimed []delivery.Claimed) {
			for _, c := range claimed {
				if r := c.Event.Updates[0].Receipt; r != nil && r.Recipient == "" {
					r.Recipient = "bob%_!"
				}
			}
		}
	}},
	{"it erases one at a time", []string{"a user of many conversations"}, func(c *careless) {
		c.eraseLimit = func(int) int { return 1 }
	}},
	{"it keeps no caps", []string{"who is untracked or hides reads stays so"}, func(c *careless) {
		c.messages = func(messages []delivery.NewMessage) {
			for i := range messages {
				messages[i].Caps = nil
			}
		}
	}},
	{"it sees drift where there is none", []string{"sound counters", "counters of messages with untracked"}, func(c *careless) {
		c.verified = func(v *delivery.Verification) { v.Drifts = make([]delivery.Drift, v.Messages/3) }
	}},
	{"it takes a version to verify", []string{"sound counters"}, func(c *careless) {
		taken := int64(0)
		c.verifies = func() { taken++ }
		c.page = func(p *delivery.Page) { p.Version += taken }
	}},
	{"it verifies one page alone", []string{"messages are verified"}, func(c *careless) {
		c.verified = func(v *delivery.Verification) { v.More = false }
	}},
	{"it prunes one too few", []string{"whatever races with prunes"}, func(c *careless) {
		c.prune = func(p *delivery.Pruning) { p.Limit-- }
	}},
	{"it deletes some in vain", []string{"whatever races with deletions", "a deleted message is as if"}, func(c *careless) {
		c.deletions = func(deletions []delivery.Deletion) []delivery.Deletion {
			for i := range deletions {
				deletions[i].Message += "?"
			}
			return deletions
		}
	}},
}

func TestCarelessKeepersFailByName(t *testing.T) {
	for _, l := range slices.Concat(lapses, ownLapses) {
		t.Run(l.name, func(t *testing.T) {
			for _, rule := range l.rules {
				i := slices.IndexFunc(allKeeperCases, func(c storeCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				c := allKeeperCases[i]
				spoiled := &careless{broken: &broken{Store: memstore.New()}}
				l.keep(spoiled)
				try(t, func(tb testing.TB) { c.run(tb, spoiled, nil) }).mustFail(t, c.rule)
				if tr := try(t, func(tb testing.TB) { c.run(tb, &careless{broken: &broken{Store: memstore.New()}}, nil) }); tr.failed {
					t.Errorf("a sound store fails too: %v", tr.failures)
				}
			}
		})
	}
}
