package sqlstore

import (
	"testing"
	"time"
)

func TestACountLastsTheLongerTheOlderTheHourIsAndTheMoreItTook(t *testing.T) {
	for _, c := range []struct{ age, took, want time.Duration }{
		{0, 0, time.Minute},
		{time.Hour, time.Second, time.Minute},
		{time.Hour, time.Minute, 20 * time.Minute},
		{10 * time.Minute, time.Minute, 10 * time.Minute},
		{2*time.Hour - 1, time.Minute, 20 * time.Minute},
		{2 * time.Hour, time.Minute, 2 * time.Hour},
		{100 * time.Hour, time.Second, 100 * time.Hour},
	} {
		if got := countAgainAfter(c.age, c.took); got != c.want {
			t.Errorf("a count at the age of %v, which took %v, lasts %v, want %v", c.age, c.took, got, c.want)
		}
	}
}
