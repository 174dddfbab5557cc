package delivery

import "time"

// Observer holds functions that are called at certain moments, for metrics and tracing. Any of them
// may be nil. They are called synchronously and concurrently, so they should be quick.
type Observer struct {
	// Marked is called for every mark that was taken: advanced says whether it changed anything. A
	// message that one call names several times is one mark, here and for Refused.
	Marked func(status Status, advanced bool)

	// Refused is called for every mark that was refused, with the refusal.
	Refused func(user, message string, err error)

	// Notified is called after every call of the Notifier, with how many events it was given, how
	// long it took and what it said.
	Notified func(events int, took time.Duration, err error)

	// LeaseLost is called when events were published by a holder whose lease had run out; they may
	// have been published twice.
	LeaseLost func(events int)

	// Buried is called for every event that went to the dead letters.
	Buried func(event Event, reason string)

	// BreakerChanged is called when the relay stops or starts trusting the endpoint.
	BreakerChanged func(to BreakerState)
}

func (o *Observer) marked(s Status, advanced bool) {
	if o.Marked != nil {
		o.Marked(s, advanced)
	}
}

func (o *Observer) refused(user, message string, err error) {
	if o.Refused != nil {
		o.Refused(user, message, err)
	}
}

func (o *Observer) notified(events int, took time.Duration, err error) {
	if o.Notified != nil {
		o.Notified(events, took, err)
	}
}

func (o *Observer) leaseLost(events int) {
	if o.LeaseLost != nil {
		o.LeaseLost(events)
	}
}

func (o *Observer) buried(event Event, reason string) {
	if o.Buried != nil {
		o.Buried(event, reason)
	}
}

func (o *Observer) breakerChanged(to BreakerState) {
	if o.BreakerChanged != nil {
		o.BreakerChanged(to)
	}
}
