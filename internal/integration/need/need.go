// Package need decides what becomes of a test when the machine lacks something it needs, such as a
// database server or a browser.
package need

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// ForbidSkips is the environment variable that, set to 1, turns every skip into a failure.
const ForbidSkips = "DELIVERY_FORBID_SKIPS"

// Missing skips t because what is not on this machine, and says how to get it. Where skips are
// forbidden it fails t instead. Like [testing.TB.Skip] it does not return and must be called from
// the goroutine that runs the test.
func Missing(t testing.TB, what, how string) {
	t.Helper()
	if os.Getenv(ForbidSkips) == "1" {
		t.Fatalf("%s is missing and %s=1 forbids to skip: %s", what, ForbidSkips, how)
	}
	message := fmt.Sprintf("SKIPPED, %s is missing: %s, then run again with -count=1", what, how)
	tellTerminal(message)
	t.Skip(message)
}

var told sync.Map // of messages

// tellTerminal shows message once at the terminal, if there is one: go test hides what a passing
// package prints, and a skip that nobody sees looks like a pass.
func tellTerminal(message string) {
	if _, again := told.LoadOrStore(message, true); again {
		return
	}
	if tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0); err == nil {
		fmt.Fprintln(tty, message)
		tty.Close()
	}
}
