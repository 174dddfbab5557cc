package memstore

import (
	"cmp"
	"hash/maphash"
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
	hash        uint32 // of the recipient: that stands elsewhere, and is looked at only where this is equal
	status      delivery.Status
}

func keep(r delivery.Receipt) receipt {
	return receipt{r.Recipient, r.Version, instantOf(r.DeliveredAt), instantOf(r.ReadAt), hashOf(r.Recipient), r.Status}
}

var userSeed = maphash.MakeSeed()

func hashOf(user string) uint32 {
	return uint32(maphash.String(userSeed, user)) // #nosec G115 -- half of it will do
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

// find returns where in the list the user's receipt is, -1 if there is none.
func (r *receipts) find(user string) int {
	if r.index != nil {
		if i, ok := r.index[user]; ok {
			return i
		}
		return -1
	}
	hash := hashOf(user)
	for i := range r.list {
		if r.list[i].hash == hash && r.list[i].recipient == user {
			return i
		}
	}
	return -1
}

// put stores a receipt at its place in the list, or as a new one if that is -1. It returns the place, which
// is for good, and what the status was.
func (r *receipts) put(at int, new receipt) (place int, before delivery.Status) {
	if at >= 0 {
		before, r.list[at] = r.list[at].status, new
		return at, before
	}
	place = len(r.list)
	r.list = append(r.list, new)
	switch {
	case r.index != nil:
		r.index[new.recipient] = place
	case len(r.list) > shortList:
		r.index = make(map[string]int, len(r.list))
		for i := range r.list {
			r.index[r.list[i].recipient] = i
		}
	}
	return place, 0
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
