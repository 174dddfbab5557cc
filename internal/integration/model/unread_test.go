package model

import "github.com/msgdelivery/delivery"

// count asks what a user has not read.
func (m *machine) count() {
	m.Helper()
	user, conversation := users.Draw(m.T, "user"), m.conversation()
	got, err := m.tracker().Pending(m.ctx, delivery.Actor{User: user}, conversation)
	m.sameError("Pending", err, nil)
	m.same("Pending", got, m.ref.unread(user, conversation))
}

// unread is what is pending for a user.
func (r *reference) unread(user, conversation string) delivery.Pending {
	pending := delivery.Pending{Version: r.versions[conversation]}
	for _, m := range r.inOrder(conversation) {
		pending.Newest = delivery.Position{ID: m.ID, Seq: m.Seq}
		_, received := r.receipts[receiptKey{m.ID, user}]
		if m.Sender == user || !m.Open && !received || !r.advances(user, m.ID, delivery.Read) {
			continue
		}
		if pending.Unread++; pending.Unread == 1 {
			pending.First = pending.Newest
		}
	}
	return pending
}
