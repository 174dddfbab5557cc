package pusheradapter

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where it is midnight of 1 January 2000
		for header, want := range map[string]time.Duration{
			"0":                                0,
			"7":                                7 * time.Second,
			" 7 ":                              7 * time.Second,
			"1.5":                              1500 * time.Millisecond,
			".25":                              250 * time.Millisecond,
			"2147483647":                       2147483647 * time.Second,
			"Sat, 01 Jan 2000 00:01:30 GMT":    90 * time.Second,
			"Saturday, 01-Jan-00 00:01:30 GMT": 90 * time.Second,
			"Fri, 31 Dec 1999 23:59:59 GMT":    0,
		} {
			if got, ok := parseRetryAfter(header); !ok || got != want {
				t.Errorf("%q: %v, %v; want %v", header, got, ok, want)
			}
		}
		for _, header := range []string{"", "-1", "+1", ".", "1.2.3", "1e2", "1s", "soon", "2147483648", "99999999999999999999", "2000-01-01T00:01:30Z"} {
			if got, ok := parseRetryAfter(header); ok {
				t.Errorf("%q: %v", header, got)
			}
		}
	})
}
