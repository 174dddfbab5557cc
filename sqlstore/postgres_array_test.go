package sqlstore

import (
	"testing"
	"time"
)

func TestArraysOfPostgresQuoteWhatTheyHold(t *testing.T) {
	var empty, texts, numbers, times pgArray
	for _, s := range []string{``, `a`, `a"b`, `a\b`, `{a,b}`, ` NULL `, "ü\n"} {
		texts.text(s)
	}
	for _, n := range []int64{0, -1, 1 << 62} {
		numbers.number(n)
	}
	times.time(time.Date(2026, 1, 2, 4, 4, 5, 678_000, time.FixedZone("", 3600)))
	times.time(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for want, got := range map[string]*pgArray{
		`{}`: &empty,
		`{"","a","a\"b","a\\b","{a,b}"," NULL ","ü` + "\n" + `"}`: &texts,
		`{0,-1,4611686018427387904}`:                              &numbers,
		`{"2026-01-02T03:04:05.000678Z","2026-01-02T03:04:05Z"}`:  &times,
	} {
		if got.String() != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
