package speed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
)

// crowdTracker returns a tracker over an engine with a pool of 16 connections.
func crowdTracker(b *testing.B, engine engines.Engine) *delivery.Tracker {
	db := engine.Open(b)
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	stores.Migrate(b, engine, db)
	return stores.Tracker(b, stores.Open(b, engine, db))
}

// BenchmarkManyReaders has 1,500 readers mark a room of 5 messages at once, up to the last one, and
// meanwhile messages sent elsewhere, one after another. It reports how long all readers took and
// the 95th percentile of the sends.
func BenchmarkManyReaders(b *testing.B) {
	const readers, messages = 1500, 5
	for _, engine := range engines.All {
		b.Run("store="+engine.Name, func(b *testing.B) {
			tracker := crowdTracker(b, engine)
			var sends []time.Duration
			room := 0
			for b.Loop() {
				b.StopTimer()
				room++
				conversation := fmt.Sprint("room", room)
				var last string
				for i := range messages {
					last = fmt.Sprint(conversation, ".", i)
					if _, err := tracker.Send(b.Context(), delivery.Draft{ID: last, Conversation: conversation, Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
						b.Fatal(err)
					}
				}
				var all, sender sync.WaitGroup
				var done atomic.Bool
				b.StartTimer()
				for i := range readers {
					all.Go(func() {
						r, err := tracker.MarkUpTo(b.Context(), delivery.Actor{User: fmt.Sprint("u", i)}, delivery.Read, delivery.MessageRef{Conversation: conversation, ID: last})
						if err != nil || r.Changed != messages {
							b.Errorf("%+v, %v", r, err)
						}
					})
				}
				sender.Go(func() {
					for i := 0; !done.Load(); i++ {
						began := time.Now()
						if _, err := tracker.Send(b.Context(), delivery.Draft{Conversation: fmt.Sprint("elsewhere", i%100), Sender: fmt.Sprint("s", i%10), Audience: delivery.Audience{Open: true}}); err != nil {
							b.Error(err)
						}
						sends = append(sends, time.Since(began))
					}
				})
				all.Wait()
				b.StopTimer()
				done.Store(true)
				sender.Wait()
				b.StartTimer()
			}
			slices.Sort(sends)
			b.ReportMetric(float64(sends[len(sends)*95/100].Microseconds())/1000, "p95-send-ms")
			b.ReportMetric(float64(len(sends))/float64(b.N), "sends/op")
		})
	}
}

// BenchmarkMarkBesideHeavyCalls times one user's marks, alone and beside 32 users who mark 500
// messages in each call. "beside-x" is how much longer they take, at the median. It is to be at
// most 5.
func BenchmarkMarkBesideHeavyCalls(b *testing.B) {
	for _, engine := range engines.All {
		b.Run("store="+engine.Name, func(b *testing.B) {
			bob := newMarker(b, crowdTracker(b, engine), 2*block*b.N)
			var ids []string
			for i := range 5000 {
				ids = append(ids, fmt.Sprint("m", i))
			}
			var senders sync.WaitGroup
			for part := range slices.Chunk(ids, 100) {
				senders.Go(func() {
					for i, id := range part {
						bob.send(id, fmt.Sprint("c", i))
					}
				})
			}
			senders.Wait()
			var alone, beside []time.Duration
			var calls [callers]int
			b.ResetTimer()
			for range b.N {
				alone = append(alone, bob.mark())
				p50, _ := bob.markBeside(0, func(ctx context.Context, i int) error {
					n := calls[i]
					calls[i]++
					actor := delivery.Actor{User: fmt.Sprintf("heavy%d.%d", i, n/10)}
					at := n % 10 * delivery.MaxBatch
					_, err := bob.tracker.Mark(ctx, actor, delivery.Read, ids[at:at+delivery.MaxBatch]...)
					return err
				})
				beside = append(beside, p50)
			}
			b.StopTimer()
			report(b, alone, "beside", beside)
		})
	}
}
