package deliverytest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// trial is a test that may fail without failing the one it runs in.
type trial struct {
	testing.TB
	mu       sync.Mutex
	failed   bool
	skipped  bool
	failures []string
}

// try runs a test on a goroutine of its own, which it may leave early.
func try(t *testing.T, test func(testing.TB)) *trial {
	tr := &trial{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(tr)
	}()
	<-done
	return tr
}

// mustFail fails the real test if the trial passed, or did not say what rule was broken.
func (tr *trial) mustFail(t *testing.T, rule string) {
	t.Helper()
	if !tr.failed {
		t.Errorf("it passes the test of the rule %q", rule)
	}
	for _, failure := range tr.failures {
		t.Logf("%.300s", failure)
		if !strings.Contains(failure, rule) {
			t.Errorf("this failure does not quote the rule %q", rule)
		}
	}
}

func (tr *trial) Errorf(format string, args ...any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.failed = true
	tr.failures = append(tr.failures, fmt.Sprintf(format, args...))
}

func (tr *trial) FailNow() {
	tr.mu.Lock()
	tr.failed = true
	tr.mu.Unlock()
	runtime.Goexit()
}

func (tr *trial) Failed() bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.failed
}

func (tr *trial) Skipf(format string, args ...any) {
	tr.skipped = true
	runtime.Goexit()
}
