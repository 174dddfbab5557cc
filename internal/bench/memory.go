package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/bench/load"
	"github.com/msgdelivery/delivery/internal/bench/peer"
	"github.com/msgdelivery/delivery/internal/bench/report"
	"github.com/msgdelivery/delivery/memstore"
)

// memoryName names a way to mark in memory.
func memoryName(way string) string { return "Memory/way=" + way }

const (
	memoryFootprint = "Memory/footprint"

	unitPerMessage = "B/message"
	unitPerReceipt = "B/receipt"
	unitAllocs     = "allocs/repeated-mark"

	memoryBatch   = 250
	memoryCallers = 256
)

// The ways to mark in memory: batches and single marks handed to the store itself, and to a Tracker by many callers.
const (
	wayStore    = "store-batches"
	wayStoreOne = "store-single"
	wayMark     = "tracker-batches"
	waySingle   = "tracker-single"
)

var memoryWays = []string{wayStore, wayStoreOne, wayMark, waySingle}

// memory measures memstore: marks a second by as many goroutines as there are processors, bytes, and allocations.
func (b *bench) memory() experiment {
	return experiment{
		name:    "memory",
		prepare: func(context.Context) error { return nil },
		round: func(ctx context.Context, _ int) error {
			if err := b.footprint(ctx); err != nil {
				return err
			}
			for _, way := range memoryWays {
				if err := b.memoryCell(ctx, way); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

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
	return delivery.New(store, nobody, &delivery.Options{Logger: peer.Quiet})
}

func (b *bench) memoryCell(ctx context.Context, way string) error {
	f := peer.Fixture{Messages: b.messages, Conversations: b.messages / 100, Recent: b.messages}
	store := memstore.New()
	if err := fillStore(ctx, store, f); err != nil {
		return err
	}
	tracker, err := newQuietTracker(store)
	if err != nil {
		return err
	}
	defer peer.Relay(tracker)()

	// What is handed in is made before, so that it is not measured.
	const calls = 2000
	callers, perCall, do := runtime.GOMAXPROCS(0), memoryBatch, func(context.Context, int) error { return nil }
	switch way {
	case wayStore:
		batches := make([][]delivery.Mark, calls)
		for i := range batches {
			for k := range memoryBatch {
				m := f.Marked(i*memoryBatch + k)
				batches[i] = append(batches[i], delivery.Mark{Message: m.ID(), User: m.User, Socket: m.Socket, Status: delivery.Delivered, At: time.Now(), Admitted: true})
			}
		}
		do = func(ctx context.Context, i int) error {
			lease := delivery.Lease{Token: int64(i) + 1, For: time.Minute}
			_, claimed, err := store.Advance(ctx, batches[i], lease)
			if err != nil {
				return err
			}
			settlements := make([]delivery.Settlement, len(claimed))
			for i, c := range claimed {
				settlements[i] = delivery.Settlement{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.Done}
			}
			_, err = store.Settle(ctx, settlements)
			return err
		}
	case wayStoreOne:
		marks := make([]delivery.Mark, calls*memoryBatch)
		for i := range marks {
			m := f.Marked(i)
			marks[i] = delivery.Mark{Message: m.ID(), User: m.User, Socket: m.Socket, Status: delivery.Delivered, At: time.Now(), Admitted: true}
		}
		perCall = 1
		do = func(ctx context.Context, i int) error {
			_, c, err := store.AdvanceOne(ctx, marks[i], delivery.Lease{Token: int64(i) + 1, For: time.Minute})
			if err == nil {
				_, err = store.Settle(ctx, []delivery.Settlement{{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.Done}})
			}
			return err
		}
	case wayMark:
		ids, actors := make([][]string, calls), make([]delivery.Actor, calls)
		for i := range ids {
			actors[i] = delivery.Actor{User: "batch-" + strconv.Itoa(i), Socket: fmt.Sprintf("1.%d", i+1)}
			for k := range memoryBatch {
				ids[i] = append(ids[i], f.Marked(i*memoryBatch+k).ID())
			}
		}
		do = func(ctx context.Context, i int) error {
			_, err := tracker.Mark(ctx, actors[i], delivery.Delivered, ids[i]...)
			return err
		}
	case waySingle:
		marks := make([]peer.Marked, calls*memoryBatch)
		ids := make([]string, len(marks))
		for i := range marks {
			marks[i] = f.Marked(i)
			ids[i] = marks[i].ID()
		}
		callers, perCall = memoryCallers, 1
		do = func(ctx context.Context, i int) error {
			_, err := tracker.MarkDelivered(ctx, ids[i], delivery.Actor{User: marks[i].User, Socket: marks[i].Socket})
			return err
		}
	}
	runtime.GC()
	var next atomic.Int64
	done, err := load.Run(ctx, callers, load.Limit{Calls: calls * memoryBatch / perCall, For: 4 * b.turn}, &next, do)
	if err != nil {
		return err
	}
	b.log.Add(memoryName(way), report.Value{Unit: unitMarks, Number: done.Rate() * float64(perCall)})
	return nil
}

// footprint measures what a message and a receipt take, and what a repeated mark allocates.
func (b *bench) footprint(ctx context.Context) error {
	f := peer.Fixture{Messages: b.messages, Conversations: b.messages / 100, Recent: b.messages}
	store := memstore.New()
	empty := heap()
	if err := fillStore(ctx, store, f); err != nil {
		return err
	}
	filled := heap()
	marks := make([]delivery.Mark, f.Messages)
	for i := range marks {
		m := f.Marked(i)
		marks[i] = delivery.Mark{Message: m.ID(), User: m.User, Status: delivery.Delivered, At: time.Now(), Admitted: true}
	}
	before := heap()
	for at := 0; at < len(marks); at += memoryBatch {
		lease := delivery.Lease{Token: int64(at) + 1, For: time.Minute}
		_, claimed, err := store.Advance(ctx, marks[at:min(at+memoryBatch, len(marks))], lease)
		if err != nil {
			return err
		}
		for _, c := range claimed {
			if _, err := store.Settle(ctx, []delivery.Settlement{{ID: c.Event.ID, Lease: c.Lease, Outcome: delivery.Done}}); err != nil {
				return err
			}
		}
	}
	marked := heap()

	tracker, err := newQuietTracker(store)
	if err != nil {
		return err
	}
	repeated := marks[0]
	actor := delivery.Actor{User: repeated.User}
	perTracker := testing.AllocsPerRun(1000, func() {
		_, err = tracker.MarkDelivered(ctx, repeated.Message, actor)
	})
	if err != nil {
		return err
	}
	perStore := testing.AllocsPerRun(1000, func() {
		_, _, err = store.AdvanceOne(ctx, repeated, delivery.Lease{})
	})
	if err != nil {
		return err
	}
	b.log.Add(memoryFootprint,
		report.Value{Unit: unitPerMessage, Number: float64(filled-empty) / float64(f.Messages)},
		report.Value{Unit: unitPerReceipt, Number: float64(marked-before) / float64(len(marks))},
		report.Value{Unit: unitAllocs, Number: perTracker},
	)
	b.log.Add(memoryName(wayStore), report.Value{Unit: unitAllocs, Number: perStore})
	runtime.KeepAlive(store)
	return nil
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
