package model

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
)

func TestHistoriesOfBrokenStoresAreNot(t *testing.T) {
	for name, broken := range map[string]func(keeper) keeper{
		"some marks are acknowledged and forgotten":    func(s keeper) keeper { return acking{s} },
		"every mark is told that it changed something": func(s keeper) keeper { return flattering{s} },
		"the answers of a batch are mixed up":          func(s keeper) keeper { return mixing{s} },
		"reads come from a copy that is late":          func(s keeper) keeper { return &lagging{keeper: s} },
		"a status is written over whatever is there":   func(s keeper) keeper { return &overwriting{keeper: s} },
		"what was done is reported as failed":          func(s keeper) keeper { return denying{s} },
	} {
		t.Run(name, func(t *testing.T) {
			for round := range 200 {
				s := inMemory()
				change := broken(s.stores[0])
				// An error is not what should give it away.
				histories, _ := record(t.Context(), s.over(func(keeper) keeper { return change }), uint64(round))
				if bad := illegal(t, histories); bad != "" {
					t.Logf("round %d: %s", round, bad)
					return
				}
			}
			t.Error("not noticed")
		})
	}
}

// acking answers some marks with what they ask for.
type acking struct{ keeper }

func (s acking) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	if rand.IntN(20) > 0 {
		return s.keeper.Advance(ctx, marks, lease)
	}
	messages, err := s.Load(ctx, []string{marks[0].Message})
	if err != nil || len(messages) == 0 || len(marks) > 1 {
		return s.keeper.Advance(ctx, marks, lease)
	}
	m := marks[0]
	receipt := delivery.Receipt{Message: m.Message, Recipient: m.User, Status: m.Status, Version: messages[0].Version + 1}
	return []delivery.Marked{{Header: messages[0].Header, Receipt: receipt, Changed: true}}, nil, nil
}

// flattering tells every mark that it was the one.
type flattering struct{ keeper }

func (s flattering) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.keeper.Advance(ctx, marks, lease)
	for i := range marked {
		marked[i].Changed = true
	}
	return marked, claimed, err
}

// mixing swaps the answers to two marks of one batch.
type mixing struct{ keeper }

func (s mixing) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.keeper.Advance(ctx, marks, lease)
	if n := len(marked); n > 1 {
		marked[0].Receipt, marked[n-1].Receipt = marked[n-1].Receipt, marked[0].Receipt
	}
	return marked, claimed, err
}

// lagging reads receipts as they were half a millisecond ago or longer.
type lagging struct {
	keeper
	mu   sync.Mutex
	read map[string]delivery.ReceiptPage
	at   map[string]time.Time
}

func (s *lagging) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at[list.Message]) < 500*time.Microsecond {
		return s.read[list.Message], nil
	}
	if s.at == nil {
		s.at, s.read = map[string]time.Time{}, map[string]delivery.ReceiptPage{}
	}
	page, err := s.keeper.Receipts(ctx, list)
	s.at[list.Message], s.read[list.Message] = time.Now(), page
	return page, err
}

// overwriting keeps the last status that was claimed, for who reads.
type overwriting struct {
	keeper
	mu   sync.Mutex
	last map[receiptKey]delivery.Status
}

func (s *overwriting) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.keeper.Advance(ctx, marks, lease)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[receiptKey]delivery.Status{}
	}
	for _, m := range marks {
		if err == nil {
			s.last[receiptKey{m.Message, m.User}] = m.Status
		}
	}
	return marked, claimed, err
}

func (s *overwriting) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	page, err := s.keeper.Receipts(ctx, list)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range page.Receipts {
		if last, ok := s.last[receiptKey{r.Message, r.Recipient}]; ok {
			page.Receipts[i].Status = last
		}
	}
	return page, err
}

// denying fails some marks when they are done.
type denying struct{ keeper }

func (s denying) Advance(ctx context.Context, marks []delivery.Mark, lease delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.keeper.Advance(ctx, marks, lease)
	if err == nil && rand.IntN(20) == 0 {
		return nil, nil, errors.New("it has not happened, I promise")
	}
	return marked, claimed, err
}
