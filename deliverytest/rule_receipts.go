package deliverytest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/msgdelivery/delivery"
)

var receiptCases = []storeCase{
	{"receipts come in pages, each after the one before", func(p *probe) {
		p.create(frozen("c", "m", "alice", "a", "b", "c", "d", "e"), frozen("c", "n", "alice", "b", "z"))
		p.mark(read("m", "c", noon))
		for limit, want := range map[int]string{1: "a,b,c,d,e", 2: "a b,c d,e", 4: "a b c d,e", 5: "a b c d e", 6: "a b c d e"} {
			p.pages(delivery.ReceiptList{Message: "m", Limit: limit}, want)
		}
		p.pages(delivery.ReceiptList{Message: "m", Limit: 3, After: "bb"}, "c d e")
		p.pages(delivery.ReceiptList{Message: "m", Limit: 3, After: "e"}, "")
		p.pages(delivery.ReceiptList{Message: "missing", Limit: 3}, "")
	}},
	{"receipts of one status are those at exactly this status", func(p *probe) {
		p.create(frozen("c", "m", "alice", "a", "b", "c", "d", "e", "f"), open("c", "o", "alice"))
		p.mark(read("m", "a", noon), delivered("m", "b", noon), read("m", "e", noon), delivered("m", "f", noon))
		p.mark(admitted(delivered("o", "a", noon)), admitted(read("o", "b", noon)))
		for _, c := range []struct {
			message string
			status  delivery.Status
			want    string
		}{
			{"m", delivery.Sent, "c d"}, {"m", delivery.Delivered, "b f"}, {"m", delivery.Read, "a e"},
			{"o", delivery.Sent, ""}, {"o", delivery.Delivered, "a"}, {"o", delivery.Read, "b"},
		} {
			for _, limit := range []int{1, 2, 10} {
				var got []string
				for _, page := range p.receiptPages(delivery.ReceiptList{Message: c.message, Limit: limit, Status: c.status}) {
					got = append(got, page...)
				}
				p.same(fmt.Sprintf("the receipts of %s that are %v, %d at a time", c.message, c.status, limit), strings.Join(got, " "), c.want)
			}
		}
	}},
	{"pages of many receipts do not tell who has marked for itself alone", func(p *probe) {
		p.create(open("c", "m", "alice"))
		var marks []delivery.Mark
		for i := range 2100 {
			marks = append(marks, admitted(delivered("m", fmt.Sprintf("u%04d", i), noon)))
		}
		for some := range slices.Chunk(marks, delivery.MaxBatch) {
			p.mark(some...)
		}
		cursors := func() (next []string) {
			list := delivery.ReceiptList{Message: "m", Limit: 10, Status: delivery.Read}
			for more := true; more; list.After = next[len(next)-1] {
				page, err := p.store.Receipts(p.ctx, list)
				p.must("Receipts", err)
				next, more = append(next, page.Next), page.More
			}
			return next
		}
		before := cursors()
		for _, user := range []string{"u0000 ", "u1500 ", "u1998 ", "u1999 ", "u2000 ", "u2099 "} {
			mark := private("m", user, delivery.Read)
			mark.Admitted = true
			p.ownMark(mark)
		}
		p.same("where the pages end", cursors(), before)
	}},
	{"receipts are found by their names, whether they have advanced or not", func(p *probe) {
		p.create(frozen("c", "m", "alice", "alice", "bob", "carol"), frozen("d", "n", "bob", "alice", "bob"), open("c", "o", "alice"))
		p.mark(read("m", "carol", noon), admitted(read("o", "dave", noon)))
		var keys []delivery.ReceiptKey
		for _, message := range []string{"m", "n", "o", "missing"} {
			for _, user := range []string{"alice", "bob", "carol", "dave"} {
				keys = append(keys, delivery.ReceiptKey{Message: message, Recipient: user})
			}
		}
		got := p.receiptsOf(p.store, keys)
		p.same("ReceiptsOf", got, p.receipts("m", "n", "o"))
		p.same("how many there are", len(got), 4)
	}},
}

// receiptsOf returns the receipts with these keys, ordered by message and recipient.
func (p *probe) receiptsOf(store delivery.Store, keys []delivery.ReceiptKey) []delivery.Receipt {
	p.Helper()
	receipts, err := store.ReceiptsOf(p.ctx, keys)
	p.must("ReceiptsOf", err)
	slices.SortFunc(receipts, func(a, b delivery.Receipt) int {
		return cmp.Or(cmp.Compare(a.Message, b.Message), cmp.Compare(a.Recipient, b.Recipient))
	})
	return receipts
}

// pages checks which recipients each page of receipts has.
func (p *probe) pages(list delivery.ReceiptList, want string) {
	p.Helper()
	var got []string
	for _, page := range p.receiptPages(list) {
		got = append(got, strings.Join(page, " "))
	}
	p.same(fmt.Sprintf("the pages of %+v", list), strings.Join(got, ","), want)
}

// receiptPages returns the recipients of each page that is not empty.
func (p *probe) receiptPages(list delivery.ReceiptList) (pages [][]string) {
	p.Helper()
	for more := true; more; {
		page, err := p.store.Receipts(p.ctx, list)
		p.must("Receipts", err)
		if len(page.Receipts) > list.Limit || page.More != (page.Next != "") || page.More && page.Next <= list.After {
			p.Fatalf("a page of %+v is %+v", list, page)
		}
		var recipients []string
		for _, r := range page.Receipts {
			recipients = append(recipients, r.Recipient)
		}
		if len(recipients) > 0 {
			pages = append(pages, recipients)
		}
		list.After, more = page.Next, page.More
	}
	return pages
}
