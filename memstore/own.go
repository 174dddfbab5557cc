package memstore

import (
	"maps"
	"slices"

	"github.com/msgdelivery/delivery"
)

// own is what a user alone knows, apart from what others may see.
type own struct {
	place   delivery.Place
	private map[int64]delivery.Status // by seq
}

// ownOf returns what the user alone knows. Where others may see more, it is that much.
func (c *conversation) ownOf(user string) own {
	o := own{}
	if known := c.own[user]; known != nil {
		o = *known
	}
	shown := c.places[user]
	o.place.Badge = max(o.place.Badge, shown[delivery.Read])
	o.place.Delivered = max(o.place.Delivered, shown[delivery.Delivered], o.place.Badge)
	return o
}

// state returns what is known of a user and a message, but for Reader.
func (c *conversation) state(m *message, user string) delivery.OwnState {
	o := c.ownOf(user)
	receipt, _ := m.receipt(user)
	return delivery.OwnState{Header: m.Header, Receipt: receipt, Private: o.private[m.Seq], Place: o.place}
}

// view returns the message as the viewer sees it.
func (c *conversation) view(m *message, viewer string) delivery.Message {
	message := m.public()
	if viewer != "" {
		message.Own = c.state(m, viewer).View(viewer)
	}
	return message
}

// knows reports whether the user has sent, may receive or has marked here.
func (c *conversation) knows(user string) bool {
	_, shown := c.places[user]
	return shown || c.own[user] != nil || slices.ContainsFunc(c.messages, func(m *message) bool {
		_, received := m.receipt(user)
		return received || m.Sender == user
	})
}

// mayOwn returns what the user alone knows, for more to be added.
func (c *conversation) mayOwn(user string) *own {
	o := c.own[user]
	if o == nil {
		o = &own{private: map[int64]delivery.Status{}}
		c.own[user] = o
	}
	return o
}

// keep keeps what became of a mark that changed something.
func (c *conversation) keep(mark delivery.OwnMark, out delivery.MarkedOwn, keep bool) {
	o := c.mayOwn(mark.User)
	rev := o.place.Rev
	o.place = out.Place
	o.place.Rev = rev
	if keep {
		o.private[out.Header.Seq] = mark.Status
	}
	c.reach(mark.User, mark.Reach, out.Header.Seq)
	maps.DeleteFunc(o.private, func(seq int64, status delivery.Status) bool { return o.place.Status(seq) >= status })
}
