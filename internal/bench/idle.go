package main

import (
	"context"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func idleName(peer string, delay time.Duration) string {
	return fmt.Sprintf("Idle/peer=%s/stub=%v", peer, delay)
}

const (
	idlePause    = 5 * time.Millisecond // between the end of one mark and the next
	idlePatience = 5 * time.Second      // for one to be accepted
)

// idleSystem measures how long after its commit a single mark is accepted, when nothing else
// happens.
func (b *bench) idleSystem() experiment {
	peers := []peer.Peer{peer.Inline, peer.River, peer.Watermill, peer.Ours(engines.Postgres)}
	return experiment{
		name: "idle",
		prepare: func(ctx context.Context) (err error) {
			peers, err = b.available(ctx, peers)
			return err
		},
		round: func(ctx context.Context, round int) error {
			for _, delay := range stubDelays {
				for _, p := range turned(peers, round) {
					if err := b.idleMarks(ctx, p, delay); err != nil {
						return fmt.Errorf("%s: %w", p.Name, err)
					}
				}
			}
			return nil
		},
	}
}

func (b *bench) idleMarks(ctx context.Context, p peer.Peer, delay time.Duration) error {
	at, err := b.place(ctx, p)
	if err != nil {
		return err
	}
	return b.warm(ctx, p, at, 1, delay, func(marker peer.Marker) error {
		var waits []time.Duration
		for n := 1; n <= b.idle; n++ {
			time.Sleep(idlePause)
			if err := marker.Mark(ctx, int(at.next.Add(1)-1)); err != nil {
				return err
			}
			committed := time.Now()
			accepted, ok := b.await(ctx, n, idlePatience)
			if !ok {
				return fmt.Errorf("mark %d was not accepted within %v", n, idlePatience)
			}
			waits = append(waits, max(0, accepted.Sub(committed))) // inline it is accepted before Mark returns
		}
		b.results.addWaits(idleName(p.Name, delay), waits)
		return nil
	})
}
