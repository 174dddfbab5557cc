package main

import (
	"context"
	"fmt"

	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// growthName names marks in a store of so many messages, of the newest of them or of any.
func growthName(peer string, messages int, which string, callers int) string {
	return fmt.Sprintf("Growth/peer=%s/messages=%d/which=%s/callers=%d", peer, messages, which, callers)
}

const (
	newestMessages = "newest"
	anyMessages    = "any"

	growthConversations = 1000
	otherUsers          = 1000 // passes over the messages between the users of two peers that mark in one store
)

// growth compares marks in two databases of very different size: of the newest messages, as many in
// both, and of any. In each, the library and the peer rows mark the same messages for users of
// their own. Rows shows how much of the difference is the database's.
func (b *bench) growth() experiment {
	type marking struct {
		messages int
		which    string
		peer     peer.Peer
		place    *place
	}
	var all []marking
	return experiment{
		name: "growth",
		prepare: func(ctx context.Context) error {
			ours := peer.OursUnpublished(engines.Postgres)
			for _, messages := range []int{b.messages, b.huge} {
				at, err := b.newPlace(ctx, ours, peer.Fixture{Messages: messages, Conversations: min(growthConversations, b.messages/100), Recent: b.messages})
				if err != nil {
					return err
				}
				for i, p := range []peer.Peer{ours, peer.Rows} {
					for j, which := range []string{newestMessages, anyMessages} {
						own := &place{Env: at.Env}
						if which == anyMessages {
							own.Recent = messages
						}
						own.next.Store(int64((2*i + j) * otherUsers * own.Recent))
						all = append(all, marking{messages, which, p, own})
					}
				}
			}
			return nil
		},
		round: func(ctx context.Context, round int) error {
			for _, callers := range []int{1, 256} {
				for _, m := range turned(all, round) {
					if err := b.cell(ctx, growthName(m.peer.Name, m.messages, m.which, callers), m.peer, m.place, callers, -1); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}
