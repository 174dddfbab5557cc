package observer

import (
	"cmp"
	"math"
	"slices"
	"testing"
)

// mannWhitney returns the U of the first sample, and the probability of an U at least as far from
// its mean if both samples come from the same distribution: two-sided, by the normal approximation,
// with corrections for ties and continuity. It is meant for samples of 20 values and more.
func mannWhitney(a, b []float64) (u, p float64) {
	type value struct {
		of float64
		a  bool
	}
	var values []value
	for _, v := range a {
		values = append(values, value{v, true})
	}
	for _, v := range b {
		values = append(values, value{v, false})
	}
	slices.SortFunc(values, func(x, y value) int { return cmp.Compare(x.of, y.of) })
	ranks, ties := 0.0, 0.0
	for i := 0; i < len(values); {
		end := i
		for end < len(values) && values[end].of == values[i].of {
			end++
		}
		tied := float64(end - i)
		ties += tied*tied*tied - tied
		for ; i < end; i++ {
			if values[i].a {
				ranks += float64(end) - (tied-1)/2
			}
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u = ranks - n*(n+1)/2
	deviation := math.Sqrt(n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1))))
	z := max(0, math.Abs(u-n*m/2)-0.5) / deviation
	return u, math.Erfc(z / math.Sqrt2)
}

func TestMannWhitneyGivesKnownValues(t *testing.T) {
	for _, test := range []struct {
		name string
		a, b []float64
		u, p float64
	}{
		{"ages of men and women, from SciPy's manual", []float64{19, 22, 16, 29, 24}, []float64{20, 11, 17, 12}, 17, 0.11134688653314041},
		{"permeability of placentas, from Hollander and Wolfe", []float64{0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}, []float64{1.15, 0.88, 0.90, 0.74, 1.21}, 35, 0.24463},
		{"with ties", []float64{1, 2, 2, 3}, []float64{2, 3, 4, 5}, 2.5, 0.13666},
		{"the same", []float64{1, 2, 3}, []float64{1, 2, 3}, 4.5, 1},
	} {
		if u, p := mannWhitney(test.a, test.b); u != test.u || math.Abs(p-test.p) > 1e-5 {
			t.Errorf("%s: U is %v and p %v, want %v and %v", test.name, u, p, test.u, test.p)
		}
	}
}
