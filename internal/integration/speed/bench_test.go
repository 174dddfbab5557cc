package speed

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/memstore"
	"github.com/msgdelivery/delivery/sqlstore"
)

// The baseline: what a Tracker does a second over each store, with so many callers at once. Marks
// and sends are timed to their commit; nothing is published.

func BenchmarkSend(b *testing.B) {
	eachStore(b, func(b *testing.B, tracker *delivery.Tracker, callers int) {
		parallel(b, callers, func(ctx context.Context, i int) error {
			_, err := tracker.Send(ctx, delivery.Draft{Conversation: fmt.Sprint("c", i%100), Sender: "alice", Body: "Hello!", Audience: delivery.Audience{Recipients: []string{"bob"}}})
			return err
		})
	})
}

func BenchmarkMarkDelivered(b *testing.B) {
	eachStore(b, func(b *testing.B, tracker *delivery.Tracker, callers int) {
		const perMessage = 50 // recipients, so that preparing takes less time than what is measured
		recipients := make([]string, perMessage)
		for i := range recipients {
			recipients[i] = fmt.Sprint("u", i)
		}
		ids := make([]string, b.N/perMessage+1)
		parallel(b, 64, func(ctx context.Context, i int) error {
			if i >= len(ids) {
				return nil
			}
			ids[i] = fmt.Sprint("m", i)
			_, err := tracker.Send(ctx, delivery.Draft{ID: ids[i], Conversation: fmt.Sprint("c", i%100), Sender: "alice", Audience: delivery.Audience{Recipients: recipients}})
			return err
		})
		b.ResetTimer()
		parallel(b, callers, func(ctx context.Context, i int) error {
			_, err := tracker.MarkDelivered(ctx, delivery.Actor{User: recipients[i%perMessage]}, ids[i/perMessage])
			return err
		})
	})
}

func eachStore(b *testing.B, run func(b *testing.B, tracker *delivery.Tracker, callers int)) {
	for _, callers := range []int{1, 16, 256} {
		suffix := fmt.Sprintf("callers=%d", callers)
		b.Run("store=memory/"+suffix, func(b *testing.B) {
			run(b, stores.Tracker(b, memstore.New()), callers)
		})
		for _, engine := range engines.All {
			b.Run("store="+engine.Name+"/"+suffix, func(b *testing.B) {
				db, dialect := engine.Open(b), stores.Dialects[engine.Kind]
				db.SetMaxIdleConns(32)
				if err := sqlstore.Migrate(b.Context(), db, dialect); err != nil {
					b.Fatal(err)
				}
				store, err := sqlstore.New(db, dialect)
				if err != nil {
					b.Fatal(err)
				}
				run(b, stores.Tracker(b, store), callers)
			})
		}
	}
}

// parallel calls do for each of 0 to b.N-1 from so many goroutines.
func parallel(b *testing.B, callers int, do func(ctx context.Context, i int) error) {
	b.ReportAllocs()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(callers, b.N) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
				if err := do(b.Context(), i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
