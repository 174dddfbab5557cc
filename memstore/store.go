// Package memstore keeps messages, receipts and the outbox in the memory of one process.
//
//	store := memstore.New()
//	tracker, err := delivery.New(store, notifier, &delivery.Options{Authorize: mayDo})
//
// It implements [delivery.Keeper], [delivery.FailureStore], [delivery.OverdueStore] and
// [delivery.ImportStore] completely. Nothing survives the process. It is made for tests, examples
// and trying things out. Its clock is [time.Now], so leases run on fake time in a bubble of
// testing/synctest. It has no Tx methods; sqlstore has them.
//
// Memory grows with the messages and receipts until they are deleted or pruned. One lock guards
// everything. If you write a store, read memstore beside the contract: it is the shortest complete
// store.
package memstore

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/msgdelivery/delivery"
)

// Store is a [delivery.Store] in memory. Make it with [New]. It is safe for concurrent use and
// must not be copied.
type Store struct {
	mu            sync.Mutex
	epoch         int64                    // nothing survives the process, so each store has its own
	conversations map[string]*conversation // by id
	messages      map[string]*message      // by id
	outbox        outbox
	rules         map[ruleKey]*rule
	erased        int64 // numbers of those without a name
}

// New returns an empty store.
func New() *Store {
	s := &Store{
		epoch:         rand.Int64N(1<<53-1) + 1, // #nosec G404 -- nothing to guess
		conversations: map[string]*conversation{},
		messages:      map[string]*message{},
		rules:         map[ruleKey]*rule{},
	}
	s.outbox = newOutbox(func(conversation, message string) string {
		if m := s.messages[message]; m != nil && m.Conversation == conversation {
			return m.body
		}
		return ""
	})
	return s
}

// enter takes the lock, unless ctx has ended. Whoever got in calls s.mu.Unlock.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	return nil
}

// Create stores new messages, as [delivery.Store] says. It never answers Blocked.
func (s *Store) Create(ctx context.Context, messages []delivery.NewMessage, lease delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	results := make([]delivery.Created, len(messages))
	var events []delivery.Event
	for i, draft := range messages {
		there := s.messages[draft.ID]
		if there != nil && there.deleted {
			results[i].Gone = true
			continue
		}
		if there != nil {
			results[i] = delivery.Created{Message: there.public(), Roster: there.key, Existed: true}
			continue
		}
		m, event := s.conversation(draft.Conversation).create(draft)
		if m == nil {
			results[i].NoRoster = true
			continue
		}
		s.messages[m.ID] = m
		results[i] = delivery.Created{Message: m.public(), Roster: m.key}
		events = append(events, event)
	}
	return results, s.outbox.add(events, lease), nil
}

// conversation returns the one with that id, and makes it if it is not there.
func (s *Store) conversation(id string) *conversation {
	c := s.conversations[id]
	if c == nil {
		c = &conversation{rosters: map[string]roster{}, places: map[string]place{}, own: map[string]*own{}}
		s.conversations[id] = c
	}
	return c
}

// Advance applies marks, as [delivery.Store] says. It never answers Blocked.
func (s *Store) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	results := make([]delivery.Marked, len(marks))
	var steps []step
	for i, mark := range marks {
		m := s.messages[mark.Message]
		if m == nil || m.deleted {
			continue
		}
		results[i].Header = m.Header
		results[i].Receipt, _ = m.receipt(mark.User)
		results[i].Flag = s.conversations[m.Conversation].ownOf(mark.User).place.Flag
		if step, verdict := m.judge(mark.User, mark.Status, mark.At, mark.AdmittedTo(m.Conversation)); verdict == advances {
			step.mark, step.socket, step.trace = i, mark.Socket, mark.Trace
			steps = append(steps, step)
		}
	}
	events := s.apply(steps, func(taken step) {
		results[taken.mark].Receipt, results[taken.mark].Changed = taken.receipt, true
	})
	return results, s.outbox.add(events, lease), nil
}

// AdvanceUpTo marks all messages up to a named one, as [delivery.Store] says. It never answers
// Blocked.
func (s *Store) AdvanceUpTo(ctx context.Context, upTo []delivery.UpTo, limit int, lease delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	results := make([]delivery.MarkedUpTo, len(upTo))
	var steps []step
	for i, u := range upTo {
		last := s.messages[u.Message]
		if last == nil || last.Conversation != u.Conversation {
			continue
		}
		result, found := s.conversations[u.Conversation].upTo(u, last, limit-len(steps))
		result.Header = last.Header
		result.Receipt, _ = last.receipt(u.User)
		result.Flag = s.conversations[u.Conversation].ownOf(u.User).place.Flag
		results[i] = result
		for _, step := range found {
			step.mark, step.socket, step.trace = i, u.Socket, u.Trace
			steps = append(steps, step)
		}
	}
	events := s.apply(steps, func(taken step) {
		result := &results[taken.mark]
		if result.Changed++; result.From == 0 {
			result.From = taken.receipt.Version
		}
		result.To = taken.receipt.Version
		if taken.message.ID == result.Header.ID {
			result.Receipt = taken.receipt
		}
	})
	return results, s.outbox.add(events, lease), nil
}

// apply takes steps, hands each on as it was taken, and returns the events that announce them.
// Steps that share an event are taken together, and in the order of the marks.
func (s *Store) apply(steps []step, took func(step)) (events []delivery.Event) {
	slices.SortStableFunc(steps, func(a, b step) int {
		return cmp.Or(cmp.Compare(a.message.Conversation, b.message.Conversation), cmp.Compare(a.socket, b.socket))
	})
	for _, step := range steps {
		update := s.conversations[step.message.Conversation].take(step)
		step.receipt = *update.Receipt
		took(step)
		events = tell(events, delivery.StatusChanged, step.message.Conversation, step.socket, step.trace, update)
	}
	return events
}

// AdvanceOwn applies marks that only their user may know, as [delivery.Store] says.
func (s *Store) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	results := make([]delivery.MarkedOwn, len(marks))
	changed := map[string]bool{}
	for i, mark := range marks {
		m := s.messages[mark.Message]
		if m == nil {
			continue
		}
		c := s.conversations[m.Conversation]
		state := c.state(m, mark.User)
		state.Reader = c.knows(mark.User)
		out, keep := mark.Apply(state)
		if results[i] = out; out.Changed {
			c.keep(mark, out, keep)
			changed[m.Conversation] = true
		}
	}
	for conversation := range changed {
		s.conversations[conversation].own[marks[0].User].place.Rev++
	}
	for i := range results {
		if c := s.conversations[results[i].Header.Conversation]; c != nil {
			results[i].Place = c.ownOf(marks[i].User).place
		}
	}
	return results, s.outbox.add(delivery.OwnEvents(marks, results), lease), nil
}

// Claim puts up to limit due events under the lease, as [delivery.Store] says.
func (s *Store) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return s.outbox.claim(limit, lease), nil
}

// Settle ends claims and moves dead letters, as [delivery.Store] says. A lease that has run out
// still settles its event, as long as nobody else has claimed the event.
func (s *Store) Settle(ctx context.Context, settlements []delivery.Settlement) (settled int, err error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	for _, x := range settlements {
		if s.outbox.settle(x) {
			settled++
		}
	}
	return settled, nil
}

// Dead returns dead letters in order of id: those whose ids are greater than the parameter after,
// at most limit of them.
func (s *Store) Dead(ctx context.Context, after int64, limit int) ([]delivery.DeadLetter, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return s.outbox.deadAfter(after, limit), nil
}

// Backlog counts the outbox.
func (s *Store) Backlog(ctx context.Context) (delivery.Backlog, error) {
	if err := s.enter(ctx); err != nil {
		return delivery.Backlog{}, err
	}
	defer s.mu.Unlock()
	return s.outbox.backlog(), nil
}

// distinct returns the ids sorted and without repeats.
func distinct(ids []string) []string { return slices.Compact(slices.Sorted(slices.Values(ids))) }
