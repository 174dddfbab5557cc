package deliverytest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
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
	upTo        func([]delivery.UpTo)
	upToLimit   func(*int)
	markedUpTo  func([]delivery.MarkedUpTo)
	markedOwn   func([]delivery.MarkedOwn)
	lease       func(*delivery.Lease) // of events at their birth
	limit       func(int) int         // of claims
	hold        func(*delivery.Lease) // of claims
	claimed     func([]delivery.Claimed)
	list        func(*delivery.List)
	page        func(*delivery.Page)
	unread      func([]delivery.Unread)
	ids         func([]string)
	receipts    func([]delivery.Receipt)
	receiptList func(*delivery.ReceiptList)
	receiptPage func(*delivery.ReceiptPage)
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

func (b *broken) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	upTo = slices.Clone(upTo)
	apply(b.upTo, upTo)
	apply(b.upToLimit, &limit)
	apply(b.lease, &lease)
	marked, claimed, err := b.Store.AdvanceUpTo(b.context(ctx), upTo, limit, lease)
	apply(b.markedUpTo, marked)
	apply(b.claimed, claimed)
	return marked, claimed, err
}

func (b *broken) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	marked, claimed, err := b.Store.AdvanceOwn(b.context(ctx), marks, lease)
	apply(b.markedOwn, marked)
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

func (b *broken) Unread(ctx context.Context, user string, conversations []string, limit int) ([]delivery.Unread, error) {
	unread, err := b.Store.Unread(b.context(ctx), user, conversations, limit)
	apply(b.unread, unread)
	return unread, err
}

func (b *broken) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	apply(b.receiptList, &list)
	page, err := b.Store.Receipts(b.context(ctx), list)
	apply(b.receipts, page.Receipts)
	apply(b.receiptPage, &page)
	return page, err
}

func (b *broken) ReceiptsOf(ctx context.Context, keys []delivery.ReceiptKey) ([]delivery.Receipt, error) {
	receipts, err := b.Store.ReceiptsOf(b.context(ctx), keys)
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

// torn commits a change first and its event later, if it still comes to it.
type torn struct{ delivery.Store }

func (s *torn) Advance(ctx context.Context, marks []delivery.Mark, _ delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.Advance(ctx, marks, lease(long))
	if err != nil {
		return nil, nil, err
	}
	for _, c := range claimed {
		s.Store.Settle(context.Background(), []delivery.Settlement{settlement(c, delivery.SettleBury)})
	}
	select {
	case <-time.After(100 * time.Microsecond):
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	for _, c := range claimed {
		s.Store.Settle(context.Background(), []delivery.Settlement{{ID: c.Event.ID, Outcome: delivery.SettleRequeue, Event: c.Event}})
	}
	return marked, nil, nil
}

// losing drops every third event.
type losing struct{ delivery.Store }

func (s *losing) drop(claimed []delivery.Claimed) {
	for _, c := range claimed {
		outcome := delivery.SettleRelease
		if c.Event.ID%3 == 0 {
			outcome = delivery.SettleDone
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

func (s *losing) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, _ delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.AdvanceUpTo(ctx, upTo, limit, lease(long))
	s.drop(claimed)
	return marked, nil, err
}

// listing counts what is pending by a page of the latest messages and a look at the user's
// receipts.
type listing struct {
	delivery.Store
	own    bool            // it counts the user's own messages
	opens  bool            // it counts open messages only where there is a receipt
	status delivery.Status // from which on nothing is pending
	torn   bool            // the version is of another moment
}

func (s *listing) Unread(ctx context.Context, user string, conversations []string, limit int) ([]delivery.Unread, error) {
	u := delivery.Unread{Conversation: conversations[0]}
	page, err := s.List(ctx, delivery.List{Conversation: u.Conversation, Limit: 100, Viewer: user})
	if err != nil {
		return nil, err
	}
	u.Version = page.Version
	if s.torn {
		<-time.After(time.Millisecond)
		page, err = s.List(ctx, delivery.List{Conversation: u.Conversation, Limit: 100, Viewer: user})
	}
	for i, m := range page.Messages {
		u.Newest = &page.Messages[i]
		received := m.Own != nil || m.Open && !s.opens || s.own && m.Sender == user
		if !received || m.Sender == user && !s.own || m.Own != nil && m.Own.Status >= s.status {
			continue
		}
		if u.Count == limit {
			u.More = true
			continue
		}
		if u.Count++; u.Count == 1 {
			u.First = place(m.ID, m.Seq)
		}
	}
	return []delivery.Unread{u}, err
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
	s.recipients = messages[0].Members
	return s.Store.Create(ctx, messages, lease)
}

func (s *keeping) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	page, err := s.Store.Receipts(ctx, list)
	for i := range page.Receipts {
		page.Receipts[i].Recipient = s.recipients[i]
	}
	return page, err
}

// stale tells who advanced a receipt by what it saw before.
type stale struct{ delivery.Store }

func (s *stale) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	seen := make([]delivery.Status, len(marks))
	for i, m := range marks {
		receipts, err := s.ReceiptsOf(ctx, []delivery.ReceiptKey{{Message: m.Message, Recipient: m.User}})
		if err != nil {
			return nil, nil, err
		}
		if len(receipts) > 0 {
			seen[i] = receipts[0].Status
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

// alone breaks the contract for marks that come alone only.
type alone struct {
	delivery.Store
	change func(*delivery.Mark, *delivery.Lease)
	drop   bool // the claims
}

func (s *alone) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if len(marks) != 1 {
		return s.Store.Advance(ctx, marks, lease)
	}
	marks = slices.Clone(marks)
	s.change(&marks[0], &lease)
	marked, claimed, err := s.Store.Advance(ctx, marks, lease)
	if s.drop {
		claimed = nil
	}
	return marked, claimed, err
}

// apart applies the up-to marks of a call one by one, or together with a limit for each.
type apart struct {
	delivery.Store
	together bool
}

func (s *apart) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) (marked []delivery.MarkedUpTo, claimed []delivery.Claimed, err error) {
	if s.together {
		return s.Store.AdvanceUpTo(ctx, upTo, limit*len(upTo), lease)
	}
	for i := range upTo {
		m, c, err := s.Store.AdvanceUpTo(ctx, upTo[i:i+1], limit, lease)
		if err != nil {
			return nil, nil, err
		}
		marked, claimed, limit = append(marked, m...), append(claimed, c...), limit-m[0].Changed
	}
	return marked, claimed, nil
}

// joining makes one event of those of an up-to mark.
type joining struct{ delivery.Store }

func (s *joining) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, _ delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.AdvanceUpTo(ctx, upTo, limit, lease(long))
	for i, c := range claimed {
		if i > 0 {
			first := &claimed[0].Event
			first.To, first.Updates = c.Event.To, append(first.Updates, c.Event.Updates...)
			s.Settle(ctx, []delivery.Settlement{settlement(c, delivery.SettleDone)})
		}
	}
	if len(claimed) > 0 {
		first := claimed[0]
		s.Settle(ctx, []delivery.Settlement{settlement(first, delivery.SettleBury)})
		s.Settle(ctx, []delivery.Settlement{{ID: first.Event.ID, Outcome: delivery.SettleRequeue, Event: first.Event}})
	}
	return marked, nil, err
}

// punctual lets nobody settle after the lease, as if another relay had always claimed by then.
type punctual struct {
	delivery.Store
	ends map[int64]time.Time // by lease
}

func (s *punctual) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	s.ends[lease.Token] = time.Now().Add(lease.For)
	return s.Store.Claim(ctx, limit, lease)
}

func (s *punctual) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	return s.Store.Settle(ctx, slices.DeleteFunc(slices.Clone(settlements), func(x delivery.Settlement) bool {
		end, ok := s.ends[x.Lease]
		return ok && time.Now().After(end)
	}))
}

// locking is a stale store that takes turns, but with nobody else who has its data open.
type locking struct {
	stale
	mu sync.Mutex
}

func (s *locking) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stale.Advance(ctx, marks, lease)
}

// sorting claims the oldest events, however long they have been due.
type sorting struct{ delivery.Store }

func (s *sorting) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := s.Store.Claim(ctx, 1000, lease)
	claimed = byID(claimed)
	if len(claimed) <= limit {
		return claimed, err
	}
	for _, c := range claimed[limit:] {
		s.Settle(ctx, []delivery.Settlement{settlement(c, delivery.SettleRelease)})
	}
	return claimed[:limit], err
}

// remembering answers from what it has read before.
type remembering struct {
	delivery.Store
	pages map[delivery.List]delivery.Page
}

func (s *remembering) List(ctx context.Context, list delivery.List) (page delivery.Page, err error) {
	page, ok := s.pages[list]
	if !ok {
		page, err = s.Store.List(ctx, list)
		s.pages[list] = page
	}
	return page, err
}

// poaching claims what is under the leases of another handle, too.
type poaching struct{ delivery.Store }

func (s *poaching) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	return s.Store.(*victim).poached(ctx, limit, lease)
}

// victim is the handle that a poaching one claims from.
type victim struct {
	delivery.Store
	mu   sync.Mutex
	held []delivery.Claimed
}

func (s *victim) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := s.Store.Claim(ctx, limit, lease)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = append(s.held, claimed...)
	return claimed, err
}

func (s *victim) poached(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.held {
		s.Store.Settle(ctx, []delivery.Settlement{settlement(c, delivery.SettleRelease)})
	}
	s.held = nil
	return s.Store.Claim(ctx, limit, lease)
}

// unlisted finds no receipt at sent by its name.
type unlisted struct{ *broken }

func (s *unlisted) ReceiptsOf(ctx context.Context, keys []delivery.ReceiptKey) ([]delivery.Receipt, error) {
	receipts, err := s.broken.ReceiptsOf(ctx, keys)
	return slices.DeleteFunc(receipts, func(r delivery.Receipt) bool { return r.Status == delivery.Sent }), err
}

// born changes what is said of the events that are born under a lease.
type born struct {
	delivery.Store
	change func(*delivery.Claimed)
}

func (s *born) changed(claimed []delivery.Claimed) []delivery.Claimed {
	for i := range claimed {
		s.change(&claimed[i])
	}
	return claimed
}

func (s *born) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created, claimed, err := s.Store.Create(ctx, messages, lease)
	return created, s.changed(claimed), err
}

func (s *born) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.Advance(ctx, marks, lease)
	return marked, s.changed(claimed), err
}

func (s *born) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.AdvanceUpTo(ctx, upTo, limit, lease)
	return marked, s.changed(claimed), err
}

// holdingOn keeps the events that are to be due again in the slices it was given.
type holdingOn struct {
	delivery.Store
	requeued map[int64]delivery.Event
}

func (s *holdingOn) Settle(ctx context.Context, settlements []delivery.Settlement) (int, error) {
	for _, x := range settlements {
		if x.Outcome == delivery.SettleRequeue {
			s.requeued[x.ID] = x.Event
		}
	}
	return s.Store.Settle(ctx, settlements)
}

func (s *holdingOn) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := s.Store.Claim(ctx, limit, lease)
	for i, c := range claimed {
		if event, ok := s.requeued[c.Event.ID]; ok {
			claimed[i].Event.Updates = event.Updates
		}
	}
	return claimed, err
}

// adding adds the recipients of a send whose id is taken to those of the message that is there.
type adding struct {
	delivery.Store
	added []delivery.Receipt
}

func (s *adding) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created, claimed, err := s.Store.Create(ctx, messages, lease)
	for i, c := range created {
		for _, user := range messages[i].Members {
			if c.Existed {
				s.added = append(s.added, delivery.Receipt{Message: c.Message.ID, Recipient: user, Status: delivery.Sent})
			}
		}
	}
	return created, claimed, err
}

func (s *adding) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	page, err := s.Store.Receipts(ctx, list)
	page.Receipts = append(page.Receipts, s.added...)
	return page, err
}

// frank lists all receipts at a status, whatever their reasons say.
type frank struct{ delivery.Store }

func (s *frank) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	status, limit := list.Status, list.Limit
	list.Status, list.Limit = 0, 10_000
	page, err := s.Store.Receipts(ctx, list)
	page.Receipts = slices.DeleteFunc(page.Receipts, func(r delivery.Receipt) bool { return status != 0 && r.Status != status })
	if page.More = len(page.Receipts) > limit; page.More {
		page.Receipts = page.Receipts[:limit]
		page.Next = page.Receipts[limit-1].Recipient
	}
	return page, err
}
