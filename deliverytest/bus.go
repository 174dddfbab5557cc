package deliverytest

import (
	"testing"

	"github.com/msgdelivery/delivery"
)

// BusEnds is a bus under test as two processes see it, and ways to disturb it.
type BusEnds struct {
	// Here and There are the bus in two processes: what is published at one is heard at both. They
	// may be the same value.
	Here, There delivery.Bus

	// Cut breaks the connection of every subscriber once, so that events may be lost. Without it,
	// the test of losses is skipped.
	Cut func()

	// Fail makes the bus fail from now on, and Hang makes it give no answer from now on. If one of
	// them is nil, the tests that need it are skipped.
	Fail, Hang func()
}

// TestBus tests that a bus keeps the contract of [delivery.Bus]. Each subtest is one rule of it,
// and gets a bus of its own from open. Run it with -race.
func TestBus(t *testing.T, open func(t *testing.T) BusEnds) {
	for _, c := range busCases {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t)) })
	}
}
