package deliverytest

import (
	"fmt"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

var ownCases = []storeCase{
	{"what a user dismisses counts as unread no more, and nobody else sees anything of it", func(p *probe) {
		p.five()
		p.sameForOthers(func() {
			out := p.ownMark(dismiss("m3", "bob"))
			p.same("AdvanceOwn", out, delivery.MarkedOwn{
				Header: p.message("m3").Header, May: true, Changed: true, Advanced: true, Status: delivery.Read,
				Place: delivery.Place{Rev: 1, Delivered: 3, Badge: 3},
			})
		})
		p.pending("bob", badge{Unread: 2, First: place("m4", 4), Newest: place("m5", 5), Version: 5})
		p.pending("carol", badge{Newest: place("m5", 5), Version: 5})
		p.same("dismissing again, and less", []bool{p.ownMark(dismiss("m3", "bob")).Changed, p.ownMark(dismiss("m1", "bob")).Changed}, []bool{false, false})
		p.same("bob's place", p.placeOf("bob"), delivery.Place{Rev: 1, Delivered: 3, Badge: 3})
		p.same("an up-to mark that others may see", p.markUpTo(upTo("m5", delivery.Read)), delivery.MarkedUpTo{
			Header: p.message("m5").Header, Receipt: p.receiptOf("m5"), Changed: 5, From: 6, To: 10, Reached: 5,
		})
		p.same("bob's place after it", p.placeOf("bob"), delivery.Place{Rev: 1, Delivered: 5, Badge: 5})
	}},
	{"a conversation marked as unread is so from that message on, until the user reads or dismisses that far", func(p *probe) {
		p.five()
		p.markUpTo(upTo("m5", delivery.Read))
		p.sameForOthers(func() {
			out := p.ownMark(flag("m4", "bob"))
			p.fields("AdvanceOwn", "May Changed Flag Rev", []any{out.May, out.Changed, out.Place.Flag, out.Place.Rev}, []any{true, true, int64(4), int64(1)})
			p.same("AdvanceOwn again", p.ownMark(flag("m4", "bob")).Changed, false)
		})
		flagged := func(first delivery.Position, rev int64) {
			u := p.unreadOf("bob")
			p.fields("what is unread", "Flagged Count First Rev", []any{u.Flagged, u.Count, u.First, u.Place.Rev}, []any{first.Seq > 0, 0, first, rev})
		}
		flagged(place("m4", 4), 1)
		p.ownMark(flag("m2", "bob"))
		flagged(place("m2", 2), 2)
		p.ownMark(private("m1", "bob", delivery.Read))
		p.ownMark(private("m3", "bob", delivery.Delivered))
		flagged(place("m2", 2), 2)
		p.same("whether a mark that only clears the flag advances", p.ownMark(private("m2", "bob", delivery.Read)).Advanced, false)
		flagged(delivery.Position{}, 3)
		p.ownMark(flag("m5", "bob"))
		p.ownMark(dismiss("m4", "bob"))
		flagged(place("m5", 5), 4)
		p.ownMark(dismiss("m5", "bob"))
		flagged(delivery.Position{}, 5)
		p.ownMark(flag("m5", "bob"))
		p.ownMark(privateUpTo("m5", "bob", delivery.Read))
		flagged(delivery.Position{}, 7)
	}},
	{"the first message is the first one that is unread or marked as unread", func(p *probe) {
		p.five()
		p.ownMark(dismiss("m3", "bob"))
		p.ownMark(flag("m2", "bob"))
		u := p.unreadOf("bob")
		p.fields("what is unread", "Flagged Count First", []any{u.Flagged, u.Count, u.First}, []any{true, 2, place("m2", 2)})
		p.ownMark(flag("m5", "bob"))
		u = p.unreadOf("bob")
		p.fields("what is unread", "Flagged Count First", []any{u.Flagged, u.Count, u.First}, []any{true, 2, place("m4", 4)})
	}},
	{"marks that others may see say what the user has marked as unread", func(p *probe) {
		p.five()
		p.create(frozen("c", "m6", "alice", "bob", "carol"))
		p.ownMark(flag("m4", "bob"))
		marked := p.mark(delivered("m1", "bob", noon), read("m6", "bob", noon), read("m6", "carol", noon))
		p.same("the flags", []int64{marked[0].Flag, marked[1].Flag, marked[2].Flag}, []int64{4, 4, 0})
		p.same("the flag", p.markUpTo(upTo("m2", delivery.Read)).Flag, int64(4))
		p.same("the flag", p.markUpTo(upTo("m2", delivery.Read)).Flag, int64(4))
	}},
	{"a private mark changes the user's own badge alone, and a later public one counts as the first", func(p *probe) {
		p.five()
		p.sameForOthers(func() {
			out := p.ownMark(private("m2", "bob", delivery.Delivered))
			p.fields("AdvanceOwn", "Changed Advanced Status Place", []any{out.Changed, out.Advanced, out.Status, out.Place}, []any{true, true, delivery.Delivered, delivery.Place{Rev: 1}})
			p.pending("bob", badge{Unread: 5, First: place("m1", 1), Newest: place("m5", 5), Version: 5})
			out = p.ownMark(private("m2", "bob", delivery.Read))
			p.fields("AdvanceOwn", "Changed Advanced Status Place", []any{out.Changed, out.Advanced, out.Status, out.Place}, []any{true, true, delivery.Read, delivery.Place{Rev: 2}})
			p.same("backward", p.ownMark(private("m2", "bob", delivery.Delivered)).Status, delivery.Read)
			p.same("repeated", p.ownMark(private("m2", "bob", delivery.Read)).Changed, false)
		})
		p.pending("bob", badge{Unread: 4, First: place("m1", 1), Newest: place("m5", 5), Version: 5})
		p.same("bob's place", p.placeOf("bob"), delivery.Place{Rev: 2})
		marked := p.mark(delivered("m2", "bob", minute(5)))[0]
		p.fields("the public mark", "Changed Version DeliveredAt", []any{marked.Changed, marked.Receipt.Version, marked.Receipt.DeliveredAt}, []any{true, int64(6), minute(5)})
		p.pending("bob", badge{Unread: 4, First: place("m1", 1), Newest: place("m5", 5), Version: 6})
		p.mark(read("m1", "bob", noon))
		p.same("a private mark of what others see read", p.ownMark(private("m1", "bob", delivery.Read)).Changed, false)
	}},
	{"a private up-to mark moves the user's place alone, and a later public one shows all that lies before", func(p *probe) {
		p.five()
		p.ownMark(private("m1", "bob", delivery.Read))
		p.ownMark(private("m4", "bob", delivery.Delivered))
		p.sameForOthers(func() {
			out := p.ownMark(privateUpTo("m2", "bob", delivery.Delivered))
			p.same("AdvanceOwn", out.Place, delivery.Place{Rev: 3, Delivered: 2})
			p.pending("bob", badge{Unread: 4, First: place("m2", 2), Newest: place("m5", 5), Version: 5})
			out = p.ownMark(privateUpTo("m4", "bob", delivery.Read))
			p.same("AdvanceOwn", out.Place, delivery.Place{Rev: 4, Delivered: 4, Badge: 4})
		})
		p.pending("bob", badge{Unread: 1, First: place("m5", 5), Newest: place("m5", 5), Version: 5})
		p.same("repeated", p.ownMark(privateUpTo("m4", "bob", delivery.Read)).Changed, false)
		p.same("what it reached", p.ownMark(private("m3", "bob", delivery.Read)).Changed, false)
		p.same("AdvanceUpTo", p.markUpTo(upTo("m5", delivery.Read)), delivery.MarkedUpTo{
			Header: p.message("m5").Header, Receipt: p.receiptOf("m5"), Changed: 5, From: 6, To: 10, Reached: 5,
		})
	}},
	{"a viewer sees how far messages have come to the viewer's own knowledge", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), open("c", "m2", "alice"), frozen("c", "m3", "bob", "alice"), frozen("c", "m4", "alice", "carol"),
			frozen("c", "m5", "alice", "bob"), open("c", "m6", "alice"))
		p.mark(delivered("m1", "bob", noon))
		seen := func(statuses ...delivery.Status) {
			p.Helper()
			want := make([]any, len(statuses))
			for i, s := range statuses {
				want[i] = s
			}
			for _, list := range []delivery.List{{Limit: 10}, {Limit: 10, Before: delivery.Latest}, {Limit: 10, Bytes: delivery.MaxPage}, {Limit: 10, Changes: true}} {
				list.Conversation, list.Viewer = "c", "bob"
				got := slices.Repeat([]any{delivery.Status(0)}, 6)
				for _, m := range p.list(list).Messages {
					if m.Own != nil {
						p.same("whose it is", []string{m.Own.Message, m.Own.Recipient}, []string{m.ID, "bob"})
						got[m.Seq-1] = m.Own.Status
					}
				}
				p.fields(fmt.Sprintf("what bob sees in %+v", list), "m1 m2 m3 m4 m5 m6", got, want)
			}
			if own := p.unreadOf("bob").Newest.Own; statuses[5] == 0 && own != nil || statuses[5] > 0 && (own == nil || own.Status != statuses[5]) {
				p.Errorf("the newest message has %+v, want %v", own, statuses[5])
			}
		}
		seen(delivery.Delivered, 0, 0, 0, delivery.Sent, 0)
		p.sameForOthers(func() { p.ownMark(letIn(private("m6", "bob", delivery.Read))) })
		seen(delivery.Delivered, 0, 0, 0, delivery.Sent, delivery.Read)
		p.ownMark(private("m5", "bob", delivery.Delivered))
		seen(delivery.Delivered, 0, 0, 0, delivery.Delivered, delivery.Read)
		p.ownMark(privateUpTo("m4", "bob", delivery.Read))
		seen(delivery.Read, delivery.Read, 0, 0, delivery.Delivered, delivery.Read)
		own := p.list(delivery.List{Conversation: "c", Limit: 1, Viewer: "bob"}).Messages[0].Own
		p.fields("the times and the version", "DeliveredAt ReadAt Version", []any{own.DeliveredAt, own.ReadAt, own.Version}, []any{noon, time.Time{}, int64(7)})
	}},
	{"who may not mark a message may change nothing by it", func(p *probe) {
		p.create(frozen("c", "m1", "alice", "bob"), open("c", "m2", "alice"), frozen("c", "m3", "bob", "carol"), frozen("d", "n1", "alice", "bob"))
		for _, c := range []struct {
			name string
			mark delivery.OwnMark
			may  bool
		}{
			{"a message that does not exist", dismiss("nothing", "bob"), false},
			{"a message in another conversation", dismiss("n1", "bob"), false},
			{"the sender", dismiss("m1", "alice"), true},
			{"the sender", flag("m1", "alice"), true},
			{"the sender", private("m1", "alice", delivery.Read), false},
			{"a stranger", dismiss("m1", "mallory"), false},
			{"a stranger", flag("m1", "mallory"), false},
			{"a stranger", private("m1", "mallory", delivery.Read), false},
			{"a stranger", privateUpTo("m1", "mallory", delivery.Read), false},
			{"who is not admitted", dismiss("m2", "bob"), false},
			{"a user who is for others", private("m3", "alice", delivery.Read), false},
			{"the sender, up to it", privateUpTo("m3", "bob", delivery.Delivered), true},
			{"a reader whom it is not for, up to it", privateUpTo("m3", "alice", delivery.Delivered), true},
		} {
			out := p.ownMark(c.mark)
			p.fields(fmt.Sprintf("%s, %+v", c.name, c.mark), "May Changed", []any{out.May, out.Changed}, []any{c.may, c.may})
		}
		p.same("mallory's place", p.placeOf("mallory"), delivery.Place{})
		admitted := dismiss("m2", "mallory")
		admitted.Admitted = true
		p.same("who is admitted", p.ownMark(admitted).Place, delivery.Place{Rev: 1, Delivered: 2, Badge: 2})
	}},
	{"a call's marks are of one user, in several conversations, and raise each place's revision once", func(p *probe) {
		p.five()
		p.create(frozen("d", "n1", "alice", "bob"), frozen("d", "n2", "alice", "bob"))
		marks := []delivery.OwnMark{private("m1", "bob", delivery.Read), private("n2", "bob", delivery.Read), private("m3", "bob", delivery.Read), private("nothing", "bob", delivery.Read)}
		out := p.ownMarks(marks...)
		p.same("AdvanceOwn", []bool{out[0].Changed, out[1].Changed, out[2].Changed, out[3].Changed}, []bool{true, true, true, false})
		for i := range out[:3] {
			p.same("the place", out[i].Place, delivery.Place{Rev: 1})
		}
		p.pending("bob", badge{Unread: 3, First: place("m2", 2), Newest: place("m5", 5), Version: 5})
		p.same("in the other conversation", p.unread("bob", "d", 10), badge{Unread: 1, First: place("n1", 1), Newest: place("n2", 2), Version: 2})
	}},
	{"an event for the user alone tells of each change that is to be told", func(p *probe) {
		p.five()
		p.create(frozen("d", "n1", "alice", "bob"))
		p.drain()
		p.ownMark(private("m5", "bob", delivery.Read))
		p.same("events of what is not to be told", len(p.drain()), 0)
		tell := func(m delivery.OwnMark) delivery.OwnMark { m.Socket = "1.1"; return telling(m) }
		p.ownMarks(tell(private("m1", "bob", delivery.Read)), tell(private("n1", "bob", delivery.Delivered)), tell(private("m5", "bob", delivery.Read)), tell(private("m2", "bob", delivery.Read)))
		p.ownMark(tell(flag("m4", "bob")))
		p.ownMark(tell(flag("m4", "bob")))
		told := func(updates ...delivery.Update) delivery.Event {
			return delivery.Event{Kind: delivery.OwnChanged, User: "bob", Except: "1.1", Updates: updates}
		}
		update := func(conversation, message string, status delivery.Status, place delivery.Place) delivery.Update {
			return delivery.Update{Message: message, Own: &delivery.OwnUpdate{Conversation: conversation, Status: status, Place: place}}
		}
		p.same("the events", withoutIDs(p.drain()), []delivery.Event{
			told(update("c", "m1", delivery.Read, delivery.Place{Rev: 2}), update("c", "m2", delivery.Read, delivery.Place{Rev: 2})),
			told(update("d", "n1", delivery.Delivered, delivery.Place{Rev: 1})),
			told(update("c", "m4", delivery.Sent, delivery.Place{Rev: 3, Flag: 4})),
		})
	}},
	{"events for the user alone are born under the lease", func(p *probe) {
		p.five()
		p.drain()
		l := lease(long)
		_, claimed, err := p.store.AdvanceOwn(p.ctx, []delivery.OwnMark{telling(dismiss("m3", "bob"))}, l)
		p.must("AdvanceOwn", err)
		if len(claimed) != 1 || claimed[0].Lease != l.Token || claimed[0].Attempts != 1 || claimed[0].Event.ID == 0 || claimed[0].Event.User != "bob" {
			p.Fatalf("AdvanceOwn returned %+v", claimed)
		}
		p.same("due events", len(p.claim(10)), 0)
		p.same("the settled ones", p.settle(settlement(claimed[0], delivery.SettleRetry)), 1)
		p.same("the event", p.claimOne().Event, claimed[0].Event)
	}},
}

func private(message, user string, status delivery.Status) delivery.OwnMark {
	return delivery.OwnMark{Act: delivery.OwnMarked, Message: message, User: user, Status: status}
}

func privateUpTo(message, user string, status delivery.Status) delivery.OwnMark {
	return delivery.OwnMark{Act: delivery.OwnMarkedUpTo, Conversation: "c", Message: message, User: user, Status: status}
}

func dismiss(message, user string) delivery.OwnMark {
	return delivery.OwnMark{Act: delivery.OwnDismissed, Conversation: "c", Message: message, User: user, Status: delivery.Read}
}

func flag(message, user string) delivery.OwnMark {
	return delivery.OwnMark{Act: delivery.OwnFlagged, Message: message, User: user}
}

// telling is the mark, of which the user's devices are told.
func telling(mark delivery.OwnMark) delivery.OwnMark {
	mark.Tell = true
	return mark
}

// ownMarks applies marks of one user whose events are due at once.
func (p *probe) ownMarks(marks ...delivery.OwnMark) []delivery.MarkedOwn {
	p.Helper()
	marked, claimed, err := p.store.AdvanceOwn(p.ctx, marks, delivery.Lease{})
	p.must("AdvanceOwn", err)
	if len(marked) != len(marks) || len(claimed) != 0 {
		p.Fatalf("AdvanceOwn returned %d results and %d claims for %d marks and no lease", len(marked), len(claimed), len(marks))
	}
	return marked
}

func (p *probe) ownMark(mark delivery.OwnMark) delivery.MarkedOwn {
	p.Helper()
	return p.ownMarks(mark)[0]
}

func (p *probe) unreadOf(user string) delivery.Unread {
	p.Helper()
	all, err := p.store.Unread(p.ctx, user, []string{"c"}, 100)
	p.must("Unread", err)
	return all[0]
}

func (p *probe) placeOf(user string) delivery.Place { p.Helper(); return p.unreadOf(user).Place }

// sameForOthers makes changes, and checks that all that others can ask has the same answers after
// them as before.
func (p *probe) sameForOthers(change func()) {
	p.Helper()
	answers := func() []any {
		page := p.list(delivery.List{Conversation: "c", Limit: 100})
		var ids []string
		var keys []delivery.ReceiptKey
		for _, m := range page.Messages {
			ids = append(ids, m.ID)
			for _, user := range []string{"alice", "bob", "mallory"} {
				keys = append(keys, delivery.ReceiptKey{Message: m.ID, Recipient: user})
			}
		}
		return []any{
			page, p.list(delivery.List{Conversation: "c", Changes: true, Limit: 100, Viewer: "alice"}), byMessage(p.load(ids...)),
			p.receipts(ids...), p.receiptsOf(p.store, keys), p.unreadOf("alice"), p.drain(),
		}
	}
	p.drain()
	before := answers()
	change()
	for i, after := range answers() {
		p.same("what others see", after, before[i])
	}
}
