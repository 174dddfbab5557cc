package deliverytest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
)

var overdueCases = []storeCase{
	{"a rule does not look at what was stored before its first call", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"))
		p.begin(unread)
		p.create(frozen("c", "m2", "alice", "bob"), frozen("d", "n1", "alice", "bob"))
		p.overdue(unread, "bob m2 sent 1", "bob n1 sent 1")
		p.overdue(unread)
	}},
	{"nobody is returned before the time, and everybody who lacks the status after it", func(p *probe) {
		p.begin(unread)
		began := time.Now()
		p.create(frozen("c", "m0", "alice", "bob"))
		p.wait(unread, 1)
		if after := time.Since(began); after < unread.After {
			p.Errorf("bob was returned %v after the message was stored, of %v", after, unread.After)
		}
		p.create(frozen("c", "m1", "alice", "alice", "bob", "carol", "dan"), frozen("c", "m2", "bob", "alice"), open("c", "m3", "alice"))
		p.mark(delivered("m1", "bob", noon), read("m1", "carol", noon), admitted(delivered("m3", "bob", noon)))
		p.overdue(unread, "alice m2 sent 1", "bob m1 delivered 1", "dan m1 sent 1")
		p.overdue(unread)
	}},
	{"what has been delivered is overdue by a rule for reading, and not by one for delivery", func(p *probe) {
		arrival := unread
		arrival.Name, arrival.Status = "not delivered", delivery.Delivered
		p.begin(unread, arrival)
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		p.mark(delivered("m", "bob", noon))
		p.overdue(arrival, "carol m sent 1")
		p.overdue(unread, "bob m delivered 1", "carol m sent 1")
	}},
	{"a call returns no more than its limit, and later calls the others", func(p *probe) {
		p.begin(unread)
		p.create(frozen("c", "m1", "alice", "r1", "r2", "r3", "r4", "r5"), frozen("c", "m2", "alice", "r1"), frozen("d", "n1", "alice", "r1", "r2", "r3"))
		claims := map[delivery.OverdueClaim]bool{}
		var got []string
		p.until("all were returned", func() bool {
			found := p.look(unread, 2)
			if len(found) > 2 {
				p.Fatalf("%d were returned for a limit of 2", len(found))
			}
			for _, d := range found {
				claims[d.Claim] = true
				got = append(got, named(d))
			}
			return len(got) >= 9
		})
		p.same("who was returned", slices.Sorted(slices.Values(got)), []string{
			"r1 m1 sent 1", "r1 m2 sent 1", "r1 n1 sent 1", "r2 m1 sent 1", "r2 n1 sent 1", "r3 m1 sent 1", "r3 n1 sent 1", "r4 m1 sent 1", "r5 m1 sent 1",
		})
		p.same("the claims", len(claims), 9)
		p.overdue(unread)
	}},
	{"who is not settled is returned again after the lease, and counts every attempt", func(p *probe) {
		brief := unread
		brief.Lease = 2 * short
		p.begin(brief)
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		var began time.Time // the last call's
		wait := func() (all []delivery.Due) {
			p.until("both were returned", func() bool {
				began = time.Now()
				all = p.look(brief, 10)
				return len(all) > 0
			})
			return all
		}
		byName := func(a, b delivery.Due) int { return cmp.Compare(named(a), named(b)) }
		first := wait()
		slices.SortFunc(first, byName)
		for attempt := 2; attempt <= 3; attempt++ {
			before := began
			again := wait()
			if d := time.Since(before); d < brief.Lease {
				p.Errorf("they were returned again after %v of a lease of %v", d, brief.Lease)
			}
			p.same("how many were returned", len(again), 2)
			slices.SortFunc(again, byName)
			for i, d := range again {
				p.same("who was returned again", []any{d.Message, d.Recipient, d.Attempts}, []any{first[i].Message, first[i].Recipient, attempt})
			}
		}
	}},
	{"who is settled is returned no more, and a claim that another call has taken settles nothing", func(p *probe) {
		brief := unread
		brief.Lease = short
		p.begin(brief)
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		first := p.wait(brief, 2)
		p.same("settling one", p.settleOverdue(first[0]), 1)
		p.same("settling it again", p.settleOverdue(first[0], first[0]), 0)
		second := p.wait(brief, 1)
		p.same("who was returned again", named(second[0]), "carol m sent 2")
		p.same("settling with the old claim", p.settleOverdue(first[1]), 0)
		p.same("settling with the new one", p.settleOverdue(second[0]), 1)
		time.Sleep(2 * short)
		p.overdue(brief)
	}},
	{"a lease that has run out still settles what nobody else has claimed", func(p *probe) {
		brief := unread
		brief.Lease = short
		p.begin(brief)
		p.create(frozen("c", "m", "alice", "bob"))
		found := p.wait(brief, 1)
		time.Sleep(2 * short)
		p.same("settling late", p.settleOverdue(found...), 1)
		p.overdue(brief)
	}},
	{"who has read is not returned again, and does not hide who waits behind", func(p *probe) {
		brief := unread
		brief.Lease = 4 * short
		p.begin(brief)
		p.create(frozen("c", "m", "alice", "r1", "r2", "r3", "r4", "r5"))
		p.wait(brief, 5)
		for _, r := range []string{"r1", "r2", "r3", "r4"} {
			p.mark(read("m", r, noon))
		}
		time.Sleep(brief.Lease + 2*grain)
		var got []string
		for _, d := range p.look(brief, 2) {
			got = append(got, named(d))
		}
		p.same("who is returned again", got, []string{"r5 m sent 2"})
	}},
	{"those who come again leave 1/2 of the limit to those who come for the first time, and take what these leave", func(p *probe) {
		brief := unread
		brief.Lease = 4 * short
		p.begin(brief)
		p.create(frozen("c", "m1", "alice", "r1", "r2", "r3", "r4", "r5", "r6"))
		p.wait(brief, 6)
		p.create(frozen("c", "m2", "alice", "r1", "r2", "r3"))
		time.Sleep(brief.Lease + brief.After + 2*grain)
		for _, want := range [][]int{{1, 1, 2, 2}, {1, 2, 2, 2}} {
			var attempts []int
			for _, d := range p.look(brief, 4) {
				attempts = append(attempts, d.Attempts)
			}
			slices.Sort(attempts)
			p.same("the attempts", attempts, want)
		}
	}},
	{"those who come again leave 1/2 of the limit as long as there is more to look at", func(p *probe) {
		brief := unread
		brief.Lease = 4 * short
		p.begin(brief)
		p.create(frozen("c", "m", "alice", "r1", "r2", "r3", "r4", "r5", "r6"))
		p.wait(brief, 6)
		for batch := range 2 {
			var messages []delivery.NewMessage
			var marks []delivery.Mark
			for i := range delivery.MaxBatch {
				m := frozen("c", fmt.Sprint("m", batch, "-", i), "alice", "bob")
				messages, marks = append(messages, m), append(marks, read(m.ID, "bob", noon))
			}
			p.create(messages...)
			p.mark(marks...)
		}
		p.create(frozen("c", "last", "alice", "bob"))
		time.Sleep(brief.Lease + brief.After + 2*grain)
		due, err := p.lookOnce(brief, 4)
		p.same("an error", err, error(nil))
		found := slices.ContainsFunc(due, func(d delivery.Due) bool { return d.Message.ID == "last" })
		if len(due) != 2 && !(found && len(due) == 4) {
			p.Errorf("%d are returned, and that the new one is among them is %t", len(due), found)
		}
	}},
	{"who is settled late is not returned to a call at the same time", func(p *probe) {
		brief := unread
		brief.Lease = short
		p.begin(brief)
		recipients := make([]string, 40)
		for i := range recipients {
			recipients[i] = fmt.Sprintf("r%02d", i)
		}
		for round := range 5 {
			p.create(frozen("c", fmt.Sprint("m", round), "alice", recipients...))
			var first, again []delivery.Due
			p.until("they were returned", func() bool {
				first = p.look(brief, 100)
				return len(first) > 0
			})
			time.Sleep(brief.Lease + 2*grain)
			settled := 0
			p.together(2, func(worker int) (err error) {
				if worker == 0 {
					again, err = p.lookOnce(brief, 100)
					return err
				}
				for _, d := range first {
					n, err := p.store.(delivery.OverdueStore).SettleOverdue(p.ctx, []delivery.OverdueClaim{d.Claim})
					if settled += n; err != nil {
						return err
					}
				}
				return nil
			})
			p.same("how many were settled, and returned again", settled+len(again), len(recipients))
			p.settleOverdue(again...)
		}
	}},
	{"a rule for the recipient goes by what the recipient knows, and one for the sender by what others see", func(p *probe) {
		others := unread
		others.Name, others.For = "for the sender", delivery.ForSender
		p.begin(unread, others)
		p.five()
		p.create(frozen("c", "m6", "alice", "bob"), frozen("c", "m7", "alice", "bob"), frozen("c", "m8", "alice", "bob"))
		p.ownMark(dismiss("m5", "bob"))
		p.ownMark(private("m6", "bob", delivery.Read))
		p.ownMark(private("m7", "bob", delivery.Delivered))
		p.mark(read("m3", "bob", noon))
		p.overdue(unread, "bob m7 delivered 1", "bob m8 sent 1")
		p.overdue(others, "bob m1 sent 1", "bob m2 sent 1", "bob m4 sent 1", "bob m5 sent 1", "bob m6 sent 1", "bob m7 sent 1", "bob m8 sent 1")
	}},
	{"a rule gives up after a while", func(p *probe) {
		hasty := unread
		hasty.Within, hasty.Lease = 6*short, 8*short
		p.begin(hasty)
		p.create(frozen("c", "m1", "alice", "bob"))
		p.overdue(hasty, "bob m1 sent 1")
		p.create(frozen("c", "m2", "alice", "bob"))
		time.Sleep(9 * short)
		p.overdue(hasty)
	}},
	{"each rule has a progress of its own", func(p *probe) {
		second := unread
		second.Name = "Unread"
		p.begin(unread)
		p.create(frozen("c", "m1", "alice", "bob"))
		p.begin(second)
		p.create(frozen("c", "m2", "alice", "bob"))
		p.overdue(unread, "bob m1 sent 1", "bob m2 sent 1")
		p.overdue(second, "bob m2 sent 1")
	}},
	{"rules with one name share no progress if they are about another status, or for somebody else", func(p *probe) {
		others, arrival := unread, unread
		others.For, arrival.Status = delivery.ForSender, delivery.Delivered
		p.begin(unread, others, arrival)
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		p.ownMark(private("m", "bob", delivery.Read))
		p.mark(delivered("m", "carol", noon))
		p.overdue(unread, "carol m delivered 1")
		p.overdue(others, "bob m sent 1", "carol m delivered 1")
		p.overdue(arrival)
		p.create(frozen("c", "n", "alice", "bob"))
		p.overdue(arrival, "bob n sent 1")
		p.overdue(others, "bob n sent 1")
		p.overdue(unread, "bob n sent 1")
	}},
	{"many messages that everybody has read are passed over", func(p *probe) {
		p.begin(unread)
		for batch := range 3 {
			var messages []delivery.NewMessage
			var marks []delivery.Mark
			for i := range 400 {
				m := frozen("c", fmt.Sprint("m", batch, "-", i), "alice", "bob", "carol")
				messages = append(messages, m)
				marks = append(marks, read(m.ID, "bob", noon))
				if i%2 == 0 {
					marks = append(marks, read(m.ID, "carol", noon))
				}
			}
			p.create(messages...)
			for some := range slices.Chunk(marks, delivery.MaxBatch) {
				p.mark(some...)
			}
		}
		p.create(frozen("c", "last", "alice", "bob"))
		last := map[string]int{}
		p.until("the last one was returned", func() bool {
			for _, d := range p.look(unread, 100) {
				last[d.Recipient+" "+d.Message.ID]++
			}
			return last["bob last"] > 0
		})
		p.same("how many were returned", len(last), 3*200+1)
	}},
	{"callers at the same time share the work, and nobody is returned to two of them", func(p *probe) {
		p.begin(unread)
		var want []string
		for i := range 30 {
			c := fmt.Sprint("c", i%3)
			p.create(frozen(c, fmt.Sprint("m", i), "alice", "bob", "carol"))
			want = append(want, fmt.Sprint("bob m", i, " sent 1"), fmt.Sprint("carol m", i, " sent 1"))
		}
		time.Sleep(short + 2*grain)
		var mu sync.Mutex
		var got []string
		p.together(4, func(int) error {
			for range len(want) {
				found, err := p.lookOnce(unread, 3)
				if err != nil || len(found) == 0 {
					return err
				}
				mu.Lock()
				for _, d := range found {
					got = append(got, named(d))
				}
				mu.Unlock()
			}
			return nil
		})
		slices.Sort(want)
		p.same("who was returned", slices.Sorted(slices.Values(got)), want)
	}},
}

// unread is a rule whose time the test waits for.
var unread = delivery.OverdueRule{Name: "unread", Status: delivery.Read, After: short, Within: long, For: delivery.ForRecipient, Lease: long}

func named(d delivery.Due) string {
	return fmt.Sprint(d.Recipient, " ", d.Message.ID, " ", d.Status, " ", d.Attempts)
}

// lookOnce is a call that is not blocked, or several that find nobody and have more to do.
func (p *probe) lookOnce(rule delivery.OverdueRule, limit int) (due []delivery.Due, err error) {
	for more := true; more && len(due) == 0; {
		err = patiently(func() (bool, error) {
			result, err := p.store.(delivery.OverdueStore).Overdue(p.ctx, rule, limit, lease(rule.Lease))
			due, more = result.Due, result.More
			return result.Blocked, err
		})
		if err != nil {
			return nil, err
		}
	}
	return due, nil
}

func (p *probe) look(rule delivery.OverdueRule, limit int) []delivery.Due {
	p.Helper()
	due, err := p.lookOnce(rule, limit)
	p.must("Overdue", err)
	return due
}

// begin makes the first call with each rule.
func (p *probe) begin(rules ...delivery.OverdueRule) {
	p.Helper()
	for _, r := range rules {
		p.same("who is overdue at the first call", len(p.look(r, 10)), 0)
	}
	time.Sleep(2 * grain) // so that nothing is stored at the same time
}

// wait waits until so many are returned, and returns them by recipient and message.
func (p *probe) wait(rule delivery.OverdueRule, n int) (all []delivery.Due) {
	p.Helper()
	p.until(fmt.Sprint(n, " were overdue"), func() bool {
		all = append(all, p.look(rule, 10)...)
		return len(all) >= n
	})
	slices.SortFunc(all, func(a, b delivery.Due) int {
		return cmp.Or(cmp.Compare(a.Recipient, b.Recipient), cmp.Compare(a.Message.ID, b.Message.ID))
	})
	return all
}

// overdue waits until as many are overdue as are wanted, and compares who they are. If nobody is
// wanted, it gives the store the time of the rule.
func (p *probe) overdue(rule delivery.OverdueRule, want ...string) {
	p.Helper()
	if len(want) == 0 {
		time.Sleep(rule.After + 2*grain)
	}
	var got []string
	for _, d := range p.wait(rule, len(want)) {
		m := p.load(d.Message.ID)
		if len(m) == 1 {
			p.same("the message of one who is overdue", d.Message, m[0].Header)
		}
		got = append(got, named(d))
	}
	p.same("who is overdue", got, append([]string(nil), want...))
}

func (p *probe) settleOverdue(due ...delivery.Due) int {
	p.Helper()
	claims := make([]delivery.OverdueClaim, len(due))
	for i, d := range due {
		claims[i] = d.Claim
	}
	settled, err := p.store.(delivery.OverdueStore).SettleOverdue(p.ctx, claims)
	p.must("SettleOverdue", err)
	return settled
}
