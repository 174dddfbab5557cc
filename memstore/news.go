package memstore

import (
	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// news is what an event tells, as it is kept. Most events tell of one receipt, and may wait in large
// numbers: these are kept small.
type news struct {
	whole *delivery.Event // nil if it is of one receipt

	message         *message
	except          string
	receipt         receipt
	status          delivery.Status // of the message, after the step
	delivered, read int32           // likewise
}

// newsOf tells of a step that was just taken.
func newsOf(step *step, socket string) news {
	m := step.message
	return news{
		message: m, except: socket, receipt: keep(step.receipt),
		status: m.Status, delivered: int32(m.Delivered), read: int32(m.Read), // #nosec G115 -- no memory holds so many receipts
	}
}

// event returns the event that tells the news. It shares nothing with what is kept.
func (n *news) event(id int64) delivery.Event {
	if n.whole != nil {
		event := clone.Event(*n.whole)
		event.ID = id
		return event
	}
	one := new(struct { // one allocation
		updates [1]delivery.Update
		receipt delivery.Receipt
	})
	m, version := n.message, n.receipt.version
	one.receipt = n.receipt.of(m)
	one.updates[0] = delivery.Update{
		Message: m.ID, Sender: m.Sender, Version: version,
		Status: n.status, Delivered: int(n.delivered), Read: int(n.read), Total: m.Total, Receipt: &one.receipt,
	}
	return delivery.Event{
		ID: id, Kind: delivery.StatusChanged, Conversation: m.Conversation,
		From: version, To: version, Except: n.except, Updates: one.updates[:],
	}
}
