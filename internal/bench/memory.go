package main

import (
	"context"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/peer"
)

// fillStore writes the messages of a fixture.
func fillStore(ctx context.Context, store delivery.Store, f peer.Fixture) error {
	const batch = 1000
	drafts := make([]delivery.NewMessage, 0, batch)
	for n := range f.Messages {
		drafts = append(drafts, delivery.NewMessage{
			Header: delivery.Header{
				ID: peer.ID(n), Conversation: peer.Conversation(n%f.Conversations + 1), Sender: peer.Sender, Open: true, Quorum: 1, SentAt: time.Now(),
			},
			Body: peer.Body,
		})
		if len(drafts) < batch && n < f.Messages-1 {
			continue
		}
		lease := delivery.Lease{Token: int64(n) + 1, For: time.Minute}
		_, claimed, err := store.Create(ctx, drafts, lease)
		if err != nil {
			return err
		}
		settlements := make([]delivery.Settlement, len(claimed))
		for i, c := range claimed {
			settlements[i] = delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.Done}
		}
		if _, err := store.Settle(ctx, settlements); err != nil {
			return err
		}
		drafts = drafts[:0]
	}
	return nil
}

// newQuietTracker returns a tracker whose events nobody is told of.
func newQuietTracker(store delivery.Store) (*delivery.Tracker, error) {
	nobody := delivery.NotifierFunc(func(context.Context, []delivery.Event) error { return nil })
	return delivery.New(store, nobody, &delivery.Options{OpenConversations: true, Logger: peer.Quiet})
}
