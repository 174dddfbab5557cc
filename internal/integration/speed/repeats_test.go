package speed

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
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
				markBeside(b, crowdTracker(b, engine), crowd.users)
			})
		}
	}
}

func markBeside(b *testing.B, tracker *delivery.Tracker, users int) {
	for i := range b.N + 1 {
		if _, err := tracker.Send(b.Context(), delivery.Draft{
			ID: fmt.Sprint("m", i), Conversation: fmt.Sprint("c", i%100), Sender: "alice", Audience: delivery.Audience{Open: true},
		}); err != nil {
			b.Fatal(err)
		}
	}
	callers := 0
	if users > 0 {
		callers = 32
	}
	ids := slices.Repeat([]string{fmt.Sprint("m", b.N)}, delivery.MaxBatch)
	timeMarks(b, tracker, "m", callers, func(ctx context.Context, i, _ int) error {
		actor := delivery.Actor{User: fmt.Sprint("mallory", i%users), Socket: fmt.Sprint("1.", i)}
		_, err := tracker.Mark(ctx, actor, delivery.Read, ids...)
		return err
	})
}

// timeMarks times bob's marks of messages, one after another, while others call as often as they
// can, each with its number and that of the call.
func timeMarks(b *testing.B, tracker *delivery.Tracker, message string, callers int, call func(ctx context.Context, i, n int) error) {
	ctx, cancel := context.WithCancel(b.Context())
	var crowd sync.WaitGroup
	for i := range callers {
		crowd.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := call(ctx, i, n); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	took := make([]time.Duration, b.N)
	b.ResetTimer()
	for i := range took {
		began := time.Now()
		if _, err := tracker.MarkRead(b.Context(), delivery.Actor{User: "bob"}, fmt.Sprint(message, i)); err != nil {
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
