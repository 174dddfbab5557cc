package delivery

import (
	"context"
	"fmt"
	"iter"
)

// Drift is a message whose counters are not what its receipts say.
type Drift struct {
	Message         string
	Conversation    string
	Stored, Counted Tally // Status, Delivered, Read and Failed alone
	NoRoster        bool  // the set of its recipients is not there
}

// Verify counts the receipts of all messages again, and yields each message whose counters differ.
// No counter should differ, but a restored backup or another program's statements can cause it.
// Verify changes nothing. Each step reads up to 500 messages of one conversation at one moment. If
// Verify fails, it yields the error with a zero Drift, and the iteration ends.
//
// Verify needs a [Keeper]; with any other store the error is [errors.ErrUnsupported].
func (t *Tracker) Verify(ctx context.Context) iter.Seq2[Drift, error] {
	return func(yield func(Drift, error) bool) {
		keeper, err := keeperOf(t.store)
		if err != nil {
			yield(Drift{}, err)
			return
		}
		for after, more := "", true; more; {
			conversations, err := keeper.Conversations(ctx, after, MaxBatch)
			for _, c := range conversations {
				after = c
				for v := (Verification{More: true}); v.More && err == nil; {
					v, err = keeper.Verify(ctx, c, v.Last, MaxBatch)
					for _, d := range v.Drifts {
						if !yield(d, nil) {
							return
						}
					}
				}
			}
			if err != nil {
				yield(Drift{}, fmt.Errorf("delivery: verifying: %w", err))
				return
			}
			more = len(conversations) == MaxBatch
		}
	}
}
