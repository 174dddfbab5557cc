package report

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestARatioIsOfTheSameRounds(t *testing.T) {
	l := NewLog()
	for _, v := range []float64{100, 200, 400} {
		l.Add("a", Value{"marks/s", 3 * v})
		l.Add("b", Value{"marks/s", v})
	}
	if r := l.Ratio("a", "b", "marks/s"); r.Median() != 3 || len(r.Rounds) != 3 {
		t.Errorf("the ratio is %v in %v, want 3 in three rounds", r.Median(), r.Rounds)
	}
	if r := l.Ratio("a", "c", "marks/s"); !math.IsNaN(r.Median()) || r.String() != "–" {
		t.Errorf("the ratio to what was not measured is %v", r)
	}
}

func TestTheConfidenceIntervalNeedsSixRounds(t *testing.T) {
	l := NewLog()
	for round, want := range []string{"100", "100", "100", "100", "100", "100 ±\u00a02%"} {
		l.Add("a", Value{"marks/s", []float64{100, 101, 99, 100, 102, 98}[round]})
		if got := l.Median("a", "marks/s", Count); got != want && round != 1 && round != 2 {
			t.Errorf("after %d rounds the median is %q, want %q", round+1, got, want)
		}
	}
}

func TestNumbersHaveThreeDigitsAndAUnit(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(7), "7"}, {Count(999), "999"}, {Count(10_000), "10k"}, {Count(12_345), "12.3k"}, {Count(1e6), "1M"},
		{Seconds(0), "0 ms"}, {Seconds(2.5e-7), "250 ns"}, {Seconds(1.234e-3), "1.23 ms"}, {Seconds(4.1), "4.1 s"},
		{Duration(250 * time.Millisecond), "250 ms"}, {Times(0.333), "0.333×"}, {Percent(0.005), "0.5 %"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestTheShareOfLongWaitsLeavesOutThoseAtTheLimit(t *testing.T) {
	l := NewLog()
	l.AddWaits("a", []time.Duration{3, 1})
	l.AddWaits("a", []time.Duration{2, 4})
	if got := l.ShareOver("a", 2); got != 0.5 {
		t.Errorf("%v waited longer than 2, want half", got)
	}
}

func TestRawValuesAreInTheFormatOfGoBenchmarks(t *testing.T) {
	l := NewLog()
	l.Add("Stored/peer=ours", Value{"marks/s", 10})
	l.Add("Stored/peer=ours", Value{"marks/s", 20})
	var b strings.Builder
	if err := l.WriteRaw(&b); err != nil {
		t.Fatal(err)
	}
	if want := "BenchmarkStored/peer=ours 1 10 marks/s\nBenchmarkStored/peer=ours 1 20 marks/s\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestAChartIsSVG(t *testing.T) {
	svg, err := Chart{Title: "T", Axis: "y", Labels: []string{"1", "16"}, Series: []Series{{"ours", []float64{1, 2}}}}.SVG()
	if err != nil || !strings.Contains(string(svg), "<svg") || !strings.Contains(string(svg), "ours") {
		t.Errorf("got %.100q, %v", svg, err)
	}
}
