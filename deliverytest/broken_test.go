package deliverytest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// broken is a store that breaks the contract in one way, by changing what goes into or comes out
// of a sound one. Its functions may change what they are given.
type broken struct {
	delivery.Store

	ctx         func(context.Context) context.Context
	messages    func([]delivery.NewMessage)
	created     func([]delivery.Created)
	marks       func([]delivery.Mark)
	marked      func([]delivery.Mark, []delivery.Marked)
	upTo        func(*delivery.UpTo)
	markedUpTo  func(*delivery.MarkedUpTo)
	lease       func(*delivery.Lease) // of events at their birth
	limit       func(int) int         // of claims
	hold        func(*delivery.Lease) // of claims
	claimed     func([]delivery.Claimed)
	list        func(*delivery.List)
	page        func(*delivery.Page)
	ids         func([]string)
	receipts    func([]delivery.Receipt)
	settlements func([]delivery.Settlement)
	held        func(asked, held int) int
	backlog     func(*delivery.Backlog)
}

func (b *broken) context(ctx context.Context) context.Context {
	if b.ctx != nil {
		return b.ctx(ctx)
	}
	return ctx
}

// apply applies a change, if there is one.
func apply[T any](change func(T), value T) {
	if change != nil {
		change(value)
	}
}

func (b *broken) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	messages = slices.Clone(messages)
	apply(b.messages, messages)
	apply(b.lease, &lease)
	created, claimed, err := b.Store.Create(b.context(ctx), messages, lease)
	apply(b.created, created)
	apply(b.claimed, claimed)
	return created, claimed, err
}

func (b *broken) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marks = slices.Clone(marks)
	apply(b.marks, marks)
	apply(b.lease, &lease)
	marked, claimed, err := b.Store.Advance(b.context(ctx), marks, lease)
	if b.marked != nil && err == nil {
		b.marked(marks, marked)
	}
	apply(b.claimed, claimed)
	return marked, claimed, err
}

func (b *broken) AdvanceUpTo(ctx context.Context, upTo delivery.UpTo, lease delivery.Lease) (delivery.MarkedUpTo, []delivery.Claimed, error) {
	apply(b.upTo, &upTo)
	apply(b.lease, &lease)
	marked, claimed, err := b.Store.AdvanceUpTo(b.context(ctx), upTo, lease)
	apply(b.markedUpTo, &marked)
	apply(b.claimed, claimed)
	return marked, claimed, err
}

func (b *broken) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	ids = slices.Clone(ids)
	apply(b.ids, ids)
	return b.Store.Load(b.context(ctx), ids)
}

func (b *broken) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	apply(b.list, &list)
	page, err := b.Store.List(b.context(ctx), list)
	apply(b.page, &page)
	return page, err
}

func (b *broken) Receipts(ctx context.Context, ids []string) ([]delivery.Receipt, error) {
	receipts, err := b.Store.Receipts(b.context(ctx), ids)
	apply(b.receipts, receipts)
	return receipts, err
}

func (b *broken) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	if b.limit != nil {
		limit = b.limit(limit)
	}
	apply(b.hold, &lease)
	claimed, err := b.Store.Claim(b.context(ctx), limit, lease)
	apply(b.claimed, claimed)
	return claimed, err
}

func (b *broken) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	settlements = slices.Clone(settlements)
	apply(b.settlements, settlements)
	held, err := b.Store.Settle(b.context(ctx), settlements)
	if b.held != nil {
		held = b.held(len(settlements), held)
	}
	return held, err
}

func (b *broken) Backlog(ctx context.Context) (delivery.Backlog, error) {
	backlog, err := b.Store.Backlog(b.context(ctx))
	apply(b.backlog, &backlog)
	return backlog, err
}

// breakages are ways to break the contract, and beginnings of rules that must notice.
var breakages = []struct {
	name  string
	rules []string
	store func(sound delivery.Store) delivery.Store
}{
	{"it stores the state and the event in two transactions",
		[]string{"a change and its event are there", "a call that ctx cuts short"},
		func(sound delivery.Store) delivery.Store { return &torn{sound} }},
	{"it moves statuses backward",
		[]string{"a status only moves forward", "each status is stamped", "whatever marks race"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marked: func(marks []delivery.Mark, marked []delivery.Marked) {
				for i := range marked {
					if r := &marked[i].Receipt; r.Status > marks[i].Status {
						r.Status, r.ReadAt, marked[i].Changed = marks[i].Status, time.Time{}, true
					}
				}
			}, receipts: func(receipts []delivery.Receipt) {
				for i := range receipts {
					receipts[i].ReadAt = time.Time{}
				}
			}}
		}},
	{"it settles without looking at the lease",
		[]string{"a settlement with another lease", "a lease is over once it was settled", "who held an event before", "settle counts exactly"},
		func(sound delivery.Store) delivery.Store {
			current := map[int64]int64{}
			return &broken{Store: sound, claimed: func(claimed []delivery.Claimed) {
				for _, c := range claimed {
					current[c.Event.ID] = c.Lease
				}
			}, settlements: func(settlements []delivery.Settlement) {
				for i := range settlements {
					settlements[i].Lease = current[settlements[i].ID]
				}
			}, held: func(asked, held int) int { return asked }}
		}},
	{"it settles what has no lease",
		[]string{"a lease is over once it was settled"},
		func(sound delivery.Store) delivery.Store {
			last := map[int64]int64{}
			return &broken{Store: sound, claimed: func(claimed []delivery.Claimed) {
				for _, c := range claimed {
					last[c.Event.ID] = c.Lease
				}
			}, held: func(asked, held int) int { return max(held, min(asked, 1)) }}
		}},
	{"it advances senders",
		[]string{"a sender's own mark", "ids of users", "marks that are refused"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marked: func(marks []delivery.Mark, marked []delivery.Marked) {
				for i, m := range marks {
					if marked[i].Header.Sender == m.User {
						marked[i].Receipt = delivery.Receipt{Message: m.Message, Recipient: m.User, Status: m.Status, DeliveredAt: m.At}
						marked[i].Changed = true
					}
				}
			}}
		}},
	{"it lets strangers mark frozen messages, as someone else",
		[]string{"a stranger's mark", "a message frozen to nobody"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for i := range messages {
					messages[i].Open = true
				}
			}}
		}},
	{"it gives one version to two messages",
		[]string{"each advance of a batch", "whatever marks race"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marked: func(_ []delivery.Mark, marked []delivery.Marked) {
				versions := map[string]int64{}
				for i := range marked {
					if conversation := marked[i].Header.Conversation; marked[i].Changed && versions[conversation] == 0 {
						versions[conversation] = marked[i].Receipt.Version
					} else if marked[i].Changed {
						marked[i].Receipt.Version = versions[conversation]
					}
				}
			}, claimed: func(claimed []delivery.Claimed) {
				for i := range claimed {
					claimed[i].Event.To = claimed[i].Event.From
				}
			}}
		}},
	{"it shares one exclusion between sockets",
		[]string{"different sockets never share", "sockets come back"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marks: func(marks []delivery.Mark) {
				for i := range marks {
					marks[i].Socket = marks[0].Socket
				}
			}}
		}},
	{"it forgets the sockets of up-to marks",
		[]string{"an up-to mark makes one event"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, upTo: func(upTo *delivery.UpTo) { upTo.Socket = "" }}
		}},
	{"it does not ask for admission",
		[]string{"an open message is marked only with admission", "messages that only lack admission"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marks: func(marks []delivery.Mark) {
				for i := range marks {
					marks[i].Admitted = true
				}
			}, upTo: func(upTo *delivery.UpTo) { upTo.Admitted = true }}
		}},
	{"it stamps repeated marks again",
		[]string{"a status only moves forward", "whatever marks race"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marked: func(marks []delivery.Mark, marked []delivery.Marked) {
				for i := range marked {
					if r := &marked[i].Receipt; r.Status == marks[i].Status && !marked[i].Changed {
						r.DeliveredAt, marked[i].Changed = marks[i].At, true
					}
				}
			}}
		}},
	{"it loses events",
		[]string{"advances of one conversation and one socket", "an up-to mark makes one event", "whatever sends race"},
		func(sound delivery.Store) delivery.Store { return &losing{sound} }},
	{"it counts deliveries twice",
		[]string{"a message has a status", "an up-to mark finds what came after", "who reads has received"},
		func(sound delivery.Store) delivery.Store {
			return &miscounting{&broken{Store: sound}}
		}},
	{"it takes an id for another that differs in case",
		[]string{"ids of messages"},
		func(sound delivery.Store) delivery.Store { return renaming(sound, strings.ToLower) }},
	{"it drops spaces at the end of ids",
		[]string{"ids of messages"},
		func(sound delivery.Store) delivery.Store {
			return renaming(sound, func(id string) string { return strings.TrimRight(id, " ") })
		}},
	{"it stores a message again under a taken id",
		[]string{"a message whose id is taken", "of racing sends"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, created: func(created []delivery.Created) {
				for i := range created {
					created[i].Existed = false
				}
			}}
		}},
	{"it has no place for bodies in events",
		[]string{"each new message has an event", "bodies come back"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for i := range messages {
					messages[i].EventBody = false
				}
			}}
		}},
	{"it keeps times in the zone of the server",
		[]string{"times are kept"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, receipts: func(receipts []delivery.Receipt) {
				for i := range receipts {
					receipts[i].DeliveredAt = receipts[i].DeliveredAt.In(time.FixedZone("server", 3600))
				}
			}}
		}},
	{"it keeps times to the millisecond",
		[]string{"times are kept", "new messages come back"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for i := range messages {
					messages[i].SentAt = messages[i].SentAt.Truncate(time.Millisecond)
				}
			}}
		}},
	{"it claims more than the limit",
		[]string{"a claim takes no more", "no event is held twice"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, limit: func(limit int) int { return limit + 1 }}
		}},
	{"it does not hold what was claimed",
		[]string{"no event is held twice", "a claim holds its events"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, hold: func(lease *delivery.Lease) { lease.For = 0 }}
		}},
	{"it does not hold what was born under a lease",
		[]string{"an event born under a lease"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, lease: func(lease *delivery.Lease) { lease.For = 0 }}
		}},
	{"it does not return what was born under a lease",
		[]string{"an event born under a lease"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, lease: func(lease *delivery.Lease) { lease.Token = 0 }}
		}},
	{"it does not count attempts",
		[]string{"an event born without a lease", "a claim holds its events", "an event to retry"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, claimed: func(claimed []delivery.Claimed) {
				for i := range claimed {
					claimed[i].Attempts = 0
				}
			}}
		}},
	{"it counts the attempts of released events",
		[]string{"a released event", "an event that was born under a lease can be released"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, settlements: func(settlements []delivery.Settlement) {
				for i := range settlements {
					if settlements[i].Outcome == delivery.Release {
						settlements[i].Outcome = delivery.Retry
					}
				}
			}}
		}},
	{"it makes events due before their time",
		[]string{"an event to retry", "a released event", "settle counts exactly"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, settlements: func(settlements []delivery.Settlement) {
				for i := range settlements {
					settlements[i].After = 0
				}
			}}
		}},
	{"it keeps no reasons",
		[]string{"a buried event", "reasons of dead letters"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, settlements: func(settlements []delivery.Settlement) {
				for i := range settlements {
					settlements[i].Reason = ""
				}
			}}
		}},
	{"it ends the page of changes at the conversation's version",
		[]string{"changes go on from the version", "who reads changes by version"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, page: func(page *delivery.Page) { page.Version += 3 }}
		}},
	{"it never has more",
		[]string{"pages go forward", "pages go backward", "changes go on"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, page: func(page *delivery.Page) { page.More = false }}
		}},
	{"it leaves out the first change",
		[]string{"changes come in order", "who reads changes by version"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, list: func(list *delivery.List) {
				if list.Changes {
					list.After++
				}
			}}
		}},
	{"it lists backward pages backward",
		[]string{"pages go backward"},
		func(sound delivery.Store) delivery.Store {
			backward := false
			return &broken{Store: sound,
				list: func(list *delivery.List) { backward = list.Before != 0 },
				page: func(page *delivery.Page) {
					if backward {
						slices.Reverse(page.Messages)
					}
				}}
		}},
	{"it shows a viewer nothing",
		[]string{"a viewer sees"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, list: func(list *delivery.List) { list.Viewer = "" }}
		}},
	{"it ignores the limit of up-to marks",
		[]string{"an up-to mark stops at its limit"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, upTo: func(upTo *delivery.UpTo) { upTo.Limit = 1 << 30 }}
		}},
	{"it has more whenever the limit was reached",
		[]string{"an up-to mark whose limit just suffices"},
		func(sound delivery.Store) delivery.Store {
			limit := 0
			return &broken{Store: sound,
				upTo:       func(upTo *delivery.UpTo) { limit = upTo.Limit },
				markedUpTo: func(marked *delivery.MarkedUpTo) { marked.More = marked.Changed == limit }}
		}},
	{"it counts what was left out once only",
		[]string{"messages that only lack admission"},
		func(sound delivery.Store) delivery.Store {
			counted := false
			return &broken{Store: sound, markedUpTo: func(marked *delivery.MarkedUpTo) {
				if counted {
					marked.LeftOut = 0
				}
				counted = true
			}}
		}},
	{"it finds the message of an up-to mark in any conversation",
		[]string{"an up-to mark to a message that is not"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, upTo: func(upTo *delivery.UpTo) {
				if found, _ := sound.Load(context.Background(), []string{upTo.Message}); len(found) == 1 {
					upTo.Conversation = found[0].Conversation
				}
			}}
		}},
	{"it shares what it hands out",
		[]string{"slices handed out"},
		func(sound delivery.Store) delivery.Store {
			var mu sync.Mutex
			first := map[int64]delivery.Event{}
			return &broken{Store: sound, claimed: func(claimed []delivery.Claimed) {
				mu.Lock()
				defer mu.Unlock()
				for i := range claimed {
					if event, ok := first[claimed[i].Event.ID]; ok {
						claimed[i].Event = event
					}
					first[claimed[i].Event.ID] = claimed[i].Event
				}
			}}
		}},
	{"it keeps the slices it is given",
		[]string{"slices handed in"},
		func(sound delivery.Store) delivery.Store { return &keeping{Store: sound} }},
	{"it ignores ctx",
		[]string{"a call whose ctx has ended"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, ctx: context.WithoutCancel}
		}},
	{"it takes an unknown outcome for a failure",
		[]string{"a call that ctx cuts short"},
		func(sound delivery.Store) delivery.Store {
			return LosingStore(&broken{Store: sound, ctx: context.WithoutCancel}, func() Fault {
				calls := 0
				return func(method string) error {
					if calls++; method == "Advance" && calls%2 == 0 {
						return context.DeadlineExceeded
					}
					return nil
				}
			}())
		}},
	{"it forgets how old the backlog is",
		[]string{"the backlog counts"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, backlog: func(backlog *delivery.Backlog) { backlog.Oldest = 0 }}
		}},
	{"it counts only what is due",
		[]string{"the backlog counts"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, backlog: func(backlog *delivery.Backlog) { backlog.Waiting = min(1, backlog.Waiting) }}
		}},
	{"it decides by a stale look at the receipt",
		[]string{"whatever marks race"},
		func(sound delivery.Store) delivery.Store { return &stale{sound} }},
}

func TestBrokenStoresFailByName(t *testing.T) {
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			for _, rule := range b.rules {
				i := slices.IndexFunc(storeCases, func(c storeCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				c := storeCases[i]
				try(t, func(tb testing.TB) { c.run(tb, b.store(memstore.New())) }).mustFail(t, c.rule)
				if tr := try(t, func(tb testing.TB) { c.run(tb, &broken{Store: memstore.New()}) }); tr.failed {
					t.Errorf("a sound store fails too: %v", tr.failures)
				}
			}
		})
	}
}

// torn commits a change first and its event later, if it still comes to it.
type torn struct{ delivery.Store }

func (s *torn) Advance(ctx context.Context, marks []delivery.Mark, _ delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.Advance(ctx, marks, lease(long))
	if err != nil {
		return nil, nil, err
	}
	for _, c := range claimed {
		s.Store.Settle(context.Background(), []delivery.Settlement{settlement(c, delivery.Bury)})
	}
	select {
	case <-time.After(100 * time.Microsecond):
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	for _, c := range claimed {
		s.Store.Settle(context.Background(), []delivery.Settlement{{ID: c.Event.ID, Outcome: delivery.Requeue, Event: c.Event}})
	}
	return marked, nil, nil
}

// losing drops every third event.
type losing struct{ delivery.Store }

func (s *losing) drop(claimed []delivery.Claimed) {
	for _, c := range claimed {
		outcome := delivery.Release
		if c.Event.ID%3 == 0 {
			outcome = delivery.Done
		}
		s.Settle(context.Background(), []delivery.Settlement{settlement(c, outcome)})
	}
}

func (s *losing) Create(ctx context.Context, messages []delivery.NewMessage, _ delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created, claimed, err := s.Store.Create(ctx, messages, lease(long))
	s.drop(claimed)
	return created, nil, err
}

func (s *losing) Advance(ctx context.Context, marks []delivery.Mark, _ delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.Advance(ctx, marks, lease(long))
	s.drop(claimed)
	return marked, nil, err
}

func (s *losing) AdvanceUpTo(ctx context.Context, upTo delivery.UpTo, _ delivery.Lease) (delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.AdvanceUpTo(ctx, upTo, lease(long))
	s.drop(claimed)
	return marked, nil, err
}

// miscounting shows too many deliveries.
type miscounting struct{ *broken }

func (s *miscounting) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	messages, err := s.broken.Load(ctx, ids)
	for i := range messages {
		messages[i].Delivered *= 2
		messages[i].Read *= 2
	}
	return messages, err
}

// keeping shows the recipients in the slices it was given at the time.
type keeping struct {
	delivery.Store
	recipients []string
}

func (s *keeping) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	s.recipients = messages[0].Recipients
	return s.Store.Create(ctx, messages, lease)
}

func (s *keeping) Receipts(ctx context.Context, ids []string) ([]delivery.Receipt, error) {
	receipts, err := s.Store.Receipts(ctx, ids)
	for i := range receipts {
		receipts[i].Recipient = s.recipients[i]
	}
	return receipts, err
}

// stale tells who advanced a receipt by what it saw before.
type stale struct{ delivery.Store }

func (s *stale) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	seen := make([]delivery.Status, len(marks))
	for i, m := range marks {
		receipts, err := s.Receipts(ctx, []string{m.Message})
		if err != nil {
			return nil, nil, err
		}
		for _, receipt := range receipts {
			if receipt.Recipient == m.User {
				seen[i] = receipt.Status
			}
		}
	}
	<-time.After(100 * time.Microsecond)
	marked, claimed, err := s.Store.Advance(ctx, marks, lease)
	for i := range marked {
		marked[i].Changed = seen[i] < marks[i].Status
	}
	return marked, claimed, err
}

// renaming returns a store that knows messages by other ids, but shows those it was given.
func renaming(sound delivery.Store, rename func(string) string) delivery.Store {
	return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
		for i := range messages {
			messages[i].ID = rename(messages[i].ID)
		}
	}, marks: func(marks []delivery.Mark) {
		for i := range marks {
			marks[i].Message = rename(marks[i].Message)
		}
	}, ids: func(ids []string) {
		for i := range ids {
			ids[i] = rename(ids[i])
		}
	}}
}
