// Package report keeps measurements and shows them: as Markdown, as charts, and in the format of
// Go's benchmarks.
package report

import (
	"cmp"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"

	"github.com/msgdelivery/delivery/internal/bench/load"
)

// Log holds measurements under names of the form of Go's benchmarks, "Commit/peer=ours/callers=16",
// in the order of their coming. A measurement that is made again, in another round, gives its name
// a second value.
type Log struct {
	names  []string
	values map[string]map[string][]float64 // by name and unit
	waits  map[string][]time.Duration      // by name, of all rounds
}

// NewLog returns an empty log.
func NewLog() *Log {
	return &Log{values: map[string]map[string][]float64{}, waits: map[string][]time.Duration{}}
}

// Value is a number in a unit.
type Value struct {
	Unit   string
	Number float64
}

// Add notes a measurement. Values that are not numbers are left out.
func (l *Log) Add(name string, values ...Value) {
	units, known := l.values[name]
	if !known {
		l.names = append(l.names, name)
		units = map[string][]float64{}
		l.values[name] = units
	}
	for _, v := range values {
		if !math.IsNaN(v.Number) && !math.IsInf(v.Number, 0) {
			units[v.Unit] = append(units[v.Unit], v.Number)
		}
	}
}

// AddWaits notes how long single things took, for quantiles over all rounds.
func (l *Log) AddWaits(name string, waits []time.Duration) {
	l.Add(name)
	l.waits[name] = slices.Sorted(slices.Values(slices.Concat(l.waits[name], waits)))
}

// Wait returns what a share q of all waits did not exceed, and whether there are any.
func (l *Log) Wait(name string, q float64) (time.Duration, bool) {
	return load.Quantile(l.waits[name], q), len(l.waits[name]) > 0
}

// ShareOver returns the share of all waits that were longer than a limit.
func (l *Log) ShareOver(name string, limit time.Duration) float64 {
	waits := l.waits[name]
	i, _ := slices.BinarySearchFunc(waits, limit, func(w, limit time.Duration) int { return cmp.Compare(w, limit+1) })
	return float64(len(waits)-i) / float64(len(waits))
}

// Values returns the values of all rounds.
func (l *Log) Values(name, unit string) []float64 { return l.values[name][unit] }

const confidence = 0.95

// Summary returns the median of all rounds with its confidence interval, and whether there is one.
func Summary(values []float64) (benchmath.Summary, bool) {
	if len(values) == 0 {
		return benchmath.Summary{}, false
	}
	sample := benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
	return benchmath.AssumeNothing.Summary(sample, confidence), true
}

// Ratio compares two names, round by round, since rounds differ more than what is measured in the
// same minute.
func (l *Log) Ratio(name, base, unit string) Ratio {
	a, b := l.Values(name, unit), l.Values(base, unit)
	n := min(len(a), len(b))
	var r Ratio
	for i := range n {
		if b[i] != 0 {
			r.Rounds = append(r.Rounds, a[i]/b[i])
		}
	}
	if n > 0 {
		sample := func(v []float64) *benchmath.Sample {
			return benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds)
		}
		r.Compared = benchmath.AssumeNothing.Compare(sample(a), sample(b))
	}
	return r
}

// Ratio is how one thing compares to another.
type Ratio struct {
	Rounds   []float64            // in each round
	Compared benchmath.Comparison // whether they differ at all
}

// WriteRaw writes all values in the format of Go's benchmarks, which benchstat reads.
func (l *Log) WriteRaw(w io.Writer) error {
	writer := benchfmt.NewWriter(w)
	for _, name := range l.names {
		units := slices.Sorted(maps.Keys(l.values[name]))
		for round := 0; ; round++ {
			result := &benchfmt.Result{Name: benchfmt.Name(name), Iters: 1}
			for _, unit := range units {
				if values := l.values[name][unit]; round < len(values) {
					result.Values = append(result.Values, benchfmt.Value{Value: values[round], Unit: unit})
				}
			}
			if len(result.Values) == 0 {
				break
			}
			if err := writer.Write(result); err != nil {
				return err
			}
		}
	}
	return nil
}
