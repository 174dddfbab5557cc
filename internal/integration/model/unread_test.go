package model

import "github.com/msgdelivery/delivery"

// count asks what a user has not read.
func (m *machine) count() {
	m.Helper()
	user, conversation := users.Draw(m.T, "user"), m.conversation()
	got, err := m.tracker().Unread(m.ctx, delivery.Actor{User: user}, conversation)
	m.sameError("Unread", err, nil)
	if newest := got[0].Newest; newest != nil {
		*newest = m.message(*newest)
	}
	m.same("Unread", got[0], m.ref.unread(user, conversation))
}

// unread is what a user has not read.
func (r *reference) unread(user, conversation string) delivery.Unread {
	unread := delivery.Unread{Conversation: conversation, Version: r.versions[conversation]}
	for _, m := range r.inOrder(conversation) {
		newest := r.seenBy(user, m)
		unread.Newest = &newest
		_, received := r.receipts[receiptKey{m.ID, user}]
		if m.Sender == user || !m.Open && !received || !r.advances(user, m.ID, delivery.Read) {
			continue
		}
		if unread.Count++; unread.Count == 1 {
			unread.First = delivery.Position{ID: m.ID, Seq: m.Seq}
		}
	}
	return unread
}
