package main

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestARatioIsOfTheSameRounds(t *testing.T) {
	r := newResults()
	for _, v := range []float64{100, 200, 400} {
		r.add("a", values{"marks/s": 3 * v})
		r.add("b", values{"marks/s": v})
	}
	if center, shown := r.ratio("a", "b", "marks/s"); center != 3 || !strings.HasPrefix(shown, "3× ") {
		t.Errorf("the ratio is %v, shown as %q", center, shown)
	}
	if center, shown := r.ratio("a", "c", "marks/s"); !math.IsNaN(center) || shown != "" {
		t.Errorf("the ratio to what was not measured is %v, shown as %q", center, shown)
	}
}

func TestTheConfidenceIntervalNeedsSixRounds(t *testing.T) {
	rounds := []float64{100, 101, 99, 100, 102, 98}
	if _, shown := median(rounds[:5], count); shown != "100" {
		t.Errorf("after 5 rounds the median is %q", shown)
	}
	if _, shown := median(rounds, count); shown != "100 (98–102)" {
		t.Errorf("after 6 rounds the median is %q", shown)
	}
}

func TestNumbersHaveThreeDigitsAndAUnit(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(7), "7"}, {count(999), "999"}, {count(10_000), "10k"}, {count(12_345), "12.3k"}, {count(1e6), "1M"},
		{seconds(2.5e-7), "250 ns"}, {seconds(1.234e-3), "1.23 ms"}, {seconds(4.1), "4.1 s"}, {times(0.333), "0.333×"}, {percent(0.005), "0.5 %"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTheShareOfLongWaitsLeavesOutThoseAtTheLimit(t *testing.T) {
	r := newResults()
	r.addWaits("a", []time.Duration{3, 1})
	r.addWaits("a", []time.Duration{2, 4})
	if got := r.shareOver("a", 2); got != 0.5 {
		t.Errorf("%v waited longer than 2, want half", got)
	}
}

func TestResultsAreInTheFormatOfGoBenchmarks(t *testing.T) {
	r := newResults()
	r.add("Stored/peer=ours", values{"marks/s": 10})
	r.add("Stored/peer=ours", values{"marks/s": 20})
	var b strings.Builder
	if err := r.write(&b, []string{"cpu: fast"}); err != nil {
		t.Fatal(err)
	}
	if want := "cpu: fast\nBenchmarkStored/peer=ours 1 10 marks/s\nBenchmarkStored/peer=ours 1 20 marks/s\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
