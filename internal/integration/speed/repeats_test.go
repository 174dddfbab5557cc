package speed

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/integration/engines"
	"github.com/msgdelivery/delivery/internal/integration/stores"
	"github.com/msgdelivery/delivery/memstore"
)

// BenchmarkMarkBesideRepeats times one user's marks beside 32 callers who name one message 500
// times in each call, as fast as they can: all of them one user, or each another. "beside-x" is how
// much longer the user's marks take than alone, at the median. It is to be at most 3.
//
// "elsewhere-x" says how much of that is due to processors alone, which the callers take part of in
// any case. There the same calls come as often, but to another tracker, whose store is memory. The
// three kinds of blocks of marks take turns, so that a ratio compares what was measured within a
// second or two.
func BenchmarkMarkBesideRepeats(b *testing.B) {
	for _, engine := range engines.All {
		for _, crowd := range []struct {
			name  string
			users int
		}{{"one user", 1}, {"32 users", callers}} {
			b.Run("store="+engine.Name+"/beside="+crowd.name, func(b *testing.B) {
				bob := newMarker(b, crowdTracker(b, engine), 3*block*b.N)
				bob.send("m", "c")
				elsewhere := &marker{b: b, tracker: stores.Tracker(b, memstore.New())}
				elsewhere.send("m", "c")
				ids := slices.Repeat([]string{"m"}, delivery.MaxBatch)
				repeat := func(tracker *delivery.Tracker) func(context.Context, int) error {
					return func(ctx context.Context, i int) error {
						actor := delivery.Actor{User: fmt.Sprint("mallory", i%crowd.users), Socket: fmt.Sprint("1.", i)}
						_, err := tracker.Mark(ctx, actor, delivery.Read, ids...)
						return err
					}
				}
				var alone, beside, reference []time.Duration
				b.ResetTimer()
				for range b.N {
					alone = append(alone, bob.mark())
					p50, interval := bob.markBeside(0, repeat(bob.tracker))
					beside = append(beside, p50)
					p50, _ = bob.markBeside(interval, repeat(elsewhere.tracker))
					reference = append(reference, p50)
				}
				b.StopTimer()
				report(b, alone, "beside", beside)
				report(b, alone, "elsewhere", reference)
			})
		}
	}
}
