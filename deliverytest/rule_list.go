package deliverytest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

var listCases = []storeCase{
	{"pages go forward from a place, in order of seq, and say whether there is more", func(p *probe) {
		p.seven()
		for _, c := range []struct {
			after int64
			limit int
			want  string
			more  bool
		}{{0, 3, "1 2 3", true}, {3, 3, "4 5 6", true}, {6, 3, "7", false}, {7, 3, "", false}, {99, 3, "", false}, {0, 7, "1 2 3 4 5 6 7", false}, {0, 6, "1 2 3 4 5 6", true}} {
			p.page(delivery.List{Conversation: "c", After: c.after, Limit: c.limit}, c.want, c.more)
		}
	}},
	{"pages go backward before a place, in order of seq all the same", func(p *probe) {
		p.seven()
		for _, c := range []struct {
			before int64
			limit  int
			want   string
			more   bool
		}{{delivery.Latest, 3, "5 6 7", true}, {5, 3, "2 3 4", true}, {2, 3, "1", false}, {1, 3, "", false}, {delivery.Latest, 7, "1 2 3 4 5 6 7", false}, {8, 6, "2 3 4 5 6 7", true}} {
			p.page(delivery.List{Conversation: "c", Before: c.before, Limit: c.limit}, c.want, c.more)
		}
	}},
	{"a page between two places holds the last before the later one", func(p *probe) {
		p.seven()
		p.page(delivery.List{Conversation: "c", After: 2, Before: 7, Limit: 3}, "4 5 6", true)
		p.page(delivery.List{Conversation: "c", After: 2, Before: 6, Limit: 3}, "3 4 5", false)
		p.page(delivery.List{Conversation: "c", After: 5, Before: 6, Limit: 3}, "", false)
		p.page(delivery.List{Conversation: "c", After: 6, Before: 3, Limit: 3}, "", false)
	}},
	{"pages are of one conversation, whose seqs leave out the versions of marks", func(p *probe) {
		p.create(frozen("c", "1", "alice", "bob"))
		p.mark(read("1", "bob", noon))
		p.create(frozen("d", "other", "alice", "bob"), frozen("c", "3", "alice", "bob"))
		p.page(delivery.List{Conversation: "c", Limit: 10}, "1 3", false)
		p.page(delivery.List{Conversation: "c", After: 2, Limit: 10}, "3", false)
		p.page(delivery.List{Conversation: "c", Before: 3, Limit: 10}, "1", false)
	}},
	{"changes come in order of version, each message once and as it is now", func(p *probe) {
		p.seven()
		p.mark(delivered("2", "bob", noon)) // version 8
		p.mark(delivered("5", "bob", noon))
		p.mark(read("2", "bob", noon)) // version 10
		p.changes(0, 10, "1 3 4 6 7 5 2", 10, false)
		p.changes(7, 10, "5 2", 10, false)
		p.changes(8, 10, "5 2", 10, false)
		p.changes(9, 10, "2", 10, false)
		p.changes(10, 10, "", 10, false)
	}},
	{"changes go on from the version of the page, and miss nothing", func(p *probe) {
		p.seven()
		p.mark(delivered("2", "bob", noon))
		p.changes(0, 3, "1 3 4", 4, true)
		p.mark(read("1", "bob", noon))
		p.changes(4, 3, "5 6 7", 7, true)
		p.changes(7, 3, "2 1", 9, false)
		p.changes(7, 2, "2 1", 9, false)
		p.changes(7, 1, "2", 8, true)
	}},
	{"changes after a version that the conversation has not reached are an empty page at the version that it has", func(p *probe) {
		p.seven()
		p.changes(8, 10, "", 7, false)
		p.changes(delivery.Latest, 10, "", 7, false)
	}},
	{"all pages have one epoch, which is not 0, and are no resets", func(p *probe) {
		epoch := p.nothing(0).Epoch
		p.same("whether there is an epoch", epoch != 0, true)
		p.seven()
		p.mark(delivered("2", "bob", noon))
		for _, conversation := range []string{"c", "nowhere"} {
			for _, list := range []delivery.List{{}, {After: 99}, {Before: 1}, {Before: delivery.Latest}, {Changes: true}, {Changes: true, After: 7}, {Changes: true, After: 99}} {
				list.Conversation, list.Limit = conversation, 3
				page := p.list(list)
				p.same("the epoch", page.Epoch, epoch)
				p.same("whether the page is a reset", page.Reset, false)
			}
		}
	}},
	{"a page ends before it takes more bytes than it may, with the first message of it in any case", func(p *probe) {
		p.seven()
		large := open("c", "8", "alice")
		large.Body = strings.Repeat("<", 5000)
		p.create(large)
		p.mark(delivered("2", "bob", noon)) // version 9
		size := map[string]int{}
		for _, m := range p.list(delivery.List{Conversation: "c", Limit: 10, Viewer: "bob"}).Messages {
			size[m.ID] = m.Size()
		}
		two := size["1"] + size["3"]
		for _, c := range []struct {
			list delivery.List
			want string
			more bool
		}{
			{delivery.List{Bytes: two}, "1 2", true},
			{delivery.List{Bytes: two + size["1"] - 1}, "1 2", true},
			{delivery.List{Bytes: two, Limit: 1}, "1", true},
			{delivery.List{Bytes: two, After: 2}, "3 4", true},
			{delivery.List{Bytes: two, After: 5}, "6 7", true},
			{delivery.List{Bytes: two, After: 7}, "8", false},
			{delivery.List{Bytes: two, Before: delivery.Latest}, "8", true},
			{delivery.List{Bytes: 1, Before: 8}, "7", true},
			{delivery.List{Bytes: two, Before: 8}, "6 7", true},
			{delivery.List{Bytes: two, Before: 3}, "1 2", false},
			{delivery.List{Bytes: two, Before: 8, After: 5}, "6 7", false},
			{delivery.List{Bytes: 100_000}, "1 2 3 4 5 6 7 8", false},
		} {
			list := c.list
			list.Conversation, list.Viewer, list.Limit = "c", "bob", cmp.Or(list.Limit, 10)
			p.page(list, c.want, c.more)
		}
		for _, c := range []struct {
			after   int64
			want    string
			version int64
			more    bool
		}{{0, "1 3", 3, true}, {3, "4 5", 5, true}, {5, "6 7", 7, true}, {7, "8", 8, true}, {8, "2", 9, false}} {
			page := p.list(delivery.List{Conversation: "c", Changes: true, After: c.after, Limit: 10, Bytes: two, Viewer: "bob"})
			if got := ids(page); got != c.want || page.Version != c.version || page.More != c.more {
				p.Errorf("changes after %d in %d bytes are [%s] at version %d with more %t, want [%s] at %d with more %t",
					c.after, two, got, page.Version, page.More, c.want, c.version, c.more)
			}
		}
	}},
	{"a conversation that does not exist is an empty page at version 0", func(p *probe) {
		for _, list := range []delivery.List{{}, {Before: delivery.Latest}, {Changes: true}, {Changes: true, After: 5}} {
			list.Conversation, list.Limit, list.Viewer = "nowhere", 10, "bob"
			p.same("List", p.list(list), p.nothing(0))
		}
	}},
	{"a viewer sees the own receipts, and nobody sees those of others", func(p *probe) {
		p.create(frozen("c", "1", "alice", "bob", "carol"), frozen("c", "2", "alice", "carol"), open("c", "3", "alice"), open("c", "4", "alice"), frozen("c", "5", "bob", "alice"))
		p.mark(delivered("1", "bob", minute(1)), admitted(read("3", "bob", minute(2))), admitted(read("4", "carol", minute(3))))
		for _, list := range []delivery.List{{}, {Before: delivery.Latest}, {Changes: true}} {
			list.Conversation, list.Limit, list.Viewer = "c", 10, "bob"
			page := p.list(list)
			p.same("the length of the page", len(page.Messages), 5)
			for _, m := range page.Messages {
				var want *delivery.Receipt
				if m.ID == "1" || m.ID == "3" {
					receipt := p.receiptOf(m.ID)
					want = &receipt
				}
				p.same("bob's own receipt of "+m.ID, m.Own, want)
			}
			list.Viewer = ""
			for _, m := range p.list(list).Messages {
				p.same("nobody's own receipt", m.Own, (*delivery.Receipt)(nil))
			}
		}
	}},
	{"pages, changes and loads show the same messages, complete", func(p *probe) {
		p.create(frozen("c", "1", "alice", "bob", "carol"), open("c", "2", "bob"), frozen("c", "3", "carol"))
		p.mark(read("1", "bob", minute(1)), delivered("1", "carol", minute(2)), admitted(delivered("2", "alice", minute(3))))
		want := p.load("1", "2", "3")
		slices.SortFunc(want, func(a, b delivery.Message) int { return cmp.Compare(a.Seq, b.Seq) })
		p.same("the number of messages", len(want), 3)
		p.same("the page", p.list(delivery.List{Conversation: "c", Limit: 10}).Messages, want)
		slices.SortFunc(want, func(a, b delivery.Message) int { return cmp.Compare(a.Version, b.Version) })
		p.same("the changes", p.list(delivery.List{Conversation: "c", Changes: true, Limit: 10}).Messages, want)
		p.same("a header", want[slices.IndexFunc(want, func(m delivery.Message) bool { return m.ID == "1" })].Header, asSent(frozen("c", "1", "alice", "bob", "carol"), 1).Header)
	}},
	{"ids that do not exist are left out, and those that come twice count once", func(p *probe) {
		p.create(frozen("c", "1", "alice", "bob"), open("d", "2", "alice"))
		loaded := p.load("missing", "2", "1", "2")
		slices.SortFunc(loaded, func(a, b delivery.Message) int { return cmp.Compare(a.ID, b.ID) })
		p.same("Load", loaded, []delivery.Message{asSent(frozen("c", "1", "alice", "bob"), 1), asSent(open("d", "2", "alice"), 1)})
		p.same("Load of nothing there", p.load("missing"), []delivery.Message{})
		p.same("Receipts", p.receipts("1", "missing", "2", "1"), []delivery.Receipt{{Message: "1", Recipient: "bob", Status: delivery.Sent, Version: 1}})
		p.same("Receipts of nothing there", p.receipts("missing", "2"), []delivery.Receipt{})
	}},
	{"receipts are ordered by message and recipient, byte for byte", func(p *probe) {
		users := []string{"B", "a", "b", "b ", "é", "z", "Ä", "10", "9", "_", "~"}
		slices.Sort(users)
		p.create(open("c", "Z", "alice"), frozen("c", "a", "alice", users...), frozen("d", "_", "alice", users...))
		for _, user := range []string{"z", "a", "B"} {
			p.mark(admitted(delivered("Z", user, noon)))
		}
		var got, want []string
		for _, receipt := range p.receipts("a", "_", "Z") {
			got = append(got, receipt.Message+" "+receipt.Recipient)
		}
		want = append(want, "Z B", "Z a", "Z z")
		for _, id := range []string{"_", "a"} {
			for _, user := range users {
				want = append(want, id+" "+user)
			}
		}
		p.same("Receipts", got, want)
	}},
}

// seven creates messages 1 to 7 in conversation c, which are named by their seq.
func (p *probe) seven() {
	p.Helper()
	for i := range 7 {
		p.create(frozen("c", fmt.Sprint(i+1), "alice", "bob"))
	}
}

// page checks which messages a list holds, and that its version is the conversation's.
func (p *probe) page(list delivery.List, want string, more bool) {
	p.Helper()
	page := p.list(list)
	if got := ids(page); got != want || page.More != more {
		p.Errorf("%+v is [%s] with more %t, want [%s] with more %t", list, got, page.More, want, more)
	}
	p.same("the version of the page", page.Version, p.version(list.Conversation))
}

// changes checks which messages of conversation c changed after a version.
func (p *probe) changes(after int64, limit int, want string, version int64, more bool) {
	p.Helper()
	page := p.list(delivery.List{Conversation: "c", Changes: true, After: after, Limit: limit})
	if got := ids(page); got != want || page.More != more || page.Version != version {
		p.Errorf("%d changes after %d are [%s] at version %d with more %t, want [%s] at %d with more %t", limit, after, got, page.Version, page.More, want, version, more)
	}
}

func ids(page delivery.Page) (text string) {
	for i, m := range page.Messages {
		if i > 0 {
			text += " "
		}
		text += m.ID
	}
	return text
}
