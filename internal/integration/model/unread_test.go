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
	m.place(user, conversation, got[0].Place)
	got[0].Place = delivery.Place{}
	m.same("Unread", got[0], m.ref.unread(user, conversation))
}

// place checks that the user's place claims nothing that the marks do not say. How far it is may
// depend on the store.
func (m *machine) place(user, conversation string, place delivery.Place) {
	m.Helper()
	m.same("the flag of the place", place.Flag, int64(0))
	for _, message := range m.ref.inOrder(conversation) {
		status := place.Status(message.Seq)
		if status.Valid() && m.ref.concerns(user, message) && m.ref.knows(user, message.ID) < status {
			m.Fatalf("the place %+v says that %s has %s as %v, and no mark does", place, user, message.ID, status)
		}
	}
}

// unread is what a user has not read.
func (r *reference) unread(user, conversation string) delivery.Unread {
	unread := delivery.Unread{Conversation: conversation, Version: r.versions[conversation]}
	for _, m := range r.inOrder(conversation) {
		newest := r.seenBy(user, m)
		unread.Newest = &newest
		if !r.concerns(user, m) || r.knows(user, m.ID) == delivery.Read {
			continue
		}
		if unread.Count++; unread.Count == 1 {
			unread.First = delivery.Position{ID: m.ID, Seq: m.Seq}
		}
	}
	return unread
}

// concerns reports whether a message is for the user.
func (r *reference) concerns(user string, m delivery.Message) bool {
	_, received := r.receipts[receiptKey{m.ID, user}]
	return m.Sender != user && (m.Open || received)
}
