package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/perf/benchfmt"
	"golang.org/x/perf/benchmath"
	"golang.org/x/perf/benchunit"

	"github.com/msgdelivery/delivery/internal/bench/load"
)

// results holds measurements under names of the form of Go's benchmarks,
// "Stored/peer=ours/callers=16". Each round gives a name one more value in each unit.
type results struct {
	names  []string
	values map[string]map[string][]float64 // by name and unit
	waits  map[string][]time.Duration      // by name, of all rounds, sorted
}

func newResults() *results {
	return &results{values: map[string]map[string][]float64{}, waits: map[string][]time.Duration{}}
}

// values are measurements by unit.
type values map[string]float64

// add keeps measurements of a round. Values that are not numbers are left out.
func (r *results) add(name string, measured values) {
	units, known := r.values[name]
	if !known {
		r.names = append(r.names, name)
		units = map[string][]float64{}
		r.values[name] = units
	}
	for unit, v := range measured {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			units[unit] = append(units[unit], v)
		}
	}
}

// addWaits keeps how long single operations of a round took, for quantiles over all rounds.
func (r *results) addWaits(name string, waits []time.Duration) {
	slices.Sort(waits)
	r.add(name, values{unitP50: load.Quantile(waits, 0.5).Seconds(), unitP99: load.Quantile(waits, 0.99).Seconds()})
	r.waits[name] = slices.Sorted(slices.Values(slices.Concat(r.waits[name], waits)))
}

// shareOver returns the share of all waits that were longer than a limit.
func (r *results) shareOver(name string, limit time.Duration) float64 {
	waits := r.waits[name]
	i, _ := slices.BinarySearchFunc(waits, limit+1, cmp.Compare)
	return float64(len(waits)-i) / float64(len(waits))
}

// write writes all values in the format of Go's benchmarks, which benchstat reads, below lines that
// describe the machine and the software.
func (r *results) write(w io.Writer, setting []string) error {
	if _, err := fmt.Fprintln(w, strings.Join(setting, "\n")); err != nil {
		return err
	}
	writer := benchfmt.NewWriter(w)
	for _, name := range r.names {
		units := slices.Sorted(maps.Keys(r.values[name]))
		for round := 0; ; round++ {
			result := &benchfmt.Result{Name: benchfmt.Name(name), Iters: 1}
			for _, unit := range units {
				if values := r.values[name][unit]; round < len(values) {
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

func sample(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}

// median returns the median of all rounds, NaN if there are none, and shows it with its confidence
// interval, as benchstat does.
func median(values []float64, format func(float64) string) (center float64, shown string) {
	if len(values) == 0 {
		return math.NaN(), ""
	}
	s := benchmath.AssumeNothing.Summary(sample(values), 0.95)
	if math.IsInf(s.Lo, 0) || math.IsInf(s.Hi, 0) || s.Lo == s.Hi {
		return s.Center, format(s.Center)
	}
	return s.Center, fmt.Sprintf("%s (%s–%s)", format(s.Center), format(s.Lo), format(s.Hi))
}

// ratio compares two names round by round, since rounds differ more than the turns within one. It
// returns NaN and "" if one of them was not measured.
func (r *results) ratio(name, base, unit string) (center float64, shown string) {
	a, b := r.values[name][unit], r.values[base][unit]
	n := min(len(a), len(b))
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = a[i] / b[i]
	}
	center, shown = median(ratios, times)
	if n > 0 {
		shown += " " + benchmath.AssumeNothing.Compare(sample(a), sample(b)).String()
	}
	return center, shown
}

// count shows "12.3k".
func count(v float64) string {
	if math.Abs(v) < 1000 {
		return fmt.Sprintf("%.3g", v)
	}
	scaler := benchunit.CommonScale([]float64{v}, benchunit.Decimal)
	return fmt.Sprintf("%.3g%s", v/scaler.Factor, scaler.Prefix)
}

// seconds shows "1.23 ms".
func seconds(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}} {
		if v >= unit.size {
			return fmt.Sprintf("%.3g %s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ns", v*1e9)
}

// times shows "3.1×".
func times(v float64) string { return fmt.Sprintf("%.3g×", v) }

// percent shows "0.5 %" of a share.
func percent(v float64) string { return fmt.Sprintf("%.2g %%", 100*v) }
