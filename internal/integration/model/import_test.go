package model

import (
	"fmt"
	"time"

	"github.com/msgdelivery/delivery"
	"pgregory.net/rapid"
)

// imports imports some messages into a conversation, in which messages may have been sent.
func (m *machine) imports() {
	m.Helper()
	conversation := m.conversation()
	items := make([]delivery.Import, 0, 3)
	named := map[string]bool{}
	at := m.clock.tick()
	for range rapid.IntRange(1, 3).Draw(m.T, "items") {
		item := delivery.Import{
			Draft: delivery.Draft{
				ID: m.id(), Conversation: conversation, Sender: users.Draw(m.T, "sender"),
				Audience: delivery.Audience{Open: true, Quorum: rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(m.T, "quorum")},
			},
			SentAt: time.Now(),
		}
		if rapid.IntRange(0, 3).Draw(m.T, "frozen") > 0 {
			item.Open, item.Recipients = false, []string{"alice", "bob", "Bob", "zoë"}
			if rapid.Bool().Draw(m.T, "capped") {
				item.Untracked, item.HideRead = rapid.SliceOfN(users, 0, 2).Draw(m.T, "untracked"), rapid.SliceOfN(users, 0, 3).Draw(m.T, "hide read")
			}
		}
		timed := rapid.IntRange(0, 3).Draw(m.T, "timed") == 0
		for _, user := range []string{"alice", "bob", "Bob", "zoë", "bob "} {
			receipt := delivery.ImportReceipt{Recipient: user, Status: rapid.SampledFrom([]delivery.Status{0, delivery.Delivered, delivery.Read, delivery.Read, delivery.Read}).Draw(m.T, "status")}
			if receipt.Status == 0 || user == item.Sender || user == "bob " && rapid.IntRange(0, 9).Draw(m.T, "stranger") > 0 {
				continue
			}
			if timed {
				receipt.DeliveredAt = item.SentAt
				if receipt.Status == delivery.Read {
					receipt.ReadAt = item.SentAt
				}
			}
			item.Receipts = append(item.Receipts, receipt)
		}
		if !named[item.ID] {
			named[item.ID] = true
			items = append(items, item)
		}
	}
	got, err := m.tracker().Import(m.ctx, items...)
	m.sameError("Import", err, nil)
	for i, item := range items {
		stored, err := m.ref.imports(item, at)
		what := fmt.Sprint("the import of item ", i)
		m.same(what, got[i].Stored, stored)
		m.sameError(what, got[i].Err, err)
	}
}

// imports imports a message whose times, if there are any, are that of the call.
func (r *reference) imports(item delivery.Import, at time.Time) (stored bool, err error) {
	if _, gone := r.deleted[item.ID]; gone {
		return false, delivery.ErrGone
	}
	there, taken := r.messages[item.ID]
	if taken && there.Conversation == item.Conversation && there.Sender == item.Sender {
		return false, nil
	}
	if taken || r.live(item.Conversation) {
		return false, delivery.ErrConflict
	}
	for _, receipt := range item.Receipts {
		if !item.Open && receipt.Recipient == "bob " {
			return false, &delivery.InvalidError{Field: "receipts"}
		}
	}
	before := r.versions[item.Conversation]
	m, err := r.send(item.Draft, at)
	if err != nil {
		return false, err
	}
	r.imported[m.ID] = true
	delete(r.pending, place{m.Conversation, m.Seq})
	timed := false
	for _, given := range item.Receipts {
		key := receiptKey{m.ID, given.Recipient}
		receipt := delivery.Receipt{Message: m.ID, Recipient: given.Recipient, Status: r.shown(given.Recipient, m.ID, given.Status), Version: m.Seq}
		if !given.DeliveredAt.IsZero() && receipt.Status >= delivery.Delivered {
			receipt.DeliveredAt, timed = at, true
			if receipt.Status == delivery.Read {
				receipt.ReadAt = at
			}
		}
		r.receipts[key] = receipt
		r.keep(given.Recipient, m.ID, given.Status)
	}
	m.Delivered, m.Read = r.count(m.ID, delivery.Delivered), r.count(m.ID, delivery.Read)
	readers := m.Quorum
	if !m.Open {
		readers = min(m.Quorum, m.Readers)
	}
	switch {
	case m.Read >= readers && readers > 0:
		m.Status = delivery.Read
	case m.Delivered >= m.Quorum:
		m.Status = delivery.Delivered
	}
	if timed && m.Status >= delivery.Delivered {
		m.DeliveredAt = at
		if m.Status == delivery.Read {
			m.ReadAt = at
		}
	}
	r.messages[m.ID] = m
	if !timed && r.compacts[m.Conversation] == before {
		r.compacts[m.Conversation] = m.Seq
	}
	return true, nil
}

// live reports whether the newest message or tombstone of a conversation is of one that was sent.
func (r *reference) live(conversation string) bool {
	newest, sent := int64(0), false
	for _, of := range []map[string]delivery.Message{r.messages, r.deleted} {
		for id, m := range of {
			if m.Conversation == conversation && m.Seq > newest {
				newest, sent = m.Seq, !r.imported[id]
			}
		}
	}
	return sent
}
