package memstore

import (
	"cmp"
	"slices"
	"time"

	"github.com/msgdelivery/delivery"
)

// receipt is a [delivery.Receipt] as it is kept: there may be very many. Whose message it is of, its holder
// knows.
type receipt struct {
	recipient   string
	version     int64
	deliveredAt instant
	readAt      instant
	status      delivery.Status
}

func keep(r delivery.Receipt) receipt {
	return receipt{r.Recipient, r.Version, instantOf(r.DeliveredAt), instantOf(r.ReadAt), r.Status}
}

func (r *receipt) of(m *message) delivery.Receipt {
	return delivery.Receipt{
		Message: m.ID, Recipient: r.recipient, Status: r.status, Version: r.version,
		DeliveredAt: r.deliveredAt.time(), ReadAt: r.readAt.time(),
	}
}

// instant is a time in microseconds since the zero [time.Time].
type instant int64

var zero = time.Time{}.UnixMicro()

func instantOf(t time.Time) instant { return instant(t.UnixMicro() - zero) }

func (i instant) time() time.Time {
	if i == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(i) + zero).UTC()
}

// receipts are those of one message. Most messages have few, which are looked through; where there are
// many, an index finds them.
type receipts struct {
	list  []receipt
	index map[string]int // by recipient, into the list; nil while that is short
}

const shortList = 8

// of returns the user's receipt, nil if there is none. It is good until the next one is put.
func (r *receipts) of(user string) *receipt {
	if r.index != nil {
		if i, ok := r.index[user]; ok {
			return &r.list[i]
		}
		return nil
	}
	for i := range r.list {
		if r.list[i].recipient == user {
			return &r.list[i]
		}
	}
	return nil
}

// put stores a receipt in place of the user's last one, and returns what the status was.
func (r *receipts) put(new receipt) (before delivery.Status) {
	if old := r.of(new.recipient); old != nil {
		before, *old = old.status, new
		return before
	}
	r.list = append(r.list, new)
	switch {
	case r.index != nil:
		r.index[new.recipient] = len(r.list) - 1
	case len(r.list) > shortList:
		r.index = make(map[string]int, len(r.list))
		for i := range r.list {
			r.index[r.list[i].recipient] = i
		}
	}
	return 0
}

// sorted returns the receipts in order of recipient.
func (m *message) sorted() []delivery.Receipt {
	sorted := make([]delivery.Receipt, len(m.receipts.list))
	for i := range m.receipts.list {
		sorted[i] = m.receipts.list[i].of(m)
	}
	slices.SortFunc(sorted, func(a, b delivery.Receipt) int { return cmp.Compare(a.Recipient, b.Recipient) })
	return sorted
}
