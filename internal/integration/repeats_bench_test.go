package integration

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/sqlstore"
)

// BenchmarkMarkBesideRepeats times one user's marks, alone and beside 32 callers who name one
// message 500 times in each call: all of them one user, or each another. The median beside them is
// to be at most 3 times the median alone.
func BenchmarkMarkBesideRepeats(b *testing.B) {
	for _, engine := range engines.All {
		for _, crowd := range []struct {
			name  string
			users int
		}{{"alone", 0}, {"beside=one user", 1}, {"beside=32 users", 32}} {
			b.Run("store="+engine.Name+"/"+crowd.name, func(b *testing.B) {
				db, dialect := engine.Open(b), dialects[engine.Kind]
				db.SetMaxIdleConns(32)
				if err := sqlstore.Migrate(b.Context(), db, dialect); err != nil {
					b.Fatal(err)
				}
				store, err := sqlstore.New(db, dialect)
				if err != nil {
					b.Fatal(err)
				}
				markBeside(b, newTracker(b, store), crowd.users)
			})
		}
	}
}

func markBeside(b *testing.B, tracker *delivery.Tracker, users int) {
	for i := range b.N + 1 {
		if _, err := tracker.Send(b.Context(), delivery.Draft{ID: fmt.Sprint("m", i), Conversation: fmt.Sprint("c", i%100), Sender: "alice", Audience: delivery.Audience{Open: true}}); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	var crowd sync.WaitGroup
	if users > 0 {
		ids := slices.Repeat([]string{fmt.Sprint("m", b.N)}, delivery.MaxBatch)
		for i := range 32 {
			actor := delivery.Actor{User: fmt.Sprint("mallory", i%users), Socket: fmt.Sprint("1.", i)}
			crowd.Go(func() {
				for ctx.Err() == nil {
					if _, err := tracker.Mark(ctx, actor, delivery.Read, ids...); err != nil && ctx.Err() == nil {
						b.Error(err)
						return
					}
				}
			})
		}
	}
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range took {
		began := time.Now()
		if _, err := tracker.MarkRead(b.Context(), delivery.Actor{User: "bob"}, fmt.Sprint("m", i)); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(began)
	}
	b.StopTimer()
	cancel()
	crowd.Wait()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
