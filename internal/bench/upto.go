package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/report"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/memstore"
)

func upToName(store string, history int) string {
	return fmt.Sprintf("UpTo/store=%s/history=%d", store, history)
}

const (
	upToReader = "reader"
	upToNew    = 10 // messages that are new to the reader at each mark
	upToMarks  = 20 // a round
)

// upTo measures how long a mark up to the newest message takes a reader who has long marked all of
// the history before.
func (b *bench) upTo() experiment {
	type conversation struct {
		name    string
		id      string
		tracker *delivery.Tracker
	}
	var conversations []conversation
	return experiment{
		name: "upto",
		prepare: func(ctx context.Context) error {
			for _, history := range b.history {
				tracker, err := b.readInPostgres(ctx, history)
				if err != nil {
					return err
				}
				conversations = append(conversations, conversation{upToName("postgres", history), peer.Conversation(1), tracker})
				if tracker, err = readInMemory(ctx, history); err != nil {
					return err
				}
				conversations = append(conversations, conversation{upToName("memory", history), peer.Conversation(1), tracker})
			}
			return nil
		},
		round: func(ctx context.Context, _ int) error {
			waits := make([][]time.Duration, len(conversations))
			for range upToMarks {
				for i, c := range conversations {
					took, err := markNew(ctx, c.tracker, c.id)
					if err != nil {
						return fmt.Errorf("%s: %w", c.name, err)
					}
					waits[i] = append(waits[i], took)
				}
			}
			for i, c := range conversations {
				slices.Sort(waits[i])
				b.log.Add(c.name, report.Value{Unit: unitP50, Number: load.Quantile(waits[i], 0.5).Seconds()})
			}
			return nil
		},
	}
}

// readInPostgres returns a tracker over one conversation that the reader has been through.
func (b *bench) readInPostgres(ctx context.Context, history int) (*delivery.Tracker, error) {
	at, err := b.newPlace(ctx, peer.Ours(engines.Postgres), peer.Fixture{Messages: history, Conversations: 1, Recent: history})
	if err != nil {
		return nil, err
	}
	_, err = at.Pool.ExecContext(ctx, `insert into delivery_readers (conv, reader, delivered_seq, read_seq) values (1, $1, $2, 0)`, upToReader, history)
	if err != nil {
		return nil, err
	}
	return peer.NewTracker(at.Env, nil)
}

func readInMemory(ctx context.Context, history int) (*delivery.Tracker, error) {
	store := memstore.New()
	f := peer.Fixture{Messages: history, Conversations: 1, Recent: history}
	if err := fillStore(ctx, store, f); err != nil {
		return nil, err
	}
	tracker, err := newQuietTracker(store)
	if err != nil {
		return nil, err
	}
	_, err = tracker.MarkUpTo(ctx, delivery.Actor{User: upToReader}, delivery.Delivered, delivery.MessageRef{Conversation: peer.Conversation(1), ID: peer.ID(history - 1)})
	return tracker, err
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
