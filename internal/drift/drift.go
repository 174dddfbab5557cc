// Package drift compares counters with what was counted, as the stores do.
package drift

import "github.com/msgdelivery/delivery"

// Of returns the drift of a message that has this tally and so many receipts and failures, or the
// zero Drift.
func Of(h delivery.Header, stored delivery.Tally, delivered, read, failed int, noRoster bool) delivery.Drift {
	counted := delivery.Tally{Status: delivery.Sent, Delivered: delivered, Read: read, Failed: failed}
	switch {
	case read >= h.QuorumFor(delivery.Read):
		counted.Status = delivery.Read
	case delivered >= h.QuorumFor(delivery.Delivered):
		counted.Status = delivery.Delivered
	}
	stored = delivery.Tally{Status: stored.Status, Delivered: stored.Delivered, Read: stored.Read, Failed: stored.Failed}
	if stored == counted && !noRoster {
		return delivery.Drift{}
	}
	return delivery.Drift{Message: h.ID, Conversation: h.Conversation, Stored: stored, Counted: counted, NoRoster: noRoster}
}
