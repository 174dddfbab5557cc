package security

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/msgdelivery/delivery/internal/integration/engines"
)

var (
	full = flag.Bool("full", false, "make 100,000 forbidden calls on every engine")
	seed = flag.Uint64("seed", 0, "of the random calls; by default another one each time")
)

func TestMain(m *testing.M) { engines.Main(m) }

// newRandom returns a source whose seed is told if the test fails.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("again with -seed %d", s)
		}
	})
	return rand.New(rand.NewPCG(s, 0))
}
