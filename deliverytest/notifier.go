package deliverytest

import (
	"testing"

	"github.com/msgdelivery/delivery"
)

// Endpoint is a notifier under test, with functions to watch and disturb the other side: the
// service to which it publishes. The events of the tests are of the conversations "conversation 0",
// "conversation 1" and "conversation 2". If the Notifier takes events for a single user
// ([delivery.OwnNotifier]), the tests also publish such an event for the user "bob".
type Endpoint struct {
	// Notifier is the one under test.
	Notifier delivery.Notifier

	// Accepted reports whether the other side has accepted the event, with all of its updates. No
	// two different events of the tests name the same message, so Accepted can recognize an update
	// by its message's id. The exception is an event of the kind [delivery.Pruned]: its update
	// names no message. The tests publish only one.
	Accepted func(event delivery.Event) bool

	// Sent returns what was sent so far to a client that watches the conversation, has that socket
	// and belongs to a user named "mallory". It must not be compressed or encrypted: the tests look
	// for the ids of messages in it. Leave Sent nil if the notifier publishes to the app's servers
	// and not to clients, or if it does not tell all clients of a conversation everything. Then
	// nothing is tested of what clients get.
	Sent func(conversation, socket string) [][]byte

	// Refusable is an event that the other side always refuses, for what is in it. If its ID is 0,
	// the test of refusals is left out.
	Refusable delivery.Event

	// Fail makes the other side fail from now on, and Hang makes it give no answer from now on. If
	// one of them is nil, the tests that need it are skipped.
	Fail, Hang func()
}

// TestNotifier tests that a notifier keeps the contract of [delivery.Notifier]. Each subtest is one
// rule of it, and gets an endpoint of its own from open. Run it with -race.
func TestNotifier(t *testing.T, open func(t *testing.T) Endpoint) {
	for _, c := range notifierCases {
		t.Run(c.rule, func(t *testing.T) { c.run(t, open(t)) })
	}
}
