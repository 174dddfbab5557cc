package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/pusheradapter"
)

func groupName(channel string) string { return "Group/channel=" + channel }

const (
	groupSpread   = time.Second // within which all members acknowledge
	groupLate     = 250 * time.Millisecond
	groupPatience = 20 * time.Second
	groupDelay    = 20 * time.Millisecond // of the stub

	sharedChannel = "conversation"
	authorChannel = "author"
)

// group measures how long members of a group wait who all acknowledge one message within a second,
// and what that makes Pusher do: with status events on the conversation's channel, and on the
// author's own.
func (b *bench) group() experiment {
	var at *place
	options := map[string]*pusheradapter.Options{sharedChannel: nil, authorChannel: {AuthorsOnly: true}}
	return experiment{
		name: "group",
		prepare: func(ctx context.Context) (err error) {
			at, err = b.newPlace(ctx, peer.Ours(engines.Postgres), peer.Fixture{Messages: 1, Conversations: 1, Recent: 1})
			return err
		},
		round: func(ctx context.Context, round int) error {
			for _, channel := range []string{sharedChannel, authorChannel} {
				tracker, err := peer.NewTracker(at.Env, options[channel])
				if err != nil {
					return err
				}
				stop := peer.Relay(tracker)
				err = b.acknowledge(ctx, tracker, groupName(channel), fmt.Sprintf("group-%s-%d", channel, round))
				stop()
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (b *bench) acknowledge(ctx context.Context, tracker *delivery.Tracker, name, id string) error {
	members := make([]string, b.members)
	for i := range members {
		members[i] = fmt.Sprintf("member-%04d", i)
	}
	if err := b.lab.Stub.Reset(ctx, groupDelay); err != nil {
		return err
	}
	if _, err := tracker.Send(ctx, delivery.Draft{ID: id, Conversation: "group", Sender: peer.Sender, Body: peer.Body, Audience: delivery.Audience{Recipients: members}}); err != nil {
		return err
	}
	if _, ok := b.await(ctx, 1, groupPatience); !ok {
		return fmt.Errorf("%s: the message was not announced", name)
	}
	if err := b.lab.Stub.Reset(ctx, groupDelay); err != nil {
		return err
	}
	waits, errs := make([]time.Duration, len(members)), make([]error, len(members))
	began := time.Now()
	var wg sync.WaitGroup
	for i, member := range members {
		wg.Go(func() {
			time.Sleep(rand.N(groupSpread))
			asked := time.Now()
			_, errs[i] = tracker.MarkDelivered(ctx, delivery.Actor{User: member, Socket: fmt.Sprintf("%d.%d", 100+i, i+1)}, id)
			waits[i] = time.Since(asked)
		})
	}
	wg.Wait()
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	accepted, ok := b.await(ctx, len(members), groupPatience)
	if !ok {
		return fmt.Errorf("%s: not all was accepted within %v", name, groupPatience)
	}
	counts, err := b.lab.Stub.Counts(ctx)
	b.results.addWaits(name, waits)
	b.results.add(name, values{
		unitAllEvents: float64(counts.Events),
		unitAllCalls:  float64(counts.Calls),
		unitDone:      accepted.Sub(began).Seconds(),
	})
	return err
}
