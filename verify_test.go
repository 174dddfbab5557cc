package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/memstore"
)

// drifting is a keeper with a drift in each page of one message.
type drifting struct{ *memstore.Store }

func (d drifting) Verify(ctx context.Context, conversation string, after int64, _ int) (delivery.Verification, error) {
	v, err := d.Store.Verify(ctx, conversation, after, 1)
	if v.Messages > 0 {
		v.Drifts = []delivery.Drift{{Message: fmt.Sprint(conversation, v.Last)}}
	}
	return v, err
}

func TestVerify(t *testing.T) {
	tracker := newTracker(t, drifting{memstore.New()}, new(endpoint), nil)
	for _, conversation := range []string{"b", "a"} {
		for range 3 {
			draft := delivery.Draft{Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Recipients: []string{"bob"}}}
			if _, err := tracker.Send(t.Context(), draft); err != nil {
				t.Fatal(err)
			}
		}
	}
	list := func(ctx context.Context, most int) (found string, last error) {
		for d, err := range tracker.Verify(ctx) {
			if last = err; err == nil {
				found += d.Message + " "
			}
			if most--; most == 0 {
				break
			}
		}
		return found, last
	}

	t.Run("all messages of all conversations are verified", func(t *testing.T) {
		if got, err := list(t.Context(), 100); got != "a1 a2 a3 b1 b2 b3 " || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("the iteration may end early", func(t *testing.T) {
		if got, err := list(t.Context(), 2); got != "a1 a2 " || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("an error ends the iteration", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got, err := list(ctx, 100); got != "" || !errors.Is(err, context.Canceled) {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("a store that is no keeper says so", func(t *testing.T) {
		tracker := newTracker(t, struct{ delivery.Store }{memstore.New()}, new(endpoint), nil)
		n := 0
		for _, err := range tracker.Verify(t.Context()) {
			if n++; !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("Verify: %v", err)
			}
		}
		if n != 1 {
			t.Errorf("%d errors", n)
		}
	})
}
