// Package memstore keeps messages, receipts and the outbox in the memory of one process.
//
//	store := memstore.New()
//	tracker, err := delivery.New(store, notifier, nil)
//
// It keeps the whole contract of [delivery.Store] but the one thing memory cannot give: nothing
// survives the process. It is made for tests, examples and trying things out. Its clock is
// [time.Now], so in a bubble of testing/synctest leases run on fake time; and it has no Tx forms,
// for which see sqlstore.
//
// # Cost
//
// Nothing is ever forgotten but accepted and discarded events: memory grows with the messages and
// receipts, at roughly 400 bytes each plus the ids and bodies. A mark costs the same however many
// messages and events there are, but for the logarithm in the outbox's schedule. A mark up to a
// message, or a look at what is pending, goes through what the user has not been through yet, a page
// through what it returns. One mutex guards all and is never held over anything that waits.
package memstore

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
)

// Store is a [delivery.Store] in memory. Make it with [New]. It is safe for concurrent use and
// must not be copied.
type Store struct {
	mu            sync.Mutex
	conversations map[string]*conversation
	messages      map[string]*message
	outbox        outbox
}

var _ delivery.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{
		conversations: map[string]*conversation{},
		messages:      map[string]*message{},
		outbox:        outbox{waiting: map[int64]*entry{}},
	}
}

// Create stores new messages, as [delivery.Store] says.
func (s *Store) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	birth := s.outbox.birth(lease, len(messages))
	results := make([]delivery.Created, len(messages))
	for i := range messages {
		if there := s.messages[messages[i].ID]; there != nil {
			results[i] = delivery.Created{Message: there.Message, Existed: true}
			continue
		}
		message, event := s.conversation(messages[i].Conversation).create(&messages[i])
		s.messages[message.ID] = message
		results[i].Message = message.Message
		birth.add(event)
	}
	return results, birth.claimed, nil
}

func (s *Store) conversation(id string) *conversation {
	c := s.conversations[id]
	if c == nil {
		c = &conversation{id: id}
		s.conversations[id] = c
	}
	return c
}

// Advance applies marks, as [delivery.Store] says. It never leaves out a conversation as held.
func (s *Store) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]delivery.Marked, len(marks))
	var steps stepsBySocket
	for i, mark := range marks {
		message := s.messages[mark.Message]
		if message == nil {
			continue
		}
		results[i].Header = message.Header
		results[i].Receipt = message.receipts[mark.User]
		if step, verdict := message.judge(mark.User, mark.Status, mark.At, mark.Admitted); verdict == advances {
			step.index = i
			steps.add(mark.Socket, step)
		}
	}
	birth := s.outbox.birth(lease, len(steps.groups))
	for _, group := range steps.groups {
		event := group.conversation.advance(group.socket, group.steps)
		for i, step := range group.steps {
			result := &results[step.index]
			result.Receipt, result.Changed = *event.Updates[i].Receipt, true
		}
		birth.add(event)
	}
	return results, birth.claimed, nil
}

// AdvanceUpTo applies a mark to all messages up to one, as [delivery.Store] says.
func (s *Store) AdvanceUpTo(ctx context.Context, upTo delivery.UpTo, lease delivery.Lease) (delivery.MarkedUpTo, []delivery.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return delivery.MarkedUpTo{}, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.messages[upTo.Message]
	if last == nil || last.Conversation != upTo.Conversation {
		return delivery.MarkedUpTo{}, nil, nil
	}
	conversation := last.conversation
	result, steps := conversation.upTo(upTo, last)
	birth := s.outbox.birth(lease, 1)
	if len(steps) > 0 {
		event := conversation.advance(upTo.Socket, steps)
		result.Changed, result.From, result.To = len(steps), event.From, event.To
		birth.add(event)
	}
	result.Header, result.Receipt = last.Header, last.receipts[upTo.User]
	return result, birth.claimed, nil
}

// Load returns the messages with these ids that exist.
func (s *Store) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([]delivery.Message, 0, len(ids))
	for _, id := range distinct(ids) {
		if message := s.messages[id]; message != nil {
			found = append(found, message.Message)
		}
	}
	return found, nil
}

// List returns a page of one conversation.
func (s *Store) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	if err := ctx.Err(); err != nil {
		return delivery.Page{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	conversation := s.conversations[list.Conversation]
	switch {
	case conversation == nil:
		return delivery.Page{}, nil
	case list.Changes:
		return conversation.changesAfter(list), nil
	default:
		return conversation.page(list), nil
	}
}

// Pending counts what a user has not read in a conversation, as [delivery.Store] says.
func (s *Store) Pending(ctx context.Context, user, conversation string, limit int) (delivery.Pending, error) {
	if err := ctx.Err(); err != nil {
		return delivery.Pending{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conversations[conversation]; c != nil {
		return c.pending(user, limit), nil
	}
	return delivery.Pending{}, nil
}

// Receipts returns all receipts of these messages, ordered by message and recipient.
func (s *Store) Receipts(ctx context.Context, ids []string) ([]delivery.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var receipts []delivery.Receipt
	for _, id := range distinct(ids) {
		if message := s.messages[id]; message != nil {
			receipts = message.appendReceipts(receipts)
		}
	}
	return receipts, nil
}

// distinct returns the ids sorted and without repeats.
func distinct(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }

// Claim puts up to limit due events under the lease.
func (s *Store) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outbox.claim(limit, lease), nil
}

// Settle ends claims and moves dead letters, as [delivery.Store] says. A lease that has run out
// settles its event still, as long as nobody else has claimed it.
func (s *Store) Settle(ctx context.Context, settlements []delivery.Settlement) (held int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i := range settlements {
		if s.outbox.settle(&settlements[i], now) {
			held++
		}
	}
	return held, nil
}

// Dead returns up to limit dead letters with ids greater than after, in order of id.
func (s *Store) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outbox.deadAfter(after, limit), nil
}

// Backlog counts the outbox.
func (s *Store) Backlog(ctx context.Context) (delivery.Backlog, error) {
	if err := ctx.Err(); err != nil {
		return delivery.Backlog{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outbox.backlog(time.Now()), nil
}
