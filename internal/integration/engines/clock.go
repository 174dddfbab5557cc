package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/msgdelivery/delivery/internal/integration/need"
)

// Clock starts the server again with a clock that is ahead by so much, and returns a function that
// sets by how much it is ahead, which the server sees within 1 s. It needs Debian's package
// faketime.
func (s *Server) Clock(t testing.TB, ahead time.Duration) (set func(ahead time.Duration)) {
	t.Helper()
	libraries, err := filepath.Glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
	if err != nil {
		t.Fatal(err)
	}
	if len(libraries) == 0 {
		need.Missing(t, "libfaketime", "apt-get install faketime")
	}
	set = func(ahead time.Duration) {
		t.Helper()
		next := s.path("clock.next")
		err := os.WriteFile(next, fmt.Appendf(nil, "%+d\n", int(ahead.Seconds())), 0o600)
		if err == nil {
			err = giveAway(next, s.product.account)
		}
		if err == nil {
			err = os.Rename(next, s.path("clock"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set(ahead)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.env = []string{"LD_PRELOAD=" + libraries[0], "FAKETIME_TIMESTAMP_FILE=" + s.path("clock"), "FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1"}
	s.mu.Unlock()
	if err := s.Start(); err != nil {
		t.Fatalf("%v\n%s", err, s.logTail())
	}
	return set
}
