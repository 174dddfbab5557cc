package report

import (
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/perf/benchunit"
)

// Format shows a number.
type Format func(float64) string

// Count shows "12.3k".
func Count(v float64) string {
	if math.Abs(v) < 1000 {
		return fmt.Sprintf("%.3g", v)
	}
	scaler := benchunit.CommonScale([]float64{v}, benchunit.Decimal)
	return fmt.Sprintf("%.3g%s", v/scaler.Factor, scaler.Prefix)
}

// Seconds shows "1.23 ms".
func Seconds(v float64) string {
	switch abs := math.Abs(v); {
	case abs == 0:
		return "0 ms"
	case abs < 1e-6:
		return fmt.Sprintf("%.3g ns", v*1e9)
	case abs < 1e-3:
		return fmt.Sprintf("%.3g µs", v*1e6)
	case abs < 1:
		return fmt.Sprintf("%.3g ms", v*1e3)
	}
	return fmt.Sprintf("%.3g s", v)
}

// Duration shows a duration as [Seconds] does.
func Duration(d time.Duration) string { return Seconds(d.Seconds()) }

// Times shows "3.1×".
func Times(v float64) string { return fmt.Sprintf("%.3g×", v) }

// Percent shows "0.5 %" of a share.
func Percent(v float64) string { return fmt.Sprintf("%.2g %%", 100*v) }

// Median shows the median of all rounds with its confidence interval, as benchstat does, or a dash
// if there is none.
func (l *Log) Median(name, unit string, format Format) string {
	s, ok := Summary(l.Values(name, unit))
	if !ok {
		return "–"
	}
	spread := strings.TrimSpace(s.PctRangeString())
	if spread == "" || strings.Contains(spread, "∞") || s.Lo == s.Hi {
		return format(s.Center)
	}
	return format(s.Center) + " ±\u00a0" + strings.TrimPrefix(spread, "±")
}

// String shows "3.1× (2.9–3.3)", the range being the confidence interval, or a dash.
func (r Ratio) String() string {
	s, ok := Summary(r.Rounds)
	switch {
	case !ok:
		return "–"
	case len(r.Rounds) == 1 || math.IsInf(s.Lo, 0) || math.IsInf(s.Hi, 0):
		return Times(s.Center)
	}
	return fmt.Sprintf("%s (%.3g–%.3g)", Times(s.Center), s.Lo, s.Hi)
}

// Median is the middle ratio, NaN if there is none.
func (r Ratio) Median() float64 {
	s, ok := Summary(r.Rounds)
	if !ok {
		return math.NaN()
	}
	return s.Center
}

// P shows how likely chance alone is to make such a difference: "p=0.002 n=6".
func (r Ratio) P() string {
	if len(r.Rounds) == 0 {
		return "–"
	}
	return r.Compared.String()
}

// Table is a table in Markdown.
type Table struct {
	head []string
	rows [][]string
}

// NewTable returns a table with this head and no rows.
func NewTable(head ...string) *Table { return &Table{head: head} }

// Row adds a row.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// String is the table, all columns but the first aligned to the right if they hold numbers.
func (t *Table) String() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	rule := make([]string, len(t.head))
	for i := range rule {
		if rule[i] = "---"; i > 0 && t.numeric(i) {
			rule[i] = "---:"
		}
	}
	line(rule)
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

func (t *Table) numeric(column int) bool {
	for _, row := range t.rows {
		if cell := row[column]; cell != "–" && !strings.ContainsAny(cell[:min(1, len(cell))], "0123456789-−") {
			return false
		}
	}
	return true
}

// Empty reports whether there are no rows.
func (t *Table) Empty() bool { return len(t.rows) == 0 }
