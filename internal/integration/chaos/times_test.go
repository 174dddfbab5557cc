//go:build !race

package chaos

import (
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// timed says that limits of time hold. They are for a machine that does little else, so they do not
// with the race detector.
const timed = true

func TestChaosInTime(t *testing.T) { testScenarios(t, true) }

// The scenario of slow claims must notice when claims lock more than they take.
func TestMutantThatLocksGaps(t *testing.T) {
	t.Parallel()
	r := newRun(t, "mutant", engines.First(engines.MySQL), calm, seedOf(t), nil)
	r.Node.Mutant = locksGaps
	if v := dawdleOverClaims(r); time.Duration(v.MarkP99)*time.Microsecond < dawdle/2 {
		t.Errorf("no mark waited for a mutant: %s", locksGaps)
	}
}
