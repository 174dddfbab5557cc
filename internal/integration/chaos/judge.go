package chaos

import (
	"cmp"
	"slices"

	"github.com/msgdelivery/delivery"
)

// judge compares what was asked, acknowledged, stored and told.
func (c *checker) judge() {
	for key, h := range c.receipts {
		c.judgeReceipt(key, h)
	}
	c.judgeMessages()
	c.judgeVersions()
	c.recount()
}

func (c *checker) judgeReceipt(key receiptKey, h *history) {
	v := &c.verdict
	if h.stored < h.acked {
		v.Lost.add("%s of %s was acknowledged as %v and is %v", key.message, key.recipient, h.acked, h.stored)
	}
	if h.told < h.stored && h.stored > delivery.Sent {
		v.Lost.add("%s of %s is %v and nobody was told more than %v", key.message, key.recipient, h.stored, h.told)
	}
	if h.told > h.stored {
		v.Unexpected.add("%s of %s was told as %v and is %v", key.message, key.recipient, h.told, h.stored)
	}
	if h.stored > delivery.Sent && !h.asked[h.stored] {
		v.Unexpected.add("%s of %s is %v, and nobody asked for it", key.message, key.recipient, h.stored)
	}
	if exists := c.stored[key.message] != nil; h.stored.Valid() && (!exists || key.recipient == c.world.senderOf(key.message)) {
		v.Unexpected.add("%s has a receipt of %s, who may have none", key.message, key.recipient)
	}
	for _, status := range []delivery.Status{delivery.Delivered, delivery.Read} {
		if h.changed[status] > 1 {
			v.Backwards.add("%s of %s became %v %d times", key.message, key.recipient, status, h.changed[status])
		}
	}
	slices.SortFunc(h.steps, func(a, b step) int { return cmp.Or(cmp.Compare(a.version, b.version), cmp.Compare(a.status, b.status)) })
	for i, s := range h.steps {
		if !h.asked[s.status] {
			v.Unexpected.add("%s of %s was told as %v, and nobody asked for it", key.message, key.recipient, s.status)
		}
		if i > 0 && s != h.steps[i-1] && s.status <= h.steps[i-1].status {
			v.Backwards.add("%s of %s was told as %v at version %d, and as %v at version %d",
				key.message, key.recipient, h.steps[i-1].status, h.steps[i-1].version, s.status, s.version)
		}
	}
}

func (c *checker) judgeMessages() {
	v := &c.verdict
	for message := range c.acked {
		if _, exists := c.stored[message]; !exists {
			v.Lost.add("%s was acknowledged as sent and is not there", message)
		}
	}
	for message := range c.stored {
		if !c.announced[message] {
			v.Lost.add("%s was sent and nobody was told", message)
		}
		if isNew(message) && !c.asked[message] {
			v.Unexpected.add("%s is there, and nobody sent it", message)
		}
	}
	for message := range c.announced {
		if _, exists := c.stored[message]; !exists {
			v.Unexpected.add("%s was announced and is not there", message)
		}
	}
}

// judgeVersions sees whether the events of each conversation cover each of its versions.
func (c *checker) judgeVersions() {
	v := &c.verdict
	for conversation, version := range c.state.Versions {
		for at := int64(1); at <= version; at++ {
			if _, told := c.told[change{conversation, at}]; !told {
				v.Lost.add("%s: no event covers version %d", conversation, at)
			}
		}
	}
	for at := range c.told {
		if version := c.state.Versions[at.conversation]; at.version > version {
			v.Unexpected.add("%s is at version %d, and an event covers version %d", at.conversation, version, at.version)
		}
	}
}

// recount compares what the store keeps count of with the receipts.
func (c *checker) recount() {
	v := &c.verdict
	tallies := map[string]*delivery.Tally{}
	for _, m := range c.state.Messages {
		tallies[m.ID] = &delivery.Tally{Version: m.Seq, Status: delivery.Sent}
	}
	for _, r := range c.state.Receipts {
		if m := c.stored[r.Message]; m != nil {
			t := tallies[r.Message]
			t.Count(delivery.Header{Quorum: m.Quorum}, delivery.Receipt{}, delivery.Receipt{Status: r.Status})
			t.Version = max(t.Version, r.Version)
		}
	}
	for _, m := range c.state.Messages {
		t := tallies[m.ID]
		if m.Delivered != t.Delivered || m.Read != t.Read || m.Status != t.Status || m.Version != t.Version {
			v.Tallies.add("%s is %v with %d deliveries and %d readers at version %d, its receipts say %v, %d, %d, %d",
				m.ID, m.Status, m.Delivered, m.Read, m.Version, t.Status, t.Delivered, t.Read, t.Version)
		}
	}
	for _, u := range c.state.Unread {
		unread, first, newest := 0, int64(0), int64(0)
		for _, m := range c.sent[u.Conversation] {
			newest = m.Seq
			h := c.receipts[receiptKey{m.ID, u.User}]
			if m.Sender == u.User || h == nil && !m.Open || h != nil && (h.stored == delivery.Read || !h.stored.Valid() && !m.Open) {
				continue
			}
			if unread++; unread == 1 {
				first = m.Seq
			}
		}
		var said int64
		if u.Newest != nil {
			said = u.Newest.Seq
		}
		if u.Count != min(unread, delivery.MaxUnread) || u.More != (unread > delivery.MaxUnread) || u.First.Seq != first || said != newest {
			v.Unread.add("%s has %d unread in %s from seq %d on, newest %d, and Unread says %d, %d, %d",
				u.User, unread, u.Conversation, first, newest, u.Count, u.First.Seq, said)
		}
	}
}
