package deliverytest

import (
	"context"
	"slices"

	"github.com/msgdelivery/delivery"
)

// ownBreakages are breakages of what a user alone may know.
var ownBreakages = []breakage{
	{"it finds receipts at the status that the user alone knows",
		[]string{"a private mark changes the user's own badge alone"},
		func(sound delivery.Store) delivery.Store {
			s := &remarking{broken: &broken{Store: sound}}
			s.receiptsFound = func(receipts []delivery.Receipt) {
				for i := range receipts {
					r := &receipts[i]
					for _, m := range s.made {
						if m.Act == delivery.OwnMarked && m.Message == r.Message && m.User == r.Recipient {
							r.Status = max(r.Status, m.Status)
						}
					}
				}
			}
			return s
		}},
	{"it lists who has marked an open message in private",
		[]string{"a viewer sees how far messages have come"},
		func(sound delivery.Store) delivery.Store {
			s := &remarking{broken: &broken{Store: sound}}
			var of string
			s.receiptList = func(list *delivery.ReceiptList) { of = list.Message }
			s.receiptPage = func(page *delivery.ReceiptPage) {
				for _, m := range s.made {
					if m.Message == of && len(page.Receipts) == 0 {
						page.Receipts = []delivery.Receipt{{Message: of, Recipient: m.User, Status: delivery.Sent}}
					}
				}
			}
			return s
		}},
	{"its up-to marks begin after what was dismissed",
		[]string{"what a user dismisses counts as unread no more"},
		func(sound delivery.Store) delivery.Store {
			s := &remarking{broken: &broken{Store: sound}}
			s.upTo = func(upTo []delivery.UpTo) {
				for _, out := range s.results {
					upTo[0].After = max(upTo[0].After, out.Place.Badge)
				}
			}
			return s
		}},
	{"its up-to marks do not move the place that the user's devices know",
		[]string{"what a user dismisses counts as unread no more"},
		func(sound delivery.Store) delivery.Store {
			s := &remarking{broken: &broken{Store: sound}}
			s.unread = func(unread []delivery.Unread) {
				for _, out := range s.results {
					unread[0].Place = out.Place
				}
			}
			return s
		}},
}

// ownLapses are lapses of keepers in what a user alone may know.
var ownLapses = []lapse{
	{"it takes for read what a user has dismissed or read in private", []string{"the times of old receipts"}, func(c *careless) {
		compacted := false
		c.compacted = func() { compacted = true }
		c.receiptPage = func(page *delivery.ReceiptPage) {
			for i := range page.Receipts {
				if r := &page.Receipts[i]; compacted && r.Recipient == "fay" {
					r.Status = delivery.Read
				}
			}
		}
	}},
	{"a flag stays when the message is deleted", []string{"a conversation is marked as unread as long"}, func(c *careless) {
		c.unread = func(all []delivery.Unread) { all[0].Flagged = all[0].Place.Flag > 0 }
	}},
	{"it finds no tombstone by a mark for the user alone", []string{"an up-to mark passes over"}, func(c *careless) {
		c.markedOwn = func(marked []delivery.MarkedOwn) {
			for i := range marked {
				if marked[i].Header.Sender == "" {
					marked[i] = delivery.MarkedOwn{}
				}
			}
		}
	}},
}

// remarking is a broken store that remembers the marks that a user alone may know.
type remarking struct {
	*broken
	receiptsFound func([]delivery.Receipt)
	made          []delivery.OwnMark
	results       []delivery.MarkedOwn
}

func (s *remarking) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	marked, claimed, err := s.broken.AdvanceOwn(ctx, marks, lease)
	s.made, s.results = append(s.made, marks...), append(s.results, slices.Clone(marked)...)
	return marked, claimed, err
}

func (s *remarking) ReceiptsOf(ctx context.Context, keys []delivery.ReceiptKey) ([]delivery.Receipt, error) {
	receipts, err := s.broken.ReceiptsOf(ctx, keys)
	apply(s.receiptsFound, receipts)
	return receipts, err
}
