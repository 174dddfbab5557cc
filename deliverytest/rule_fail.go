package deliverytest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

var failCases = []storeCase{
	{"a failure is seen beside its recipient and in the message's count, at a version of its own, with one event", func(p *probe) {
		m := p.create(frozen("c", "m", "alice", "bob", "carol"))[0].Message
		p.drain()
		receipt := delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Sent, Version: 2, Failure: "mailbox_full"}
		p.same("Fail", p.fail("m", "bob", "mailbox_full"), delivery.Failed{Header: m.Header, Receipt: receipt, Changed: true})
		m.Tally = delivery.Tally{Version: 2, Status: delivery.Sent, Failed: 1}
		p.same("the message", p.message("m"), m)
		p.same("the receipts", p.receipts("m"), []delivery.Receipt{receipt, {Message: "m", Recipient: "carol", Status: delivery.Sent, Version: 1}})
		p.same("what has changed", p.list(delivery.List{Conversation: "c", Changes: true, After: 1, Limit: 10}).Messages, []delivery.Message{m})
		event := p.claimOne().Event
		event.ID = 0
		p.same("the event", event, delivery.Event{Kind: delivery.StatusChanged, Conversation: "c", From: 2, To: 2, Updates: []delivery.Update{{
			Message: "m", Sender: "alice", Version: 2, Status: delivery.Sent, Failed: 1, Total: 2, Readers: 2, Receipt: &receipt,
		}}})
	}},
	{"the last failure of a receipt wins, and the same one again changes nothing", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		p.fail("m", "bob", "busy")
		p.same("another code", p.fail("m", "bob", "5.1.1").Receipt, delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Sent, Version: 3, Failure: "5.1.1"})
		p.sameForOthers(func() {
			again := p.fail("m", "bob", "5.1.1")
			p.same("the same code", []any{again.Changed, again.Receipt.Version, again.Receipt.Failure}, []any{false, int64(3), "5.1.1"})
		})
		p.fail("m", "carol", "5.1.1")
		p.same("the count", p.message("m").Failed, 2)
	}},
	{"a receipt that advances loses its failure, and the message its count, in that step", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol", "dan", "erin"), frozen("c", "m2", "alice", "bob", "carol", "dan", "erin"), frozen("c", "m3", "alice", "bob", "carol"), frozen("d", "n", "alice", "bob"))
		for _, id := range []string{"m1", "m2", "m3"} {
			for _, user := range []string{"bob", "carol"} {
				p.fail(id, user, "lost")
			}
		}
		p.fail("n", "bob", "lost")
		p.drain()
		one := p.mark(read("m1", "bob", noon))[0]
		p.same("a mark", []any{one.Receipt.Failure, one.Changed, p.message("m1").Failed}, []any{"", true, 1})
		p.tallied("a mark", "m1 1 1 1")
		p.mark(read("m1", "dan", noon), delivered("m1", "carol", noon), delivered("m2", "dan", noon), delivered("m2", "carol", noon), delivered("m2", "bob", noon))
		p.tallied("several marks", "m1 2 2 1", "m1 3 2 0", "m2 1 0 2", "m2 2 0 1", "m2 3 0 0")
		p.mark(read("n", "bob", noon), read("m2", "bob", noon))
		p.same("marks in two conversations", []any{p.message("n").Failed, p.message("m2").Read}, []any{0, 1})
		p.drain()
		p.mark(read("m2", "carol", noon), read("m1", "carol", noon))
		p.mark(delivered("m2", "erin", noon))
		p.tallied("later marks", "m2 3 2 0", "m1 3 3 0", "m2 4 2 0")
		p.markUpTo(upTo("m3", delivery.Read))
		p.tallied("an up-to mark", "m3 1 1 1")
		carol := upTo("m3", delivery.Delivered)
		carol.User = "carol"
		p.markUpTo(carol)
		p.tallied("another up-to mark", "m3 2 1 0")
		p.same("receipts with a failure", slices.ContainsFunc(p.receipts("m1", "m2", "m3", "n"), func(r delivery.Receipt) bool { return r.Failure != "" }), false)
	}},
	{"up-to marks of several users in one call take away the failures of each", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol", "dan"), frozen("c", "m2", "alice", "bob", "carol", "dan"), frozen("d", "n", "alice", "bob"))
		for _, f := range [][2]string{{"m1", "bob"}, {"m1", "carol"}, {"m1", "dan"}, {"m2", "carol"}, {"n", "bob"}} {
			p.fail(f[0], f[1], "lost")
		}
		p.drain()
		carol, elsewhere := upTo("m2", delivery.Delivered), upTo("n", delivery.Read)
		carol.User, elsewhere.Conversation = "carol", "d"
		p.markAllUpTo(plenty, upTo("m2", delivery.Read), carol, elsewhere)
		p.tallied("the marks", "m1 1 1 2", "m2 1 1 1", "m1 2 1 1", "m2 2 1 0", "n 1 1 0")
	}},
	{"a mark leaves the failures of other receipts, and those of other messages", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob", "carol"), frozen("c", "m2", "alice", "bob"), frozen("c", "m3", "alice", "bob", "carol"))
		p.fail("m1", "carol", "lost")
		p.fail("m3", "carol", "lost")
		p.mark(delivered("m1", "bob", noon))
		p.mark(read("m1", "bob", noon), read("m2", "bob", noon))
		p.markUpTo(upTo("m3", delivery.Read))
		var got []string
		for _, r := range p.receipts("m1", "m2", "m3") {
			got = append(got, strings.TrimSpace(fmt.Sprint(r.Message, " ", r.Recipient, " ", r.Status, " ", r.Failure)))
		}
		p.same("the receipts", got, []string{"m1 bob read", "m1 carol sent lost", "m2 bob read", "m3 bob read", "m3 carol sent lost"})
		p.same("the counts", []int{p.message("m1").Failed, p.message("m2").Failed, p.message("m3").Failed}, []int{1, 0, 1})
	}},
	{"a failure of a receipt that has advanced shows nowhere, whether there was one before or not", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob", "carol", "dan"))
		p.fail("m", "carol", "busy")
		p.mark(delivered("m", "bob", noon), read("m", "carol", noon))
		p.sameForOthers(func() {
			for _, user := range []string{"bob", "carol", "bob", "carol"} {
				late := p.fail("m", user, "busy")
				p.same("the answer", []any{late.Header.ID, late.Changed, late.Receipt.Failure, late.Receipt.Status > delivery.Sent}, []any{"m", false, "", true})
			}
			p.fail("m", "bob", "lost")
		})
		p.mark(read("m", "bob", noon))
		p.same("the count after a mark", p.message("m").Failed, 0)
	}},
	{"a failure of an untracked recipient shows nowhere, and one of a recipient who hides reads does", func(p *probe) {
		p.create(capped("c", "m", "alice"), capped("c", "n", "alice"))
		p.sameForOthers(func() {
			for _, code := range []string{"lost", "busy", "busy"} {
				hidden := p.fail("m", "bob", code)
				p.same("the answer", []any{hidden.Header.ID, hidden.Receipt, hidden.Changed}, []any{"m", delivery.Receipt{Message: "m", Recipient: "bob", Status: delivery.Sent, Version: 1}, false})
			}
			p.mark(read("m", "bob", noon))
			p.same("the receipts with a failure", p.receiptPages(delivery.ReceiptList{Message: "m", Limit: 10, Failed: true}), [][]string(nil))
			got, err := p.store.ReceiptsOf(p.ctx, []delivery.ReceiptKey{{Message: "m", Recipient: "bob"}})
			p.must("ReceiptsOf", err)
			p.same("the receipt by its name", got, []delivery.Receipt{{Message: "m", Recipient: "bob", Status: delivery.Sent, Version: 1}})
		})
		p.same("who hides reads", p.fail("m", "carol", "lost").Changed, true)
		p.drain()
		p.mark(read("m", "carol", noon))
		p.tallied("a mark of who hides reads", "m 1 0 0")
	}},
	{"what a recipient knows alone decides nothing about a failure, and hears nothing of it", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob", "carol"))
		p.ownMark(private("m", "bob", delivery.Read))
		view := func() any {
			own := p.list(delivery.List{Conversation: "c", Limit: 10, Viewer: "bob"}).Messages[0].Own
			unread := p.unreadOf("bob")
			return []any{*own, *unread.Newest.Own, unread.Count, unread.Flagged, unread.Place}
		}
		before := view()
		bob, carol := p.fail("m", "bob", "lost"), p.fail("m", "carol", "lost")
		p.same("the answers", []any{bob.Receipt.Status, bob.Receipt.Failure, bob.Changed}, []any{carol.Receipt.Status, carol.Receipt.Failure, carol.Changed})
		p.same("what bob sees of his own", view(), before)
		p.sameForOthers(func() { p.ownMark(private("m", "carol", delivery.Read)) })
		p.same("the count", p.message("m").Failed, 2)
	}},
	{"only a recipient of a frozen message can have a failure", func(p *probe) {
		p.create(frozen("c", "m", "alice", "alice", "bob"), open("c", "o", "alice"), frozen("d", "n", "carol", "dan"))
		p.mark(admitted(read("o", "bob", noon)))
		p.sameForOthers(func() {
			for _, f := range []struct{ message, user string }{{"m", "alice"}, {"m", "carol"}, {"m", "Bob"}, {"m", "dan"}, {"o", "bob"}, {"o", "alice"}, {"o", "erin"}} {
				none := p.fail(f.message, f.user, "lost")
				p.same("a failure of "+f.message+" and "+f.user, []any{none.Header.ID, none.Header.Open, none.Receipt, none.Changed}, []any{f.message, f.message == "o", delivery.Receipt{}, false})
			}
			p.same("a failure of no message", p.fail("missing", "bob", "lost"), delivery.Failed{})
		})
	}},
	{"receipts with a failure are listed alone, and found by their names", func(p *probe) {
		p.create(frozen("c", "m", "alice", "a", "b", "c", "d", "e", "f"))
		for _, user := range []string{"a", "b", "d", "f"} {
			p.fail("m", user, "code."+user)
		}
		p.mark(delivered("m", "b", noon), read("m", "e", noon))
		for limit, want := range map[int]string{1: "a,d,f", 2: "a d,f", 10: "a d f"} {
			p.pages(delivery.ReceiptList{Message: "m", Limit: limit, Failed: true}, want)
		}
		p.pages(delivery.ReceiptList{Message: "m", Limit: 10, Failed: true, After: "d"}, "f")
		p.pages(delivery.ReceiptList{Message: "m", Limit: 10, Status: delivery.Sent}, "a c d f")
		p.pages(delivery.ReceiptList{Message: "m", Limit: 10}, "a b c d e f")
		got, err := p.store.ReceiptsOf(p.ctx, []delivery.ReceiptKey{{Message: "m", Recipient: "b"}, {Message: "m", Recipient: "d"}})
		p.must("ReceiptsOf", err)
		slices.SortFunc(got, func(a, b delivery.Receipt) int { return strings.Compare(a.Recipient, b.Recipient) })
		p.same("ReceiptsOf", got, []delivery.Receipt{
			{Message: "m", Recipient: "b", Status: delivery.Delivered, Version: 6, DeliveredAt: noon},
			{Message: "m", Recipient: "d", Status: delivery.Sent, Version: 4, Failure: "code.d"},
		})
	}},
	{"the receipts of many recipients have their failures too", func(p *probe) {
		users := make([]string, 2500)
		for i := range users {
			users[i] = fmt.Sprintf("u%04d", i)
		}
		p.create(frozen("c", "m", "alice", users...))
		p.fail("m", "u0007", "lost")
		p.fail("m", "u2400", "lost")
		failed := func() []string {
			return slices.Concat(p.receiptPages(delivery.ReceiptList{Message: "m", Limit: 10, Failed: true})...)
		}
		p.same("who has a failure", failed(), []string{"u0007", "u2400"})
		p.mark(delivered("m", "u2400", noon))
		p.same("who has a failure after a mark", failed(), []string{"u0007"})
	}},
	{"the event of a failure is stored under the lease and returned, with the trace of the call", func(p *probe) {
		p.create(frozen("c", "m", "alice", "bob"))
		p.drain()
		hold := lease(long)
		f := delivery.NewFailure{Failure: delivery.Failure{Message: "m", Recipient: "bob", Code: "lost"}, Trace: "t"}
		_, claimed, err := p.store.(delivery.FailureStore).Fail(p.ctx, f, hold)
		p.must("Fail", err)
		if len(claimed) != 1 {
			p.Fatalf("Fail returned %d claims", len(claimed))
		}
		c := p.saw(claimed)[0]
		p.same("the claim", []any{c.Lease, c.Attempts, c.Event.From, fmt.Sprint(c.Event.Trace)}, []any{hold.Token, 1, int64(2), "[t]"})
		p.same("what is due", len(p.claim(10)), 0)
		p.same("what was settled", p.settle(settlement(c, delivery.SettleRetry)), 1)
		p.same("the event that is due again", p.claimOne().Event, c.Event)
	}},
	{"whatever failures and marks race, counts, versions and events are exact", func(p *probe) {
		users := []string{"bob", "carol", "dave", "erin"}
		p.create(frozen("c", "m1", "alice", users...), frozen("c", "m2", "alice", users...), frozen("d", "n", "alice", users...))
		p.together(16, func(worker int) error {
			random := rand.New(rand.NewPCG(uint64(worker), 7)) // #nosec G404 -- it is to be the same each time
			for range 8 {
				id, user := []string{"m1", "m2", "n"}[random.IntN(3)], users[random.IntN(len(users))]
				var err error
				switch n := random.IntN(12); {
				case user == users[0] || n > 3: // bob marks nothing
					_, err = p.failing(id, user, fmt.Sprint("code", random.IntN(3)))
				case n > 1:
					_, err = advance(p.ctx, p.store, []delivery.Mark{delivered(id, user, noon)})
				case n > 0:
					_, err = advance(p.ctx, p.store, []delivery.Mark{read("m1", "erin", noon), delivered("m1", "carol", noon), read("n", "dave", noon)})
				default:
					several := []delivery.UpTo{upTo("m2", delivery.Read), upTo("m1", delivery.Delivered)}
					several[0].User, several[1].User = "carol", "dave"
					_, err = advanceUpTo(p.ctx, p.store, plenty, several...)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		for _, id := range []string{"m1", "m2", "n"} {
			failed := slices.DeleteFunc(p.receipts(id), func(r delivery.Receipt) bool { return r.Failure == "" })
			p.same("the count of "+id, p.message(id).Failed, len(failed))
		}
	}},
}

var failKeeperCases = []storeCase{
	{"nothing can fail of a message that is gone, nor of an erased recipient", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), frozen("c", "m2", "alice", "bob", "carol"), frozen("c", "m3", "alice", "bob", "carol"))
		for _, id := range []string{"m1", "m2", "m3"} {
			p.fail(id, "bob", "lost")
		}
		p.delete("m2")
		p.pruneAll(delivery.Pruning{Conversation: "c", Before: minute(1), Limit: 1})
		for _, id := range []string{"m1", "m2", "m3"} {
			p.same("a failure of "+id, p.fail(id, "bob", "busy"), delivery.Failed{})
		}
		p.create(frozen("c", "m1", "alice", "bob"))
		p.same("a new message of an old id", []any{p.message("m1").Failed, p.receiptOf("m1").Failure}, []any{0, ""})
		p.fail("m1", "bob", "lost")
		p.erase("bob", 10)
		p.same("a failure of who was erased", p.fail("m1", "bob", "busy").Receipt, delivery.Receipt{})
		p.same("the receipts", p.receipts("m1"), []delivery.Receipt{{Message: "m1", Status: delivery.Sent, Version: p.version("c"), Failure: "lost"}})
		p.same("the count", p.message("m1").Failed, 1)
		p.unaudited()
	}},
	{"a deleted message counts no failure", func(p *probe) {
		p.create(capped("c", "m", "alice"), frozen("c", "n", "alice", "bob"))
		p.fail("m", "carol", "lost")
		p.fail("m", "bob", "lost")
		p.delete("m")
		page := p.list(delivery.List{Conversation: "c", Changes: true, After: 1, Limit: 10})
		p.same("the tombstone", page.Messages[len(page.Messages)-1].Tally, delivery.Tally{Version: 4})
	}},
	{"a compaction leaves failures, at the version of the message's sending", func(p *probe) {
		p.create(capped("c", "m1", "alice"), frozen("c", "m2", "alice", "bob", "carol", "dan"))
		p.fail("m1", "bob", "lost")
		p.fail("m1", "dan", "lost")
		p.mark(delivered("m2", "bob", noon))
		p.fail("m2", "bob", "late")
		p.fail("m2", "carol", "lost")
		p.fail("m2", "dan", "lost")
		p.markUpTo(upTo("m2", delivery.Read))
		p.compact(minute(1))
		p.same("the receipts", p.receipts("m2"), []delivery.Receipt{
			{Message: "m2", Recipient: "bob", Status: delivery.Read, Version: 2, Reason: delivery.Expired},
			{Message: "m2", Recipient: "carol", Status: delivery.Sent, Version: 2, Failure: "lost"},
			{Message: "m2", Recipient: "dan", Status: delivery.Sent, Version: 2, Failure: "lost"},
		})
		p.same("the counts", []int{p.message("m1").Failed, p.message("m2").Failed}, []int{1, 2})
		p.sameForOthers(func() {
			p.same("a failure of what was read", p.fail("m2", "bob", "again").Receipt.Status, delivery.Read)
			p.same("the same failure again", p.fail("m2", "carol", "lost").Receipt.Version, int64(2))
		})
		p.same("a failure after it", p.fail("m2", "carol", "again").Receipt.Version, p.version("c"))
		p.mark(delivered("m2", "carol", noon), read("m1", "dan", noon))
		p.mark(read("m2", "dan", noon))
		p.same("the counts after marks", []int{p.message("m1").Failed, p.message("m2").Failed}, []int{0, 0})
		p.same("Verify", len(p.verify("c", 0, 100).Drifts), 0)
	}},
	{"failures that others see are verified", func(p *probe) {
		p.create(capped("c", "m1", "alice"), frozen("c", "m2", "alice", "bob", "carol"), frozen("c", "m3", "alice", "bob"))
		for _, f := range []struct{ message, user string }{{"m1", "bob"}, {"m1", "carol"}, {"m1", "dan"}, {"m2", "bob"}, {"m2", "carol"}, {"m3", "bob"}} {
			p.fail(f.message, f.user, "lost")
		}
		p.mark(read("m1", "dan", noon), delivered("m2", "bob", noon))
		p.fail("m2", "bob", "again")
		p.delete("m3")
		v := p.verify("c", 0, 100)
		p.same("Verify", v, delivery.Verification{Messages: 3, Last: v.Last})
	}},
}

var failOverdueCases = []storeCase{
	{"who is overdue comes with the last failure, and for the sender with the one that others see", func(p *probe) {
		others := unread
		others.Name, others.For = "for the sender", delivery.ForSender
		p.begin(unread, others)
		p.create(capped("c", "m", "alice"), frozen("c", "n", "alice", "dan"))
		p.fail("m", "bob", "untracked")
		p.fail("m", "dan", "first")
		p.fail("m", "dan", "second")
		p.mark(delivered("n", "dan", noon))
		p.fail("n", "dan", "late")
		for _, c := range []struct {
			rule delivery.OverdueRule
			want []string
		}{
			{unread, []string{"bob m untracked", "carol m", "dan m second", "dan n late"}},
			{others, []string{"dan m second", "dan n"}},
		} {
			var got []string
			for _, d := range p.wait(c.rule, len(c.want)) {
				got = append(got, strings.TrimSpace(fmt.Sprint(d.Recipient, " ", d.Message.ID, " ", d.Failure)))
			}
			p.same("who is overdue", got, c.want)
		}
	}},
}

// fail has a failure kept, whose event is due at once.
func (p *probe) fail(message, recipient, code string) delivery.Failed {
	p.Helper()
	failed, err := p.failing(message, recipient, code)
	p.must("Fail", err)
	return failed
}

// failing does so on any goroutine.
func (p *probe) failing(message, recipient, code string) (failed delivery.Failed, err error) {
	f := delivery.NewFailure{Failure: delivery.Failure{Message: message, Recipient: recipient, Code: code}}
	err = patiently(func() (bool, error) {
		var claimed []delivery.Claimed
		failed, claimed, err = p.store.(delivery.FailureStore).Fail(p.ctx, f, delivery.Lease{})
		if err == nil && (len(claimed) != 0 || failed.Blocked && failed != delivery.Failed{Blocked: true}) {
			err = fmt.Errorf("Fail returned %d claims for no lease, or more than that it was blocked: %+v", len(claimed), failed)
		}
		return failed.Blocked, err
	})
	return failed, err
}

// tallied compares what the waiting events say of messages: delivered, read and failed.
func (p *probe) tallied(what string, want ...string) {
	p.Helper()
	var got []string
	for _, e := range p.drain() {
		for _, u := range e.Updates {
			got = append(got, fmt.Sprint(u.Message, " ", u.Delivered, " ", u.Read, " ", u.Failed))
		}
	}
	p.same("what events tell of "+what, got, want)
}
