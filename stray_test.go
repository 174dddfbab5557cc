package delivery_test

import (
	"context"
	"errors"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// astray is a store whose answers come from a server that is behind, or are another client's.
type astray struct {
	delivery.Store
	created  func(*delivery.Created)
	header   func(*delivery.Header)
	receipts func([]delivery.Receipt) []delivery.Receipt
}

func (s *astray) Create(ctx context.Context, m []delivery.NewMessage, l delivery.Lease) ([]delivery.Created, []delivery.Claimed, error) {
	created, claimed, err := s.Store.Create(ctx, m, l)
	for i := range created {
		if s.created != nil {
			s.created(&created[i])
		}
	}
	return created, claimed, err
}

func (s *astray) Advance(ctx context.Context, m []delivery.Mark, l delivery.Lease) ([]delivery.Marked, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.Advance(ctx, m, l)
	for i := range marked {
		s.header(&marked[i].Header)
	}
	return marked, claimed, err
}

func (s *astray) AdvanceUpTo(ctx context.Context, u []delivery.UpTo, limit int, l delivery.Lease) ([]delivery.MarkedUpTo, []delivery.Claimed, error) {
	marked, claimed, err := s.Store.AdvanceUpTo(ctx, u, limit, l)
	for i := range marked {
		s.header(&marked[i].Header)
	}
	return marked, claimed, err
}

func (s *astray) Receipts(ctx context.Context, list delivery.ReceiptList) (delivery.ReceiptPage, error) {
	page, err := s.Store.Receipts(ctx, list)
	if s.receipts != nil {
		page.Receipts = s.receipts(page.Receipts)
	}
	return page, err
}

func TestAnswersForOtherMessagesAreNotBelieved(t *testing.T) {
	draft := delivery.Draft{ID: "m", Conversation: "c", Sender: "alice", Body: "hi", Audience: delivery.Audience{Recipients: []string{"bob", "carol"}}}
	sent := func(t *testing.T, store *astray) *delivery.Tracker {
		tracker := newTracker(t, store, new(endpoint), nil)
		if _, err := tracker.Send(t.Context(), draft); err != nil {
			t.Fatal(err)
		}
		return tracker
	}

	t.Run("a send of a taken id is not known to be stored if what has the id cannot be read", func(t *testing.T) {
		failure := errors.New("read-only")
		for name, created := range map[string]func(*delivery.Created){
			"the store says so": func(c *delivery.Created) {
				*c = delivery.Created{Existed: true, Err: errors.Join(delivery.ErrOutcomeUnknown, failure)}
			},
			"the answer is empty":             func(c *delivery.Created) { *c = delivery.Created{} },
			"the answer is another message":   func(c *delivery.Created) { c.Message.ID = "n" },
			"what existed is another message": func(c *delivery.Created) { c.Message.ID = "M" },
		} {
			store := &astray{Store: memstore.New()}
			tracker := sent(t, store)
			store.created = created
			for _, body := range []string{"hi", "something else"} {
				again := draft
				again.Body = body
				if m, err := tracker.Send(t.Context(), again); !errors.Is(err, delivery.ErrOutcomeUnknown) || m != (delivery.Message{}) {
					t.Errorf("%s, body %q: %+v, %v", name, body, m, err)
				}
			}
		}
	})

	t.Run("the error of one send is not that of another in its batch", func(t *testing.T) {
		store := &astray{Store: memstore.New(), created: func(c *delivery.Created) {
			if c.Existed {
				*c = delivery.Created{Existed: true, Err: delivery.ErrOutcomeUnknown}
			}
		}}
		tracker := sent(t, store)
		errs := make(chan error)
		for i := range 20 {
			go func() {
				d := draft
				if i > 0 {
					d.ID = ""
				}
				_, err := tracker.Send(t.Context(), d)
				errs <- err
			}()
		}
		failed := 0
		for range 20 {
			if err := <-errs; err != nil {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("%d sends failed, want that of the taken id", failed)
		}
	})

	t.Run("a mark is not taken for done, nor refused, by the header of another message", func(t *testing.T) {
		store := &astray{Store: memstore.New(), header: func(h *delivery.Header) { h.ID, h.Sender = "n", "bob" }}
		tracker := sent(t, store)
		if _, err := tracker.MarkRead(t.Context(), bob, "m"); !errors.Is(err, delivery.ErrOutcomeUnknown) {
			t.Errorf("MarkRead: %v", err)
		}
		if _, err := tracker.MarkUpTo(t.Context(), carol, delivery.Read, delivery.MessageRef{Conversation: "c", ID: "m"}); !errors.Is(err, delivery.ErrOutcomeUnknown) {
			t.Errorf("MarkUpTo: %v", err)
		}
	})

	t.Run("receipts of another message are left out", func(t *testing.T) {
		store := &astray{Store: memstore.New(), receipts: func(r []delivery.Receipt) []delivery.Receipt { r[0].Message = "n"; return r }}
		tracker := sent(t, store)
		if page, err := tracker.Receipts(t.Context(), delivery.ReceiptQuery{Message: "m"}); err != nil || len(page.Receipts) != 1 || page.Receipts[0].Recipient != "carol" {
			t.Errorf("got %+v, %v", page, err)
		}
	})
}
