package deliverytest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

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
	{"it takes no lock for a user's place",
		[]string{"whatever changes that a user alone may know race"},
		func(sound delivery.Store) delivery.Store { return &hasty{Store: sound} }},
	{"its claims pass over events of transactions that commit late",
		[]string{"whoever claims while others write"},
		func(sound delivery.Store) delivery.Store { return &watermark{Store: sound} }},
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
	{"it keeps what an erased user alone knew", []string{"an erased user is nobody"}, func(c *careless) {
		erased := false
		c.erase = func(user string) string { erased = true; return user }
		c.unread = func(all []delivery.Unread) {
			if erased {
				all[0].Place.Badge = 2
			}
		}
	}},
	{"it keeps events for an erased user", []string{"waiting events and dead"}, func(c *careless) {
		erased := false
		c.erase = func(user string) string { erased = true; return user }
		c.claimed = func(claimed []delivery.Claimed) {
			if erased && len(claimed) > 0 {
				claimed[0].Event.User = "bob%_!"
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

// hasty reads the revision of a user's place, and writes it back later.
type hasty struct {
	delivery.Store
	locks bool
	mu    sync.Mutex
	rev   int64
}

func (s *hasty) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rev := s.rev
	if !s.locks {
		s.mu.Unlock()
		<-time.After(100 * time.Microsecond)
		s.mu.Lock()
	}
	marked, claimed, err := s.Store.AdvanceOwn(ctx, marks, lease)
	for i := range marked {
		if marked[i].Changed {
			s.rev = rev + 1
			marked[i].Place.Rev = s.rev
		}
	}
	return marked, claimed, err
}

// watermark claims no event whose number is below one that it has claimed. The events of a send are
// there some time after they got their numbers.
type watermark struct {
	delivery.Store
	mu   sync.Mutex
	high int64
}

func (s *watermark) Create(ctx context.Context, messages []delivery.NewMessage, _ delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created, claimed, err := s.Store.Create(ctx, messages, lease(long))
	for _, c := range claimed {
		<-time.After(rand.N(200 * time.Microsecond))
		s.Settle(ctx, []delivery.Settlement{settlement(c, delivery.SettleRelease)})
	}
	return created, nil, err
}

func (s *watermark) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	claimed, err := s.Store.Claim(ctx, limit, lease)
	return slices.DeleteFunc(byID(claimed), func(c delivery.Claimed) bool {
		passed := c.Event.ID < s.high
		s.high = max(s.high, c.Event.ID)
		return passed
	}), err
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
