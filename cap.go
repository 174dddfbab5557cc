package delivery

// A cap is the highest status of a user that others may ever see of a message, frozen at its send:
// [Sent] of who is untracked, [Delivered] of who hides reads, [Read] of all others. It belongs to
// the member of a roster; of an open message every user's is Read.

// Shown returns what others see of a status that a user with that cap has reached.
func Shown(own, cap Status) Status { return min(own, cap) }

// Reason says why a receipt shows no more than it does.
type Reason string

const (
	// Untracked says that others learn nothing of the recipient, as the message's audience said.
	Untracked Reason = "untracked"
	// Capped says that others learn no more of the recipient than that the message was delivered.
	Capped Reason = "capped"
)

// ReasonFor returns why a receipt shows no more than this status, if the recipient's cap is the
// reason. It is how every [Store] fills [Receipt.Reason].
func ReasonFor(shown, cap Status) Reason {
	switch {
	case cap == Sent:
		return Untracked
	case cap == Delivered && shown == Delivered:
		return Capped
	}
	return ""
}

// On reports whether a page of receipts has this one: under no status all are there, and under one
// those that are at exactly that status, if no [Reason] says that they are to stay there.
func (q ReceiptList) On(r Receipt) bool {
	return q.Status == 0 || r.Status == q.Status && r.Reason == ""
}

// QuorumFor returns how many recipients must reach a status before the message has it: the Quorum,
// but no more than may be seen to read. If nobody may be seen to reach the status, the message
// never does.
func (h Header) QuorumFor(status Status) int {
	if status == Read && h.Readers > 0 {
		return min(h.Quorum, h.Readers)
	}
	return h.Quorum
}

// CapOf returns the cap of the message's i-th member.
func (m NewMessage) CapOf(i int) Status {
	if m.Caps == nil {
		return Read
	}
	return m.Caps[i]
}

// Sizes returns how many of the message's members may be seen to receive it, and how many of these
// may be seen to read it, whoever sends it.
func (m NewMessage) Sizes() (tracked, readers int) {
	for i := range m.Members {
		tracked += seen(m.CapOf(i), Delivered)
		readers += seen(m.CapOf(i), Read)
	}
	return tracked, readers
}

// SizedFrom is [NewMessage.Sized] for a roster of these [NewMessage.Sizes], in which the sender has
// that cap, 0 if it is no member.
func (m NewMessage) SizedFrom(tracked, readers int, sender Status) Header {
	return m.Sized(tracked-seen(sender, Delivered), readers-seen(sender, Read))
}

// seen is 1 if a user with that cap may be seen at the status.
func seen(cap, status Status) int {
	if cap.Reaches(status) {
		return 1
	}
	return 0
}
