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
// receipts. On a 64-bit machine a message takes about 310 bytes plus its id and body; a receipt takes
// 70 bytes where its message has few, up to 160 where it has many, plus the recipient's id; an event
// that waits takes about 140.
//
// A mark costs the same however many messages and events there are, but for the logarithm in the
// outbox's schedule. A mark up to a message, or a look at what is pending, goes through what the user
// has not been through yet, a page through what it returns.
//
// The store is in parts by conversation, each with a lock of its own that is never held over anything that
// waits; only a batch that spans conversations locks several, and what looks at the whole outbox all. As a [delivery.SingleStore] it takes single
// marks one by one: one of a receipt that is there already allocates nothing.
package memstore

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/msgdelivery/delivery"
)

// Store is a [delivery.Store] in memory. Make it with [New]. It is safe for concurrent use and
// must not be copied. A type that embeds it to override Advance has to override AdvanceOne too; the
// stores of package deliverytest that fail or delay calls need neither.
type Store struct {
	seed      maphash.Seed
	began     time.Time
	epoch     int64 // nothing survives the process, so each store has its own
	index     index
	shards    [shards]shard
	lastEvent atomic.Int64 // across the shards, so that ids tell the order
}

var _ delivery.SingleStore = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	s := &Store{seed: maphash.MakeSeed(), began: time.Now(), epoch: rand.Int64N(1<<53-1) + 1} // #nosec G404 -- nothing to guess
	for i := range shards {
		s.index[i].messages = map[string]*message{}
		shard := &s.shards[i]
		shard.number, shard.conversations = i, map[string]*conversation{}
		shard.lock()
		shard.unlock()
	}
	return s
}

// now is the store's clock, which leases run on.
func (s *Store) now() time.Duration { return time.Since(s.began) }

// add puts an event into the outbox of its shard, which can be told from the event's id.
func (s *Store) add(shard *shard, news news, lease delivery.Lease, now time.Duration) delivery.Claimed {
	id := s.lastEvent.Add(1)*shards + int64(shard.number)
	return shard.outbox.add(id, news, lease, now)
}

// Create stores new messages, as [delivery.Store] says.
func (s *Store) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	results := make([]delivery.Created, len(messages))
	claimed := s.create(messages, lease, results)
	for i := range results {
		if results[i].Existed {
			there := s.find(messages[i].ID)
			there.conversation.shard.lock()
			results[i].Message = there.public()
			there.conversation.shard.unlock()
		}
	}
	return results, claimed, nil
}

func (s *Store) create(messages []delivery.NewMessage, lease delivery.Lease, results []delivery.Created) (claimed []delivery.Claimed) {
	var held set
	for i := range messages {
		held.add(s.shardOf(messages[i].Conversation))
	}
	s.lock(held)
	defer s.unlock(held)
	births := births{store: s, lease: lease}
	for i := range messages {
		draft := &messages[i]
		shard := s.shardOf(draft.Conversation)
		c := shard.conversations[draft.Conversation]
		if c == nil {
			c = &conversation{id: draft.Conversation, shard: shard}
		}
		m := &message{Header: draft.Header, body: draft.Body, conversation: c}
		m.Conversation, m.SentAt = c.id, precise(draft.SentAt) // one copy of the id for all
		// From here on others find it, and wait for the lock.
		if there := s.findOrAdd(m); there != nil {
			results[i].Existed = true
			continue
		}
		shard.conversations[c.id] = c
		births.add(shard, c.create(m, draft))
		results[i].Message = m.public()
	}
	return births.claimed
}

// Advance applies marks, as [delivery.Store] says. It never leaves out a conversation as held.
func (s *Store) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	results := make([]delivery.Marked, len(marks))
	found := make([]*message, len(marks))
	order := make([]int, 0, len(marks)) // of those that are found
	var held set
	for i := range marks {
		if found[i] = s.find(marks[i].Message); found[i] != nil {
			order = append(order, i)
			held.add(found[i].conversation.shard)
		}
	}
	batch := batch{marks, found}
	slices.SortStableFunc(order, batch.compare) // before the locks, which hold up others
	s.lock(held)
	defer s.unlock(held)
	births := births{store: s, lease: lease}
	var steps []step // of one group after the other
	for len(order) > 0 {
		var group []int
		group, order = batch.next(order)
		steps = steps[:0]
		for _, i := range group {
			m, mark := found[i], &marks[i]
			results[i].Header = m.Header
			step, verdict := m.judge(mark.User, mark.Status, mark.At, mark.Admitted)
			if verdict != advances {
				results[i].Receipt, _ = m.receiptOf(mark.User)
				continue
			}
			step.index = i
			steps = append(steps, step)
		}
		if len(steps) == 0 {
			continue
		}
		c := steps[0].message.conversation
		births.add(c.shard, c.advance(marks[group[0]].Socket, steps))
		for i := range steps {
			result := &results[steps[i].index]
			result.Receipt, result.Changed = steps[i].receipt, true
		}
	}
	return results, births.claimed, nil
}

// AdvanceOne applies one mark, as [delivery.SingleStore] says.
func (s *Store) AdvanceOne(ctx context.Context, mark delivery.Mark, lease delivery.Lease) (marked delivery.Marked, claimed delivery.Claimed, err error) {
	if err := ctx.Err(); err != nil {
		return marked, claimed, err
	}
	m := s.find(mark.Message)
	if m == nil {
		return marked, claimed, nil
	}
	shard := m.conversation.shard
	shard.lock()
	defer shard.unlock()
	marked.Header = m.Header
	step, verdict := m.judge(mark.User, mark.Status, mark.At, mark.Admitted)
	if verdict != advances {
		marked.Receipt, _ = m.receiptOf(mark.User)
		return marked, claimed, nil
	}
	m.conversation.take(&step)
	claimed = s.add(shard, newsOf(&step, mark.Socket), lease, s.now())
	marked.Receipt, marked.Changed = step.receipt, true
	return marked, claimed, nil
}

// AdvanceUpTo applies a mark to all messages up to one, as [delivery.Store] says.
func (s *Store) AdvanceUpTo(ctx context.Context, upTo delivery.UpTo, lease delivery.Lease) (delivery.MarkedUpTo, []delivery.Claimed, error) {
	if err := ctx.Err(); err != nil {
		return delivery.MarkedUpTo{}, nil, err
	}
	last := s.find(upTo.Message)
	if last == nil || last.conversation.id != upTo.Conversation {
		return delivery.MarkedUpTo{}, nil, nil
	}
	c := last.conversation
	c.shard.lock()
	defer c.shard.unlock()
	result, steps := c.upTo(upTo, last)
	births := births{store: s, lease: lease}
	if len(steps) > 0 {
		births.add(c.shard, c.advance(upTo.Socket, steps))
		result.Changed, result.From, result.To = len(steps), steps[0].receipt.Version, c.version
	}
	result.Header = last.Header
	result.Receipt, _ = last.receiptOf(upTo.User)
	return result, births.claimed, nil
}

// Load returns the messages with these ids that exist.
func (s *Store) Load(ctx context.Context, ids []string) ([]delivery.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, held := s.findAll(ids)
	s.lock(held)
	defer s.unlock(held)
	messages := make([]delivery.Message, len(found))
	for i, m := range found {
		messages[i] = m.public()
	}
	return messages, nil
}

// List returns a page of one conversation.
func (s *Store) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	if err := ctx.Err(); err != nil {
		return delivery.Page{}, err
	}
	shard := s.shardOf(list.Conversation)
	shard.lock()
	defer shard.unlock()
	c := shard.conversations[list.Conversation]
	var page delivery.Page
	switch {
	case c == nil:
	case list.Changes:
		page = c.changesAfter(list)
	default:
		page = c.page(list)
	}
	page.Epoch = s.epoch
	return page, nil
}

// Pending counts what a user has not read in a conversation, as [delivery.Store] says.
func (s *Store) Pending(ctx context.Context, user, conversation string, limit int) (delivery.Pending, error) {
	if err := ctx.Err(); err != nil {
		return delivery.Pending{}, err
	}
	shard := s.shardOf(conversation)
	shard.lock()
	defer shard.unlock()
	if c := shard.conversations[conversation]; c != nil {
		return c.pending(user, limit), nil
	}
	return delivery.Pending{}, nil
}

// Receipts returns all receipts of these messages, ordered by message and recipient.
func (s *Store) Receipts(ctx context.Context, ids []string) ([]delivery.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	found, held := s.findAll(ids)
	s.lock(held)
	defer s.unlock(held)
	var receipts []delivery.Receipt
	for _, m := range found {
		receipts = append(receipts, m.sorted()...)
	}
	return receipts, nil
}

// distinct returns the ids sorted and without repeats.
func distinct(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }
