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

// breakage is a way to break the contract, and beginnings of rules that must notice.
type breakage struct {
	name  string
	rules []string
	store func(sound delivery.Store) delivery.Store
}

var breakages = []breakage{
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
	{"it keeps the traces of sends only",
		[]string{"an event has the traces", "an event has no more traces"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marks: func(marks []delivery.Mark) {
				for i := range marks {
					marks[i].Trace = ""
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
	{"it counts no attempt for what is born under a lease",
		[]string{"an event born under a lease", "an event of a mark that comes alone"},
		func(sound delivery.Store) delivery.Store {
			return &born{sound, func(c *delivery.Claimed) { c.Attempts = 0 }}
		}},
	{"it says another lease than the one of what is born",
		[]string{"an event born under a lease", "an event of a mark that comes alone"},
		func(sound delivery.Store) delivery.Store {
			return &born{sound, func(c *delivery.Claimed) { c.Lease++ }}
		}},
	{"it shows nobody the own receipts of open messages",
		[]string{"marks, up-to marks and sends may race"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, page: func(page *delivery.Page) {
				for i := range page.Messages {
					if page.Messages[i].Open {
						page.Messages[i].Own = nil
					}
				}
			}}
		}},
	{"it adds the recipients of a send whose id is taken",
		[]string{"a message whose id is taken"},
		func(sound delivery.Store) delivery.Store { return &adding{Store: sound} }},
	{"it keeps the events that it is to requeue",
		[]string{"slices handed in"},
		func(sound delivery.Store) delivery.Store { return &holdingOn{sound, map[int64]delivery.Event{}} }},
	{"it says that there is more for ever",
		[]string{"each new message has an event of its own"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, page: func(page *delivery.Page) { page.More = true }}
		}},
	{"it claims the oldest events first",
		[]string{"a claim takes no more than its limit"},
		func(sound delivery.Store) delivery.Store { return &sorting{sound} }},
	{"it settles nothing once the lease is over",
		[]string{"a lease that ran out"},
		func(sound delivery.Store) delivery.Store { return &punctual{sound, map[int64]time.Time{}} }},
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
			return &broken{Store: sound, upTo: func(upTo []delivery.UpTo) {
				for i := range upTo {
					upTo[i].Socket = ""
				}
			}}
		}},
	{"it does not ask for admission",
		[]string{"an open message is marked only with admission", "messages that only lack admission"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marks: func(marks []delivery.Mark) {
				for i := range marks {
					marks[i].Admitted = true
				}
			}, upTo: func(upTo []delivery.UpTo) {
				for i := range upTo {
					upTo[i].Admitted = true
				}
			}}
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
	{"it counts the user's own messages as pending",
		[]string{"a user's own messages are not pending", "after a mark up to the newest"},
		func(sound delivery.Store) delivery.Store {
			return &listing{Store: sound, status: delivery.Read, own: true}
		}},
	{"it counts open messages as pending for those only who have received them",
		[]string{"a user's own messages are not pending", "what an up-to mark did not reach", "users mark open messages"},
		func(sound delivery.Store) delivery.Store {
			return &listing{Store: sound, status: delivery.Read, opens: true}
		}},
	{"it takes what was delivered for read",
		[]string{"what was delivered is pending"},
		func(sound delivery.Store) delivery.Store { return &listing{Store: sound, status: delivery.Delivered} }},
	{"it counts what is pending at one moment, and says the version of another",
		[]string{"what is pending is of one moment"},
		func(sound delivery.Store) delivery.Store {
			return &listing{Store: sound, status: delivery.Read, torn: true}
		}},
	{"it does not say that more is pending",
		[]string{"what is pending is counted up to the limit"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, unread: func(all []delivery.Unread) { all[0].More = false }}
		}},
	{"it takes all after the first unread message for pending",
		[]string{"what is pending is counted, begins", "a user's own messages are not pending", "what is pending is counted up to"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, unread: func(all []delivery.Unread) {
				if u := &all[0]; u.Count > 0 {
					u.Count = int(u.Newest.Seq - u.First.Seq + 1)
				}
			}}
		}},
	{"it answers in an order of its own",
		[]string{"several conversations are answered"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, unread: func(all []delivery.Unread) {
				slices.SortFunc(all, func(a, b delivery.Unread) int { return strings.Compare(a.Conversation, b.Conversation) })
			}}
		}},
	{"it shows the whole body of the newest message",
		[]string{"several conversations are answered"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, unread: func(all []delivery.Unread) {
				if m := all[0].Newest; m != nil {
					m.Body += "é"
				}
			}}
		}},
	{"it leaves out the user's receipt of the newest message",
		[]string{"several conversations are answered"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, unread: func(all []delivery.Unread) {
				if m := all[0].Newest; m != nil {
					m.Own = nil
				}
			}}
		}},
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
					if settlements[i].Outcome == delivery.SettleRelease {
						settlements[i].Outcome = delivery.SettleRetry
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
	{"it says of a client that is ahead that it is up to date",
		[]string{"changes after a version that the conversation has not reached"},
		func(sound delivery.Store) delivery.Store {
			after := int64(0)
			return &broken{Store: sound,
				list: func(list *delivery.List) { after = list.After },
				page: func(page *delivery.Page) { page.Version = max(page.Version, after) }}
		}},
	{"it begins a new epoch with every page",
		[]string{"all pages have one epoch"},
		func(sound delivery.Store) delivery.Store {
			pages := int64(0)
			return &broken{Store: sound, page: func(page *delivery.Page) { pages++; page.Epoch = pages }}
		}},
	{"it has no epoch",
		[]string{"all pages have one epoch"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, page: func(page *delivery.Page) { page.Epoch = 0 }}
		}},
	{"it says itself that a client is to start over",
		[]string{"all pages have one epoch"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, page: func(page *delivery.Page) { page.Reset = len(page.Messages) == 0 }}
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
	{"it fills pages whatever they take",
		[]string{"a page ends before it takes more bytes"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, list: func(list *delivery.List) { list.Bytes = 0 }}
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
		[]string{"an up-to mark stops at the limit"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, upToLimit: func(limit *int) { *limit = 1 << 30 }}
		}},
	{"it has more whenever the limit was reached",
		[]string{"an up-to mark whose limit just suffices"},
		func(sound delivery.Store) delivery.Store {
			limit := 0
			return &broken{Store: sound,
				upToLimit: func(l *int) { limit = *l },
				markedUpTo: func(marked []delivery.MarkedUpTo) {
					for i := range marked {
						marked[i].More = marked[i].Changed == limit
					}
				}}
		}},
	{"it counts what was left out once only",
		[]string{"messages that only lack admission"},
		func(sound delivery.Store) delivery.Store {
			counted := false
			return &broken{Store: sound, markedUpTo: func(marked []delivery.MarkedUpTo) {
				if counted {
					marked[0].LeftOut = 0
				}
				counted = true
			}}
		}},
	{"it finds the message of an up-to mark in any conversation",
		[]string{"an up-to mark to a message that is not"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, upTo: func(upTo []delivery.UpTo) {
				for i := range upTo {
					if found, _ := sound.Load(context.Background(), []string{upTo[i].Message}); len(found) == 1 {
						upTo[i].Conversation = found[0].Conversation
					}
				}
			}}
		}},
	{"it returns results of up-to marks in another order",
		[]string{"up-to marks of many users and conversations", "the up-to marks of a call share its limit"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, markedUpTo: slices.Reverse[[]delivery.MarkedUpTo]}
		}},
	{"it gives the limit to each up-to mark",
		[]string{"the up-to marks of a call share its limit"},
		func(sound delivery.Store) delivery.Store { return &apart{Store: sound, together: true} }},
	{"it applies the up-to marks of a call one by one",
		[]string{"up-to marks of one conversation and one socket"},
		func(sound delivery.Store) delivery.Store { return &apart{Store: sound} }},
	{"it puts the up-to marks of a call into the events of one socket",
		[]string{"up-to marks of one conversation and one socket"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, upTo: func(upTo []delivery.UpTo) {
				for i := range upTo {
					upTo[i].Socket = upTo[0].Socket
				}
			}}
		}},
	{"its events have any number of updates",
		[]string{"1,200 messages are marked"},
		func(sound delivery.Store) delivery.Store { return &joining{Store: sound} }},
	{"it looks at what was looked at before",
		[]string{"an up-to mark looks at no message that it looked at before"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, upTo: func(upTo []delivery.UpTo) {
				for i := range upTo {
					upTo[i].After = 0
				}
			}}
		}},
	{"it takes what was looked at before for covered",
		[]string{"a look that goes on"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, upTo: func(upTo []delivery.UpTo) {
				for i := range upTo {
					upTo[i].Covered = true
				}
			}}
		}},
	{"it says that it looked further than it did",
		[]string{"a long history is looked at", "an up-to mark stops at the limit"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, markedUpTo: func(marked []delivery.MarkedUpTo) {
				for i := range marked {
					if m := &marked[i]; m.More {
						m.Reached = min(m.Reached+1000, m.Header.Seq-1)
					}
				}
			}}
		}},
	{"it stops in a long history and does not say so",
		[]string{"a long history is looked at"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, markedUpTo: func(marked []delivery.MarkedUpTo) {
				for i := range marked {
					marked[i].More, marked[i].Reached = false, marked[i].Header.Seq
				}
			}}
		}},
	{"it gets no further in a long history",
		[]string{"a long history is looked at"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, markedUpTo: func(marked []delivery.MarkedUpTo) {
				if marked[0].More {
					marked[0].Reached = 0
				}
			}}
		}},
	{"it tells versions that others took as an up-to mark's own",
		[]string{"an up-to mark advances what stands", "up-to marks of many users"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, markedUpTo: func(marked []delivery.MarkedUpTo) {
				for i := range marked {
					if marked[i].Changed > 0 {
						marked[i].To++
					}
				}
			}}
		}},
	{"it says that items are blocked where nobody else is",
		[]string{"a recipient of a frozen message", "new messages come back", "an up-to mark makes one event"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, created: func(created []delivery.Created) {
				created[0] = delivery.Created{Blocked: true}
			}, marked: func(_ []delivery.Mark, marked []delivery.Marked) {
				marked[0] = delivery.Marked{Header: marked[0].Header, Blocked: true}
			}, markedUpTo: func(marked []delivery.MarkedUpTo) {
				marked[0] = delivery.MarkedUpTo{Header: marked[0].Header, Blocked: true}
			}}
		}},
	{"it writes what it says was blocked",
		[]string{"whatever marks race", "of racing sends with one id"},
		func(sound delivery.Store) delivery.Store {
			calls := 0
			blocks := func() bool { calls++; return calls > 10 && calls%5 == 0 }
			var mu sync.Mutex
			return &broken{Store: sound, created: func(created []delivery.Created) {
				mu.Lock()
				defer mu.Unlock()
				if !created[0].Existed {
					created[0] = delivery.Created{Blocked: true}
				}
			}, marked: func(_ []delivery.Mark, marked []delivery.Marked) {
				mu.Lock()
				defer mu.Unlock()
				if blocks() {
					marked[0] = delivery.Marked{Header: marked[0].Header, Blocked: true}
				}
			}}
		}},
	{"it says of what was blocked what would have become of it",
		[]string{"whatever marks race"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, marked: func(_ []delivery.Mark, marked []delivery.Marked) { marked[0].Blocked = true }}
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
	{"a dead letter that is due again is as old as it was",
		[]string{"a dead letter that is due again"},
		func(sound delivery.Store) delivery.Store {
			began, again := time.Now(), false
			return &broken{Store: sound,
				settlements: func(settlements []delivery.Settlement) {
					again = slices.ContainsFunc(settlements, func(s delivery.Settlement) bool { return s.Outcome == delivery.SettleRequeue })
				},
				backlog: func(backlog *delivery.Backlog) {
					if again && backlog.Waiting == 1 {
						backlog.Oldest = time.Since(began)
					}
				}}
		}},
	{"it counts only what is due",
		[]string{"the backlog counts"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, backlog: func(backlog *delivery.Backlog) { backlog.Waiting = min(1, backlog.Waiting) }}
		}},
	{"it asks for the members of every message",
		[]string{"a roster that the conversation has had", "a message to a roster that is not known"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for i := range messages {
					if messages[i].Members == nil {
						messages[i].Roster += "?"
					}
				}
			}}
		}},
	{"it takes a roster that is not known for an empty one",
		[]string{"a message to a roster that is not known", "a message with a taken id", "a roster belongs"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for i := range messages {
					if messages[i].Members == nil {
						messages[i].Members = []string{}
					}
				}
			}}
		}},
	{"it lets later members replace those of a roster's key",
		[]string{"the first use of a roster's key"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for i := range messages {
					messages[i].Roster = rosterOf(messages[i].Members)
				}
			}}
		}},
	{"it keeps no caps",
		[]string{"recipients who are untracked", "others see no mark", "a quorum of a status", "a list of receipts says", "a long list of receipts", "a roster says for good", "an up-to mark shows of messages"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for i := range messages {
					messages[i].Caps = nil
				}
			}}
		}},
	{"it lists all receipts of a status",
		[]string{"a list of receipts says", "a long list of receipts"},
		func(sound delivery.Store) delivery.Store { return &frank{sound} }},
	{"it gives no reason",
		[]string{"a list of receipts says", "a long list of receipts"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, receipts: func(receipts []delivery.Receipt) {
				for i := range receipts {
					receipts[i].Reason = ""
				}
			}}
		}},
	{"it does not say that an up-to mark shows less",
		[]string{"an up-to mark shows of messages", "a private up-to mark moves the place of public ones"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, markedUpTo: func(marked []delivery.MarkedUpTo) {
				for i := range marked {
					marked[i].Capped = false
				}
			}}
		}},
	{"it moves no place of public marks past what is not shown",
		[]string{"a private up-to mark moves the place of public ones"},
		func(sound delivery.Store) delivery.Store {
			return &showing{Store: sound, own: func(own *delivery.OwnMark, _ *delivery.Mark) { own.Reach = 0 }}
		}},
	{"it shares rosters between conversations",
		[]string{"a roster belongs"},
		func(sound delivery.Store) delivery.Store {
			known := map[string][]string{}
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for i := range messages {
					if members, there := known[messages[i].Roster]; there {
						messages[i].Members = members
					}
					known[messages[i].Roster] = messages[i].Members
				}
			}}
		}},
	{"it forgets a new roster after the first message of a call",
		[]string{"messages of one call may share"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				seen := map[string]bool{}
				for i := range messages {
					if key := messages[i].Roster; seen[key] {
						messages[i].Roster, messages[i].Members = key+"?", []string{}
					} else {
						seen[key] = true
					}
				}
			}}
		}},
	{"it counts the sender as a recipient",
		[]string{"the recipients of a message are its roster"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, created: func(created []delivery.Created) {
				for i := range created {
					created[i].Message.Total++
				}
			}, receipts: func(receipts []delivery.Receipt) {
				for i := range receipts {
					receipts[i].Recipient = "alice"
				}
			}}
		}},
	{"it begins a page of receipts with the last one of the page before",
		[]string{"receipts come in pages"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, receiptList: func(list *delivery.ReceiptList) {
				if n := len(list.After); n > 0 {
					list.After = list.After[:n-1]
				}
			}}
		}},
	{"it does not say that there are more receipts",
		[]string{"receipts come in pages"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, receiptPage: func(page *delivery.ReceiptPage) { page.More, page.Next = false, "" }}
		}},
	{"it shows receipts of every status",
		[]string{"receipts of one status"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, receiptList: func(list *delivery.ReceiptList) { list.Status = 0 }}
		}},
	{"it finds only receipts that have advanced",
		[]string{"receipts are found by their names"},
		func(sound delivery.Store) delivery.Store { return &unlisted{&broken{Store: sound}} }},
	{"it takes the quorum as asked for",
		[]string{"a frozen message's quorum"},
		func(sound delivery.Store) delivery.Store {
			asked := map[string]int{}
			return &broken{Store: sound, messages: func(messages []delivery.NewMessage) {
				for _, m := range messages {
					asked[m.ID] = m.Quorum
				}
			}, created: func(created []delivery.Created) {
				for i := range created {
					created[i].Message.Quorum = asked[created[i].Message.ID]
				}
			}}
		}},
	{"it takes the times of marks as they are",
		[]string{"no time is before the message was sent"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, receipts: func(receipts []delivery.Receipt) {
				for i := range receipts {
					receipts[i].ReadAt = minute(1)
				}
			}}
		}},
	{"it decides by a stale look at the receipt",
		[]string{"whatever marks race"},
		func(sound delivery.Store) delivery.Store { return &stale{sound} }},
	{"it does not ask for admission of marks that come alone",
		[]string{"an open message is marked only with admission"},
		func(sound delivery.Store) delivery.Store {
			return &alone{sound, func(mark *delivery.Mark, _ *delivery.Lease) { mark.Admitted = true }, false}
		}},
	{"it forgets the lease of a mark that comes alone",
		[]string{"slices handed out", "an event of a mark that comes alone"},
		func(sound delivery.Store) delivery.Store {
			return &alone{sound, func(_ *delivery.Mark, lease *delivery.Lease) { *lease = delivery.Lease{} }, false}
		}},
	{"it drops the claim of a mark that comes alone",
		[]string{"slices handed out", "an event of a mark that comes alone"},
		func(sound delivery.Store) delivery.Store {
			return &alone{sound, func(*delivery.Mark, *delivery.Lease) {}, true}
		}},
	{"it shows private marks to others",
		[]string{"a private mark changes the user's own badge alone", "what a user dismisses counts as unread no more"},
		func(sound delivery.Store) delivery.Store {
			return &showing{Store: sound, own: func(own *delivery.OwnMark, mark *delivery.Mark) { mark.Status = max(own.Status, delivery.Delivered) }}
		}},
	{"it lets strangers change what is for a user alone",
		[]string{"who may not mark a message may change nothing by it"},
		func(sound delivery.Store) delivery.Store {
			return &showing{Store: sound, own: func(own *delivery.OwnMark, _ *delivery.Mark) { own.Admitted = true }}
		}},
	{"it keeps no flag",
		[]string{"a conversation marked as unread is so", "marks that others may see say", "the first message is the first one"},
		func(sound delivery.Store) delivery.Store {
			return &showing{Store: sound, own: func(own *delivery.OwnMark, _ *delivery.Mark) {
				if own.Act == delivery.OwnFlagged {
					own.Message = "nothing"
				}
			}}
		}},
	{"it keeps no private up-to mark",
		[]string{"a private up-to mark moves the user's place alone", "a viewer sees how far messages have come"},
		func(sound delivery.Store) delivery.Store {
			return &showing{Store: sound, own: func(own *delivery.OwnMark, _ *delivery.Mark) {
				if own.Act == delivery.OwnMarkedUpTo {
					own.Act = delivery.OwnMarked
				}
			}}
		}},
	{"it tells of every change that is for a user alone",
		[]string{"an event for the user alone tells of each change"},
		func(sound delivery.Store) delivery.Store {
			return &showing{Store: sound, own: func(own *delivery.OwnMark, _ *delivery.Mark) { own.Tell = true }}
		}},
	{"it takes a flag that is cleared for an advance",
		[]string{"a conversation marked as unread is so"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, markedOwn: func(marked []delivery.MarkedOwn) {
				for i := range marked {
					marked[i].Advanced = marked[i].Changed
				}
			}}
		}},
	{"it raises no revision",
		[]string{"a call's marks are of one user"},
		func(sound delivery.Store) delivery.Store {
			return &broken{Store: sound, markedOwn: func(marked []delivery.MarkedOwn) {
				for i := range marked {
					marked[i].Place.Rev = 0
				}
			}}
		}},
	{"it keeps events for a user alone out of the lease",
		[]string{"events for the user alone are born under the lease"},
		func(sound delivery.Store) delivery.Store {
			return &showing{Store: sound, own: func(*delivery.OwnMark, *delivery.Mark) {}, free: true}
		}},
}

// showing changes private marks, and may make public ones of them.
type showing struct {
	delivery.Store
	own  func(own *delivery.OwnMark, mark *delivery.Mark)
	free bool // of leases
}

func (s *showing) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	marks = slices.Clone(marks)
	for i := range marks {
		mark := delivery.Mark{Message: marks[i].Message, User: marks[i].User, At: noon, Admitted: marks[i].Admitted}
		if s.own(&marks[i], &mark); mark.Status > 0 {
			if _, _, err := s.Advance(ctx, []delivery.Mark{mark}, delivery.Lease{}); err != nil {
				return nil, nil, err
			}
		}
	}
	if s.free {
		lease = delivery.Lease{}
	}
	return s.Store.AdvanceOwn(ctx, marks, lease)
}

func TestBrokenStoresFailByName(t *testing.T) {
	for _, b := range slices.Concat(breakages, ownBreakages) {
		t.Run(b.name, func(t *testing.T) {
			for _, rule := range b.rules {
				i := slices.IndexFunc(storeCases, func(c storeCase) bool { return strings.HasPrefix(c.rule, rule) })
				if i < 0 {
					t.Fatalf("no rule begins with %q", rule)
				}
				c := storeCases[i]
				try(t, func(tb testing.TB) { c.run(tb, b.store(memstore.New()), nil) }).mustFail(t, c.rule)
				if tr := try(t, func(tb testing.TB) { c.run(tb, &broken{Store: memstore.New()}, nil) }); tr.failed {
					t.Errorf("a sound store fails too: %v", tr.failures)
				}
			}
		})
	}
}
