package observer

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/memstore"
)

func TestExactlyTheSameNoticesEveryBrokenStore(t *testing.T) {
	db, inSQL := stores.Migrated(t, engines.First(engines.SQLite))
	for name, store := range map[string]delivery.Keeper{
		"a private mark takes a version":              versioned{inSQL, db},
		"a private mark shows as delivered":           showing{memstore.New()},
		"everybody is told of a private mark":         broadcasting{memstore.New()},
		"a list of receipts has who marked privately": &listing{Keeper: memstore.New()},
		"a private mark changes the page of others":   &viewing{Keeper: memstore.New()},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range 200 {
				difference, err := compareScript(t.Context(), store, scripts.Example(seed), true)
				if err != nil {
					t.Fatal(err)
				}
				if difference != "" {
					t.Logf("noticed in sequence %d, %s", seed, difference)
					return
				}
			}
			t.Error("not noticed")
		})
	}
}

// versioned takes a version for a private mark.
type versioned struct {
	delivery.Keeper
	db *sql.DB
}

func (s versioned) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	marked, claimed, err := s.Keeper.AdvanceOwn(ctx, marks, lease)
	for _, m := range marked {
		if m.Changed && err == nil {
			_, err = s.db.ExecContext(ctx, "UPDATE delivery_conversations SET version = version + 1 WHERE id = '"+m.Header.Conversation+"'")
		}
	}
	return marked, claimed, err
}

// showing makes a public mark as delivered of every private one.
type showing struct{ delivery.Keeper }

func (s showing) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	for _, m := range marks {
		if m.Act == delivery.OwnMarked {
			mark := stores.MarkBy(m.User, m.Message)
			mark.Admitted = m.Admitted
			if _, _, err := s.Advance(ctx, []delivery.Mark{mark}, delivery.Lease{}); err != nil {
				return nil, nil, err
			}
		}
	}
	return s.Keeper.AdvanceOwn(ctx, marks, lease)
}

// broadcasting tells the conversation what only the user's devices may know.
type broadcasting struct{ delivery.Keeper }

func (s broadcasting) Claim(ctx context.Context, limit int, lease delivery.Lease) ([]delivery.Claimed, error) {
	claimed, err := s.Keeper.Claim(ctx, limit, lease)
	for i := range claimed {
		if e := &claimed[i].Event; e.Kind == delivery.OwnChanged {
			e.Kind, e.User, e.Conversation = delivery.StatusChanged, "", e.Updates[0].Own.Conversation
		}
	}
	return claimed, err
}

// private remembers who has marked privately.
type private struct {
	mu   sync.Mutex
	made []delivery.OwnMark
}

func (p *private) remember(marks []delivery.OwnMark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = append(p.made, marks...)
}

// in reports whether somebody has made a private mark of which this is true.
func (p *private) in(is func(m delivery.OwnMark) bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.made, is)
}

// listing has a receipt of who has marked an open message privately.
type listing struct {
	delivery.Keeper
	private
}

func (s *listing) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	s.remember(marks)
	return s.Keeper.AdvanceOwn(ctx, marks, lease)
}

func (s *listing) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	page, err := s.Keeper.Receipts(ctx, list)
	if len(page.Receipts) == 0 && s.in(func(m delivery.OwnMark) bool { return m.Message == list.Message }) {
		page.Receipts = []delivery.Receipt{{Message: list.Message, Recipient: "bob", Status: delivery.Sent}}
	}
	return page, err
}

// viewing shows each viewer what somebody else knows of a message alone.
type viewing struct {
	delivery.Keeper
	private
}

func (s *viewing) AdvanceOwn(ctx context.Context, marks []delivery.OwnMark, lease delivery.Lease) ([]delivery.MarkedOwn, []delivery.Claimed, error) {
	s.remember(marks)
	return s.Keeper.AdvanceOwn(ctx, marks, lease)
}

func (s *viewing) List(ctx context.Context, list delivery.List) (delivery.Page, error) {
	page, err := s.Keeper.List(ctx, list)
	for i, m := range page.Messages {
		if m.Own != nil && s.in(func(mark delivery.OwnMark) bool {
			return mark.Message == m.ID && !strings.HasSuffix(mark.User, "alice")
		}) {
			page.Messages[i].Own.Status = delivery.Read
		}
	}
	return page, err
}
