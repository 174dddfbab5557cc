package main

import (
	"context"
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

func upToName(history int) string { return fmt.Sprintf("UpTo/history=%d", history) }

const (
	upToReader = "reader"
	upToNew    = 10 // messages that are new to the reader at each mark
	upToMarks  = 20 // a round
)

// upTo measures how long a mark up to the newest message takes a reader who has long marked all of
// the history before.
func (b *bench) upTo() experiment {
	var trackers []*delivery.Tracker // one for each length of history
	return experiment{
		name: "upto",
		prepare: func(ctx context.Context) error {
			for _, history := range b.history {
				tracker, err := b.readBefore(ctx, history)
				if err != nil {
					return err
				}
				trackers = append(trackers, tracker)
			}
			return nil
		},
		round: func(ctx context.Context, _ int) error {
			waits := make([][]time.Duration, len(trackers))
			for range upToMarks {
				for i, tracker := range trackers {
					took, err := markNew(ctx, tracker, peer.Conversation(1))
					if err != nil {
						return err
					}
					waits[i] = append(waits[i], took)
				}
			}
			for i, history := range b.history {
				b.results.addWaits(upToName(history), waits[i])
			}
			return nil
		},
	}
}

// readBefore returns a tracker over one conversation whose messages the reader has marked.
func (b *bench) readBefore(ctx context.Context, history int) (*delivery.Tracker, error) {
	at, err := b.newPlace(ctx, peer.Ours(engines.Postgres), peer.Fixture{Messages: history, Conversations: 1, Recent: history})
	if err != nil {
		return nil, err
	}
	_, err = at.Pool.ExecContext(ctx, `insert into delivery_readers (conv, name, delivered_seq, read_seq) values (1, $1, $2, 0)`, upToReader, history)
	if err != nil {
		return nil, err
	}
	return peer.NewTracker(at.Env, nil)
}

// markNew sends some messages and returns how long it takes the reader to mark them at once.
func markNew(ctx context.Context, tracker *delivery.Tracker, conversation string) (time.Duration, error) {
	var last delivery.Message
	for range upToNew {
		var err error
		if last, err = tracker.Send(ctx, delivery.Draft{Conversation: conversation, Sender: peer.Sender, Body: peer.Body, Audience: delivery.Audience{Open: true}}); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	result, err := tracker.MarkUpTo(ctx, delivery.Actor{User: upToReader}, delivery.Delivered, delivery.MessageRef{Conversation: conversation, ID: last.ID})
	took := time.Since(began)
	if err == nil && result.Changed != upToNew {
		err = fmt.Errorf("%d messages were marked, want %d", result.Changed, upToNew)
	}
	return took, err
}
