package deliverytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
)

// After each of these the audit finds out whether versions, counters and events are exact.
var raceCases = []storeCase{
	{"whatever marks race, each receipt ends at the highest, and takes each step once", func(p *probe) {
		const workers, calls = 64, 8
		users := []string{"bob", "carol", "dave", "erin"}
		messages := []delivery.NewMessage{
			frozen("c", "m1", "alice", users...), open("c", "m2", "alice"),
			frozen("d", "m3", "alice", users...), open("d", "m4", "alice"),
		}
		p.create(messages...)
		type receipt struct{ message, user string }
		var mu sync.Mutex
		highest, steps := map[receipt]delivery.Status{}, map[receipt][]delivery.Receipt{}
		p.together(workers, func(worker int) error {
			random := rand.New(rand.NewPCG(uint64(worker), 0)) // #nosec G404 -- it is to be the same each time
			for range calls {
				var marks []delivery.Mark
				for _, i := range random.Perm(len(messages) * len(users))[:1+random.IntN(4)] {
					mark := admitted(delivered(messages[i/len(users)].ID, users[i%len(users)], minute(worker)))
					mark.Status += delivery.Status(random.IntN(2))
					mark.Socket = []string{"", "1.1"}[random.IntN(2)]
					marks = append(marks, mark)
				}
				marked, err := advance(p.ctx, p.store, marks)
				if err != nil {
					return err
				}
				mu.Lock()
				for i, m := range marks {
					key := receipt{m.Message, m.User}
					highest[key] = max(highest[key], m.Status)
					if marked[i].Changed {
						steps[key] = append(steps[key], marked[i].Receipt)
					}
				}
				mu.Unlock()
			}
			return nil
		})
		versions := map[string][]int64{} // that marks were told they took, by conversation
		for key, highest := range highest {
			taken := steps[key]
			for _, step := range taken {
				conversation := p.message(key.message).Conversation
				if slices.Contains(versions[conversation], step.Version) {
					p.Errorf("version %d of conversation %q went to two marks", step.Version, conversation)
				}
				versions[conversation] = append(versions[conversation], step.Version)
			}
			slices.SortFunc(taken, func(a, b delivery.Receipt) int { return int(a.Version - b.Version) })
			for i := range taken[:max(0, len(taken)-1)] {
				if taken[i].Status >= taken[i+1].Status {
					p.Errorf("the receipt of %s for %s went from %v at version %d to %v at %d", key.user, key.message, taken[i].Status, taken[i].Version, taken[i+1].Status, taken[i+1].Version)
				}
			}
			for _, stored := range p.receipts(key.message) {
				if stored.Recipient == key.user && stored.Status != highest {
					p.Errorf("the receipt of %s for %s ended at %v, want %v", key.user, key.message, stored.Status, highest)
				}
			}
			if len(taken) == 0 || taken[len(taken)-1].Status != highest {
				p.Errorf("no mark was told that it moved the receipt of %s for %s to %v", key.user, key.message, highest)
			}
		}
	}},
	{"whatever sends race, the seqs of a conversation are contiguous", func(p *probe) {
		const workers, calls = 16, 8
		p.conversations["c"] = true
		var mu sync.Mutex
		var seqs []int64
		p.together(workers, func(worker int) error {
			for call := range calls {
				messages := []delivery.NewMessage{open("c", fmt.Sprint(worker, "a", call), "alice"), open("c", fmt.Sprint(worker, "b", call), "alice")}
				created, err := create(p.ctx, p.store, messages[:1+call%2])
				if err != nil {
					return err
				}
				mu.Lock()
				for _, c := range created {
					seqs = append(seqs, c.Message.Seq)
				}
				mu.Unlock()
			}
			return nil
		})
		slices.Sort(seqs)
		for i, seq := range seqs {
			if seq != int64(i+1) {
				p.Fatalf("the seqs of %d messages are not 1 to %d: %v", len(seqs), len(seqs), seqs)
			}
		}
	}},
	{"of racing sends with one id one is stored, and all are told of that one", func(p *probe) {
		const workers, ids = 16, 8
		p.conversations["c"], p.conversations["d"] = true, true
		created := make([][]delivery.Created, workers)
		p.together(workers, func(worker int) error {
			for i := range ids {
				conversation := []string{"c", "d"}[worker%2]
				c, err := create(p.ctx, p.store, []delivery.NewMessage{frozen(conversation, fmt.Sprint("m", i), "alice", "bob")})
				if err != nil {
					return err
				}
				created[worker] = append(created[worker], c...)
			}
			return nil
		})
		for i := range ids {
			stored, news := p.message(fmt.Sprint("m", i)), 0
			for worker := range workers {
				p.same("Create", created[worker][i].Message, stored)
				if !created[worker][i].Existed {
					news++
				}
			}
			p.same("the number of sends told that theirs is new", news, 1)
		}
	}},
	{"whatever changes that a user alone may know race, none is lost, and each has a revision of its own", func(p *probe) {
		p.changesOfOneUser([2]delivery.Store{p.store, p.store})
	}},
	{"whoever claims while others write misses no event", func(p *probe) {
		const writers, claimers, each = 8, 2, 10
		var mu sync.Mutex
		writing := writers
		for _, c := range []string{"c", "d", "e", "f"} {
			p.create(open(c, "in "+c, "alice"))
		}
		p.together(writers+claimers, func(worker int) error {
			if worker < writers {
				defer func() { mu.Lock(); defer mu.Unlock(); writing-- }()
				for i := range each {
					m := open([]string{"c", "d", "e", "f"}[worker%4], fmt.Sprint(worker, "/", i), "alice")
					if _, err := create(p.ctx, p.store, []delivery.NewMessage{m}); err != nil {
						return err
					}
				}
				return nil
			}
			for more := true; more; {
				claimed, err := p.store.Claim(p.ctx, 10, lease(long))
				if err != nil {
					return err
				}
				mu.Lock()
				p.saw(claimed)
				more = writing > 0 || len(claimed) > 0
				mu.Unlock()
			}
			return nil
		})
	}},
	{"who reads changes by version misses none, whatever is written meanwhile", func(p *probe) {
		const writers, readers, each = 8, 4, 12
		var messages []delivery.NewMessage
		for i := range writers * each {
			messages = append(messages, open("c", fmt.Sprint("m", i), "alice"))
		}
		p.create(messages...)
		p.together(writers+readers, func(worker int) error {
			if worker < writers {
				for i := range each {
					if _, err := advance(p.ctx, p.store, []delivery.Mark{admitted(delivered(fmt.Sprint("m", worker*each+i), "bob", noon))}); err != nil {
						return err
					}
				}
				return nil
			}
			reached := map[string]bool{}
			list := delivery.List{Conversation: "c", Changes: true, Limit: 5}
			for list.After < 2*writers*each {
				page, err := p.store.List(p.ctx, list)
				if err != nil {
					return err
				}
				for _, m := range page.Messages {
					if m.Version <= list.After || page.More && m.Version > page.Version {
						return fmt.Errorf("changes after version %d up to %d hold version %d", list.After, page.Version, m.Version)
					}
					reached[m.ID] = m.Delivered == 1
				}
				list.After = page.Version
			}
			for _, m := range messages {
				if !reached[m.ID] {
					return fmt.Errorf("a reader at version %d has not seen the change of message %s", list.After, m.ID)
				}
			}
			return nil
		})
	}},
	{"a page of many messages is of one moment while they change", func(p *probe) {
		const messages = 150
		var all []delivery.NewMessage
		for i := range messages {
			all = append(all, open("c", fmt.Sprint("m", i), "alice"))
		}
		p.create(all...)
		for _, list := range []delivery.List{{}, {Before: delivery.Latest}, {Changes: true}} {
			list.Conversation, list.Limit, list.Bytes = "c", messages, 1<<20
			page := p.list(list)
			p.same("the number of messages on the page", len(page.Messages), messages)
			p.same("that there are more", page.More, false)
		}
		p.together(2, func(worker int) error {
			for i := range messages / 2 {
				if worker == 0 {
					_, err := advance(p.ctx, p.store, []delivery.Mark{admitted(delivered(fmt.Sprint("m", messages-1-i), "bob", noon))})
					if err != nil {
						return err
					}
					continue
				}
				page, err := p.store.List(p.ctx, delivery.List{Conversation: "c", Limit: messages, Bytes: 1 << 20})
				if err != nil {
					return err
				}
				if len(page.Messages) == 0 || !page.More && len(page.Messages) < messages {
					return fmt.Errorf("a page of %d messages says that there are no more", len(page.Messages))
				}
				for i, m := range page.Messages {
					if m.Seq != int64(i+1) || m.Version > page.Version {
						return fmt.Errorf("a page of version %d holds version %d of message %d as its %dth", page.Version, m.Version, m.Seq, i+1)
					}
				}
			}
			return nil
		})
	}},
	{"a change and its event are there at the same moment", func(p *probe) {
		const writes = 100
		p.create(open("c", "m", "alice"))
		done := make(chan struct{})
		p.together(2, func(worker int) error {
			if worker == 0 {
				defer close(done)
				for i := range writes {
					if _, err := advance(p.ctx, p.store, []delivery.Mark{admitted(delivered("m", fmt.Sprint("user ", i), noon))}); err != nil {
						return err
					}
				}
				return nil
			}
			for {
				before, err1 := p.store.Backlog(p.ctx)
				page, err2 := p.store.List(p.ctx, delivery.List{Conversation: "c", Limit: 1})
				after, err3 := p.store.Backlog(p.ctx)
				if err := errors.Join(err1, err2, err3); err != nil {
					return err
				}
				if changes := int(page.Version); changes < before.Waiting || changes > after.Waiting {
					return fmt.Errorf("there were %d events, then %d changes, then %d events", before.Waiting, changes, after.Waiting)
				}
				select {
				case <-done:
					return nil
				default:
				}
			}
		})
	}},
	{"a call that ctx cuts short has changed nothing, or says that nobody knows", func(p *probe) {
		errs := make([]error, 60)
		p.create(open("c", "m", "alice"))
		whole := time.Second // that a call takes if nothing cuts it short
		for i := range 3 {
			began := time.Now()
			p.mark(admitted(delivered("m", fmt.Sprint("before ", i), noon)))
			whole = min(whole, time.Since(began))
		}
		for i := range errs {
			limit := time.Duration(i*i) * time.Microsecond
			if i%2 == 1 {
				limit = 2 * whole * time.Duration(i) / time.Duration(len(errs))
			}
			ctx, cancel := context.WithTimeout(p.ctx, limit)
			var marked []delivery.Marked
			marked, _, errs[i] = p.store.Advance(ctx, []delivery.Mark{admitted(delivered("m", fmt.Sprint("user ", i), noon))}, delivery.Lease{})
			if errs[i] == nil && len(marked) == 1 && marked[0].Blocked { // by the call before, which nobody waited for
				errs[i] = errBlocked
			}
			cancel()
		}
		p.calm("c") // a commit of which nobody knows may still be on its way
		changed := map[string]bool{}
		for _, receipt := range p.receipts("m") {
			changed[receipt.Recipient] = true
		}
		for i, err := range errs {
			if changed := changed[fmt.Sprint("user ", i)]; changed != (err == nil) && !errors.Is(err, delivery.ErrOutcomeUnknown) {
				p.Errorf("call %d returned the error %v, and that it changed something is %t", i, err, changed)
			}
		}
	}},
	{"marks, up-to marks and sends may race in one conversation", func(p *probe) {
		const workers, calls = 16, 10
		users := []string{"alice", "bob", "carol", "dave"}
		p.create(frozen("c", "0", "alice", "bob", "carol"), open("c", "1", "bob"), frozen("c", "2", "carol", "alice", "dave"))
		p.together(workers, func(worker int) error {
			random := rand.New(rand.NewPCG(uint64(worker), 1)) // #nosec G404 -- it is to be the same each time
			for call := range calls {
				id, user := fmt.Sprint(random.IntN(3)), users[random.IntN(len(users))]
				status := delivery.Delivered + delivery.Status(random.IntN(2))
				var err error
				switch random.IntN(4) {
				case 0:
					sender := users[random.IntN(len(users))]
					message := open("c", fmt.Sprint(worker, "/", call), sender)
					_, err = create(p.ctx, p.store, []delivery.NewMessage{message})
				case 1:
					_, err = advance(p.ctx, p.store, []delivery.Mark{{Message: id, User: user, Status: status, At: noon, Admitted: true}})
				default:
					last := fmt.Sprint(random.IntN(workers), "/", random.IntN(calls))
					if random.IntN(3) == 0 {
						last = id
					}
					marks := []delivery.UpTo{
						{Conversation: "c", Message: last, User: user, Status: status, At: noon, Admitted: random.IntN(2) == 0},
						{Conversation: "c", Message: id, User: user + " too", Status: status, At: noon, Admitted: true},
					}
					var marked []delivery.MarkedUpTo
					marked, err = advanceUpTo(p.ctx, p.store, 1+random.IntN(20), marks[:1+random.IntN(2)]...)
					for _, m := range marked {
						if m.Changed > 0 && m.To-m.From+1 != int64(m.Changed) {
							err = fmt.Errorf("%d advances took the versions %d to %d", m.Changed, m.From, m.To)
						}
					}
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		// Nobody's place may have moved past what is still to be marked.
		messages, _ := p.all("c")
		for _, user := range users {
			last := messages[len(messages)-1]
			p.markUpTo(delivery.UpTo{Conversation: "c", Message: last.ID, User: user, Status: delivery.Read, At: noon, Admitted: true})
			for _, m := range p.list(delivery.List{Conversation: "c", Limit: 1000, Viewer: user}).Messages {
				if mine := m.Own != nil; (mine || m.Open && m.Sender != user) && (!mine || m.Own.Status != delivery.Read) {
					p.Errorf("after %s read up to the last message, the own receipt of message %s is %+v", user, m.ID, m.Own)
				}
			}
		}
	}},
}

// changesOfOneUser has one user's devices change at once, through two handles, what the user alone
// may know of a conversation of its own.
func (p *probe) changesOfOneUser(handles [2]delivery.Store) {
	p.Helper()
	const workers, dismissed = 16, 8
	for i := range workers {
		p.create(frozen("own", fmt.Sprint("own", i), "alice", "bob"))
	}
	var mu sync.Mutex
	revisions := map[int64]bool{}
	p.together(workers, func(worker int) error {
		id := fmt.Sprint("own", worker)
		marks := []delivery.OwnMark{private(id, "bob", delivery.Delivered), private(id, "bob", delivery.Read)}
		if worker < dismissed {
			marks = []delivery.OwnMark{privateUpTo(id, "bob", delivery.Delivered), dismiss(id, "bob")}
		}
		for _, mark := range marks {
			mark.Conversation = "own"
			marked, _, err := handles[worker%2].AdvanceOwn(p.ctx, []delivery.OwnMark{mark}, delivery.Lease{})
			if err != nil {
				return err
			}
			mu.Lock()
			if rev := marked[0].Place.Rev; marked[0].Changed && revisions[rev] {
				err = fmt.Errorf("two changes were told that they have revision %d", rev)
			} else if marked[0].Changed {
				revisions[rev] = true
			}
			mu.Unlock()
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, handle := range handles {
		all, err := handle.Unread(p.ctx, "bob", []string{"own"}, 100)
		p.must("Unread", err)
		p.fields("what is unread", "Count Place", []any{all[0].Count, all[0].Place},
			[]any{0, delivery.Place{Rev: int64(len(revisions)), Delivered: dismissed, Badge: dismissed}})
	}
}
