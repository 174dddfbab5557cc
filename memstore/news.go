package memstore

import (
	"time"

	"github.com/msgdelivery/delivery"
	"github.com/msgdelivery/delivery/internal/clone"
)

// news is what an event tells, as it is kept. Most events tell of one receipt, and may wait in large
// numbers: these are kept small. The stamps of the receipt are not copied, since what is stamped stays so.
type news struct {
	whole *delivery.Event // nil if it is of one receipt

	message         *message
	except          string
	version         int64
	place           int32           // of the receipt
	reached         delivery.Status // by the receipt
	status          delivery.Status // of the message, after the step
	delivered, read int32           // likewise
}

// newsOf tells of a step that was just taken.
func newsOf(step *step, socket string) news {
	m := step.message
	return news{
		message: m, except: socket, version: step.receipt.Version, reached: step.receipt.Status, status: m.Status,
		place: int32(step.place), delivered: int32(m.Delivered), read: int32(m.Read), // #nosec G115 -- no memory holds so many receipts
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
	m := n.message
	one.receipt = m.receipt(int(n.place))
	one.receipt.Version, one.receipt.Status = n.version, n.reached
	if n.reached != delivery.Read {
		one.receipt.ReadAt = time.Time{} // it came later
	}
	one.updates[0] = delivery.Update{
		Message: m.ID, Sender: m.Sender, Version: n.version,
		Status: n.status, Delivered: int(n.delivered), Read: int(n.read), Total: m.Total, Receipt: &one.receipt,
	}
	return delivery.Event{
		ID: id, Kind: delivery.StatusChanged, Conversation: m.Conversation,
		From: n.version, To: n.version, Except: n.except, Updates: one.updates[:],
	}
}
