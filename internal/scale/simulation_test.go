package scale_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/scale"
)

// TestTheSimulationComesNearTheRun compares callers who mark without a pause with those of the
// benchmark, whose table is in docs/internals/benchmarks.md. The simulation knows no checkpoints
// and no garbage collection, and marks of few callers never wait for them there.
func TestTheSimulationComesNearTheRun(t *testing.T) {
	text, err := os.ReadFile(root + "/docs/internals/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "### Marks to the commit\n")
	for _, callers := range []int{1, 16, 64, 256} {
		row := regexp.MustCompile(`(?m)^\| ours \| ` + strconv.Itoa(callers) + ` \| ([0-9.]+)k ±.*? \| ([0-9.]+ [mµ]s) ±.*? \| ([0-9.]+ [mµ]s) ±`).FindStringSubmatch(table)
		if row == nil {
			t.Fatalf("the table has no row of %d callers", callers)
		}
		rate, err := strconv.ParseFloat(row[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		was, wait := scale.Measured().Closed(callers, 50_000), func(text string) time.Duration {
			d, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		for what, ratio := range map[string]struct{ is, least, most float64 }{
			"rate": {was.Rate / (1000 * rate), 0.85, 1.4},
			"p50":  {float64(was.P50) / float64(wait(row[2])), 0.75, 1.2},
			"p99":  {float64(was.P99) / float64(wait(row[3])), 0.35, 1.1},
		} {
			if ratio.is < ratio.least || ratio.is > ratio.most {
				t.Errorf("%d callers: the %s is %.2f× what was measured, not %v to %v", callers, what, ratio.is, ratio.least, ratio.most)
			}
			t.Logf("%d callers: the %s is %.2f× what was measured", callers, what, ratio.is)
		}
	}
}

func TestSimulation(t *testing.T) {
	m := scale.Machine{
		Processors: 2, Batch: time.Millisecond, Mark: 100 * time.Microsecond, Answer: 10 * time.Microsecond, Writers: 2, Crowd: 4, Most: 500,
	}
	t.Run("a mark alone waits for its own batch and for nothing else", func(t *testing.T) {
		if got := m.Closed(1, 10); got.P50 != 1110*time.Microsecond || got.P99 != got.P50 {
			t.Errorf("it waits %v and %v", got.P50, got.P99)
		}
	})
	t.Run("marks that come while a batch is written share the next one", func(t *testing.T) {
		// The first caller's batch takes 1.1 ms, and that of the three others 1.3 ms.
		if got := m.Closed(4, 4); got.P99 != 2430*time.Microsecond {
			t.Errorf("the last waits %v", got.P99)
		}
	})
	t.Run("a crowd has two batches at a time", func(t *testing.T) {
		one, two := m, m
		one.Writers = 1
		if a, b := one.Closed(64, 10_000).Rate, two.Closed(64, 10_000).Rate; b < 1.1*a {
			t.Errorf("two writers make %.0f marks a second, and one makes %.0f", b, a)
		}
	})
	t.Run("no more is done than the processors can", func(t *testing.T) {
		for _, callers := range []int{16, 256, 4096} {
			if got := m.Closed(callers, 20_000).Rate; got > 2/(110e-6) {
				t.Errorf("%d callers make %.0f marks a second", callers, got)
			}
		}
	})
}
